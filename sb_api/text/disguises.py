"""Words that a text hides by writing most of its words in one odd way, as they would be read.

Each reading stands beside the text and not in its place, and only of a text that does it all over: "e-mail", "mp3",
"coffee" and "naïve" are nobody's disguise.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain

import numpy as np
import numpy.typing as npt

from sb_api.text.hashing import in_batches, lay_points
from sb_api.text.spelling import LONGEST_READ, join_spelt_out, may_be_spelt_out
from sb_api.text.urls import top_level_domain

LEAST_LETTERS = 3  # of a word that counts
LEAST_WORDS = 3  # that are written so
LONGEST = 4_000  # characters that are read: whoever writes so does it from the beginning

_SHARE = 2 / 3  # of the words: lists of genres have many a hip-hop
_MARKS, _LETTERS_AS_DIGITS = "-.*_~|+", "0134578"
# Marks that stand between whole words too, where scripts, or people, put no blank beside them.
_PUNCTUATION = '!/,;"\\^=`'
_KINDS = bytes(
    ord("-" if chr(code) in _MARKS else "0" if chr(code) in _LETTERS_AS_DIGITS else " " if chr(code).isspace() else "a")
    for code in range(256)
)
# The same, but what is beyond ASCII is a letter, and what is neither is a blank.
_SHAPES = bytes(kind if chr(code).isalpha() or kind != ord("a") else ord(" ") for code, kind in enumerate(_KINDS[:128]))
_SHAPES += b"a" * 128
# Signs between letters of scripts with blanks between words: from 0xE0 on a byte begins a character of others.
_SHAPES_OF_PUNCTUATION = bytes(
    ord("a" if 127 < code < 0xE0 or (code < 128 and chr(code).isalnum()) else "-" if chr(code) in _PUNCTUATION else " ")
    for code in range(256)
)
# Of many texts all are counted at once, in parts of one number: no text that is read to its end has more of a kind.
_BITS, _MOST = 12, (1 << 12) - 1
_SHIFTS = np.arange(5) * _BITS
_BLANK, _MARK, _DIGIT, _ACCENT, _SIGN = (1 << _SHIFTS).tolist()
_LETTER = 1 << 60  # of letters there is no counting
_LAST_LETTER = 0x33FFF  # Han has no more than this so far
_FEW = 1_500  # characters: so few are looked at one by one sooner than numpy's calls are made
_BEGINNING = 256  # characters in which letters that stand twice are counted
_LEAST = 0.45  # of such marks or digits to a blank, as a quarter of all words are shorter
_ACCENTS = 0.25  # of all characters; Vietnamese has up to 0.22
_TWINS = 0.22  # of them: Finnish has up to 0.19, English 0.05; with each vowel twice it is 0.24
_NO_MARKS = str.maketrans("", "", _MARKS)
_NO_PUNCTUATION = str.maketrans("", "", _PUNCTUATION)
_DIGITS = str.maketrans(_LETTERS_AS_DIGITS, "oieastb")
_CUT = re.compile(r"[^\W\d_]+(?:[-.*_~|+][^\W\d_]+)+")
_PUNCTUATED = re.compile(r"[A-Za-z\xc0-\u052f]{1,20}(?:[!/,;\"\\^=`][A-Za-z\xc0-\u052f]{1,20}){1,20}")
_WITH_DIGITS = re.compile(r"(?=[0134578]*[^\W\d_])(?=[^\W\d_]*[0134578])(?:[^\W\d_]|[0134578]){3,40}")
_PLAIN_WORD = re.compile(r"(?<!\S)[^\W\d_]{3,}+(?!\S)")
_TWICE = re.compile(r"([^\W\d_])\1")
_RUN = re.compile(r"([^\W\d_])\1+")
_VOWELS = frozenset("aeiouAEIOU")
# Of Vietnamese, whose words have an accent on the one vowel or two.
_VIETNAMESE = re.compile("[\u0102\u0103\u0110\u0111\u01a0\u01a1\u01af\u01b0\u1ea0-\u1ef9]")
_ACCENTED_RANGES = ((0xC0, 0x24F), (0x1E00, 0x1EFF))
_ACCENTED = re.compile("[\xc0-\u024f\u1e00-\u1eff]")


def hidden_words(text: str) -> list[str]:
    """The words that a normalized text spells out (`join_spelt_out`) or hides all over, as they would be read."""
    text = text[:LONGEST_READ]
    return join_spelt_out(text) + readings(text)


def hidden_words_in(texts: Sequence[str]) -> list[list[str]]:
    """`hidden_words` of each of n texts, for which many of them are looked through at once."""
    if sum(map(len, texts)) < _FEW:
        return [*map(hidden_words, texts)]
    texts = [text[:LONGEST_READ] for text in texts]
    return [*chain.from_iterable(_hidden_words_in(texts[batch]) for batch in in_batches(texts))]


def _hidden_words_in(texts: Sequence[str]) -> list[list[str]]:
    points = lay_points(texts, "   ")
    kinds = _kinds().take(points, mode="clip")
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(lengths + 3)
    found: list[list[str]] = [[] for _ in texts]
    for row in set(ends.searchsorted(may_be_spelt_out(kinds & _LETTER != 0), "right").tolist()):
        found[row] += join_spelt_out(texts[row])
    for row, twins, accented in _may_have_readings(points, kinds, ends - lengths, ends):
        found[row] += _readings(texts[row], twins, accented)
    for row in np.flatnonzero(lengths > LONGEST).tolist():
        found[row] += readings(texts[row])
    return found


@cache
def _kinds() -> npt.NDArray[np.int64]:
    """What each code point counts as, a number of `_BITS` bits of each kind: a blank, a mark, a digit for a letter, a
    letter with an accent, a sign, a letter or digit; the last stands for all that follow."""
    kinds = _LETTER * np.fromiter(map(str.isalnum, map(chr, range(_LAST_LETTER + 2))), np.int64)
    kinds[:128] = [
        chr(code).isspace() * _BLANK
        | (chr(code) in _MARKS) * _MARK
        | (chr(code) in _PUNCTUATION) * _SIGN
        | (chr(code) in _LETTERS_AS_DIGITS) * _DIGIT
        | chr(code).isalnum() * _LETTER
        for code in range(128)
    ]
    for first, last in _ACCENTED_RANGES:
        kinds[first : last + 1] |= _ACCENT
    return kinds


def _may_have_readings(
    points: npt.NDArray[np.uint32],
    kinds: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
) -> Iterator[tuple[int, int, int]]:
    """Which of n texts have as many marks, digits, signs, twins or accents as one with readings must have, with the
    numbers of the last two, unless they are too long. They lie end to end as `points` of these `kinds`, three blanks
    after each.
    """
    blanks, marks, digits, accented, signs = np.add.reduceat(kinds, starts) >> _SHIFTS[:, None] & _MOST
    lengths, least = ends - starts, _LEAST * (blanks - 2)
    twins = np.flatnonzero(points[1:-3] == points[:-4])
    rows = ends.searchsorted(twins, "right")
    counted = (twins >= starts[rows]) & (twins + 1 < np.minimum(ends, starts + _BEGINNING)[rows])
    twins = np.bincount(rows[counted], minlength=len(ends))
    found = (marks >= least) | (digits >= least) | (signs >= np.maximum(least, LEAST_WORDS))
    found |= twins >= _TWINS * np.minimum(lengths, _BEGINNING)
    found |= accented >= _ACCENTS * lengths
    rows = np.flatnonzero(found & (lengths <= LONGEST))
    return zip(rows.tolist(), twins[rows].tolist(), accented[rows].tolist(), strict=True)


def readings(text: str) -> list[str]:
    """The words of a normalized text without what hides them, where two thirds of them have a mark inside ("ca-sino",
    "ca,sino"), digits for letters ("c4s1no"), or accents on most letters or all vowels, or where the letters of the
    text stand twice more often than in any language ("caasiinoo")."""
    text = text[:LONGEST]
    return _readings(text, _count_twins(text[:_BEGINNING]), 0 if text.isascii() else len(_ACCENTED.findall(text)))


def _readings(text: str, twins: int, accented: int) -> list[str]:
    """The readings of a text of which it is known how many of its characters are twins, and accented."""
    if len(text) < LEAST_WORDS * LEAST_LETTERS:
        return []
    content, found = text.encode("utf-8", "surrogatepass"), []
    # At a glance: are there as many of these as such a text must have?
    shapes = content.translate(_SHAPES)
    if _may_be_most(text, content, b"-", shapes.count(b"a-a")):
        found += _read(text, _without_marks)
    inside = content.translate(_SHAPES_OF_PUNCTUATION).count(b"a-a")
    if inside >= LEAST_WORDS and inside >= _LEAST * (content.translate(_KINDS).count(b" ") + 1):
        found += _read(text, _without_punctuation)
    if _may_be_most(text, content, b"0", shapes.count(b"a0") + shapes.count(b"0a")):
        found += _read(text, _with_letters)
    if twins >= _TWINS * min(len(text), _BEGINNING):
        found += _read(text, _without_twins)
    if accented >= _ACCENTS * len(text):
        found += _read(text, _without_accents)
    return found


def _may_be_most(text: str, content: bytes, kind: bytes, words: int) -> bool:
    """Whether at most so many words with a mark or a digit between or beside letters may be two thirds of the words of
    a text, which is `content` in UTF-8, and whether it has enough of that kind in all."""
    if words < LEAST_WORDS or words < 2 * len(_PLAIN_WORD.findall(text)):
        return False
    kinds = content.translate(_KINDS)
    return kinds.count(kind) >= _LEAST * (kinds.count(b" ") + 1)


def _read(text: str, read: Callable[[str], str]) -> list[str]:
    """The readings of the words that have one, where enough of them do."""
    words = [word.strip(string.punctuation) for word in text.split()]
    words = [word for word in words if len(word) >= LEAST_LETTERS and "@" not in word]
    words = [word for word in words if "/" not in word or _PUNCTUATED.fullmatch(word)]
    found = [reading for reading in map(read, words) if reading]
    return found if len(found) >= max(LEAST_WORDS, _SHARE * len(words)) else []


def _without_marks(word: str) -> str:
    reading = word.translate(_NO_MARKS)
    # What is cut after each letter is spelt out, and joined there.
    spelt_out = len(reading) > 3 and len(word) == 2 * len(reading) - 1
    return reading if _CUT.fullmatch(word) and not spelt_out and not top_level_domain(word.rpartition(".")[2]) else ""


def _without_punctuation(word: str) -> str:
    return word.translate(_NO_PUNCTUATION) if _PUNCTUATED.fullmatch(word) else ""


def _with_letters(word: str) -> str:
    return word.translate(_DIGITS) if _WITH_DIGITS.fullmatch(word) else ""


def _without_twins(word: str) -> str:
    """Runs of letters half as long: "tthhrreeee" is "three"."""
    return _RUN.sub(lambda run: run[0][: len(run[0]) // 2], word) if _TWICE.search(word) else ""


def _without_accents(word: str) -> str:
    """A word without the accents on most of its letters, or on all of its vowels."""
    if word.isascii():
        return ""
    plain = "".join(letter for letter in unicodedata.normalize("NFD", word) if not unicodedata.combining(letter))
    if len(plain) != len(word):
        return ""
    bare = [letter for letter, read in zip(word, plain, strict=True) if letter == read]
    on_all_vowels = _VOWELS.isdisjoint(bare) and not _VIETNAMESE.search(word)
    return plain if on_all_vowels or 2 * len(bare) < len(word) else ""


def _count_twins(text: str) -> int:
    """How many characters are like the one before."""
    if not text.isascii():
        points = lay_points([text], "")
        return int(np.count_nonzero(points[1:] == points[:-1]))
    content = text.encode()
    number = int.from_bytes(content, "little")
    return (number ^ (number >> 8)).to_bytes(len(content), "little").count(0)
