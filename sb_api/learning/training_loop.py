"""A network with its optimizer, fitted from weights and their optimizer state: the same bits for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Predict, RowWeights, Targets
from sb_api.learning.recipe import _NEVER, RETRAINING, Examples, Recipe, draw_replay, join
from sb_api.models import networks
from sb_api.models.classifiers import Classifier
from sb_api.models.weights_file import Weights
from sb_api.text.tokenizers import Vocabularies
from sb_api.versions import Version

Fit = Callable[..., None]


if TYPE_CHECKING:
    import keras


def make_adam(learning_rate: float) -> Any:
    """Keras's Adam, its state under the same names, that updates each variable by one operation instead of a dozen.

    Adam passes over every number of the network in each step, so with few rows a step it costs more than all else.
    """
    keras: Any = networks.import_keras()
    import tensorflow as tf

    class Adam(keras.optimizers.Adam):  # type: ignore[misc]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            place = self._get_variable_index(variable)
            step = tf.cast(self.iterations + 1, variable.dtype)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._momentums[place].value.handle,
                v=self._velocities[place].value.handle,
                beta1_power=tf.pow(self.beta_1, step),
                beta2_power=tf.pow(self.beta_2, step),
                lr=tf.cast(learning_rate, variable.dtype),
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=tf.convert_to_tensor(gradient),
            )

    return Adam(learning_rate, name="adam")


class Fitting:
    """A network, its optimizer and its compiled training loop; traced once, used for every training."""

    def __init__(self, classifier: Classifier, labels: Sequence[str], vocabularies: Vocabularies) -> None:
        self.classifier = classifier
        self.labels = labels
        # The same first numbers in every process, or the same seed would not give the same weights.
        networks.import_keras().utils.set_random_seed(0)
        self.network: keras.Model = classifier.build(labels, vocabularies)
        self.optimizer: Any = make_adam(RETRAINING.learning_rate)
        # An optimizer that is not built takes loaded moments without a word and starts from zero.
        self.optimizer.build(self.network.trainable_variables)
        self.predict: Predict = networks.compile_predict(self.network)
        self._fit = compile_fit(self.network, self.optimizer)

    def load(self, weights: Weights) -> None:
        """Continue from `weights` and the optimizer state in them. Raises InvalidWeights."""
        networks.set_arrays(self.network, weights.arrays)
        networks.assign_all(self.optimizer.variables, weights.optimizer, "the optimizer")

    def fit(
        self,
        new: Examples,
        seed: int,
        reference: Examples | None = None,
        log: Examples | None = None,
        recipe: Recipe = RETRAINING,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Fit to new rows amid known ones, as `recipe.compile_fit` says."""
        self._fit(recipe, new, seed, reference=reference, log=log, progress=progress)

    def snapshot(self, about: Version) -> Weights:
        """Copies of what the network and its optimizer are now."""
        optimizer = {variable.path: np.array(variable.value.numpy()) for variable in self.optimizer.variables}
        return Weights(about, networks.get_arrays(self.network), optimizer)


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


def _row_weights(recipe: Recipe, targets: Targets) -> RowWeights:
    if recipe.label_weights is None:
        return np.ones(len(targets), np.float32)
    return np.array(recipe.label_weights, np.float32)[targets]
