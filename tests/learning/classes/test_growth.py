"""The message network with more classes: of those that it has it says what it said, and new ones are impossible."""

from __future__ import annotations

import numpy as np
import pytest

from sb_api.learning.classes.growth import find_unlearned, take_classes, widen, widen_optimizer
from sb_api.models import networks
from sb_api.models.networks import FEATURES_PER_MESSAGE, WORDS_PER_MESSAGE

FEATURES, WORDS = 50, 20


def shapes(network: object) -> dict[str, tuple[int, ...]]:
    return {variable.path: tuple(variable.shape) for variable in networks.numbers_of(network)}


@pytest.mark.parametrize("refusing", [False, True])
def test_a_network_of_more_classes_and_more_units_says_the_same(refusing: bool) -> None:
    random = np.random.default_rng(0)
    small, large = (networks.build_intent(count, FEATURES, WORDS, encoded=True, refusing=refusing) for count in (8, 11))
    assert networks.message_width(8) < networks.message_width(11), "the hidden layers are wider too"
    arrays = {path: random.normal(0, 0.3, a.shape).astype(a.dtype) for path, a in networks.get_arrays(small).items()}
    if refusing:
        arrays[networks.REFUSING_SHARE] = networks.get_arrays(small)[networks.REFUSING_SHARE]
    networks.set_arrays(small, arrays)
    networks.set_arrays(large, widen(arrays, shapes(large)))
    rows = {
        "feature_input": random.integers(0, FEATURES, (9, FEATURES_PER_MESSAGE)).astype(np.int32),
        "weight_input": np.abs(random.normal(0.05, 0.1, (9, FEATURES_PER_MESSAGE))).astype(np.float32),
        "word_input": random.integers(0, WORDS, (9, WORDS_PER_MESSAGE)).astype(np.int32),
        "sentence_input": random.normal(0, 0.05, (9, networks.SENTENCE_WIDTH)).astype(np.float32),
    }
    before, after = (np.asarray(network(rows)) for network in (small, large))
    np.testing.assert_allclose(after[:, :8], before, atol=1e-6)
    assert after[:, 8:].max() < 1e-6
    grown = networks.get_arrays(large)
    assert find_unlearned(grown).tolist() == [8, 9, 10]
    assert find_unlearned(arrays).tolist() == []
    assert find_unlearned({"main_scaling/log": np.zeros(1)}).tolist() == [], "another network has no such classes"
    taken = take_classes(grown, {path: np.zeros_like(array) for path, array in grown.items()}, np.array([9]))
    assert find_unlearned(taken).tolist() == [8, 10]
    assert taken["line_embedding/embeddings"][:, 9].tolist() == [0.0] * (FEATURES + 1)
    np.testing.assert_array_equal(taken["feature_embedding/embeddings"], grown["feature_embedding/embeddings"])


def test_the_state_of_the_optimizer_grows_with_it() -> None:
    state = {"adam/phrase_output_kernel_momentum": np.arange(8.0).reshape(4, 2), "adam/iteration": np.array(3)}
    grown = widen_optimizer(state, {"adam/phrase_output_kernel_momentum": (6, 3), "adam/iteration": ()})
    assert grown["adam/iteration"] == 3
    expected = [[0, 1, 0], [2, 3, 0], [0, 0, 0], [4, 5, 0], [6, 7, 0], [0, 0, 0]]
    assert grown["adam/phrase_output_kernel_momentum"].tolist() == expected
