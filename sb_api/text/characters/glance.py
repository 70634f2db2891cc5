"""What is in texts that a normal form may have to change, seen of many at once: most texts need nothing."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache, reduce
from operator import or_

import numpy as np
import numpy.typing as npt

from sb_api.blanks import INVISIBLE_CLASS
from sb_api.text.characters.look_alikes import LATIN_LOOK_ALIKES, look_alikes_of_latin, script_of
from sb_api.text.hashing import lay_points
from sb_api.text.spelling import UNSPACED as UNSPACED_CLASS

Bools = npt.NDArray[np.bool_]

# What a character is; a text has the bits of all its characters.
INVISIBLE, COMPOSE, DROP, MARK, BEARS, PUNCTUATION, SYMBOL, AMPERSAND = (1 << bit for bit in range(8))
LATIN, CYRILLIC, GREEK, OTHER, TOLD_CYRILLIC, TOLD_GREEK, LOOK_ALIKE, UNSPACED = (1 << bit for bit in range(8, 16))
_SCRIPTS = LATIN | CYRILLIC | GREEK | OTHER
_BESIDE = LATIN | GREEK | OTHER
WORK = INVISIBLE | COMPOSE | DROP | PUNCTUATION | SYMBOL | AMPERSAND | LOOK_ALIKE

_FEW = 400  # characters: so few are looked at one by one sooner than numpy's calls are made
MARKS_PER_LETTER = 4  # Hebrew with vowels and accents has so many; `look_at` counts to five
_DASHES = "\u058a\u2010\u2011\u2012\u2013\u2014\u2015\u2027\u2043\u2212\u2e3a\u2e3b\u301c\u30a0"
_DOUBLE_QUOTES = "\xab\xbb\u201c\u201d\u201e\u201f\u2039\u203a\u2e42\u301d\u301e\u301f\U0001f676\U0001f677"
_SENTENCE_MARKS = {
    ".": "\u0589\u06d4\u0964\u0965\u1362\u104b\u17d4\u3002",
    ",": "\u055d\u060c\u1363\u104a\u3001",
    ";": "\u061b",
    "?": "\xbf\u037e\u055e\u061f",
    "!": "\xa1\u055c",
}
# Full-width ones are of NFKC too; here they cost less. Others may be of an entity, of markup or percent-encoding.
_FULL_WIDTH = {chr(ord(mark) + 0xFEE0): mark for mark in string.punctuation if mark not in "&#%<>[]*_~'"}
# What has the same meaning in ASCII, whatever stands beside it.
IN_ASCII = (
    dict.fromkeys(_DASHES, "-")
    | dict.fromkeys(_DOUBLE_QUOTES, '"')
    | {other: mark for mark, others in _SENTENCE_MARKS.items() for other in others}
    | _FULL_WIDTH
    | {"\xa0": " ", "\u2800": " ", "\u3000": " ", "\u2026": "..."}
)
APOSTROPHES = "\u02b9\u02bb\u02bc\u2018\u2019\u201a\u201b\u2032\u055a\ua78c"
_INVISIBLE = re.compile(f"[{INVISIBLE_CLASS}]")
_UNSPACED = re.compile(f"[{UNSPACED_CLASS}]")
_JAMO = range(0x1100, 0x1200)
_ALL = 0xFFFF & ~(AMPERSAND | TOLD_CYRILLIC | TOLD_GREEK)  # of a character that nobody looked at
# Han ideographs and Hangul syllables are letters with nothing to change; beyond these, symbols and rare scripts.
_HAN, _HANGUL, _EMOJI = range(0x3400, 0xA000), range(0xAC00, 0xD7A4), range(0x1F000, 0x1FB00)


@cache
def _classes() -> npt.NDArray[np.uint16]:
    """The bits of each code point by number; the last stands for all that lie beyond."""
    classes = np.full(_EMOJI.stop + 1, _ALL, np.uint16)
    classes[_HAN.start : _HAN.stop] = _class_of(chr(_HAN.start))
    classes[_HANGUL.start : _HANGUL.stop] = _class_of(chr(_HANGUL.start))
    for code in (*range(_HAN.start), *range(_HAN.stop, _HANGUL.start), *range(_HANGUL.stop, 0x10000), *_EMOJI):
        classes[code] = _class_of.__wrapped__(chr(code))
    return classes


@lru_cache(maxsize=16_384)
def _class_of(character: str) -> int:
    code = ord(character)
    if code in _HAN or code in _HANGUL:
        return BEARS | UNSPACED * (code in _HAN)
    if code >= 0x10000 and code not in _EMOJI:
        return _ALL
    if _INVISIBLE.match(character):
        return INVISIBLE
    if character.isascii():
        return LATIN if character.isalpha() else AMPERSAND if character == "&" else 0
    if character in IN_ASCII or character in APOSTROPHES:
        return PUNCTUATION
    category = unicodedata.category(character)
    if not unicodedata.is_normalized("NFKC", character) or ord(character) in _JAMO:
        return COMPOSE
    if category.startswith("M"):
        return DROP if unicodedata.name(character, "").startswith("COMBINING") else MARK
    if not category.startswith("L"):
        return 0 if character.isalnum() or character.isspace() else SYMBOL | COMPOSE * ("NEGATIVE" in _name(character))
    return _class_of_letter(character) | UNSPACED * bool(_UNSPACED.match(character))


def _name(character: str) -> str:
    return unicodedata.name(character, "")


def _class_of_letter(letter: str) -> int:
    script, strict = script_of(letter), letter in look_alikes_of_latin()
    if script == "LATIN":
        return LATIN | LOOK_ALIKE * (letter in LATIN_LOOK_ALIKES)
    if script == "CYRILLIC":
        return CYRILLIC | TOLD_CYRILLIC * (not strict)
    if script == "GREEK":
        return GREEK | TOLD_GREEK * (not strict)
    return OTHER * strict | BEARS


def look_at(texts: Sequence[str]) -> list[int]:
    """The bits of each of n texts. LOOK_ALIKE also where a word is of two scripts or where letters of another script
    beside Latin ones may all be meant as Latin; COMPOSE also where a mark stands on what bears none, or too many do.
    """
    if len(texts) == 1 or sum(map(len, texts)) < _FEW:
        return [*map(_look_at_one, texts)]
    return _look_at_all(texts)


def _look_at_one(text: str) -> int:
    seen = reduce(or_, map(_class_of, set(text)), 0)
    # Only where letters of several scripts or marks are, it matters what stands beside what.
    if seen & MARK or (seen & (CYRILLIC | GREEK | OTHER) and seen & _BESIDE):
        return _look_at_all([text])[0]
    return seen


def _look_at_all(texts: Sequence[str]) -> list[int]:
    classes = _classes().take(lay_points(texts), mode="clip")
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
    seen = np.bitwise_or.reduceat(classes, np.concatenate([[0], ends[:-1]]))
    every = int(np.bitwise_or.reduce(seen))
    if every & (CYRILLIC | GREEK | OTHER):
        scripts = classes & np.uint16(_SCRIPTS)
        first, second = scripts[:-1], scripts[1:]
        _add(seen, LOOK_ALIKE, (first != second) & (first != 0) & (second != 0), ends)
        others = seen & np.uint16(CYRILLIC | GREEK | OTHER | TOLD_CYRILLIC | TOLD_GREEK)
        told = (others == 0) | (others == (CYRILLIC | TOLD_CYRILLIC)) | (others == (GREEK | TOLD_GREEK))
        seen[~told & (seen & np.uint16(LATIN) != 0)] |= LOOK_ALIKE
    if every & MARK:
        marks: Bools = classes & np.uint16(MARK) != 0
        _add(seen, COMPOSE, marks[1:] & (classes[:-1] & np.uint16(BEARS | MARK) == 0), ends)
        # One, two and four in a row make five where they overlap.
        two = marks[1:] & marks[:-1]
        four = two[2:] & two[:-2]
        _add(seen, COMPOSE, four[1:] & four[:-1], ends)
    found: list[int] = seen.tolist()
    return found


def _add(seen: npt.NDArray[np.uint16], bit: int, places: Bools, ends: npt.NDArray[np.int64]) -> None:
    """Give `bit` to the texts, which end at `ends`, that the places are in."""
    if places.any():
        seen[np.searchsorted(ends, np.flatnonzero(places), "right")] |= bit
