"""The guard: records with known labels on which every candidate must hold its quality, or it is not promoted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Scores, Targets
from sb_api.models.measures import recall_at_budget, score_balanced
from sb_api.records import RecordType

# How many resamples of the records, and in what share of them a figure must be lower, for it to be surely lower. In one
# of a hundred resamples none of five records is drawn: with fewer no difference is sure.
RESAMPLES, CONFIDENCE = 400, 0.99
# Of the tolerance, what the recall of innocent accounts may lose: an innocent called spam is worse than spam that is
# missed, and there is little to lose before many are.
INNOCENT_SHARE = 0.25
BEFORE = "weights before"  # the standard that a training begins from
Times = Mapping[int, npt.NDArray[np.int64]]


def measure(targets: Targets, scores: Scores, budget: float | None) -> dict[str, float]:
    """The guarded figures of n scores (n, labels): balanced accuracy; and where label 0 is innocent and 1 spam, of
    which there is a `budget`, the recall of label 1 at the threshold that lets this share of label 0 through, and the
    recall of label 0 by the label."""
    figures = {"balanced_accuracy": score_balanced(targets, scores)}
    if budget is not None:
        figures["recall_at_budget"] = recall_at_budget(targets, scores[:, 1], budget)
        innocent = targets == 0
        figures["innocent_recall"] = (
            round(float((scores[innocent].argmax(axis=1) == 0).mean()), 6) if innocent.any() else 1.0
        )
    return figures


@dataclass(frozen=True)
class Appraisal:
    """What scores are worth on the guard's records: the guarded `figures`, and of each the same of every resample."""

    figures: dict[str, float]
    resampled: dict[str, npt.NDArray[np.float64]]


def draw_resamples(targets: Targets) -> Times:
    """Of every label of n targets how often each of its records is in each resample (resamples, records): as many draws
    as there are records of the label. The same for the same targets."""
    random = np.random.default_rng(0)
    times = {}
    for label in np.unique(targets):
        count = int((targets == label).sum())
        times[int(label)] = random.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return times


def guarded_budget(record_type: RecordType, budget: float) -> float | None:
    """The share of innocent records that may be called spam; None of messages, whose classes are equals."""
    return None if record_type.of_messages else budget


def appraise(targets: Targets, scores: Scores, budget: float | None, times: Times | None = None) -> Appraisal:
    """The guarded figures of n scores (n, labels) as of `measure`, and of resamples of them, the same ones for all
    scores; `times` is what `draw_resamples` gives, where that is known already."""
    times = draw_resamples(targets) if times is None else times
    hits = scores.argmax(axis=1) == targets
    recalls = {label: drawn @ hits[targets == label] / drawn.shape[1] for label, drawn in times.items()}
    resampled = {"balanced_accuracy": np.mean(list(recalls.values()), axis=0)}
    if budget is not None:
        resampled["innocent_recall"] = recalls.get(0, np.ones(RESAMPLES))
        resampled["recall_at_budget"] = _resample_recall(targets, scores[:, 1], times, budget)
    return Appraisal(measure(targets, scores, budget), resampled)


def _resample_recall(targets: Targets, scores: Scores, times: Times, budget: float) -> npt.NDArray[np.float64]:
    """`recall_at_budget` of every resample, in which record i of a label occurs `times` (resamples, records)."""
    innocent, guilty = scores[targets == 0], scores[targets == 1]
    if not len(guilty):
        return np.zeros(RESAMPLES)
    falling = np.argsort(-guilty, kind="stable")
    found = np.concatenate([np.zeros((RESAMPLES, 1)), np.cumsum(times[1][:, falling], axis=1)], axis=1)
    allowed = int(budget * len(innocent))
    if len(innocent) <= allowed:
        return np.ones(RESAMPLES)
    order = np.argsort(-innocent, kind="stable")
    # The threshold is the score of the first record with which more than the allowed ones are reached.
    reached = np.argmax(np.cumsum(times[0][:, order], axis=1) > allowed, axis=1)
    above = np.searchsorted(-guilty[falling], -innocent[order][reached], side="left")
    return np.asarray(found[np.arange(RESAMPLES), above] / len(guilty), np.float64)


def find_fallen(
    standards: Mapping[str, Appraisal], tolerance: float, earlier: Mapping[str, float] | None = None
) -> dict[str, float]:
    """The guarded figures that the weights before a training, which are one of the `standards`, have lost to another
    as no training may: by force, by a promotion, or because the tolerance was larger. Each as it was when a training
    first began from there, which `earlier` has of those that were found before."""
    before = standards[BEFORE]
    return {
        name: (earlier or {}).get(name, figure)
        for name, figure in before.figures.items()
        if any(_is_lower(before, one, name, max(0.0, allowed_loss(name, tolerance))) for one in standards.values())
    }


def find_losses(
    candidate: Appraisal,
    standards: Mapping[str, Appraisal],
    tolerance: float,
    fallen: Mapping[str, float] | None = None,
) -> list[str]:
    """What a candidate would lose: a sentence for every guarded figure that is lower than that of one of the
    `standards` (such as the original and the weights before) by more than `tolerance`, and surely so.

    A training answers for what it makes worse itself: in a figure that has `fallen` already, as `find_fallen` has it,
    the weights before are the one standard, and nothing may be lost to them that can be told. What cannot be told adds
    up in many trainings: all of them together may not lower it further than by the tolerance.
    """
    losses = []
    for name, figure in candidate.figures.items():
        allowed, had = allowed_loss(name, tolerance), {}
        if fallen and name in fallen:
            before = standards[BEFORE]
            if _is_lower(candidate, before, name, 0.0):
                had[BEFORE] = before.figures[name]
            elif figure < min(fallen[name] - allowed, before.figures[name]):
                had["weights that were first below the original"] = fallen[name]
        else:
            had = {who: one.figures[name] for who, one in standards.items() if _is_lower(candidate, one, name, allowed)}
        now = f" (it is {standards[BEFORE].figures[name]:.4f} now)" if BEFORE in standards else ""
        losses += [
            f"{name.replace('_', ' ')} would fall to {figure:.4f}, from {height:.4f} of the {owner}"
            + (now if owner != BEFORE else "")
            for owner, height in had.items()
        ]
    return losses


def allowed_loss(name: str, tolerance: float) -> float:
    """What a guarded figure may lose of the tolerance."""
    return tolerance * (INNOCENT_SHARE if name == "innocent_recall" else 1.0)


def _is_lower(one: Appraisal, other: Appraisal, name: str, allowed: float) -> bool:
    """Whether a figure of one is lower than that of the other by more than `allowed`, and surely so: in 99 of 100
    resamples of the records (paired bootstrap; Efron, 1979), so that the set's size and noise decide what is a
    difference: of a set of forty records, one more that is wrong is none."""
    lost = other.resampled[name] - one.resampled[name]
    return bool(np.quantile(lost, 1 - CONFIDENCE) > allowed)
