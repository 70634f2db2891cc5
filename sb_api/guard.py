"""The guard: records with known labels on which every candidate must hold its quality, or it is not promoted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sb_api.classifiers import Classifier
from sb_api.errors import InvalidWeights
from sb_api.networks import Arrays
from sb_api.scoring import Scores, Targets, recall_at_budget, score_balanced

GUARDED = ("balanced_accuracy", "recall_at_budget")


@dataclass(frozen=True)
class Sample:
    """n records as named arrays, with the numbers of their labels."""

    arrays: Arrays
    targets: Targets

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Reference:
    """The shipped reference set: `guard` is what candidates are measured on and never learn, `replay` what trainings
    mix in so that they do not forget."""

    guard: Sample
    replay: Sample


def load_reference(path: Path, classifier: Classifier) -> Reference:
    """The reference set of a classifier. Raises InvalidWeights when it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            guard, replay = (file[name].astype(np.float32) for name in ("guard", "replay"))
    except (OSError, ValueError, KeyError) as error:
        raise InvalidWeights(f"The reference set {path} cannot be read: {error}.") from None
    return Reference(*(Sample(classifier.name_inputs(v), v[:, 0].astype(np.int64)) for v in (guard, replay)))


def measure(targets: Targets, scores: Scores, budget: float) -> dict[str, float]:
    """The guarded figures of n scores (n, labels): balanced accuracy, and with two labels the recall of label 1 at the
    threshold that lets `budget` (a share) of label 0 through."""
    figures = {"balanced_accuracy": score_balanced(targets, scores)}
    if scores.shape[1] == 2:
        figures["recall_at_budget"] = recall_at_budget(targets, scores[:, 1], budget)
    return figures


def find_losses(
    candidate: Mapping[str, Any], standards: Mapping[str, Mapping[str, Any]], tolerance: float
) -> list[str]:
    """What the candidate would lose: a sentence for every guarded figure that is more than `tolerance` below that of
    one of the `standards`, such as the original and the current weights."""
    return [
        f"{name.replace('_', ' ')} would fall to {candidate[name]:.4f}, from {standard[name]:.4f} of the {owner}"
        for owner, standard in standards.items()
        for name in GUARDED
        if name in candidate and name in standard and candidate[name] < standard[name] - tolerance
    ]
