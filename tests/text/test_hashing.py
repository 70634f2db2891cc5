"""Words, pairs and n-grams of many texts at once are those of a plain loop over each."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sb_api.text.hashing import BASE, MIXERS, Spans, hash_ngrams, hash_pairs, hash_texts, hash_words, lay_texts

MIXED = st.text(st.sampled_from("aAzZéß0 9\t-. ,\0İ日本語タイไทย한국ก็мир\u0301\U0001f600\U00020001\ud800"), max_size=40)
TEXTS = st.lists(st.text(max_size=30) | MIXED, min_size=1, max_size=8)
UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3040, 0x30FF))
MORE_UNSPACED = ((0x31F0, 0x31FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))


def plain_hash(text: str) -> int:
    return sum(ord(char) * pow(BASE, place, 2**32) for place, char in enumerate(text)) % 2**32


def plain_letter(char: str) -> str:
    """The small letter, digit or mark that a character is; a blank where it is none of these."""
    if 0x20000 <= ord(char) < 0x323B0:
        return char
    if ord(char) >= 0x323B0 or not (char.isalnum() or unicodedata.category(char).startswith("M")):
        return " "
    return char.lower() if len(char.lower()) == 1 and char.isalnum() else char


def plain_runs(text: str) -> list[str]:
    return "".join(map(plain_letter, text)).split(" ")


def plain_words(text: str) -> Iterator[str]:
    for run in plain_runs(text):
        word = ""
        for char in run:
            if any(first <= ord(char) <= last for first, last in (*UNSPACED, *MORE_UNSPACED)):
                yield from filter(None, (word, char))
                word = ""
            else:
                word += char
        if word:
            yield word


def plain_ngrams(text: str, length: int) -> list[str]:
    runs = [f" {run} " for run in plain_runs(text) if run]
    return [run[start : start + length] for run in runs for start in range(len(run) - length + 1)]


def as_lists(spans: Spans, count: int) -> list[list[int]]:
    assert len(spans.counts) == count
    assert (spans.starts < spans.stops).all()
    assert (np.diff(spans.starts) > 0).all()
    return [part.tolist() for part in np.split(spans.hashes, spans.counts.cumsum())[:count]]


@given(TEXTS, st.integers(0, 6))
@example(["日本", "", "c-a-s", " a ", "ไทย x", "é́é"], 6)
def test_words_are_those_of_a_plain_loop(texts: list[str], most: int) -> None:
    found = as_lists(hash_words(lay_texts(texts), np.full(len(texts), most)), len(texts))
    assert found == [[plain_hash(word) for word in plain_words(text)][:most] for text in texts]


@given(TEXTS)
def test_pairs_are_those_of_neighbours_in_one_text_and_know_their_order(texts: list[str]) -> None:
    words = hash_words(lay_texts(texts), np.full(len(texts), 100))
    assert as_lists(hash_pairs(words), len(texts)) == [
        [plain_pair(first, second) for first, second in pairwise(hashes)] for hashes in as_lists(words, len(texts))
    ]


def plain_pair(first: int, second: int) -> int:
    return (plain_mix(first) * MIXERS[1] + second) % 2**32


def plain_mix(value: int) -> int:
    value ^= value >> 16
    value = value * MIXERS[0] % 2**32
    value ^= value >> 13
    value = value * MIXERS[1] % 2**32
    return value ^ value >> 16


@given(TEXTS, st.integers(2, 6), st.integers(0, 9))
@example(["ab", "b c", "", "-a-"], 2, 9)
def test_ngrams_are_those_of_each_word_with_the_blanks_around_it(texts: list[str], length: int, most: int) -> None:
    found = as_lists(hash_ngrams(lay_texts(texts), length, np.full(len(texts), most)), len(texts))
    assert found == [[plain_hash(ngram) for ngram in plain_ngrams(text, length)][:most] for text in texts]


@given(st.lists(st.text(max_size=20), max_size=8))
def test_whole_texts_are_hashed_as_they_are(texts: list[str]) -> None:
    assert hash_texts(texts).tolist() == [plain_hash(text) for text in texts]


@settings(max_examples=20)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=5), st.data())
def test_a_text_has_the_same_words_whatever_stands_beside_it(texts: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(texts) - 1))
    alone = as_lists(hash_words(lay_texts([texts[place]]), np.array([50])), 1)[0]
    assert as_lists(hash_words(lay_texts(texts), np.full(len(texts), 50)), len(texts))[place] == alone


def test_no_texts_have_no_words() -> None:
    nothing = np.zeros(0, np.int64)
    assert len(hash_words(lay_texts([]), nothing).hashes) == len(hash_ngrams(lay_texts([]), 3, nothing).hashes) == 0
    assert len(hash_texts([])) == 0


@pytest.mark.parametrize("text", ["x" * 20_000, "x " * 10_000, "\U0010ffff" * 50])
def test_long_and_strange_texts_are_hashed(text: str) -> None:
    found = as_lists(hash_words(lay_texts([text]), np.array([3])), 1)[0]
    assert found == [plain_hash(word) for word in [*plain_words(text)][:3]]
