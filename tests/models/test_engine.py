"""The engines: one suite of checks over every engine and every classifier, with Keras as the truth."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from sb_api.arrays import Arrays, Predict
from sb_api.broker.shared_state import Broker
from sb_api.config import Settings, load_settings
from sb_api.errors import EngineDisagrees, InvalidWeights
from sb_api.learning.reference_set import load_reference
from sb_api.learning.trainer import Trainer
from sb_api.models.classifiers import ARCHITECTURES, CLASSIFIERS, find_classifier
from sb_api.models.engine import TOLERANCE, EngineName, check_engine, load_engine
from sb_api.models.networks import get_arrays, set_arrays
from sb_api.models.onnx_graphs import parse_graph
from sb_api.models.weights_store import WeightsStore
from tests.conftest import wait_until
from tests.models.test_classifiers import SAMPLES
from tests.support.jobs import Jobs
from tests.support.service import (
    RECIPE,
    SHIPPED,
    as_verdicts,
    carries,
    make_editors,
    make_verdicts,
    start_service,
    thin_reference,
)

Numbers = Mapping[str, npt.NDArray[Any]]


class Case:
    """A classifier as it ships: its numbers, its reference set, and what Keras says of it."""

    def __init__(self, name: str) -> None:
        settings = load_settings({}, state_dir="/nonexistent")
        self.weights = WeightsStore.of(settings, name).load("original")
        self.classifier = find_classifier(self.weights.about)
        self.labels = self.weights.about.labels
        self.vocabularies = self.classifier.load_vocabularies(settings)
        self.rows = load_reference(settings.find(f"reference/{name}.npz"), self.classifier).guard.arrays

    @cached_property
    def network(self) -> Any:
        return self.classifier.build(self.labels, self.vocabularies)

    def truth(self, numbers: Numbers, rows: Arrays) -> npt.NDArray[np.float32]:
        set_arrays(self.network, numbers)
        return np.asarray(self.network(dict(rows), training=False))

    def take(self, count: int, seed: int = 0) -> Arrays:
        """Rows of the reference set, drawn at random."""
        length = len(next(iter(self.rows.values())))
        places = np.random.default_rng(seed).integers(0, length, count)
        return {name: array[places] for name, array in self.rows.items()}

    @cached_property
    def others(self) -> Numbers:
        """Numbers of the same shapes that nothing was ever trained to."""
        random = np.random.default_rng(5)
        return {
            path: (array + 0.1 * random.normal(size=array.shape)).astype(np.float32)
            for path, array in self.weights.arrays.items()
        }

    @cached_property
    def loads(self) -> dict[EngineName, Callable[[Numbers], Predict]]:
        return {
            engine: load_engine(engine, self.classifier, self.labels, self.vocabularies)
            for engine in get_args(EngineName)
        }


CASE = cache(Case)


@pytest.fixture(params=CLASSIFIERS)
def case(request: pytest.FixtureRequest) -> Case:
    return CASE(request.param)


@pytest.fixture(params=get_args(EngineName))
def load(request: pytest.FixtureRequest, case: Case) -> Callable[[Numbers], Predict]:
    return case.loads[request.param]


# What every engine promises


def test_it_says_of_every_reference_record_what_keras_says(case: Case, load: Callable[[Numbers], Predict]) -> None:
    scores = load(case.weights.arrays)(case.rows)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, case.truth(case.weights.arrays, case.rows), rtol=0, atol=TOLERANCE / 10)


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 300])
def test_it_takes_any_number_of_rows(count: int, case: Case, load: Callable[[Numbers], Predict]) -> None:
    rows = case.take(count, seed=count)
    scores = load(case.weights.arrays)(rows)
    assert scores.shape == (count, len(case.labels))
    np.testing.assert_allclose(scores, case.truth(case.weights.arrays, rows), rtol=0, atol=TOLERANCE / 10)


def test_other_numbers_are_swapped_in_and_the_first_ones_back(case: Case, load: Callable[[Numbers], Predict]) -> None:
    rows = case.take(50)
    before = load(case.weights.arrays)(rows)
    other = load(case.others)(rows)
    assert np.abs(other - before).max() > 0.01
    np.testing.assert_allclose(other, case.truth(case.others, rows), rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(load(case.weights.arrays)(rows), before)


def test_numbers_go_in_by_name_whatever_their_order_and_layout(case: Case, load: Callable[[Numbers], Predict]) -> None:
    rows = case.take(5)
    arrays = {path: np.asfortranarray(array) for path, array in reversed(case.weights.arrays.items())}
    np.testing.assert_array_equal(load(arrays)(rows), load(case.weights.arrays)(rows))
    np.testing.assert_array_equal(load(arrays)(dict(reversed(rows.items()))), load(arrays)(rows))


def spoiled(numbers: Numbers) -> dict[str, Numbers]:
    """Numbers that are not the network's, by what is wrong with them."""
    path = max(numbers, key=lambda path: numbers[path].size)
    array = numbers[path]
    return {
        "one is missing": {name: other for name, other in numbers.items() if name != path},
        "one is too many": {**numbers, "output/more": np.zeros(2, np.float32)},
        "a shape is shorter": {**numbers, path: array[:-1]},
        "a shape would broadcast": {**numbers, path: array[:1]},
        "a shape is turned": {**numbers, path: array.T},
        "one is NaN": {**numbers, path: np.where(array == array.flat[0], np.nan, array)},
        "there are none": {},
    }


def test_numbers_of_another_network_are_refused_and_the_last_ones_go_on_working(
    case: Case, load: Callable[[Numbers], Predict]
) -> None:
    rows = case.take(3)
    predict = load(case.weights.arrays)
    before = predict(rows)
    for wrong, numbers in spoiled(case.weights.arrays).items():
        with pytest.raises(InvalidWeights):
            load(numbers)
        np.testing.assert_array_equal(predict(rows), before, err_msg=wrong)


def test_a_row_has_the_same_score_alone_and_among_others(case: Case, load: Callable[[Numbers], Predict]) -> None:
    rows, predict = case.take(300), load(case.weights.arrays)
    scores = predict(rows)
    for row in (0, 127, 128, 299):
        alone = predict({name: array[row : row + 1] for name, array in rows.items()})
        np.testing.assert_allclose(alone[0], scores[row], rtol=0, atol=1e-6)


def test_a_number_that_is_not_finite_spoils_its_own_row_alone(load: Callable[[Numbers], Predict], case: Case) -> None:
    name = next(name for name, array in case.rows.items() if array.dtype == np.float32)
    rows = {**case.take(5)}
    scores = load(case.weights.arrays)(rows)
    rows[name] = rows[name].copy()
    rows[name][2] = np.nan
    spoilt = load(case.weights.arrays)(rows)
    assert np.isnan(spoilt[2]).all()
    np.testing.assert_allclose(np.delete(spoilt, 2, 0), np.delete(scores, 2, 0), rtol=0, atol=1e-6)


# The graphs


@pytest.mark.parametrize("name", SAMPLES)
def test_a_graph_has_the_names_and_shapes_of_the_keras_network(name: str) -> None:
    sample = SAMPLES[name]
    _, shapes, used = parse_graph(sample.classifier.graph(sample.labels, sample.vocabularies))
    assert shapes == {path: array.shape for path, array in get_arrays(sample.network).items()}
    # What an LSTM does with its state has no part in its first step.
    assert {path for path in shapes if path not in used} == {path for path in shapes if "recurrent" in path}


@pytest.mark.parametrize("label_count", [2, 40, 80])
def test_the_graph_of_messages_grows_with_the_labels_as_the_network_does(label_count: int) -> None:
    sample = SAMPLES["intent"]
    labels = [str(number) for number in range(label_count)]
    network = sample.classifier.build(labels, sample.vocabularies)
    random = np.random.default_rng(label_count)
    numbers = {path: random.normal(size=a.shape).astype(np.float32) for path, a in get_arrays(network).items()}
    set_arrays(network, numbers)
    check = check_engine("onnx", sample.classifier, labels, sample.vocabularies, numbers)
    check(sample.arrays, np.asarray(network(dict(sample.arrays), training=False)))


# Agreement


def test_a_difference_is_refused_with_a_word_of_what_to_do(case: Case) -> None:
    scores = case.truth(case.weights.arrays, case.rows)
    check = check_engine("onnx", case.classifier, case.labels, case.vocabularies, case.weights.arrays)
    check(case.rows, scores)
    check(case.rows, scores + TOLERANCE / 2)
    for wrong in (scores + 3 * TOLERANCE, np.full_like(scores, np.nan)):
        with pytest.raises(EngineDisagrees, match=r"Nothing was changed.*SB_API_ENGINE=keras"):
            check(case.rows, wrong)


FAULTY = replace(SHIPPED, graph=lambda *_: SHIPPED.graph((), None).replace("Tanh (website_c)", "Sigmoid (website_c)"))  # type: ignore[arg-type]


def test_weights_that_would_be_served_otherwise_than_trained_are_not_promoted(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph with one operation mistaken; with Keras as the engine, the same training passes."""
    monkeypatch.setitem(ARCHITECTURES, (FAULTY.name, FAULTY.architecture), FAULTY)
    settings = msgspec.structs.replace(jobs.settings, guard_tolerance=1.0, replay_rows=RECIPE.replay_rows)
    thin_reference(settings.state)
    trainer = Trainer(Broker.of(jobs.redis, settings), FAULTY)
    original = trainer.publication.version
    with pytest.raises(EngineDisagrees):
        trainer.train("one", as_verdicts(make_verdicts(3)), lambda: None)
    assert trainer.store.chain().slots["current"] == original
    assert jobs.registry.published_versions(["lodbrok"]) == {"lodbrok": original}
    assert [about.version for about in trainer.store.chain().versions] == [original]
    assert trainer.intake.log is not None
    assert [row.status for row in trainer.intake.log.latest(10)] == ["refused"] * 3
    trainer.settings = msgspec.structs.replace(settings, engine="keras")
    trainer.train("two", as_verdicts(make_verdicts(3, start=10)), lambda: None)
    assert trainer.store.chain().slots["current"] != original


# A process


def test_a_classify_process_carries_no_tensorflow_and_little_memory(tmp_path: Path) -> None:
    """One more of them costs at most 120 MB, where nothing is staged and no account waits for review."""
    with start_service(tmp_path / "state", tmp_path) as service:
        editors = make_editors(2000)
        for path, body in (("/predict", editors), ("/predict?explain=true", editors[:500]), ("/predict", editors[:1])):
            assert service.post(path, body).status_code == 200
        texts = [{"id": number, "text": "the search page crashes when I press enter"} for number in range(500)]
        assert service.post("/intents/predict", texts).status_code == 200
        process = service.child("sb_api worker")
        assert carries(process, "onnxruntime")
        assert not carries(process, "tensorflow", "sklearn", "scipy", "matplotlib", "sqlalchemy")
        # What large requests took is given back when nothing more comes.
        wait_until(lambda: process.memory_full_info().uss <= 120 * 2**20)
        assert not [file.path for file in process.open_files() if "onnxruntime" in file.path], "telemetry is on"
        assert not [c for c in process.net_connections() if c.family != socket.AF_UNIX]


def test_the_setting_chooses_the_engine_of_a_process(jobs: Jobs, settings: Settings) -> None:
    from sb_api.classify import refresh_predictors
    from sb_api.models.predictor import Predictor

    models: dict[str, Predictor] = {}
    own = msgspec.structs.replace(settings, unpublished_weights="on")
    refresh_predictors(Broker.of(jobs.redis, msgspec.structs.replace(own, engine="keras")), models, {})
    assert {model.engine for model in models.values()} == {"keras"}
    editors = SHIPPED.preprocess(as_verdicts(make_verdicts(5)), models["lodbrok"].vocabularies)
    onnx: dict[str, Predictor] = {}
    refresh_predictors(Broker.of(jobs.redis, own), onnx, {})
    assert {model.engine for model in onnx.values()} == {"onnx"}
    np.testing.assert_allclose(onnx["lodbrok"].score(editors), models["lodbrok"].score(editors), rtol=0, atol=TOLERANCE)
