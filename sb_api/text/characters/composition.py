"""Unicode's normalization forms, in linear time whatever stands in a text."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal

# So many in a row has Unicode's Stream-Safe Text Format (UAX 15), which no language needs.
MOST_IN_A_ROW = 30  # the places in `drop_surplus_marks` follow from it
_SURPLUS = re.compile(rb"\x01{30}(\x01+)")  # of a byte a character, 1 for a combining mark


def compose(text: str, form: Literal["NFC", "NFKC"] = "NFKC") -> str:
    """`text` in a normalization form (UAX 15), without the combining marks that are more than 30 in a row. Linear."""
    return unicodedata.normalize(form, drop_surplus_marks(text)[0])


def drop_surplus_marks(text: str) -> tuple[str, int]:
    """`text` with at most 30 combining marks in a row, and how many went. Linear.

    Normalization sorts the marks of a row by insertion, which takes the square of their number.
    """
    is_mark = _marks().__contains__
    # Whatever row is longer has a mark at one of the first places, and at four of the second in turn.
    if _marks().isdisjoint(text[30::31]) or b"\1\1\1\1" not in bytes(map(is_mark, text[::7])):
        return text, 0
    kept, end = [], 0
    for surplus in _SURPLUS.finditer(bytes(map(is_mark, text))):
        kept.append(text[end : surplus.start(1)])
        end = surplus.end(1)
    written = "".join((*kept, text[end:]))
    return written, len(text) - len(written)


@cache
def _marks() -> frozenset[str]:
    """All characters of a combining class, and those that begin with one when they are decomposed."""
    return frozenset(filter(_is_mark, map(chr, range(0x300, 0x1F000))))


def _is_mark(character: str) -> bool:
    return unicodedata.combining(unicodedata.normalize("NFKD", character)[0]) > 0
