"""How a network is fitted: the record of the recipe, and one compiled loop that follows it.

Fine-tuning on verdicts alone forgets: after ten trainings of twenty verdicts each by the specified recipe (Adam, batch
size 1, 2 epochs), Lodbrok had lost 17 points of accuracy. `RETRAINING` keeps that recipe's steps and sets beside the
one verdict of each step a fresh class-balanced draw of rows that are known (experience replay; Rolnick et al.,
Experience Replay for Continual Learning, 2019); teaches these what the original weights say of them more than what
their label says (Buzzega et al., Dark Experience for General Continual Learning, 2020), because the same rows come back
for years and would be learned by heart; draws half of them from those that these scores place worst, because it is
there that a border is lost; and ends with the mean of the iterates instead of the last one (Polyak and Juditsky,
Acceleration of Stochastic Approximation by Averaging, 1992), which takes out the noise of single rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import cos, pi
from typing import Any

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Arrays, Targets
from sb_api.judgements import NO_CLASS
from sb_api.records import RECORD_TYPES
from sb_api.versions import find_merged

NEVER = 2**31 - 1


@dataclass(frozen=True)
class Recipe:
    """What each step of a fitting does.

    Adam at `learning_rate`, `batch_size` rows a step, `epochs` times over the rows; along half a cosine over the epochs
    the rate falls to a share `final` of itself. The first `dropout_epochs` epochs run with the network's dropout, the
    others fit the network as it predicts.

    Each step also draws `replay_rows` known rows, as many of each label and at least one of it; of each label's draws a
    share `log_share` comes from the verdicts so far, the new ones among them, each at most `log_times` an epoch; and of
    the others, where reference rows carry scores, a share `hard_share` from the tenth of the label's reference rows
    that score worst. Their mean loss weighs `replay_weight` times the mean loss of the step's own rows. The targets of
    reference rows that carry scores are a mixture of these, by the share `distilled`, and their label. With `averaged`
    the result is the mean of the iterates of the second half of all steps.

    No more than `own_rows` rows are learned by what is their own instead, where that is enough for each to reach
    `margin` as the probability of its label (`own_features`). So are any number of verdicts that nearly all have the
    same label, to reach `one_sided_margin`. Else, of fewer than half of `settle_steps` steps, so many more follow at
    `settle_rate`: they bring known rows back to where they stood, by `anchor` times the mean square of how far their
    log-odds have moved, while the new ones keep their margin.

    The numbers of hashed features learn faster, by `pace` and by how little they weigh, and the slower, the more alike
    both labels of the new rows have them (`pace_features`); at 0 as fast as all others.

    `label_weights` holds the weight of a row's loss by its label; None weighs all alike.
    """

    learning_rate: float = 0.001
    batch_size: int = 1
    epochs: int = 2
    final: float = 1.0
    dropout_epochs: int = NEVER
    replay_rows: int = 0
    replay_weight: float = 1.0
    log_share: float = 0.0
    log_times: int = NEVER
    hard_share: float = 0.0
    distilled: float = 0.0
    averaged: bool = False
    own_rows: int = 0
    settle_steps: int = 0
    settle_rate: float = 0.0003
    anchor: float = 0.0
    margin: float = 1.0
    one_sided_margin: float = 1.0
    pace: float = 0.0
    label_weights: tuple[float, ...] | None = None

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        return self.learning_rate * (self.final + (1 - self.final) * (1 + cos(pi * epoch / self.epochs)) / 2)

    @property
    def most_settled(self) -> int:
        """So many new rows at most are settled (`settle_steps`) whatever is asked of them."""
        return self.batch_size * max(0, self.settle_steps // 2 - 1)

    def own_margin(self, new: Examples) -> float | None:
        """The probability of its label that each of n new rows is to reach by what is its own; None where they are
        not to be learned that way."""
        if not len(new) or not self.own_rows:
            return None
        if len(new) <= self.own_rows:
            return self.margin
        return self.one_sided_margin if new.scores is None and are_one_sided(new.targets) else None


def weigh_labels(caution: float) -> tuple[float, float] | None:
    """The weights of labels 0 and 1 with which a false positive costs as much as so many misses; the mean weight of
    balanced rows is 1. None when all weigh alike."""
    return None if caution == 1.0 else (2 * caution / (caution + 1), 2 / (caution + 1))


SPECIFIED = Recipe()
RETRAINING = replace(
    SPECIFIED,
    dropout_epochs=0,
    replay_rows=128,
    replay_weight=4.0,
    log_share=0.25,
    log_times=3,
    hard_share=0.5,
    distilled=0.7,
    averaged=True,
    own_rows=10,
    settle_steps=64,
    anchor=10.0,
    margin=0.7,
    one_sided_margin=0.9,
    pace=1.0,
)
# Messages have many labels, and are learned by heart at the full rate, at the cost of others: it is smaller, what is
# known weighs more, and several at a time leave it to settling to bring each of them where it should be.
RETRAINING_OF_MESSAGES = replace(RETRAINING, learning_rate=0.0002, batch_size=8, replay_weight=16.0, log_times=NEVER)
RETRAININGS = {name: RETRAINING_OF_MESSAGES if each.of_messages else RETRAINING for name, each in RECORD_TYPES.items()}


# Verdicts are of one label where that has so large a share of them. Steps on both labels teach what sets them apart;
# on one, how common that is, and so they move all others along.
ONE_SIDED = 0.9


def are_one_sided(targets: Targets) -> bool:
    """Whether nearly all of n labels of two are the same one."""
    return bool(np.bincount(targets, minlength=2).max() >= ONE_SIDED * len(targets))


LOG_HALF = 1_000  # learned verdicts with which half of the way to the largest share of the log is gone


def share_of_log(learned: int, most: float) -> float:
    """Which share of the known rows comes from the log of so many learned verdicts, at most `most`: the made-up
    accounts of the reference set give way to real ones."""
    least = min(RETRAINING.log_share, most)
    return least + (most - least) * learned / (learned + LOG_HALF)


@dataclass(frozen=True)
class Examples:
    """n rows as named arrays, with the numbers of their labels (n,), and probabilities of all labels (n, labels): of
    known rows what the original says of them, of new ones what they are to be taught in place of their label."""

    arrays: Arrays
    targets: Targets
    scores: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, places: npt.NDArray[np.int64]) -> Examples:
        """The rows at some places, in their order."""
        arrays = {name: array[places] for name, array in self.arrays.items()}
        return Examples(arrays, self.targets[places], None if self.scores is None else self.scores[places])


def merge_targets(targets: Targets, labels: Sequence[str]) -> Targets:
    """The numbers (n,) of classes, each that of the one that it is merged into; `NO_CLASS`, and what is no label of
    these, stays what it is."""
    merged = find_merged(labels)
    if merged is None:
        return targets
    known = (targets >= 0) & (targets < len(merged))
    return np.where(known, np.array(merged)[np.where(known, targets, 0)], targets)


def join(*parts: Examples) -> Examples:
    """The rows of all parts, in order, without their scores."""
    arrays = {name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays}
    return Examples(arrays, np.concatenate([part.targets for part in parts]))


def mix(current: Arrays, tuned: Arrays, share: float) -> dict[str, npt.NDArray[Any]]:
    """current + share x (tuned - current), array by array: a smaller step the same way (Wortsman et al., Robust
    Fine-Tuning of Zero-Shot Models, 2022)."""
    return {path: (array + share * (tuned[path] - array)).astype(array.dtype) for path, array in current.items()}


def draw_replay(
    reference: Targets,
    log: Targets,
    steps: int,
    recipe: Recipe,
    random: np.random.Generator,
    scores: npt.NDArray[np.float32] | None = None,
    most: int = NEVER,
) -> npt.NDArray[np.int32]:
    """The places (steps, k) of the known rows of each step in the reference rows followed by those of the log.
    `scores` (n, labels) say which of the reference rows are hard; no row of the log comes more than `most` times.

    As many of each label that occurs in either; a label that only one of them has comes from that one. k is
    `replay_rows` less what does not divide evenly among the labels, but at least one row of each; it is 0 when there
    are no rows or none are asked for. Rows of the log are dealt like cards, all of a label before any comes again: none
    is drawn more often than the newest, which have steps of their own besides.
    """
    labels = np.union1d(reference, log)
    parts = []
    for label in labels:
        count = max(recipe.replay_rows // len(labels), min(recipe.replay_rows, 1))
        mine = np.flatnonzero(reference == label)
        logged = len(reference) + np.flatnonzero(log == label)
        if label == NO_CLASS and not len(mine):  # where it has no reference rows
            count = round(count * recipe.log_share)
        from_log = count if not len(mine) else round(count * recipe.log_share) if len(logged) else 0
        from_log = min(from_log, len(logged) * most // max(steps, 1))
        hard = mine[:0]
        if scores is not None:
            likely = -scores[mine].max(axis=1) if label == NO_CLASS else scores[mine, label]
            hard = mine[np.argsort(likely, kind="stable")][: len(mine) // 10]
        from_hard = round((count - from_log) * recipe.hard_share) if len(hard) else 0
        for places, size in ((mine, count - from_log - from_hard), (hard, from_hard)):
            if size and len(places):
                parts.append(random.choice(places, (steps, size)))
        if from_log:
            parts.append(_deal(logged, (steps, from_log), random))
    return np.concatenate([np.zeros((steps, 0)), *parts], axis=1).astype(np.int32)


def _deal(places: Targets, shape: tuple[int, int], random: np.random.Generator) -> Targets:
    """Places in random order, as often as the shape needs them, each as often as any other or once more."""
    size = shape[0] * shape[1]
    rounds = [random.permutation(places) for _ in range(-(-size // len(places)))]
    return np.concatenate(rounds)[:size].reshape(shape)
