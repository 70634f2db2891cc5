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

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, pi
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sb_api.models.networks import Arrays

if TYPE_CHECKING:
    import keras

Targets = npt.NDArray[np.integer[Any]]
Weights = npt.NDArray[np.float32]
_NEVER = 2**31 - 1


@dataclass(frozen=True)
class Recipe:
    """What each step of a fitting does.

    Adam at `learning_rate`, `batch_size` rows a step, `epochs` times over the rows; along half a cosine over the epochs
    the rate falls to a share `final` of itself. The first `dropout_epochs` epochs run with the network's dropout, the
    others fit the network as it predicts.

    Each step also draws `replay_rows` known rows, as many of each label and at least one of it; of each label's draws a
    share `log_share` comes from the verdicts so far, and of the others, where reference rows carry scores, a share
    `hard_share` from the tenth of the label's reference rows that score worst. Their mean loss weighs `replay_weight`
    times the mean loss of the step's own rows. The targets of reference rows that carry scores are a mixture of these,
    by the share `distilled`, and their label. With `averaged` the result is the mean of the iterates of the second half
    of all steps.

    `label_weights` holds the weight of a row's loss by its label; None weighs all alike.
    """

    learning_rate: float = 0.001
    batch_size: int = 1
    epochs: int = 2
    final: float = 1.0
    dropout_epochs: int = _NEVER
    replay_rows: int = 0
    replay_weight: float = 1.0
    log_share: float = 0.0
    hard_share: float = 0.0
    distilled: float = 0.0
    averaged: bool = False
    label_weights: tuple[float, ...] | None = None

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        return self.learning_rate * (self.final + (1 - self.final) * (1 + cos(pi * epoch / self.epochs)) / 2)


# An innocent editor judged spam costs as much as eight spammers that are missed; the mean weight of balanced rows is 1.
CAUTION = (16 / 9, 2 / 9)
SPECIFIED = Recipe()
RETRAINING = replace(
    SPECIFIED,
    dropout_epochs=0,
    replay_rows=128,
    replay_weight=4.0,
    log_share=0.25,
    hard_share=0.5,
    distilled=0.7,
    averaged=True,
    label_weights=CAUTION,
)


@dataclass(frozen=True)
class Examples:
    """n rows as named arrays, with the numbers of their labels (n,), and what the original says of them (n, labels)."""

    arrays: Arrays
    targets: Targets
    scores: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.targets)


Fit = Callable[..., None]


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
) -> npt.NDArray[np.int32]:
    """The places (steps, k) of the known rows of each step in the reference rows followed by those of the log.
    `scores` (n, labels) say which of the reference rows are hard.

    As many of each label that occurs in either; a label that only one of them has comes from that one. k is
    `replay_rows` less what does not divide evenly among the labels, but at least one row of each; it is 0 when there
    are no rows or none are asked for.
    """
    labels = np.union1d(reference, log)
    parts = []
    for label in labels:
        count = max(recipe.replay_rows // len(labels), min(recipe.replay_rows, 1))
        mine = np.flatnonzero(reference == label)
        logged = len(reference) + np.flatnonzero(log == label)
        from_log = count if not len(mine) else round(count * recipe.log_share) if len(logged) else 0
        hard = mine[:0] if scores is None else mine[np.argsort(scores[mine, label], kind="stable")][: len(mine) // 10]
        from_hard = round((count - from_log) * recipe.hard_share) if len(hard) else 0
        for places, size in ((mine, count - from_log - from_hard), (hard, from_hard), (logged, from_log)):
            if size:
                parts.append(random.choice(places, (steps, size)))
    return np.concatenate([np.zeros((steps, 0)), *parts], axis=1).astype(np.int32)


def compile_fit(network: keras.Model, optimizer: Any) -> Fit:
    """The fitting of a network: one compiled loop over all steps of an epoch, traced on first use.

    Returns `fit(recipe, new, seed, reference=None, log=None, progress=None)`. It trains on the rows of `new`, in an
    order, with draws and with dropout that follow from `seed` alone, from the network's and the optimizer's present
    state. `reference` are known rows that the network has learned before; `log` the verdicts so far, to which those
    of `new` are added. `progress` is called with the number of rows after each epoch.
    Loss: categorical cross-entropy.
    """
    import keras
    import tensorflow as tf

    variables = network.trainable_variables
    sums = [tf.Variable(variable.value, trainable=False) for variable in variables]
    rows = {name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for name, tensor in network.input.items()}
    classes = network.output.shape[-1]
    examples = (rows, tf.TensorSpec((None, classes), tf.float32), tf.TensorSpec((None,), tf.float32))
    numbers = [tf.TensorSpec((), tf.int32)] * 3
    signature = [examples, tf.TensorSpec((None,), tf.int32), examples, tf.TensorSpec((None, None), tf.int32), *numbers]

    def losses(inputs: Any, targets: Any, dropout: bool) -> Any:
        probabilities = network(inputs, training=dropout)
        if probabilities.shape.rank == 3:  # of members that each learn for themselves
            targets = tf.repeat(targets[:, None], probabilities.shape[1], axis=1)
            return tf.reduce_mean(keras.losses.categorical_crossentropy(targets, probabilities), axis=1)
        return keras.losses.categorical_crossentropy(targets, probabilities)

    def compile_epoch(dropout: bool) -> Callable[..., None]:
        # One compiled loop instead of a call per step: with few rows a step, the calls would cost more than the steps.
        @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
        def epoch(new: Any, order: Any, known: Any, draws: Any, batch_size: Any, done: Any, sum_from: Any) -> None:
            for number in tf.range(tf.shape(draws)[0]):
                chosen, drawn = order[number * batch_size : (number + 1) * batch_size], draws[number]

                def take(mine: Any, others: Any, chosen: Any = chosen, drawn: Any = drawn) -> Any:
                    return tf.concat([tf.gather(mine, chosen), tf.gather(others, drawn)], axis=0)

                inputs = {name: take(new[0][name], known[0][name]) for name in rows}
                weights = take(new[2] / tf.cast(tf.shape(chosen)[0], tf.float32), known[2])
                with tf.GradientTape() as tape:
                    loss = tf.reduce_sum(weights * losses(inputs, take(new[1], known[1]), dropout))
                optimizer.apply(tape.gradient(loss, variables), variables)
                if done + number >= sum_from:
                    for total, variable in zip(sums, variables, strict=True):
                        total.assign_add(variable)

        return epoch  # type: ignore[no-any-return]

    epochs = {dropout: compile_epoch(dropout) for dropout in (True, False)}

    def fit(
        recipe: Recipe,
        new: Examples,
        seed: int,
        reference: Examples | None = None,
        log: Examples | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        for number, variable in enumerate(v for v in network.variables if "seed_generator" in v.path):
            variable.assign([seed % 2**31, number])
        random = np.random.default_rng(seed)
        nothing = Examples({name: array[:0] for name, array in new.arrays.items()}, new.targets[:0])
        log = join(log, new) if log is not None else new
        reference = reference if reference is not None else nothing
        known = join(reference, log) if recipe.replay_rows else nothing
        steps = -(-len(new) // recipe.batch_size)
        sum_from = steps * recipe.epochs // 2 if recipe.averaged else _NEVER
        new_rows = (dict(new.arrays), _one_hot(new.targets, classes), _row_weights(recipe, new.targets))
        known_targets, known_weights = _one_hot(known.targets, classes), _row_weights(recipe, known.targets)
        if reference.scores is not None and len(known):
            known_targets[: len(reference)] *= 1 - recipe.distilled
            known_targets[: len(reference)] += recipe.distilled * reference.scores
        for total in sums:
            total.assign(tf.zeros_like(total))
        for place in range(recipe.epochs):
            optimizer.learning_rate.assign(recipe.rate(place))
            order = random.permutation(len(new)).astype(np.int32)
            draws = draw_replay(reference.targets, log.targets, steps, recipe, random, reference.scores)
            weights = known_weights * np.float32(recipe.replay_weight / max(draws.shape[1], 1))
            known_rows = (dict(known.arrays), known_targets, weights)
            counts = (np.int32(n) for n in (recipe.batch_size, place * steps, sum_from))
            epochs[place < recipe.dropout_epochs](new_rows, order, known_rows, draws, *counts)
            if progress:
                progress(len(new))
        if recipe.averaged and steps:
            for total, variable in zip(sums, variables, strict=True):
                variable.assign(total / (steps * recipe.epochs - sum_from))

    return fit


def _one_hot(targets: Targets, classes: int) -> npt.NDArray[np.float32]:
    rows: npt.NDArray[np.float32] = np.eye(classes, dtype=np.float32)[targets]
    return rows


def _row_weights(recipe: Recipe, targets: Targets) -> Weights:
    if recipe.label_weights is None:
        return np.ones(len(targets), np.float32)
    return np.array(recipe.label_weights, np.float32)[targets]
