"""Further words that a text has for those who read it: letters spelt out, and scripts without blanks between words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import chain
from operator import add

import numpy as np
import numpy.typing as npt

from sb_api.text.hashing import in_batches, lay_points, number_in_turn, read_points

# A byte a character: letters and digits are "a", all else blanks.
_SHAPES = bytes(ord("a") if chr(code).isalnum() else ord(" ") for code in range(128)) + bytes(128)
_FEW = 1_000  # characters: so few are looked at one by one sooner than numpy's calls are made
_BASE = 1
LONGEST_READ = 1 << 17  # characters of a text: who has something to hide begins with it
_FURTHEST = 12  # characters from the first to the fourth
# Letters (a digit may stand for one) with the same one to three marks or blanks between all of them.
_SPELT_OUT = re.compile(r"(?<![^\W_])[^\W\d_]([\W_]{1,3})(?:[^\W_]\1){2,}[^\W_](?![^\W_])")

# Scripts without blanks between words: Thai, Lao, Myanmar, Khmer, bopomofo, kana, Han.
UNSPACED = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0eae\u0eb0-\u0ece\u1000-\u103f\u1050-\u108f\u1780-\u17d3\u3005-\u3007"
UNSPACED += "\u3041-\u30ff\u3105-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
# Vowel signs, tones and length marks, which belong to the character before them.
_ATTACHED = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u1056-\u1059\u105e-\u1060"
_ATTACHED += "\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d\u108f\u17b6-\u17d3\u30fc"
_RUN = re.compile(f"[{UNSPACED}]+")
_MARKS = re.compile(f"[{_ATTACHED}]")
_CHARACTER = re.compile(f"[{UNSPACED}][{_ATTACHED}]*")


def join_spelt_out(text: str) -> list[str]:
    """The words of a normalized text that are spelt out with marks or blanks between their letters, joined.

    "c-a-s-i-n-o", "c a s i n o" and "c . a . s . i . n . o" are all casino: at least four letters, and between all of
    them the same mark, blank, or run of up to three.
    """
    if text.isascii():  # else it takes longer to see which symbols are letters
        shape = b" " + text.encode().translate(_SHAPES)
        if b" a a a a" not in shape and b"  a  " not in shape:
            return []
    return ["".join(match[0].split(match[1])) for match in _SPELT_OUT.finditer(text)]


def may_be_spelt_out(letters: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Where in n texts end to end, with three blanks between them, four single letters in a row begin, with the same
    number of others, one to three, between them. `letters` (m,) is what is a letter or digit."""
    single = np.zeros(len(letters) + _FURTHEST, np.bool_)
    single[1 : len(letters) - 1] = letters[1:-1] & ~letters[:-2] & ~letters[2:]
    places = np.flatnonzero(single)
    found = []
    for apart in (2, 3, 4):
        begun = places[single[places + apart]]
        begun = begun[single[begun + 2 * apart]]
        found.append(begun[single[begun + 3 * apart]])
    return np.concatenate(found)


def separate_words(text: str) -> str:
    """A normalized text with blanks where scripts that have none between words may have words.

    A run of such characters becomes the pairs of its neighbours, as search engines do it: most Chinese and Japanese
    words have two characters, a pair needs no dictionary, and the same words give the same pairs in any sentence. A
    vowel sign or tone belongs to its character. A single character stays. Up to four times as long as `text`, of which
    the first `LONGEST_READ` characters are looked at.
    """
    return text if text.isascii() else _RUN.sub(_pair, text[:LONGEST_READ]) + text[LONGEST_READ:]


def separate_runs(text: str) -> str:
    """A normalized text with blanks around its runs of such characters."""
    return text if text.isascii() else _RUN.sub(r" \g<0> ", text)


def is_run(text: str) -> bool:
    """Whether a normalized text is a run of such characters."""
    return _RUN.fullmatch(text) is not None


def _pair(match: re.Match[str]) -> str:
    run = match[0]
    characters = _CHARACTER.findall(run) if _MARKS.search(run) else run
    pairs = map(add, characters, characters[1:]) if len(characters) > 1 else characters
    return f" {' '.join(pairs)} "


def separate_words_in(texts: Sequence[str]) -> list[str]:
    """`separate_words` of each of n texts, of which many are written anew at once."""
    if sum(map(len, texts)) < _FEW:
        return [*map(separate_words, texts)]
    begun = [text[:LONGEST_READ] for text in texts]
    separate = chain.from_iterable(_separate_words_in(begun[batch]) for batch in in_batches(begun))
    return [words + text[LONGEST_READ:] for words, text in zip(separate, texts, strict=True)]


def _separate_words_in(texts: Sequence[str]) -> list[str]:
    points = lay_points(texts)
    kinds = _unspaced().take(points, mode="clip")
    inside = kinds > 0
    borders = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    # Where characters begin, and which of them have one before and one behind them: these are part of two pairs.
    places = np.flatnonzero(inside[1:] & ((kinds[1:] == _BASE) | ~inside[:-1])) + 1
    continued = inside[places - 1]
    inner = np.flatnonzero(continued[:-1] & continued[1:])
    # At each border comes a blank; behind an inner character comes a blank, and it once more.
    starts = np.sort(np.concatenate([[0], borders, places[inner]]))
    lengths = np.sort(np.concatenate([borders, places[inner + 1], [len(points)]])) - starts
    ends = np.cumsum(lengths + 1)
    written = points.take(number_in_turn(starts, lengths + 1), mode="clip")
    written[ends - 1] = ord(" ")
    blanks = np.cumsum([0, *(len(text) + 1 for text in texts)])
    parts = starts.searchsorted(blanks, "right") - 1
    return read_points(written, ends[parts] - lengths[parts] - 1 + blanks - starts[parts])


@cache
def _unspaced() -> npt.NDArray[np.uint8]:
    """Of each code point whether it is a character of a script without blanks, or belongs to the one before it; the
    last stands for all that follow."""
    kinds = np.zeros(0x40001, np.uint8)
    for kind, ranges in ((_BASE, UNSPACED), (_BASE + 1, _ATTACHED)):
        for first, last in re.findall("(.)(?:-(.))?", ranges):
            kinds[ord(first) : ord(last or first) + 1] = kind
    return kinds
