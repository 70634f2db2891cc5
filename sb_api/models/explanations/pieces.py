"""What is tried of a text for a reason: its words, its marks, and runs of characters of scripts without blanks.

Of Thai, Chinese and the like, features are single characters and pairs of them, which nobody reads alone: a run of them
is what is left out together, the whole of it where it is short.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from sb_api.preprocessing import whole_words
from sb_api.text.normalization import letter_marks
from sb_api.text.spelling import is_run

LONGEST_RUN = 12  # characters that are read together
_LEADING, _TRAILING = (
    "\u0e40-\u0e44\u0ec0-\u0ec4",
    "\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3",
)  # vowels of Thai and Lao
_REPEATING = "\u3005\u30fc\u0e46\u0ec6"  # or lengthening what is before them


class Piece(NamedTuple):
    """A part of a message, and whether it goes on the one before without a blank."""

    text: str
    continues: bool = False


def split_run(run: str) -> list[str]:
    """The characters of a run, each with the vowels, tones and marks that are read with it; none is split from it."""
    return _character().findall(run)


@cache
def _character() -> re.Pattern[str]:
    return re.compile(f"[{_LEADING}]?.[{_TRAILING}{_REPEATING}{letter_marks()}]*", re.DOTALL)


def name_piece(text: str) -> str:
    """What a piece is called in a reason."""
    if is_run(text) and len(split_run(text)) > 1:
        return f"characters {text!r}"
    return f"word {text!r}" if any(map(str.isalnum, text)) else f"mark {text!r}"


def cut_message(text: str) -> list[Piece]:
    """The pieces of a message in order; runs of characters are cut where they are longer than `LONGEST_RUN`, into parts
    of about one length."""
    pieces = []
    for word in whole_words(text):
        characters = split_run(word) if is_run(word) else [word]
        count = -(-len(characters) // LONGEST_RUN)
        ends = [len(characters) * place // count for place in range(count + 1)]
        pieces += [Piece("".join(characters[start:end]), start > 0) for start, end in pairwise(ends)]
    return pieces


def join_without(pieces: Sequence[Piece], text: str | None = None) -> str:
    """A message of its pieces, without those of one text."""
    found: list[str] = []
    was_left_out = True
    for piece in pieces:
        if piece.text != text:
            found += [piece.text] if piece.continues and not was_left_out else [" ", piece.text]
        was_left_out = piece.text == text
    return "".join(found) or " -"
