"""A network with its optimizer, fitted from weights and their optimizer state: the same bits for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api.arrays import Arrays, Predict, RowWeights
from sb_api.errors import InvalidWeights
from sb_api.learning.classes import growth
from sb_api.learning.classes.imprint import imprint
from sb_api.learning.fitting.adam import make_adam
from sb_api.learning.fitting.own_features import OwnFeatures, pace_features
from sb_api.learning.fitting.rows import Known, are_low, make_tensors, wanted_log_odds
from sb_api.learning.recipe import NEVER, RETRAINING, Examples, Recipe, join
from sb_api.models import networks
from sb_api.models.calibration import log_odds
from sb_api.models.classifiers import Classifier
from sb_api.models.weights_file import Weights
from sb_api.text.tokenizers import Vocabularies
from sb_api.versions import Version

LEAST_PROBABILITY = 1e-7  # what float32 scores tell apart from 0
# How often rows below their floors are tried to be brought up, and how much more a row weighs each time.
MOST_SETTLINGS, MORE_WEIGHT = 6, 3.0
SETTLINGS_BEFORE_LIFT = 2  # where what is left of the way then goes by what is their own

if TYPE_CHECKING:
    import keras


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
        # What the optimizer's state was set to, or was copied to last, until it makes a step: that is most of all
        # numbers, and many trainings make none.
        self._optimizer_state: Arrays | None = None
        self.loop = TrainingLoop(self.network, self.optimizer, self.predict)

    def load(self, weights: Weights) -> None:
        """Continue from `weights` and the optimizer state in them, which may be of fewer labels. Raises
        InvalidWeights."""
        weights = self.widen(weights)
        self.restore((weights.arrays, weights.optimizer))

    def widen(self, weights: Weights) -> Weights:
        """Weights of this network's labels that say what `weights` say, which have the first of them, by whatever name;
        the others are next to impossible. Raises InvalidWeights where they have more."""
        labels = weights.about.labels
        if labels == list(self.labels):
            return weights
        if len(labels) > len(self.labels):
            raise InvalidWeights(f"The weights {weights.about.version} have more labels than the network.")
        if len(labels) == len(self.labels):  # of which some are called otherwise since
            return replace(weights, about=msgspec.structs.replace(weights.about, labels=list(self.labels)))
        arrays = growth.widen(weights.arrays, {v.path: tuple(v.shape) for v in networks.numbers_of(self.network)})
        shapes = {variable.path: tuple(variable.shape) for variable in self.optimizer.variables}
        about = msgspec.structs.replace(weights.about, labels=list(self.labels))
        return Weights(about, arrays, growth.widen_optimizer(weights.optimizer, shapes))

    def begin_classes(self, new: Examples, known: Examples, seed: int) -> npt.NDArray[np.int64]:
        """Teach the network those classes of new rows that it never learned, amid known ones (`imprint`); returns
        their numbers."""
        classes = np.intersect1d(growth.find_unlearned(networks.get_arrays(self.network)), new.targets).astype(np.int64)
        if len(classes):
            imprint(self.network, new, known, classes, seed)
        return classes

    def state(self) -> tuple[Arrays, Arrays]:
        """Copies of the numbers of the network and of its optimizer, as they are now."""
        if self._optimizer_state is None:
            values = {variable.path: np.array(variable.value.numpy()) for variable in self.optimizer.variables}
            self._optimizer_state = values
        return networks.get_arrays(self.network), self._optimizer_state

    def restore(self, state: tuple[Arrays, Arrays]) -> None:
        """Be again what `state` was. Raises InvalidWeights."""
        networks.set_arrays(self.network, state[0])
        if state[1] is not self._optimizer_state:
            networks.assign_all(self.optimizer.variables, state[1], "the optimizer")
            self._optimizer_state = state[1]

    def fit(
        self,
        new: Examples,
        seed: int,
        reference: Examples | None = None,
        log: Examples | None = None,
        recipe: Recipe = RETRAINING,
        progress: Callable[[int], None] | None = None,
        floors: RowWeights | None = None,
    ) -> None:
        """Fit to new rows amid known ones, as `TrainingLoop.fit` says."""
        unchanged, self._optimizer_state = self._optimizer_state, None
        if not self.loop.fit(recipe, new, seed, reference, log, progress, floors):
            self._optimizer_state = unchanged

    def lift(self, new: Examples, floors: RowWeights, known: Examples) -> bool:
        """Bring rows of `new` that are below their floors (n,) up to them by what is their own, as `TrainingLoop.lift`
        says."""
        return self.loop.lift(new, floors, known)

    def snapshot(self, about: Version) -> Weights:
        """Copies of what the network and its optimizer are now."""
        return Weights(about, *self.state())


class TrainingLoop:
    """The fitting of a network: compiled loops over all steps of an epoch, each traced on first use.

    It trains from the network's and the optimizer's present state; the order of the rows, the draws and the dropout
    follow from a seed alone. Loss: categorical cross-entropy, and while it settles how far the log-odds of known rows
    have moved. `predict` is the network's compiled forward pass.
    """

    def __init__(self, network: keras.Model, optimizer: Any, predict: Predict | None = None) -> None:
        import tensorflow as tf

        self.network = network
        self.optimizer = optimizer
        self.variables = network.trainable_variables
        self.classes = network.output.shape[-1]
        self._given_predict = predict
        self._sums = [tf.Variable(variable.value, trainable=False) for variable in self.variables]
        self._epochs = {dropout: self._compile(dropout, anchored=False) for dropout in (True, False)}
        self._settling = self._compile(dropout=False, anchored=True)
        self._own = OwnFeatures.of(network, lambda arrays: self.predict(arrays))
        if self._own is not None:
            # The rows of the table that have a pace of their own, and which.
            self._paced = tf.Variable(np.zeros(0, np.int32), shape=(None,), trainable=False)
            self._paces = tf.Variable(np.zeros((0, 1), np.float32), shape=(None, 1), trainable=False)
            optimizer.pace(self._own.table, self._paced, self._paces)

    @cached_property
    def predict(self) -> Predict:
        return self._given_predict or networks.compile_predict(self.network)

    def fit(
        self,
        recipe: Recipe,
        new: Examples,
        seed: int,
        reference: Examples | None = None,
        log: Examples | None = None,
        progress: Callable[[int], None] | None = None,
        floors: RowWeights | None = None,
    ) -> bool:
        """Follow a recipe over the rows of `new`; whether the optimizer has made steps for it. `reference` are known
        rows that the network has learned before; `log` the verdicts so far, to which those of `new` are added.
        `progress` is called with the number of rows after each epoch. `floors` (n,) are the probabilities of their
        labels that rows of `new` must reach; 0 where that is left to the recipe.
        """
        import tensorflow as tf

        for number, variable in enumerate(v for v in self.network.variables if "seed_generator" in v.path):
            variable.assign([seed % 2**31, number])
        random = np.random.default_rng(seed)
        floors = np.zeros(len(new), np.float32) if floors is None else floors
        if self._learn_own(recipe, new, [part for part in (reference, log) if part is not None], floors):
            return False
        known = Known.of(recipe, new, reference, log, self.classes)
        steps = -(-len(new) // recipe.batch_size)
        if self._own is not None:
            paces = pace_features(new, self._own.table.shape[0], recipe.pace)
            paced = np.flatnonzero(paces != 1).astype(np.int32)
            self._paced.assign(paced)
            self._paces.assign(paces[paced])
        settling = bool(steps and recipe.settle_steps) and (len(new) <= recipe.most_settled or bool(floors.any()))
        if settling and len(known.rows):
            known = replace(known, anchors=self.predict(known.rows.arrays))
        tensors = make_tensors(known, new, recipe, self.classes, floors)
        sum_from = steps * recipe.epochs // 2 if recipe.averaged and not settling else NEVER
        for total in self._sums:
            total.assign(tf.zeros_like(total))
        for place in range(recipe.epochs):
            self.optimizer.learning_rate.assign(recipe.rate(place))
            order = random.permutation(len(new)).astype(np.int32)
            draws = known.draw(steps, recipe, random)
            counts = (recipe.batch_size, place * steps, sum_from)
            self._epochs[place < recipe.dropout_epochs](*tensors, order, draws, *map(np.int32, counts), np.float32(0))
            if progress:
                progress(len(new))
        if settling:
            self._settle(recipe, new, known, tensors, floors, random)
            self.lift(new, floors, join(known.reference, known.log))
        elif recipe.averaged and steps:
            self._take_mean(steps * recipe.epochs - sum_from)
        return True

    def lift(self, new: Examples, floors: RowWeights, known: Examples) -> bool:
        """Bring rows of `new` that are below their floors (n,), probabilities of their labels, up to them by what is
        their own, with which `known` rows move the least; False where none is, or the network has no such features."""
        if self._own is None or not are_low(self.predict(new.arrays), new, floors).any():
            return False
        held = np.flatnonzero(floors > 0)
        rows = Examples({name: array[held] for name, array in new.arrays.items()}, new.targets[held])
        self._own.approach(rows, wanted_log_odds(rows, floors[held]), False, known)
        return True

    def _learn_own(self, recipe: Recipe, new: Examples, known: Sequence[Examples], floors: RowWeights) -> bool:
        """Learn the new rows by what is their own; False where they are not to be learned that way, or where that is
        not enough for few, and the network stays as it is."""
        if self._own is None or (margin := recipe.own_margin(new)) is None:
            return False
        before = self._own.state()
        wanted = log_odds(new.scores) if new.scores is not None else wanted_log_odds(new, np.maximum(floors, margin))
        rows = join(*known) if known else new.take(np.zeros(0, np.int64))
        if self._own.approach(new, wanted, new.scores is not None, rows) or len(new) > recipe.own_rows:
            return True
        self._own.restore(before)
        return False

    def _settle(
        self,
        recipe: Recipe,
        new: Examples,
        known: Known,
        tensors: Any,
        floors: RowWeights,
        random: np.random.Generator,
    ) -> None:
        """Bring back what has moved besides the new rows, which stay within their margins; again, with more weight on
        these, while some are below their floors. The optimizer's state afterwards is that before: it belongs to the
        recipe's own steps."""
        import tensorflow as tf

        state = [np.array(variable.value.numpy()) for variable in self.optimizer.variables]
        self.optimizer.learning_rate.assign(recipe.settle_rate)
        count = len(new)
        steps = max(recipe.settle_steps, -(-count // recipe.batch_size))
        rounds = -(-steps * recipe.batch_size // count)
        order = np.concatenate([random.permutation(count) for _ in range(rounds)]).astype(np.int32)
        draws = known.draw_settled(steps, recipe, random, most=steps * recipe.batch_size // count)
        sum_from = steps // 2 if recipe.averaged else NEVER
        numbers = (*map(np.int32, (recipe.batch_size, 0, sum_from)), np.float32(recipe.anchor / count))
        (arrays, targets, weights, margins), known_rows = tensors
        for _ in range(MOST_SETTLINGS if self._own is None else SETTLINGS_BEFORE_LIFT):
            for total in self._sums:
                total.assign(tf.zeros_like(total))
            self._settling((arrays, targets, weights, margins), known_rows, order, draws, *numbers)
            if recipe.averaged:
                self._take_mean(steps - sum_from)
            if not floors.any() or not (low := are_low(self.predict(new.arrays), new, floors)).any():
                break
            weights *= np.where(low, np.float32(MORE_WEIGHT), np.float32(1))
        for variable, value in zip(self.optimizer.variables, state, strict=True):
            variable.assign(value)

    def _take_mean(self, count: int) -> None:
        """The mean of so many iterates takes the place of the last one."""
        for total, variable in zip(self._sums, self.variables, strict=True):
            variable.assign(total / count)

    def _losses(self, probabilities: Any, targets: Any) -> Any:
        import keras
        import tensorflow as tf

        if probabilities.shape.rank == 3:  # of members that each learn for themselves
            targets = tf.repeat(targets[:, None], probabilities.shape[1], axis=1)
            return tf.reduce_mean(keras.losses.categorical_crossentropy(targets, probabilities), axis=1)
        return keras.losses.categorical_crossentropy(targets, probabilities)

    def _compile(self, dropout: bool, anchored: bool) -> Callable[..., None]:
        import tensorflow as tf

        network, optimizer, variables, sums = self.network, self.optimizer, self.variables, self._sums
        inputs = {n: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for n, tensor in network.input.items()}
        per_class, per_row = tf.TensorSpec((None, self.classes), tf.float32), tf.TensorSpec((None,), tf.float32)
        new_rows = (inputs, per_class, per_row, per_row)  # with the targets, the weights and the margins
        known_rows = (inputs, per_class, per_row, per_class)  # with the targets, the weights and the anchors
        places = [tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, None), tf.int32)]
        numbers = [tf.TensorSpec((), tf.int32)] * 3 + [tf.TensorSpec((), tf.float32)]

        # One compiled loop instead of a call per step: with few rows a step, the calls would cost more than the steps.
        # Written as it is compiled: to have AutoGraph make it of Python's `for` and `if` takes half a second.
        @tf.function(input_signature=[new_rows, known_rows, *places, *numbers], autograph=False)  # type: ignore[untyped-decorator]
        def epoch(
            new: Any, known: Any, order: Any, draws: Any, batch_size: Any, done: Any, sum_from: Any, anchor: Any
        ) -> None:
            def step(number: Any) -> tuple[Any]:
                chosen, drawn = order[number * batch_size : (number + 1) * batch_size], draws[number]

                def take(mine: Any, others: Any) -> Any:
                    return tf.concat([tf.gather(mine, chosen), tf.gather(others, drawn)], axis=0)

                def add_up() -> tuple[()]:
                    for total, variable in zip(sums, variables, strict=True):
                        total.assign_add(variable)
                    return ()

                batch = {name: take(new[0][name], known[0][name]) for name in inputs}
                weights = take(new[2] / tf.cast(tf.shape(chosen)[0], tf.float32), known[2])
                targets = take(new[1], known[1])
                with tf.GradientTape() as tape:
                    probabilities = network(batch, training=dropout)
                    losses = self._losses(probabilities, targets)
                    if anchored:
                        # Only new rows have margins; a known row never reaches one above 1.
                        margins = take(new[3], tf.fill(tf.shape(known[2]), 2.0))
                        reached = tf.reduce_sum(targets * probabilities, axis=1) >= margins
                        losses = tf.where(reached, 0.0, losses)
                        moved = _log_odds(probabilities[tf.shape(chosen)[0] :]) - _log_odds(tf.gather(known[3], drawn))
                        loss = tf.reduce_sum(weights * losses) + anchor * tf.reduce_mean(tf.square(moved))
                    else:
                        loss = tf.reduce_sum(weights * losses)
                optimizer.apply(tape.gradient(loss, variables), variables)
                tf.cond(done + number >= sum_from, add_up, tuple)
                return (number + 1,)

            tf.while_loop(lambda number: number < tf.shape(draws)[0], step, (tf.constant(0),))

        return epoch  # type: ignore[no-any-return]


def _log_odds(probabilities: Any) -> Any:
    """The logarithms of n rows of probabilities (n, labels), less their mean: for two labels half the log-odds."""
    import tensorflow as tf

    logarithms = tf.math.log(tf.clip_by_value(probabilities, LEAST_PROBABILITY, 1.0))
    return logarithms - tf.reduce_mean(logarithms, axis=1, keepdims=True)
