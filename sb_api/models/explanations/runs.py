"""The runs of characters of a bio that tell most, of scripts without blanks between words.

The wide member knows each of their characters alone, pairs of them and n-grams. What all these add to the score is laid
on the characters that they are of, and a long run is cut where most of it lies together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt

from sb_api.models.explanations.pieces import LONGEST_RUN, split_run
from sb_api.models.wide_features import LENGTHS, NGRAMS, WORDS, lay_bio
from sb_api.preprocessing import read_bios
from sb_api.records import Editor
from sb_api.text.hashing import Spans, hash_ngrams, hash_pairs, hash_words, lay_texts

LEAST_PART = 2  # characters of a part of a run
_FIRSTS = np.cumsum([0, WORDS.sum(), WORDS.sum(), *[NGRAMS.sum()] * (len(LENGTHS) - 1)]).tolist()  # slot of each block

Terms = npt.NDArray[np.float32]


class Bio:
    """A bio as the wide member reads it, with what each of its slots adds to the score, `terms` (SLOTS,)."""

    def __init__(self, editor: Editor, terms: Terms) -> None:
        (normal,), (hidden,) = read_bios([editor])
        laid = lay_texts([lay_bio(normal.text.strip(), hidden)])
        words = hash_words(laid, WORDS[:1])
        ngrams = [hash_ngrams(laid, length, NGRAMS[:1]) for length in LENGTHS]
        self._blocks: list[Spans] = [words, hash_pairs(words), *ngrams]
        self._letters = laid.points.tobytes().decode("utf-32-le", "replace")
        self._told = np.zeros(len(self._letters) + 1)  # what is added by what is made of each character
        for first, spans in zip(_FIRSTS, self._blocks, strict=True):
            shares = terms[first : first + len(spans.starts)] / np.maximum(spans.stops - spans.starts, 1)
            np.add.at(self._told, spans.starts, shares)  # here each begins to add, and there it ends
            np.add.at(self._told, spans.stops, -shares)
        self._told = self._told.cumsum()
        self._end = max(int(spans.stops.max(initial=0)) for spans in self._blocks)
        self._whole_runs = _find_whole_runs(words)

    def find_runs(self) -> dict[str, list[int]]:
        """The runs, each with the slots that it has a part in wherever it stands."""
        found: dict[str, list[int]] = {}
        for start, stop in self._whole_runs:
            ends = [*accumulate(map(len, split_run(self._letters[start:stop])), initial=start)]
            for part in self._cut(ends):
                run = self._letters[slice(*part)]
                found[run] = found.get(run) or self._slots_of(run)
        return found

    def joined_characters(self) -> set[str]:
        """The characters that runs are of."""
        return {char for start, stop in self._whole_runs for char in self._letters[start:stop]}

    def _cut(self, ends: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Start and stop of what is told of a run: all of it, or the parts that tell most."""
        if len(ends) - 1 <= LONGEST_RUN:
            yield ends[0], ends[-1]
            return
        sums = np.concatenate([[0.0], self._told.cumsum()])[np.asarray(ends)]
        tell = [np.abs(sums[length:] - sums[:-length]) for length in range(LEAST_PART, LONGEST_RUN + 1)]  # from each on
        longest = int(np.argmax([of_length.max() for of_length in tell]))
        first = int(tell[longest].argmax())
        last = first + LEAST_PART + longest
        yield ends[first], ends[last]
        for rest in (ends[: first + 1], ends[last:]):
            if len(rest) > LEAST_PART:  # as many places as characters, and one
                yield from self._cut(rest)

    def _slots_of(self, run: str) -> list[int]:
        """The slots that a run has a part in, wherever it stands in what the wide member reads."""
        stands = np.zeros(len(self._letters) + 1, np.int64)
        start = self._letters.find(run, 0, self._end)
        while start >= 0:
            stands[start + 1 : start + len(run) + 1] = 1
            start = self._letters.find(run, start + 1, self._end)
        before = stands.cumsum()
        has = [before[spans.stops] > before[spans.starts] for spans in self._blocks]
        return [
            *chain.from_iterable(
                (first + np.flatnonzero(one)).tolist() for first, one in zip(_FIRSTS, has, strict=True)
            )
        ]


def _find_whole_runs(words: Spans) -> list[tuple[int, int]]:
    """Start and stop of each run: words of one character each, more than one, without blanks between them."""
    runs: list[tuple[int, int]] = []
    for place in words.starts[words.stops - words.starts == 1].tolist():
        start = runs.pop()[0] if runs and runs[-1][1] == place else place
        runs.append((start, place + 1))
    return [(start, stop) for start, stop in runs if stop - start > 1]
