"""The guard: records with known labels on which every candidate must hold its quality, or it is not promoted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sb_api.arrays import Scores, Targets
from sb_api.models.measures import recall_at_budget, score_balanced

RESAMPLES, CONFIDENCE = 100, 0.95


def measure(targets: Targets, scores: Scores, budget: float) -> dict[str, float]:
    """The guarded figures of n scores (n, labels): balanced accuracy, and with two labels the recall of label 1 at the
    threshold that lets `budget` (a share) of label 0 through."""
    figures = {"balanced_accuracy": score_balanced(targets, scores)}
    if scores.shape[1] == 2:
        figures["recall_at_budget"] = recall_at_budget(targets, scores[:, 1], budget)
    return figures


@dataclass(frozen=True)
class Appraisal:
    """What scores are worth on the guard's records: the guarded `figures`, and the same of every resample."""

    figures: dict[str, float]
    resampled: list[dict[str, float]]


def appraise(targets: Targets, scores: Scores, budget: float) -> Appraisal:
    """The guarded figures of n scores (n, labels), and of resamples of them, the same ones for all scores."""
    random = np.random.default_rng(0)
    groups = [np.flatnonzero(targets == label) for label in np.unique(targets)]
    draws = [np.concatenate([random.choice(rows, len(rows)) for rows in groups]) for _ in range(RESAMPLES)]
    resampled = [measure(targets[rows], scores[rows], budget) for rows in draws]
    return Appraisal(measure(targets, scores, budget), resampled)


def find_losses(candidate: Appraisal, standards: Mapping[str, Appraisal], tolerance: float) -> list[str]:
    """What a candidate would lose: a sentence for every guarded figure that is lower than that of one of the
    `standards` (such as the original and the current weights) by more than `tolerance`, and surely so.

    Surely: in 95 of 100 resamples of the records (paired bootstrap; Efron, 1979). A handful of innocent records decides
    the recall at a small budget, so a bare difference would refuse every other training.
    """
    losses = []
    for owner, standard in standards.items():
        for name, figure in candidate.figures.items():
            pairs = zip(standard.resampled, candidate.resampled, strict=True)
            lost = [before[name] - after[name] for before, after in pairs]
            if np.quantile(lost, 1 - CONFIDENCE) > tolerance:
                named = name.replace("_", " ")
                losses.append(f"{named} would fall to {figure:.4f}, from {standard.figures[name]:.4f} of the {owner}")
    return losses
