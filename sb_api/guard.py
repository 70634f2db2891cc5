"""The guard: records with known labels on which every candidate must hold its quality, or it is not promoted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from scipy.stats import binom

from sb_api.calibration import apply_temperature, choose_borders, fit_temperature
from sb_api.classifiers import Classifier
from sb_api.errors import InvalidWeights
from sb_api.recipe import Examples
from sb_api.scoring import Scores, Targets, recall_at_budget, score_balanced
from sb_api.weights import Version

RESAMPLES, CONFIDENCE = 100, 0.95


@dataclass(frozen=True)
class Reference:
    """The shipped reference set, each record for one purpose alone: `guard` is what candidates are measured on,
    `replay` what trainings mix in so that they do not forget, `calibration` what scores are calibrated on. `usual` is
    what explanations compare with."""

    guard: Examples
    replay: Examples
    calibration: Examples
    usual: list[float]


def load_reference(path: Path, classifier: Classifier) -> Reference:
    """The reference set of a classifier; without parts of its own, the guard's records serve for calibration, and
    nothing is replayed. Raises InvalidWeights when it is missing or damaged."""
    try:
        # Opened here, because numpy leaves a damaged file open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            guard = file["vectors"].astype(np.float32)
            replay = file["replay"].astype(np.float32) if "replay" in file else guard[:0]
            calibration = file["calibration"].astype(np.float32) if "calibration" in file else guard
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InvalidWeights(f"The reference set {path} cannot be read: {error}.") from None
    parts = [Examples(classifier.name_inputs(v), v[:, 0].astype(np.int64)) for v in (guard, replay, calibration)]
    innocent = guard[guard[:, 0] == 0]
    usual = classifier.usual(innocent) if classifier.usual and len(innocent) else []
    return Reference(parts[0], parts[1], parts[2], usual)


def calibrate(targets: Targets, scores: Scores, budget: float) -> tuple[float, list[float]]:
    """The temperature and the borders of the bands, from n held-out rows of raw probabilities (n, labels).

    Only scores of two labels have bands; others are left as they are.
    """
    if scores.shape[1] != 2 or len(np.unique(targets)) < 2:
        return 1.0, []
    temperature = round(fit_temperature(targets, scores), 4)
    borders = choose_borders(targets, apply_temperature(scores, temperature)[:, 1], budget)
    return temperature, [float(np.float32(border)) for border in borders]


def find_broken_budget(targets: Targets, scores: Scores, about: Version, budget: float) -> list[str]:
    """A sentence when more of the guard's innocent records are called certain spam than `budget` (a share) allows,
    and surely so; scores are calibrated (n, labels)."""
    if not about.borders:
        return []
    innocent = scores[targets == 0, 1]
    called = int((innocent > about.borders[0]).sum())
    # As many as this happen by chance in less than one guard set of twenty, if the budget is kept.
    if called <= binom.ppf(CONFIDENCE, len(innocent), budget):
        return []
    return [f"{called} of {len(innocent)} innocent records would be called certain spam"]


def measure(targets: Targets, scores: Scores, budget: float) -> dict[str, float]:
    """The guarded figures of n scores (n, labels): balanced accuracy, and with two labels the recall of label 1 at the
    threshold that lets `budget` (a share) of label 0 through."""
    figures = {"balanced_accuracy": score_balanced(targets, scores)}
    if scores.shape[1] == 2:
        figures["recall_at_budget"] = recall_at_budget(targets, scores[:, 1], budget)
    return figures


def find_losses(
    targets: Targets, candidate: Scores, standards: Mapping[str, Scores], budget: float, tolerance: float
) -> list[str]:
    """What a candidate would lose on n guard records: a sentence for every guarded figure that is lower than that of
    one of the `standards` (such as the original and the current weights) by more than `tolerance`, and surely so.

    Surely: in 95 of 100 resamples of the records, the same ones for both (paired bootstrap; Efron, 1979). A handful of
    innocent records decides the recall at a small budget, so a bare difference would refuse every other training.
    """
    random = np.random.default_rng(0)
    groups = [np.flatnonzero(targets == label) for label in np.unique(targets)]
    draws = [np.concatenate([random.choice(rows, len(rows)) for rows in groups]) for _ in range(RESAMPLES)]
    candidates = [measure(targets[rows], candidate[rows], budget) for rows in draws]
    mine = measure(targets, candidate, budget)
    losses = []
    for owner, scores in standards.items():
        theirs = measure(targets, scores, budget)
        resampled = [measure(targets[rows], scores[rows], budget) for rows in draws]
        for name, figure in mine.items():
            lost = [before[name] - after[name] for before, after in zip(resampled, candidates, strict=True)]
            if np.quantile(lost, 1 - CONFIDENCE) > tolerance:
                named = name.replace("_", " ")
                losses.append(f"{named} would fall to {figure:.4f}, from {theirs[name]:.4f} of the {owner}")
    return losses
