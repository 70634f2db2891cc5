"""The known words of many texts, found at once, are those that the texts have one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_api.text.words import WordFinder, split_words

RANKS = {
    word: rank for rank, word in enumerate(["the", "music", "a", "i\u0307", "στος", "日本", "naïve", "12345678"], 1)
}
FINDER = WordFinder(RANKS)
WAYS = (FINDER.find_together, FINDER.find_singly, FINDER.find)


def plainly(texts: Sequence[str], ranks: dict[str, int]) -> list[tuple[int, int]]:
    return [(row, ranks[word]) for row, text in enumerate(texts) for word in split_words(text) if word in ranks]


def found(finder: WordFinder, texts: Sequence[str]) -> list[tuple[int, int]]:
    rows, ranks = finder.find_together(texts)
    return list(zip(rows.tolist(), ranks.tolist(), strict=True))


words = st.sampled_from(
    [
        *RANKS,
        "İ",
        "ΣΤΟΣ",
        "ΣΤΟΣ.Α",
        "THE",
        "the\x00",
        "x",
        "123456789",
        "ſ",
        "\ud800",
        "\U0001f600",
        "\U00020000",
        "Ⱥ",
        "Ა",
    ]
)
gaps = (
    st.sampled_from([" ", "\n", "", "\xa0", "\u2003", "\x1c", "\x85", ".", "-", "'", "\u200b", "  "]) | st.characters()
)
texts = st.lists(words | gaps, max_size=20).map("".join)


@given(st.lists(texts, max_size=6))
@settings(max_examples=200)
def test_every_occurrence_of_a_known_word_is_found(batch: list[str]) -> None:
    assert found(FINDER, batch) == plainly(batch, RANKS)


@pytest.mark.parametrize("times", [0, 1, 3, 1000])
def test_few_and_many_characters_are_searched_to_the_same_end(times: int) -> None:
    batch = ["the music", "", "İ ΣΤΟΣ THE", "12345678 naïve x"] * times
    for together, singly, either in zip(*(find(batch) for find in WAYS), strict=True):
        assert together.tolist() == singly.tolist() == either.tolist()
        assert together.dtype == singly.dtype == either.dtype


@given(st.lists(st.text(st.sampled_from("ab\x00é"), min_size=1, max_size=18), unique=True, max_size=40))
@settings(max_examples=100)
def test_words_that_begin_or_end_alike_are_told_apart(known: list[str]) -> None:
    """Of any length, also beyond that of one or two numbers."""
    ranks = {word: rank for rank, word in enumerate(known[::2], 1)}
    batch = [" ".join([*known, *(word + "a" for word in known), *(word[:-1] for word in known)])]
    assert found(WordFinder(ranks), batch) == plainly(batch, ranks)


LONG = {
    "many words": "the " * 200_000,
    "a long word": "x" * 200_000 + " the",
    "long words between": ("日本 " + "x" * 70_000 + ".") * 4,
    "nothing but blanks": " " * 200_000 + "the",
    "other white space": "the\xa0" * 99_999,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_texts_are_taken_in_pieces_that_cut_no_word(text: str) -> None:
    batch = ["music", text, "", "a the"]
    assert found(FINDER, batch) == plainly(batch, RANKS)


def test_a_vocabulary_without_words_finds_none() -> None:
    assert found(WordFinder({}), ["the music", ""]) == []


def test_no_texts_have_no_words() -> None:
    assert found(FINDER, []) == []


def test_a_full_vocabulary_is_found() -> None:
    ranks = {f"w{number}": number for number in range(1, 512)}
    rows, numbers = WordFinder(ranks).find_together([" ".join(ranks)])
    assert numbers.tolist() == list(range(1, 512))
    assert not np.any(rows)
