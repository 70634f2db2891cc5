"""A glance at many texts says of each what a look at it alone does, and that nothing is to be done only where so."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sb_api.text import normalization
from sb_api.text.characters import glance
from sb_api.text.characters.glance import BEARS, LOOK_ALIKE, MARK, UNSPACED, WORK, look_at
from sb_api.text.disguises import hidden_words, hidden_words_in
from sb_api.text.normalization import NOTHING, normalize_text, normalize_texts
from tests.text.test_normalization import TEXTS


def all_steps(text: str) -> str:
    """The normal form by all steps, whether there is anything to do or not."""
    everything = WORK | MARK
    decoded = normalization._decode(text, everything, len(text) * 20 + 20)
    return normalization._finish(decoded, everything, len(text) * 20 + 20).text


@given(st.lists(TEXTS, max_size=6))
def test_together_is_as_alone(texts: list[str]) -> None:
    for others in ([""], ["\xe9" * 500]):  # few are looked at one by one, many together
        assert normalize_texts([*others, *texts])[1:] == [normalize_text(text) for text in texts]
        together = [seen & ~BEARS for seen in look_at([*others, *texts])[1:]]
        assert together == [look_at([text])[0] & ~BEARS for text in texts]


@given(TEXTS)
def test_where_nothing_is_seen_no_step_would_change_anything(text: str) -> None:
    normal = normalize_text(text, len(text) * 20 + 20)
    if normal.undone is NOTHING and normal.text == text:
        assert all_steps(text) == text


def test_no_character_that_needs_work_is_overlooked() -> None:
    every = [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(char) not in ("Cn", "Co")]
    for char, seen in zip(every, look_at(every), strict=True):
        if not seen & (WORK | MARK):
            assert all_steps(char) == char, hex(ord(char))


def test_both_ways_of_looking_know_the_same_classes() -> None:
    table = glance._classes()
    assert all(table[code] == glance._class_of(chr(code)) for code in range(len(table) - 1))


@pytest.mark.parametrize(
    ("text", "found"),
    [("Привет друзья", False), ("Привет rock", False), ("сосо rock", True), ("рock", True), ("café", False)],
)
def test_look_alikes_are_suspected_where_they_may_be(text: str, found: bool) -> None:
    for last in ("a", "a" * 500):
        assert [bool(seen & LOOK_ALIKE) for seen in look_at([text, "ж", last])] == [found, False, False]


def test_scripts_without_blanks_are_seen() -> None:
    assert [bool(seen & UNSPACED) for seen in look_at(["음악", "音楽", "ดนตรี", "музыка"])] == [False, True, True, False]


@given(st.lists(st.text(st.sampled_from("ab1 -._é中"), max_size=40), min_size=1, max_size=50))
@example(
    ["s l o t\x85", "b e s t\u2028", "\u2605s l o t", "s l o t\U0001f600 x", "\u064ea b c d", "s\u2605l\u2605o\u2605t"]
)
def test_spelt_out_words_are_found_together_as_alone(texts: list[str]) -> None:
    long = [*texts, "x" * 2_000]
    assert hidden_words_in(long) == [hidden_words(text) for text in long]
