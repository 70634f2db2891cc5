"""The runs of characters of a bio that are told as reasons, with all that the wide member makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from sb_api.models.explanations.pieces import LONGEST_RUN
from sb_api.models.explanations.runs import Bio, Terms
from sb_api.models.wide_features import SLOTS, find_words
from sb_api.records import Editor

NOTHING = np.zeros(SLOTS, np.float32)
LONG = "我们公司提供最好的在线赌场服务欢迎大家立即注册"


def find_runs(bio: str, terms: Terms = NOTHING) -> dict[str, list[int]]:
    return Bio(Editor(id=1, bio=bio), terms).find_runs()


@pytest.mark.parametrize("bio", ["日本の音楽", "c-a-s-i-n-o 日本の音楽", "I love 日本の音楽!"])
def test_a_run_has_the_slots_of_its_characters(bio: str) -> None:
    (words,) = find_words([Editor(id=1, bio=bio)])
    found = find_runs(bio)
    assert found.keys() == {"日本の音楽"}
    assert found["日本の音楽"] == sorted({slot for char in "日本の音楽" for slot in words[char]})


def test_a_run_is_left_out_wherever_it_stands() -> None:
    (words,) = find_words([Editor(id=1, bio="赌场 or 赌场")])
    assert find_runs("赌场 or 赌场") == {"赌场": sorted({*words["赌"], *words["场"]})}


def test_a_long_run_is_cut_where_most_of_what_it_tells_lies() -> None:
    (words,) = find_words([Editor(id=1, bio=LONG)])
    terms = np.full(SLOTS, -0.01, np.float32)
    terms[[min(words[char]) for char in "在线赌场"]] = 1.0  # each as a word
    first, *others = find_runs(LONG, terms)
    assert first == "在线赌场"
    assert all(2 <= len(run) <= LONGEST_RUN and run in LONG for run in others)


def test_single_characters_and_words_with_blanks_are_no_runs() -> None:
    bio = Bio(Editor(id=1, bio="a 猫 and best c-a-s-i-n-o"), NOTHING)
    assert (bio.find_runs(), bio.joined_characters()) == ({}, set())
