"""Lodbrok is the specified network; its numbers go in all or none; a compiled prediction is the network's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sb_api.errors import InvalidWeights
from sb_api.models import networks
from sb_api.models.networks import BATCH_SIZES, compile_predict, get_arrays, import_keras, set_arrays
from tests.support.factories import call_network, lodbrok, lodbrok_predict, make_inputs, same_arrays, unmeasured

Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture
def network() -> Iterator[Any]:
    """The network that the session shares, with its own numbers again afterwards."""
    shared = lodbrok()
    before = get_arrays(shared)
    yield shared
    set_arrays(shared, before)


def probe(network: Any, layer: str, inputs: Arrays) -> Any:
    """What a layer gives for these inputs."""
    return call_network(import_keras().Model(network.input, network.get_layer(layer).output), inputs)


# The architecture


def test_the_network_has_as_many_parameters_as_the_original() -> None:
    assert sum(int(np.prod(weight.shape)) for weight in lodbrok().trainable_weights) == 759_618


def test_the_inputs_are_named_and_shaped_as_specified() -> None:
    inputs = lodbrok().input
    assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in inputs.items()} == {
        "main_input": ((None, 9), "float32"),
        "email_input": ((None, 1), "int32"),
        "website_input": ((None, 1), "int32"),
        "bio_input": ((None, 512), "float32"),
    }
    assert tuple(lodbrok().output.shape) == (None, 2)


def test_the_layers_are_of_the_specified_sizes() -> None:
    network = lodbrok()
    for name in ("email", "website"):
        embedding = network.get_layer(f"{name}_embedding")
        assert (embedding.input_dim, embedding.output_dim) == (1025, 256)
        assert network.get_layer(f"{name}_lstm").units == 32
    assert network.get_layer("bio_lstm").units == 64
    assert network.get_layer("bio_reshape").target_shape == (1, 512)
    assert [network.get_layer(f"dropout_{number}").rate for number in (1, 2)] == [0.5, 0.5]
    dense = [network.get_layer(name) for name in ("dense_1", "dense_2", "output")]
    assert [(layer.units, layer.activation.__name__) for layer in dense] == [(64, "tanh"), (64, "tanh"), (2, "softmax")]


def test_website_email_bio_and_main_are_joined_in_this_order() -> None:
    """The order of the original, whose weights can be taken over."""
    inputs = make_inputs(3)
    parts = [probe(lodbrok(), name, inputs) for name in ("website_lstm", "email_lstm", "bio_lstm")]
    merged = np.concatenate([*parts, inputs["main_input"]], axis=1)
    np.testing.assert_array_equal(probe(lodbrok(), "merge", inputs), merged)


@pytest.mark.parametrize("name", ["email", "website"])
def test_each_token_goes_through_the_layers_of_its_name(name: str) -> None:
    inputs = make_inputs(3)
    before = probe(lodbrok(), f"{name}_lstm", inputs)
    other = "website" if name == "email" else "email"
    assert np.array_equal(
        probe(lodbrok(), f"{name}_lstm", {**inputs, f"{other}_input": inputs[f"{other}_input"] - 1}), before
    )
    assert not np.array_equal(
        probe(lodbrok(), f"{name}_lstm", {**inputs, f"{name}_input": inputs[f"{name}_input"] - 1}), before
    )


@pytest.mark.parametrize("token", [0, 1, 1022, 1023, 1024])
def test_every_token_has_an_embedding(token: int) -> None:
    tokens = {name: np.full((1, 1), token, np.int32) for name in ("email_input", "website_input")}
    assert np.isfinite(call_network(lodbrok(), {**make_inputs(1), **tokens})).all()


@pytest.mark.parametrize("name", ["main_input", "email_input", "website_input", "bio_input"])
def test_every_input_moves_the_score(name: str) -> None:
    inputs = make_inputs(4)
    moved = {**inputs, name: make_inputs(4, seed=1)[name]}
    assert not np.allclose(call_network(lodbrok(), inputs), call_network(lodbrok(), moved), rtol=0, atol=1e-7)


def test_scores_are_probabilities() -> None:
    scores = call_network(lodbrok(), make_inputs(50))
    assert scores.shape == (50, 2)
    assert (scores > 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)


def test_dropout_is_for_training_only() -> None:
    inputs = make_inputs(20)
    np.testing.assert_array_equal(call_network(lodbrok(), inputs), call_network(lodbrok(), inputs))
    drawn = [np.asarray(lodbrok()(inputs, training=True)) for _ in range(2)]
    assert not np.array_equal(drawn[0], drawn[1])


def test_as_built_the_scaling_changes_nothing() -> None:
    """Weights of the original network were trained on raw numbers."""
    inputs = make_inputs(5)
    inputs["main_input"] = np.array([[-2.0, -1.0, 0.0, 1.0, 0.5, 1e6, -1e5, 87_649_416.0, 1e-3]] * 5, np.float32)
    np.testing.assert_array_equal(probe(lodbrok(), "main_scaling", inputs), inputs["main_input"])


def test_the_scaling_is_the_signed_logarithm_less_the_mean_by_the_deviation(network: Any) -> None:
    random = np.random.default_rng(1)
    log = np.array([0, 1, 60] * 3, np.float32)
    mean, deviation = random.normal(size=9).astype(np.float32), (0.5 + random.random(9)).astype(np.float32)
    scaling = {"log": log, "mean": mean, "deviation": deviation}
    set_arrays(network, get_arrays(network) | {f"main_scaling/{name}": array for name, array in scaling.items()})
    x = (random.normal(size=(6, 9)) * 10.0 ** np.arange(-2, 7)).astype(np.float32)
    expected = (np.where(log > 0, np.sign(x) * np.log1p(log * np.abs(x)), x) - mean) / deviation
    np.testing.assert_allclose(probe(network, "main_scaling", {**make_inputs(6), "main_input": x}), expected, rtol=1e-5)


def test_no_training_moves_the_scaling() -> None:
    assert not [weight.path for weight in lodbrok().trainable_weights if "scaling" in weight.path]
    assert {path for path in get_arrays(lodbrok()) if "scaling" in path} == {
        f"main_scaling/{name}" for name in ("log", "mean", "deviation")
    }


# Numbers


def test_what_is_read_from_a_network_can_be_put_into_another(network: Any) -> None:
    arrays = get_arrays(network)
    scores = call_network(network, make_inputs(5))
    set_arrays(network, {path: array + 0.1 for path, array in arrays.items()})
    assert not np.allclose(call_network(network, make_inputs(5)), scores)
    set_arrays(network, arrays)
    assert same_arrays(get_arrays(network), arrays)
    np.testing.assert_array_equal(call_network(network, make_inputs(5)), scores)


def test_numbers_are_known_by_name_whatever_their_order(network: Any) -> None:
    arrays = {path: array + 0.1 for path, array in get_arrays(network).items()}
    set_arrays(network, dict(reversed(arrays.items())))
    assert same_arrays(get_arrays(network), arrays)


def test_what_is_read_is_a_copy(network: Any) -> None:
    arrays = get_arrays(network)
    for array in arrays.values():
        array += 1
    assert not same_arrays(get_arrays(network), arrays)


def test_the_state_of_random_generators_is_not_among_the_numbers(network: Any) -> None:
    before = get_arrays(network)
    network(make_inputs(2), training=True)
    assert same_arrays(get_arrays(network), before)
    assert not [path for path in before if "seed" in path]


LAST = "output/bias"


def spoil(**changes: Any) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {**arrays, LAST: changes["value"]}


WRONG: dict[str, Callable[[Arrays], Mapping[str, Any]]] = {
    "a name is missing": lambda arrays: {path: array for path, array in arrays.items() if path != LAST},
    "a name is too many": lambda arrays: {**arrays, "output/more": np.zeros(2, np.float32)},
    "a name is another": lambda arrays: {path.replace(LAST, "output/offset"): array for path, array in arrays.items()},
    "there is none": lambda _: {},
    "a shape is longer": spoil(value=np.zeros(3, np.float32)),
    "a shape has more dimensions": spoil(value=np.zeros((2, 1), np.float32)),
    "a shape would broadcast": spoil(value=np.zeros((), np.float32)),
    "a number is NaN": spoil(value=np.array([0, np.nan], np.float32)),
    "a number is infinite": spoil(value=np.array([-np.inf, 0], np.float32)),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=list(WRONG))
def test_wrong_numbers_are_refused_and_none_of_them_is_taken(
    network: Any, change: Callable[[Arrays], Mapping[str, Any]]
) -> None:
    before = get_arrays(network)
    assert list(before)[-1] == LAST
    with pytest.raises(InvalidWeights, match=r"output/|on one side only"):
        set_arrays(network, change({path: array + 1 for path, array in before.items()}))
    assert same_arrays(get_arrays(network), before)


# Prediction


@pytest.mark.parametrize("rows", [*range(1, 10), 63, 64, 65, 511, 512, 513, 700, 1024, 1025])
def test_a_compiled_prediction_is_that_of_the_network_for_any_number_of_rows(rows: int) -> None:
    """Padding to the next batch size changes nothing, neither below nor past the largest one."""
    inputs = make_inputs(rows, seed=rows)
    scores = lodbrok_predict()(inputs)
    assert scores.shape == (rows, 2)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, call_network(lodbrok(), inputs), rtol=0, atol=1e-6)


def test_a_row_has_the_same_score_alone_and_among_others() -> None:
    inputs = make_inputs(600)
    scores = lodbrok_predict()(inputs)
    for row in (0, 299, 511, 512, 599):
        alone = lodbrok_predict()({name: array[row : row + 1] for name, array in inputs.items()})
        np.testing.assert_allclose(alone[0], scores[row], rtol=0, atol=1e-6)


def test_the_same_rows_have_the_same_scores_again() -> None:
    inputs = make_inputs(70)
    np.testing.assert_array_equal(lodbrok_predict()(inputs), lodbrok_predict()(inputs))


class Counted:
    """A network that counts how often Python runs through it, which is when it is traced."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.input = network.input
        self.traces = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.traces += 1
        return self.network(*arguments, **options)


def test_nothing_is_traced_after_the_warm_up(network: Any) -> None:
    """A trace takes a second: not for another number of rows, and not for other weights."""
    counted = Counted(network)
    predict = compile_predict(counted)  # type: ignore[arg-type]
    traces = counted.traces
    assert 1 <= traces <= len(BATCH_SIZES)
    for rows in (1, 2, 3, 7, 8, 9, 64, 65, 500, 513, 1500):
        predict(make_inputs(rows))
    set_arrays(network, {path: array + 0.1 for path, array in get_arrays(network).items()})
    predict(make_inputs(5))
    assert counted.traces == traces


def test_a_compiled_prediction_follows_the_numbers_of_the_network(network: Any) -> None:
    """New weights are swapped in between two batches."""
    predict, inputs = lodbrok_predict(), make_inputs(5)
    before = predict(inputs)
    set_arrays(network, {path: array + 0.1 for path, array in get_arrays(network).items()})
    after = predict(inputs)
    assert not np.allclose(after, before)
    np.testing.assert_allclose(after, call_network(network, inputs), rtol=0, atol=1e-6)


def test_a_prediction_goes_by_the_names_of_its_inputs() -> None:
    inputs = make_inputs(5)
    np.testing.assert_array_equal(lodbrok_predict()(dict(reversed(inputs.items()))), lodbrok_predict()(inputs))


def test_importing_the_module_imports_no_keras() -> None:
    code = "import sb_api.models.networks, sys; sys.exit(bool({'keras', 'tensorflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_the_users_own_keras_settings_take_no_part(tmp_path: Path) -> None:
    """With `float16` in ~/.keras/keras.json each training failed, by a message about tensors of other types. Nor do
    packages that Keras would load for nothing; whoever wants one gets it afterwards."""
    (tmp_path / ".keras").mkdir()
    settings = tmp_path / ".keras" / "keras.json"
    settings.write_text('{"floatx": "float16", "epsilon": 0.5, "image_data_format": "channels_first"}')
    code = (
        "import sys\nfrom sb_api.learning.quality import load_detector\nfrom sb_api.memory import HEAVY\n"
        "from sb_api.models.networks import import_keras as k\nload_detector()\n"
        "print(k().config.floatx(), k().config.epsilon(), *sys.modules.keys() & HEAVY)\nimport sklearn.metrics"
    )
    environment = {**unmeasured(), "HOME": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["float32", "1e-07"]


def test_the_member_of_the_text_s_vector_may_say_that_a_text_is_of_none() -> None:
    """Where no label is above the level, all are as likely as each other, whatever they have to do with the text."""
    labels, random = 4, np.random.default_rng(0)
    choosing, refusing = (networks.build_intent(labels, 9, 9, encoded=True, refusing=each) for each in (False, True))
    kernel = random.normal(0, 0.3, (networks.SENTENCE_WIDTH, labels)).astype(np.float32)
    vectors = random.normal(0, 0.05, (50, networks.SENTENCE_WIDTH)).astype(np.float32)

    def say(network: Any, level: float) -> Any:
        arrays = networks.get_arrays(network)
        arrays |= {"sentence_output/kernel": kernel, "sentence_output/bias": np.full(labels, level, np.float32)}
        networks.set_arrays(network, arrays)
        inputs = {name: np.zeros((50, *each.shape[1:]), np.float32) for name, each in network.input.items()}
        return np.asarray(probe(network, "members", inputs | {"sentence_input": vectors}))[:, 3]

    assert say(choosing, -30.0).max() > 0.9, "one of the labels has to be it"
    np.testing.assert_allclose(say(refusing, -30.0), 1 / labels, atol=1e-4)
    np.testing.assert_allclose(say(refusing, 30.0), say(choosing, 0.0), atol=1e-5)
