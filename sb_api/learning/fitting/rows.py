"""The rows of a fitting: the known ones beside the new ones, what they are taught and weigh, and which are low."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sb_api.arrays import RowWeights, Scores, Targets
from sb_api.judgements import NO_CLASS
from sb_api.learning.recipe import Examples, Recipe, draw_replay, join

# Floors: how far below one a row may end, and above it is aimed; and what is asked of it at most.
SLACK, HIGHEST_FLOOR = 0.002, 0.9995


@dataclass(frozen=True)
class Known:
    """The known rows of a fitting: those of the reference set, those of the log, and the new ones, with what they are
    taught. `anchors` are the scores that settling holds them to."""

    rows: Examples
    reference: Examples
    log: Examples
    new: Examples
    targets: npt.NDArray[np.float32]
    anchors: npt.NDArray[np.float32]

    @classmethod
    def of(cls, recipe: Recipe, new: Examples, reference: Examples | None, log: Examples | None, classes: int) -> Known:
        nothing = Examples({name: array[:0] for name, array in new.arrays.items()}, new.targets[:0])
        log = log if log is not None else nothing
        reference = reference if reference is not None else nothing
        rows = join(reference, log, new) if recipe.replay_rows else nothing
        targets = one_hot(rows.targets, classes)
        if reference.scores is not None and len(rows):
            targets[: len(reference)] *= 1 - recipe.distilled
            targets[: len(reference)] += recipe.distilled * reference.scores
        if new.scores is not None and len(rows):
            targets[len(rows) - len(new) :] = new.scores
        return cls(rows, reference, log, new, targets, targets)

    def draw(self, steps: int, recipe: Recipe, random: np.random.Generator) -> npt.NDArray[np.int32]:
        """The places of the known rows of each step, the new ones among them."""
        logged = np.concatenate([self.log.targets, self.new.targets])
        scores = self.reference.scores
        return draw_replay(self.reference.targets, logged, steps, recipe, random, scores, recipe.log_times)

    def draw_settled(self, steps: int, recipe: Recipe, random: np.random.Generator, most: int) -> npt.NDArray[np.int32]:
        """The places of the known rows of each step of settling, in which each new row comes `most` times: none of the
        log comes more often, and the new ones are not among them."""
        scores = self.reference.scores
        return draw_replay(self.reference.targets, self.log.targets, steps, recipe, random, scores, most)


def make_tensors(known: Known, new: Examples, recipe: Recipe, classes: int, floors: RowWeights) -> tuple[Any, Any]:
    """What a compiled loop is given of the new and the known rows, converted once."""
    import tensorflow as tf

    drawn = recipe.replay_rows if len(known.rows) else 0
    steps = -(-len(new) // recipe.batch_size)
    drawn = known.draw(steps, recipe, np.random.default_rng(0)).shape[1] if drawn else 0
    weights = _row_weights(recipe, known.rows.targets) * np.float32(recipe.replay_weight / max(drawn, 1))
    aims = np.minimum(np.where(floors > 0, floors + SLACK, 0), HIGHEST_FLOOR)
    margins = np.maximum(aims, recipe.margin).astype(np.float32)
    targets = known.targets[len(known.rows) - len(new) :] if len(known.rows) else one_hot(new.targets, classes)
    if new.scores is not None:
        targets, margins = new.scores, np.full_like(margins, 2.0)  # there is nothing past them to be reached
    new_rows = (dict(new.arrays), targets, _row_weights(recipe, new.targets), margins)
    known_rows = (dict(known.rows.arrays), known.targets, weights, known.anchors)
    return tf.nest.map_structure(tf.constant, new_rows), tf.nest.map_structure(tf.constant, known_rows)


def wanted_log_odds(rows: Examples, least: RowWeights) -> npt.NDArray[np.float64]:
    """The log-odds of label 1 (n,) at which rows of two labels have so much probability (n,) of their own."""
    shares = np.minimum(least, HIGHEST_FLOOR).astype(np.float64)
    return np.asarray(np.log(shares / (1 - shares)) * np.where(rows.targets == 1, 1.0, -1.0), np.float64)


def are_low(scores: Scores, rows: Examples, floors: RowWeights) -> npt.NDArray[np.bool_]:
    """Which of the scores (n, labels) of rows are not where `floors` (n,), probabilities of their labels, ask them to
    be; of no class, what the likeliest one lacks to 1."""
    own = scores[np.arange(len(rows)), rows.targets]
    reached = np.where(rows.targets == NO_CLASS, 1 - scores.max(axis=1), own)
    return np.asarray((floors > 0) & (reached < np.minimum(floors, HIGHEST_FLOOR) - SLACK))


def one_hot(targets: Targets, classes: int) -> npt.NDArray[np.float32]:
    """What n rows are taught (n, classes): of no class is a row that is no more of one than of any other (Hendrycks et
    al., Deep Anomaly Detection with Outlier Exposure, 2019)."""
    rows: npt.NDArray[np.float32] = np.eye(classes, dtype=np.float32)[targets]
    rows[targets == NO_CLASS] = 1 / classes
    return rows


def _row_weights(recipe: Recipe, targets: Targets) -> RowWeights:
    if recipe.label_weights is None:
        return np.ones(len(targets), np.float32)
    return np.array(recipe.label_weights, np.float32)[targets]
