"""How much of a text is looked at: no more than so many characters, and those not what only fills it."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import numpy.typing as npt

from sb_api.blanks import INVISIBLE, INVISIBLE_CLASS
from sb_api.text.hashing import lay_points

# What fills a text and says nothing: more than a few blanks, line breaks and invisible characters in a row, or of one
# and the same mark or entity.
_FEW_IN_A_ROW = 3
_FILLING = re.compile(
    f"[\\s{INVISIBLE_CLASS}]{{{_FEW_IN_A_ROW + 1},}}+|(&[#0-9A-Za-z]{{2,31}}+;|[^\\w\\s]|_)\\1{{{_FEW_IN_A_ROW},}}+"
)


def cut(text: str, longest: int) -> str:
    """`text`, of one of more than `longest` characters its beginning and its end: half of them each, so that neither
    hides the other, with a blank between them."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} {text[len(text) - (longest - half - 1) :]}"


def condense(text: str, longest: int) -> str:
    """`text`, of one of more than `longest` characters without what only fills it: it would have its words cut off. Of
    white space in a row two line breaks stay, or a blank, of one and the same mark or entity a few."""
    return _FILLING.sub(_shorten, text) if len(text) > longest and _may_be_filled(text) else text


def _may_be_filled(text: str) -> bool:
    """Whether more than a few blanks or like characters stand in a row, or entities side by side."""
    points = lay_points([text], "")
    blank = _blanks().take(points, mode="clip")
    alike = (points[1:] == points[:-1]) | (blank[1:] & blank[:-1])
    return ";&" in text or bool((alike[2:] & alike[1:-1] & alike[:-2]).any())


@cache
def _blanks() -> npt.NDArray[np.bool_]:
    """Whether each code point is white space or invisible; the last stands for all that lie beyond, which may be."""
    blanks = np.ones(0x10001, np.bool_)
    blanks[:-1] = [char.isspace() or INVISIBLE.match(char) is not None for char in map(chr, range(0x10000))]
    return blanks


def _shorten(match: re.Match[str]) -> str:
    run = match[0]
    if match[1]:
        return match[1] * _FEW_IN_A_ROW
    if "\n" in run:
        return "\n\n"
    # One that is invisible is as good as all: between two letters it still counts as hiding them.
    return " " if INVISIBLE.sub("", run) else run[0]
