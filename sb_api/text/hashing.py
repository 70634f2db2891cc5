"""The hashing trick: words, pairs of words and character n-grams of many short texts -> numbers, all texts at once.

Weinberger et al., Feature Hashing for Large Scale Multitask Learning, 2009. No vocabulary is needed, so a word that
was never seen before has a number too. The texts are laid end to end as code points, and numpy hashes all spans of
them in a few operations: the polynomial of a span follows from the sums of all characters up to its two ends, as in
Karp and Rabin, Efficient Randomized Pattern-Matching Algorithms, 1987.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]

BASE = 0x9E3779B1  # of the polynomials; odd, so that its powers have inverses modulo 2**32
MIXERS = (0x85EBCA6B, 0xC2B2AE35)
BLANK = ord(" ")
MOST_AT_ONCE = 1 << 18  # characters

# Scripts that put no blanks between words: each letter is taken for a word, so that two neighbours are a pair.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
_FIRST_UNSPACED = _UNSPACED[0][0]
_ALL_HAN, _CODE_POINTS = 0x20000, 0x323B0  # there is nothing but Han between them, and no letter beyond


@dataclass(frozen=True)
class Laid:
    """n texts end to end, a blank before the first and after each: `points` (m,) are the code points of small letters,
    digits and marks, BLANK for all else. `ends` (n,) are the places of the blanks after the texts; the polynomial of a
    span is `(sums[end] - sums[start]) * inverses[start]`."""

    points: npt.NDArray[np.uint32]
    ends: Places
    sums: Hashes
    inverses: Hashes


@dataclass(frozen=True)
class Spans:
    """k spans of n texts, in order: their hashes, how many each text has (n,), and where in `Laid.points` they start
    and stop."""

    hashes: Hashes
    counts: Places
    starts: Places
    stops: Places


@cache
def _letters() -> npt.NDArray[np.uint32]:
    """What stands for each code point: its small letter, itself, or BLANK; the last for all that lie beyond."""
    letters = np.arange(_CODE_POINTS + 1, dtype=np.uint32)
    letters[-1] = BLANK
    for code, char in enumerate(map(chr, range(_ALL_HAN))):
        # Marks belong to the letter before them: in many scripts they are its vowel.
        if char.isalnum():
            lower = char.lower()
            letters[code] = ord(lower) if len(lower) == 1 else code
        elif unicodedata.category(char)[0] != "M":
            letters[code] = BLANK
    return letters


@cache
def _unspaced() -> npt.NDArray[np.bool_]:
    """Whether each code point is a letter that is taken for a word."""
    unspaced = np.zeros(_CODE_POINTS + 1, np.bool_)
    for first, last in _UNSPACED:
        unspaced[first : last + 1] = _letters()[first : last + 1] != BLANK
    return unspaced


@cache
def _powers(size: int) -> tuple[Hashes, Hashes]:
    """The powers of BASE from 0 on, `size` of them, and their inverses, modulo 2**32."""
    both = np.ones((2, size), np.uint32)
    both[0, 1:], both[1, 1:] = BASE, pow(BASE, -1, 2**32)
    both = np.multiply.accumulate(both, axis=1, dtype=np.uint32)
    return both[0], both[1]


def lay_points(texts: Sequence[str], gap: str = " ") -> npt.NDArray[np.uint32]:
    """The code points (m,) of n texts end to end, with a gap before the first and after each."""
    return np.frombuffer(gap.join(["", *texts, ""]).encode("utf-32-le", "surrogatepass"), "<u4")


def in_batches(texts: Sequence[str]) -> Iterator[slice]:
    """n texts in turn, in batches of at most `MOST_AT_ONCE` characters, or of one text: what is made of the characters
    of all of a batch takes fifty times as many bytes."""
    start = size = 0
    for place, text in enumerate(texts):
        if place > start and size + len(text) > MOST_AT_ONCE:
            yield slice(start, place)
            start, size = place, 0
        size += len(text)
    if len(texts):
        yield slice(start, len(texts))


def read_points(points: npt.NDArray[np.uint32], gaps: Places) -> list[str]:
    """The n texts that lie end to end, with gaps of one character at these places (n + 1,)."""
    whole = points.tobytes().decode("utf-32-le", "surrogatepass")
    return [whole[before + 1 : after] for before, after in pairwise(gaps.tolist())]


def lay_texts(texts: Sequence[str]) -> Laid:
    """n texts end to end."""
    points = _letters().take(lay_points(texts), mode="clip")
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    powers, inverses = _powers(1 << len(points).bit_length())
    sums = np.zeros(len(points) + 1, np.uint32)
    np.cumsum(points * powers[: len(points)], dtype=np.uint32, out=sums[1:])
    return Laid(points, np.cumsum(lengths + 1), sums, inverses)


def hash_words(laid: Laid, most: Places) -> Spans:
    """The first words of each of n texts, at most `most` (n,)."""
    inside = laid.points != BLANK
    cut = inside[1:] != inside[:-1]
    # One of these is a word of its own, so that another ends before it and begins after it.
    alone = np.flatnonzero(laid.points >= _FIRST_UNSPACED)
    alone = alone[_unspaced()[laid.points[alone]]]
    cut[alone - 1] = cut[alone] = True
    starts, stops = np.flatnonzero(inside[1:] & cut) + 1, np.flatnonzero(inside[:-1] & cut) + 1
    chosen, counts = _first(starts, laid.ends, most)
    return _hash_spans(laid, starts[chosen], stops[chosen], counts)


def hash_pairs(words: Spans) -> Spans:
    """The pairs of neighbouring words in a text."""
    inner = np.ones(len(words.hashes), np.bool_)
    inner[(words.counts.cumsum() - 1)[words.counts > 0]] = False
    first = np.flatnonzero(inner)
    second = first + 1
    hashes = mix(words.hashes)[first] * np.uint32(MIXERS[1]) + words.hashes[second]
    return Spans(hashes, np.maximum(words.counts - 1, 0), words.starts[first], words.stops[second])


def hash_ngrams(laid: Laid, length: int, most: Places) -> Spans:
    """The first n-grams of so many characters, at least 2, in each of n texts, at most `most` (n,): of words with the
    blanks around them. None goes beyond a word."""
    inside = laid.points != BLANK
    count = max(len(inside) - length + 1, 0)
    within = inside[1 : 1 + count] if length > 2 else inside[:count] | inside[1 : 1 + count]
    for place in range(2, length - 1):
        within = within & inside[place : place + count]
    # One that begins with the blank after a text is the next text's.
    starts = np.flatnonzero(within)
    chosen, counts = _first(starts, laid.ends, most)
    starts = starts[chosen]
    # As `_hash_spans` would have it; each of so few characters is added to all the n-grams at once.
    hashes = laid.points[:count].copy()
    for place, power in enumerate(_powers(length)[0][1:].tolist(), start=1):
        hashes += laid.points[place : place + count] * np.uint32(power)
    return Spans(hashes[starts], counts, starts, starts + length)


def _hash_spans(laid: Laid, starts: Places, stops: Places, counts: Places) -> Spans:
    hashes: Hashes = (laid.sums[stops] - laid.sums[starts]) * laid.inverses[starts]
    return Spans(hashes, counts, starts, stops)


def hash_texts(texts: Sequence[str]) -> Hashes:
    """A hash of each of n texts as it is, (n,); that of an empty one is 0."""
    points = lay_points(texts, "")
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    powers, inverses = _powers(1 << len(points).bit_length())
    sums = np.zeros(len(points) + 1, np.uint32)
    np.cumsum(points * powers[: len(points)], dtype=np.uint32, out=sums[1:])
    starts = np.concatenate([[0], ends[:-1]])
    hashes: Hashes = (sums[ends] - sums[starts]) * inverses[starts]
    return hashes


def mix(hashes: Hashes) -> Hashes:
    """Hashes (k,) of which every bit depends on all the bits of what they are made from, as in MurmurHash3's end."""
    mixed = hashes ^ (hashes >> np.uint32(16))
    mixed *= np.uint32(MIXERS[0])
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(MIXERS[1])
    mixed ^= mixed >> np.uint32(16)
    return mixed


def _first(places: Places, ends: Places, most: Places) -> tuple[Places, Places]:
    """Of places in order, the numbers of the first `most` (n,) in each of n texts that end at `ends`, and how many each
    has of these."""
    before_ends = places.searchsorted(ends)
    firsts = np.zeros_like(before_ends)
    firsts[1:] = before_ends[:-1]
    counts = np.minimum(before_ends - firsts, most)
    return number_in_turn(firsts, counts), counts


def number_in_turn(firsts: Places, counts: Places) -> Places:
    """For each of n texts as many numbers as it has counts, from its first on: [3, 8] and [2, 1] give 3, 4, 8."""
    ends = counts.cumsum()
    numbers: Places = np.repeat(firsts - ends + counts, counts)
    numbers += np.arange(len(numbers))
    return numbers
