"""The words of texts: those of one text, or the known ones among those of many texts at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain

import numpy as np
import numpy.typing as npt

from sb_api.text.hashing import in_batches, lay_points

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]

_FILTERED = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
_BLANKED = str.maketrans(dict.fromkeys(_FILTERED, " "))
_BLANK = ord(" ")
_BLANKED_BYTES = bytes(_BLANK if chr(code).isspace() or chr(code) in _FILTERED else code for code in range(128))
_BLANKED_BYTES += bytes(range(128, 256))
_LOWERED_BYTES = bytes(range(256)).lower().translate(_BLANKED_BYTES)
_OTHER_SPACE = re.compile("[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_LINE_FEED = ord("\n")
_NO_BLANKS, _CODE_POINTS = 0x3001, 0x20000  # from there on there are no blanks, and no capitals
# What a sigma becomes depends on what is beside it, and an I with a dot becomes two characters; all others are simple.
_SIGMA, _DOTTED = "\u03a3", "\u0130"
_NUMBER = 8  # bytes
_PIECE = 1 << 16  # bytes: a processor's cache holds them with all that is made of them
_BITS = 14  # of the hash of how a word begins
_FEW = 5_000  # characters: so few are split and looked up sooner than numpy's calls are made


def split_words(text: str) -> list[str]:
    """Lower-cased words, split at white space after the Keras tokenizer's default filter characters are blanked."""
    return text.lower().translate(_BLANKED).split()


class WordFinder:
    """Finds the words of a vocabulary in texts, which it splits as `split_words` does.

    The texts are laid end to end as UTF-8, so that numpy works on the words of all of them together. A word becomes
    64-bit numbers, 8 bytes each, filled up with 0xFF, which no UTF-8 has: equal numbers are equal words. A hash without
    collisions among the known words tells which of them a word is to be compared with.

    It makes a table of up to n x n slots for n words: for vocabularies of hundreds, not of many thousands.
    """

    def __init__(self, ranks: Mapping[str, int]) -> None:
        words = [word.encode("utf-8", "surrogatepass") for word in ranks]
        self._ranks = dict(zip(words, ranks.values(), strict=True))
        # At least one byte of filling, so that no longer word begins with all the numbers of a known one.
        parts = max(map(len, words), default=0) // _NUMBER + 1
        size = parts * _NUMBER
        numbers = [[_to_number(word.ljust(size, b"\xff"), part) for word in words] for part in range(parts)]
        ranked = np.fromiter(ranks.values(), np.int64, len(ranks))
        self._known = np.full((parts, max(ranks.values(), default=0) + 1), ~np.uint64(0))
        self._known[:, ranked] = np.array(numbers, np.uint64)
        whole = [(b"\0" * length).ljust(size, b"\xff") for length in range(size + 1)]
        self._fillings = np.array([[_to_number(word, part) for word in whole] for part in range(parts)], np.uint64)
        bits = max(2 * len(words).bit_length() - 2, 4)
        self._shift = np.uint64(64 - bits)
        self._slots = np.zeros(1 << bits, np.int64)
        random = np.random.default_rng(0)
        while True:
            self._factors = random.integers(0, 2**63, parts, np.uint64) * np.uint64(2) + np.uint64(1)
            slots = self._hash(self._known[:, ranked])
            if len(np.unique(slots)) == len(words):
                break
        self._slots[slots] = ranked
        self._beginnings = np.zeros(1 << _BITS, np.bool_)
        self._beginnings[self._hash_beginnings(self._known[0, ranked])] = True

    def find(self, texts: Sequence[str]) -> tuple[Integers, Integers]:
        """Every occurrence of a known word in n texts: the positions of the texts, ascending, and the words' ranks."""
        if sum(map(len, texts)) < _FEW:
            return self.find_singly(texts)
        batches = [*in_batches(texts)]
        found = [self.find_together(texts[batch]) for batch in batches]
        rows = np.concatenate([rows + batch.start for batch, (rows, _) in zip(batches, found, strict=True)])
        return rows, np.concatenate([ranks for _, ranks in found])

    def find_singly(self, texts: Sequence[str]) -> tuple[Integers, Integers]:
        """What `find` finds, one word after the other: sooner where there are few."""
        get = self._ranks.get
        known = [[*filter(None, map(get, _lower(text).translate(_BLANKED_BYTES).split()))] for text in texts]
        rows = np.repeat(np.arange(len(texts)), [*map(len, known)])
        return rows, np.array([*chain.from_iterable(known)], np.int64)

    def find_together(self, texts: Sequence[str]) -> tuple[Integers, Integers]:
        """What `find` finds, all at once: sooner where there is much."""
        groups = (
            [row for row, text in enumerate(texts) if text.isascii()],
            [row for row, text in enumerate(texts) if not text.isascii()],
        )
        found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        for group, lay in zip(groups, (_lay_ascii, _lay_others), strict=True):
            laid, ends = lay([texts[row] for row in group])
            pieces = [(start, *self._find(laid[start:end])) for start, end in _pieces(laid)]
            if pieces:
                places = np.concatenate([inside + start for start, inside, _ in pieces])
                counts = np.diff(np.searchsorted(places, ends), prepend=0)
                found.append((np.repeat(group, counts), np.concatenate([known for *_, known in pieces])))
        rows, ranks = np.concatenate([rows for rows, _ in found]), np.concatenate([ranks for _, ranks in found])
        order = rows.argsort(kind="stable")
        return rows[order], ranks[order]

    def _find(self, piece: bytes) -> tuple[Integers, Integers]:
        """Where known words begin in blanked UTF-8 that ends with a blank, and their ranks."""
        parts, size = len(self._known), len(self._known) * _NUMBER
        buffer = b" " + piece + b" " * size
        blank = np.frombuffer(buffer, np.uint8) == _BLANK
        borders = np.flatnonzero(blank[1:] != blank[:-1])
        starts, ends = borders[::2], borders[1::2]
        lengths = np.minimum(ends - starts, size)
        # Views of all 8 bytes that lie side by side; `buffer` has one blank in front.
        views = [np.ndarray(len(piece), "<u8", buffer, 1 + part * _NUMBER, (1,)) for part in range(parts)]
        numbers = [views[0][starts] | self._fillings[0][lengths]]
        # Most words that are not known begin as no known one does.
        likely = np.flatnonzero(self._beginnings[self._hash_beginnings(numbers[0])])
        starts, lengths, numbers[0] = starts[likely], lengths[likely], numbers[0][likely]
        numbers += [views[part][starts] | self._fillings[part][lengths] for part in range(1, parts)]
        ranks = self._slots[self._hash(numbers)]
        same = self._known[0][ranks] == numbers[0]
        for part in range(1, parts):
            same &= self._known[part][ranks] == numbers[part]
        return starts[same], ranks[same]

    def _hash_beginnings(self, numbers: Numbers) -> Integers:
        places: Integers = ((numbers * self._factors[0]) >> np.uint64(64 - _BITS)).astype(np.int64)
        return places

    def _hash(self, numbers: Sequence[Numbers] | Numbers) -> Integers:
        mixed = numbers[0] * self._factors[0]
        for part in range(1, len(self._factors)):
            mixed += numbers[part] * self._factors[part]
        mixed ^= mixed >> np.uint64(29)
        mixed *= self._factors[0]
        slots: Integers = (mixed >> self._shift).astype(np.int64)
        return slots


def _to_number(word: bytes, part: int) -> int:
    return int.from_bytes(word[part * _NUMBER : (part + 1) * _NUMBER], "little")


def _lay_ascii(texts: Sequence[str]) -> tuple[bytes, Integers]:
    """ASCII texts end to end, blanked, with a blank after each, and where they end, behind these blanks."""
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
    return " ".join([*texts, ""]).encode().translate(_LOWERED_BYTES), ends


def _lay_others(texts: Sequence[str]) -> tuple[bytes, Integers]:
    """As `_lay_ascii`, texts of any characters in UTF-8."""
    texts = [text.lower() if _SIGMA in text or _DOTTED in text else text for text in texts]
    points = lay_points(texts)[1:]
    lowered = _lowered().take(points, mode="clip")
    rare = points >= _CODE_POINTS
    lowered[rare] = points[rare]
    lowered[np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1) - 1] = _LINE_FEED
    laid = lowered.tobytes().decode("utf-32-le", "surrogatepass").encode("utf-8", "surrogatepass")
    ends = np.flatnonzero(np.frombuffer(laid, np.uint8) == _LINE_FEED) + 1
    return laid.replace(b"\n", b" "), ends


@cache
def _lowered() -> npt.NDArray[np.uint32]:
    """What stands for each code point: its small letter, or a blank."""
    chars = "".join(map(chr, range(_CODE_POINTS)))
    content = chars.replace(_DOTTED, " ").lower().encode("utf-32-le", "surrogatepass")
    lowered = np.frombuffer(content, np.uint32).copy()
    lowered[[code for code, char in enumerate(chars[:_NO_BLANKS]) if char.isspace() or char in _FILTERED]] = _BLANK
    return lowered


def _lower(text: str) -> bytes:
    lowered = text.lower()
    # All such space is unprintable, and is rarely there; to ask that takes a fraction of a search for it.
    if not lowered.isascii() and not lowered.replace("\n", " ").isprintable():
        lowered = _OTHER_SPACE.sub(" ", lowered)
    return lowered.encode("utf-8", "surrogatepass")


def _pieces(laid: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of pieces that end with a blank, as `laid` does; only a very long word makes a longer one."""
    start = 0
    while start < len(laid):
        end = laid.rfind(b" ", start, start + _PIECE) + 1 or laid.find(b" ", start) + 1
        yield start, end
        start = end
