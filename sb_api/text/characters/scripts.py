"""What the characters of texts are: small letters, capitals, digits, marks, blanks, or letters of other scripts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from sb_api.text.hashing import lay_points

# Kinds of characters; what is none of these is a letter of a script that is not told apart.
KINDS = (
    "small letter", "capital", "digit", "mark", "blank", "line break", "invisible", "symbol", "Greek", "Cyrillic",
    "Hebrew", "Arabic", "Indic", "Thai and like it", "Han", "kana", "Hangul", "other letter",
)  # fmt: skip
_SCRIPTS = (
    ("Greek", 0x0370, 0x03FF),
    ("Greek", 0x1F00, 0x1FFF),
    ("Cyrillic", 0x0400, 0x052F),
    ("Cyrillic", 0x1C80, 0x1C8F),
    ("Cyrillic", 0x2DE0, 0x2DFF),
    ("Cyrillic", 0xA640, 0xA69F),
    ("Hebrew", 0x0590, 0x05FF),
    ("Arabic", 0x0600, 0x06FF),
    ("Arabic", 0x0750, 0x077F),
    ("Arabic", 0x0870, 0x08FF),
    ("Arabic", 0xFB50, 0xFDFF),
    ("Arabic", 0xFE70, 0xFEFF),
    ("Indic", 0x0900, 0x0DFF),
    ("Thai and like it", 0x0E00, 0x0FFF),
    ("Thai and like it", 0x1000, 0x109F),
    ("Thai and like it", 0x1780, 0x17FF),
    ("Han", 0x2E80, 0x2FDF),
    ("Han", 0x3005, 0x3007),
    ("Han", 0x3400, 0x9FFF),
    ("Han", 0xF900, 0xFAFF),
    ("Han", 0x20000, 0x323AF),
    ("kana", 0x3040, 0x30FF),
    ("kana", 0x31F0, 0x31FF),
    ("Hangul", 0x1100, 0x11FF),
    ("Hangul", 0x3130, 0x318F),
    ("Hangul", 0xAC00, 0xD7AF),
)
_CODE_POINTS = 0x323B0


def _kind(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Lu":
        return "capital"
    if category == "Nd":
        return "digit"
    if category[0] == "P":
        return "mark"
    if char in "\n\r\v\f\x85\u2028\u2029":
        return "line break"
    if category == "Zs" or char == "\t":
        return "blank"
    if category[0] == "C":
        return "invisible"
    if category[0] == "S":
        return "symbol"
    return "small letter" if unicodedata.name(char, "").startswith("LATIN") else "other letter"


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """The kind of each code point by number; the last stands for all that lie beyond."""
    other, symbol = KINDS.index("other letter"), KINDS.index("symbol")
    kinds = np.full(_CODE_POINTS + 1, other, np.uint8)
    for script, first, last in _SCRIPTS:
        kinds[first : last + 1] = KINDS.index(script)
    for code in (*range(0x3030), *range(0xFE00, 0x10000)):
        kind = KINDS.index(_kind(chr(code)))
        # A digit or a mark is one in every script; a letter, and what is put on it, is of its script.
        if kinds[code] == other or (1 != kind < KINDS.index("Greek")):
            kinds[code] = kind
    kinds[0x1F000:0x1FB00] = symbol
    kinds[-1] = symbol
    return kinds


def count_kinds(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """How many characters of each of `KINDS` each of n texts has, (n, kinds)."""
    kinds = _kinds().take(lay_points(texts, ""), mode="clip")
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    cells = np.repeat(np.arange(len(texts)) * len(KINDS), lengths) + kinds
    return np.bincount(cells, minlength=len(texts) * len(KINDS)).reshape(len(texts), len(KINDS))
