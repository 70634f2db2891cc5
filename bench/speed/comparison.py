"""One classifier beside others on the same rows: figures, and by how much it is ahead, with an interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.figures import Figures, figure

Scores = npt.NDArray[np.floating[Any]]
Targets = npt.NDArray[np.integer[Any]]
Measure = Callable[[Targets, Scores], float]

RESAMPLES, CONFIDENCE = 500, 0.95


@dataclass(frozen=True)
class Judged:
    """What one classifier says of n rows, P(spam) (n,), and the threshold of its own that it was given before."""

    scores: Scores
    threshold: float = 0.5

    @property
    def flagged(self) -> npt.NDArray[np.bool_]:
        return self.scores >= self.threshold


def roc_auc(targets: Targets, judged: Judged) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(targets, judged.scores))


def f1(targets: Targets, judged: Judged) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(targets, judged.flagged))


def best_threshold(targets: Targets, scores: Scores) -> float:
    """The threshold of the highest F1."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(targets, scores)
    return float(thresholds[np.argmax((precision * recall / np.maximum(precision + recall, 1e-9))[:-1])])


def lead_intervals(
    targets: Targets,
    judged: Mapping[str, Judged],
    measure: Callable[[Targets, Judged], float],
    blocks: npt.NDArray[np.integer[Any]],
    resamples: int = RESAMPLES,
) -> dict[str, tuple[float, float]]:
    """By how much the first of the classifiers is ahead of each other one: 95% intervals of the differences.

    A paired bootstrap (Efron, 1979): all classifiers are measured on the same resamples. `blocks` (blocks, rows of
    each) holds the places of rows that are drawn together, because they depend on each other (Künsch, 1989).
    """
    random = np.random.default_rng(0)
    differences: dict[str, list[float]] = {name: [] for name in list(judged)[1:]}
    for _ in range(resamples):
        rows = blocks[random.integers(len(blocks), size=len(blocks))].ravel()
        mine, *others = (measure(targets[rows], Judged(one.scores[rows], one.threshold)) for one in judged.values())
        for name, other in zip(differences, others, strict=True):
            differences[name].append(mine - other)
    tail = (1 - CONFIDENCE) / 2
    return {
        name: (float(np.quantile(leads, tail)), float(np.quantile(leads, 1 - tail)))
        for name, leads in differences.items()
    }


def compare(
    prefix: str,
    targets: Targets,
    judged: Mapping[str, Judged],
    measures: Mapping[str, Callable[[Targets, Judged], float]],
    blocks: npt.NDArray[np.integer[Any]],
    resamples: int = RESAMPLES,
) -> Figures:
    """For every measure, the value of the first classifier beside those of the others, and how far it is ahead of the
    best of them. The goal: the upper end of the interval of every difference reaches 0, so that none is surely better.
    """
    figures = []
    for name, measure in measures.items():
        mine, *others = (measure(targets, one) for one in judged.values())
        values = dict(zip(list(judged)[1:], others, strict=True))
        beside = ", ".join(f"{other} {value:.4f}" for other, value in values.items())
        figures.append(figure(f"{prefix}: {name}", mine, "share", beside))
        intervals = lead_intervals(targets, judged, measure, blocks, resamples)
        nearest = min(intervals, key=lambda other: intervals[other][1])
        low, high = intervals[nearest]
        against = f"{nearest}: {mine - values[nearest]:+.4f}, 95% interval {low:+.4f} to {high:+.4f}"
        figures.append(figure(f"{prefix}: {name}, at most ahead of the nearest", high, "share", against, 0.0))
    return figures
