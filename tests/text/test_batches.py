"""Many texts are looked through at once, but never so many characters that it takes a large share of a machine."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from sb_api.text.disguises import hidden_words, hidden_words_in
from sb_api.text.hashing import MOST_AT_ONCE, in_batches
from sb_api.text.spelling import LONGEST_READ, separate_words, separate_words_in
from sb_api.text.words import WordFinder

SIZE = 4_000_000  # characters
MOST = 80 * 2**20  # bytes; all of them at once took 180 to 450
FINDER = WordFinder({"casino": 1, "赌场": 2})


def test_batches_hold_all_texts_in_order_and_no_more_than_so_many_characters() -> None:
    texts = ["a" * (MOST_AT_ONCE // 2), "b" * (MOST_AT_ONCE // 2), "c", "d" * (2 * MOST_AT_ONCE), "", "e"]
    batches = [texts[batch] for batch in in_batches(texts)]
    assert [text for batch in batches for text in batch] == texts
    assert [len(batch) for batch in batches] == [2, 1, 1, 2]
    assert [*in_batches([])] == []


@pytest.mark.parametrize("text", ["," * SIZE, "赌场" * (SIZE // 2), "a b " * (SIZE // 4), "x" * SIZE])
@pytest.mark.parametrize("pieces", [1, 50])
@pytest.mark.parametrize("read", [hidden_words_in, separate_words_in, FINDER.find])
def test_long_texts_and_many_take_little_memory(text: str, pieces: int, read: Callable[[list[str]], object]) -> None:
    length = SIZE // pieces
    texts = [text[start : start + length] for start in range(0, SIZE, length)]
    tracemalloc.start()
    try:
        read(texts)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


def test_many_texts_are_read_as_each_of_them() -> None:
    ends = ["c-a-s-i-n-o here", "赌场在线 casino", "b3st 0nl1ne c4s1n0", "plain"]
    texts = [f"{'word ' * 20_000}{end}" for end in ends * 3] + ends
    assert hidden_words_in(texts) == [hidden_words(text) for text in texts]
    assert separate_words_in(texts) == [separate_words(text) for text in texts]
    rows, ranks = FINDER.find(texts)
    assert (rows.tolist(), ranks.tolist()) == tuple(part.tolist() for part in FINDER.find_singly(texts))


def test_of_a_long_text_the_rest_is_left_as_it_is() -> None:
    long, rest = "x" * (LONGEST_READ - 2) + "赌场", "在线 c-a-s-i-n-o"
    assert separate_words(long + rest) == separate_words_in([long + rest])[0] == separate_words(long) + rest
    assert hidden_words(long + rest) == hidden_words_in([long + rest])[0] == []
