"""Words that a text hides by writing most of its words in one odd way, as they would be read.

Each reading stands beside the text and not in its place, and only of a text that does it all over: "e-mail", "mp3",
"coffee" and "naïve" are nobody's disguise.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sb_api.text.spelling import join_spelt_out, join_spelt_out_in
from sb_api.text.urls import top_level_domain

LEAST_LETTERS = 3  # of a word that counts
LEAST_WORDS = 3  # that are written so
LONGEST = 4_000  # characters that are read: whoever writes so does it from the beginning

_SHARE = 2 / 3  # of the words: lists of genres have many a hip-hop
_MARKS = "-.*_~|+"
_KINDS = bytes(
    ord("-" if chr(code) in _MARKS else "0" if chr(code) in "0134578" else " " if chr(code).isspace() else "a")
    for code in range(256)
)
_FEW = 1_500  # characters: so few are looked at one by one sooner than numpy's calls are made
_BEGINNING = 256  # characters in which letters that stand twice are counted
_LEAST = 0.45  # of such marks or digits to a blank, as a quarter of all words are shorter
_ACCENTS = 0.25  # of all characters; Vietnamese has up to 0.22
_TWINS = 0.22  # of them: Finnish has up to 0.19, English 0.05; with each vowel twice it is 0.24
_NO_MARKS = str.maketrans("", "", _MARKS)
_DIGITS = str.maketrans("0134578", "oieastb")
_CUT = re.compile(r"[^\W\d_]+(?:[-.*_~|+][^\W\d_]+)+")
_WITH_DIGITS = re.compile(r"(?=[0134578]*[^\W\d_])(?=[^\W\d_]*[0134578])(?:[^\W\d_]|[0134578]){3,40}")
_TWICE = re.compile(r"([^\W\d_])\1")
_RUN = re.compile(r"([^\W\d_])\1+")
_ACCENTED = re.compile("[\xc0-\u024f\u1e00-\u1eff]")


def hidden_words(text: str) -> list[str]:
    """The words that a normalized text spells out (`join_spelt_out`) or hides all over, as they would be read."""
    return join_spelt_out(text) + readings(text)


def hidden_words_in(texts: Sequence[str]) -> list[list[str]]:
    """`hidden_words` of each of n texts."""
    return [spelt + read for spelt, read in zip(join_spelt_out_in(texts), readings_in(texts), strict=True)]


def readings(text: str) -> list[str]:
    """The words of a normalized text without what hides them, where two thirds of them have a mark inside
    ("ca-sino"), digits for letters ("c4s1no") or accents on most letters, or where the letters of the text stand twice
    more often than in any language ("caasiinoo")."""
    text = text[:LONGEST]
    return _readings(text, _count_twins(text[:_BEGINNING]), 0 if text.isascii() else len(_ACCENTED.findall(text)))


def readings_in(texts: Sequence[str]) -> list[list[str]]:
    """`readings` of each of n texts, for which the letters of all of them are counted at once."""
    if sum(map(len, texts)) < _FEW:
        return [*map(readings, texts)]
    beginnings = [text[:LONGEST] for text in texts]
    return [*map(_readings, beginnings, _count_twins_in(beginnings), _count_accented_in(beginnings))]


def _readings(text: str, twins: int, accented: int) -> list[str]:
    """The readings of a text of which it is known how many of its characters are twins, and accented."""
    if len(text) < LEAST_WORDS * LEAST_LETTERS:
        return []
    # At a glance: are there as many of these as such a text must have?
    kinds = text.encode("utf-8", "surrogatepass").translate(_KINDS)
    least, found = _LEAST * (kinds.count(b" ") + 1), []
    if kinds.count(b"-") >= least:
        found += _read(text, _without_marks)
    if kinds.count(b"0") >= least:
        found += _read(text, _with_letters)
    if twins >= _TWINS * min(len(text), _BEGINNING):
        found += _read(text, _without_twins)
    if accented >= _ACCENTS * len(text):
        found += _read(text, _without_accents)
    return found


def _read(text: str, read: Callable[[str], str]) -> list[str]:
    """The readings of the words that have one, where enough of them do."""
    words = [word.strip(string.punctuation) for word in text.split()]
    words = [word for word in words if len(word) >= LEAST_LETTERS and "/" not in word and "@" not in word]
    found = [reading for reading in map(read, words) if reading]
    return found if len(found) >= max(LEAST_WORDS, _SHARE * len(words)) else []


def _without_marks(word: str) -> str:
    reading = word.translate(_NO_MARKS)
    # What is cut after each letter is spelt out, and joined there.
    spelt_out = len(reading) > 3 and len(word) == 2 * len(reading) - 1
    return reading if _CUT.fullmatch(word) and not spelt_out and not top_level_domain(word.rpartition(".")[2]) else ""


def _with_letters(word: str) -> str:
    return word.translate(_DIGITS) if _WITH_DIGITS.fullmatch(word) else ""


def _without_twins(word: str) -> str:
    """Runs of letters half as long: "tthhrreeee" is "three"."""
    return _RUN.sub(lambda run: run[0][: len(run[0]) // 2], word) if _TWICE.search(word) else ""


def _without_accents(word: str) -> str:
    plain = "".join(letter for letter in unicodedata.normalize("NFD", word) if not unicodedata.combining(letter))
    return plain if 2 * sum(map(str.__ne__, plain, word)) > len(word) == len(plain) else ""


def _count_twins(text: str) -> int:
    """How many characters are like the one before."""
    if not text.isascii():
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        return int(np.count_nonzero(points[1:] == points[:-1]))
    content = text.encode()
    number = int.from_bytes(content, "little")
    return (number ^ (number >> 8)).to_bytes(len(content), "little").count(0)


def _count_twins_in(texts: Sequence[str]) -> list[int]:
    """How many of the first characters of each of n texts are like the one before."""
    points, ends = _lay([text[:_BEGINNING] for text in texts])
    same = points[1:] == points[:-1]
    same[ends[:-1] - 1] = False
    return _count_in(np.flatnonzero(same), ends)


def _count_accented_in(texts: Sequence[str]) -> list[int]:
    """How many characters of each of n texts are Latin letters with an accent."""
    counts = [0] * len(texts)
    rows = [row for row, text in enumerate(texts) if not text.isascii()]
    if rows:
        points, ends = _lay([texts[row] for row in rows])
        accented = ((points >= 0xC0) & (points < 0x250)) | ((points >= 0x1E00) & (points < 0x1F00))
        for row, count in zip(rows, _count_in(np.flatnonzero(accented), ends), strict=True):
            counts[row] = count
    return counts


def _lay(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The code points of n texts with a blank after each, and where they end, behind these blanks."""
    content = " ".join([*texts, ""]).encode("utf-32-le", "surrogatepass")
    return np.frombuffer(content, "<u4"), (np.fromiter(map(len, texts), np.int64, len(texts)) + 1).cumsum()


def _count_in(places: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> list[int]:
    """How many of the places in order lie in each of n texts with these ends."""
    before = places.searchsorted(ends)
    before[1:] -= before[:-1].copy()
    counts: list[int] = before.tolist()
    return counts
