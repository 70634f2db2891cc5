"""A network with its optimizer, fitted from weights and their optimizer state: the same bits for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sb_api.learning.recipe import RETRAINING, Examples, Recipe, compile_fit
from sb_api.models import networks
from sb_api.models.classifiers import Classifier
from sb_api.models.networks import Predict
from sb_api.models.weights_store import Weights
from sb_api.text.tokenizers import Vocabularies
from sb_api.versions import Version

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
        if recipe.label_weights is not None and len(recipe.label_weights) != len(self.labels):
            recipe = replace(recipe, label_weights=None)
        self._fit(recipe, new, seed, reference=reference, log=log, progress=progress)

    def snapshot(self, about: Version) -> Weights:
        """Copies of what the network and its optimizer are now."""
        optimizer = {variable.path: np.array(variable.value.numpy()) for variable in self.optimizer.variables}
        return Weights(about, networks.get_arrays(self.network), optimizer)
