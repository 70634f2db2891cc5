"""What two weights say of the same records, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sb_api.arrays import Probabilities, Scores
from sb_api.broker.staging import MOST_DIFFERENCES, cell
from sb_api.judgements import Difference, Judged
from sb_api.records import NO_CLASS_NAME


class Side(NamedTuple):
    """What weights say of n records: probabilities (n, labels), and the band of each, or its class where there are no
    bands."""

    labels: Sequence[str]
    groups: Sequence[str]
    scores: Probabilities


def group(judged: Judged) -> list[str]:
    """The band of each of n judged records; where the weights have no bands, what it is predicted to be."""
    return list(judged.bands or (NO_CLASS_NAME if one is None else one for one in judged.predictions))


def differ(current: Side, staged: Side, *, of_spam: bool) -> tuple[Scores, Scores, Scores]:
    """The difference (n,) of what two weights say of n records, and two scores (n,) that show it.

    The difference is the total variation distance of the two distributions, half the sum of what the probabilities of
    all labels differ by, where a label that one side lacks has 0 there; of editors, what the probability of spam, the
    second of their labels, differs by. The scores are that probability, or that of the label that is likeliest on the
    current side.
    """
    if of_spam:
        x, y = current.scores[:, 1].astype(np.float64), staged.scores[:, 1].astype(np.float64)
        return np.abs(x - y), x, y
    labels = list(dict.fromkeys([*current.labels, *staged.labels]))
    places = {label: place for place, label in enumerate(labels)}
    left, right = (np.zeros((len(current.scores), len(labels))) for _ in range(2))
    left[:, [places[label] for label in current.labels]] = current.scores
    right[:, [places[label] for label in staged.labels]] = staged.scores
    best = left.argmax(axis=1)[:, None]
    x, y = (np.take_along_axis(side, best, axis=1)[:, 0] for side in (left, right))
    return np.abs(left - right).sum(axis=1) / 2, x, y


def tally(
    ids: Sequence[str], current: Side, staged: Side, *, of_spam: bool
) -> tuple[dict[str, float], list[Difference]]:
    """What to count of n records, editors or not, that both have judged (rows that are not finite are `failed`), and
    the largest of the differences, in no order."""
    is_sound = np.isfinite(current.scores).all(axis=1) & np.isfinite(staged.scores).all(axis=1)
    sound: list[int] = np.flatnonzero(is_sound).tolist()
    current, staged = (
        Side(side.labels, [side.groups[row] for row in sound], side.scores[sound]) for side in (current, staged)
    )
    difference, x, y = differ(current, staged, of_spam=of_spam)
    counts = {
        "judged": len(sound),
        "failed": len(ids) - len(sound),
        "difference": difference.sum(),
        "x": x.sum(),
        "y": y.sum(),
        "xx": (x * x).sum(),
        "yy": (y * y).sum(),
        "xy": (x * y).sum(),
    }
    cells = Counter(cell(one, other) for one, other in zip(current.groups, staged.groups, strict=True))
    found = [
        Difference(
            ids[sound[row]],
            float(difference[row]),
            float(x[row]),
            float(y[row]),
            current.groups[row],
            staged.groups[row],
        )
        for row in np.argsort(-difference)[:MOST_DIFFERENCES].tolist()
        if difference[row] > 0
    ]
    return {name: float(count) for name, count in {**counts, **cells}.items() if count}, found
