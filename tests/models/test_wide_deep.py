"""The wide-and-deep architecture, made from few editors: what its weights say, how they are served, how they learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from sb_api.bootstrap.editors import bootstrap_lodbrok, choose_recipe
from sb_api.bootstrap.originals import install_vocabularies, to_examples
from sb_api.config import Settings
from sb_api.errors import InvalidWeights
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.recipe import RETRAINING, Examples, weigh_labels
from sb_api.learning.reference_set import (
    MADE_UP_TEMPERATURE,
    calibrate,
    choose_temperature,
    load_reference,
    with_scores,
)
from sb_api.models.classifiers import LODBROK, WIDE_DEEP, find_classifier
from sb_api.models.engine import load_engine
from sb_api.models.networks import FIELD_LIMIT, WIDE_DEEP_SHARES, get_arrays, set_arrays
from sb_api.models.predictor import Predictor
from sb_api.models.weights_file import Weights, dump_weights, parse_weights
from sb_api.models.weights_store import WeightsStore
from sb_api.models.wide_features import ACCOUNT_TABLE, ACCOUNTS, FEATURES, FIELDS, SLOT_FIELDS, SLOTS
from sb_api.records import Editor, Verdict
from sb_api.synthetic.editors import generate_editors
from sb_api.train import retrain_model
from tests.support.factories import VOCABULARIES, make_inputs

COUNT, SEED = 1500, 4
TABLE = "line_embedding/embeddings"
PRIVS = [
    {
        "website": "http://win-casino.example",
        "bio": "best online casino",
        "member_since": "2024-01-01T10:00:00",
        "last_updated": "2024-01-01T10:02:00",
        "privs": privs,
    }
    for privs in (0, 8192, 12288)
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """With an original from synthetic editors."""
    made = Settings(state_dir=str(tmp_path_factory.mktemp("wide")))
    bootstrap_lodbrok(made, count=COUNT, seed=SEED, echo=lambda _: None)
    return made


@pytest.fixture(scope="module")
def original(settings: Settings) -> Weights:
    return WeightsStore.of(settings, "lodbrok").load("original")


@pytest.fixture(scope="module")
def model(settings: Settings, original: Weights) -> Predictor:
    return Predictor(LODBROK, original, LODBROK.load_vocabularies(settings))


@pytest.fixture(scope="module")
def fitting(original: Weights, model: Predictor) -> Fitting:
    return Fitting(WIDE_DEEP, original.about.labels, model.vocabularies)


def inputs(count: int, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    features = random.integers(0, FEATURES, (count, SLOTS), np.int32)
    weights = random.random((count, SLOTS), np.float32) * (random.random((count, SLOTS)) < 0.3)
    return {
        **make_inputs(count, seed),
        "feature_input": features,
        "weight_input": weights.astype(np.float32),
        "account_input": random.integers(0, ACCOUNTS, (count, 2), np.int32),
    }


def judge(model: Predictor, *records: dict[str, Any]) -> Any:
    scores, errors = model.judge([msgspec.convert({"id": 1, **record}, Editor) for record in records])
    assert errors == {}
    return scores[:, 1]


def test_the_weights_say_of_which_architecture_they_are(original: Weights, model: Predictor) -> None:
    assert (original.about.architecture, original.about.caution) == ("wide-deep-3", None)
    assert find_classifier(original.about) is WIDE_DEEP is model.classifier
    again = parse_weights(dump_weights(original), "a copy").about
    assert again == original.about
    assert again.features != again.tokenizers
    assert len(again.features) <= 32


def test_weights_that_do_not_say_are_lodbroks(original: Weights) -> None:
    silent = msgspec.structs.replace(original.about, architecture=None)
    assert find_classifier(silent) is LODBROK
    assert silent.features == silent.tokenizers


def test_an_architecture_that_is_not_known_is_refused_by_name(original: Weights, settings: Settings) -> None:
    strange = Weights(msgspec.structs.replace(original.about, architecture="transformer"), original.arrays, {})
    with pytest.raises(
        InvalidWeights, match="'transformer', which this release does not have; there are lodbrok, wide"
    ):
        Predictor(LODBROK, strange, LODBROK.load_vocabularies(settings))


def test_it_learns_something_even_from_few(original: Weights) -> None:
    figures = original.about.figures["held_out"]
    assert figures["roc_auc"] > 0.94
    assert figures["f1"] > 0.88


def test_features_that_nobody_had_weigh_nothing(original: Weights) -> None:
    table = original.arrays[TABLE][:, 0]
    assert table.shape == (FEATURES,)
    assert 0.3 < (table == 0).mean() < 0.99


def test_nothing_is_known_of_any_account_by_itself(original: Weights) -> None:
    assert original.arrays[ACCOUNT_TABLE].shape == (ACCOUNTS, 2)
    assert not original.arrays[ACCOUNT_TABLE].any()


def test_weights_of_before_accounts_had_numbers_say_what_they_said_and_learn(
    settings: Settings, original: Weights, fitting: Fitting, model: Predictor
) -> None:
    arrays = {path: array for path, array in original.arrays.items() if path != ACCOUNT_TABLE}
    before = parse_weights(dump_weights(Weights(original.about, arrays, original.optimizer)), "a file of before")
    assert before.about == original.about
    assert before.optimizer.keys() == original.optimizer.keys()
    expected = judge(model, *PRIVS)
    np.testing.assert_array_equal(judge(Predictor(LODBROK, before, model.vocabularies), *PRIVS), expected)
    reference = with_scores(load_reference(settings.find("reference/lodbrok.npz"), WIDE_DEEP), fitting, original)
    label = int(expected[0] < 0.5)
    new = Examples(
        WIDE_DEEP.preprocess([msgspec.convert({"id": 1, **PRIVS[0]}, Editor)], model.vocabularies), np.array([label])
    )
    learned = retrain_model(
        fitting, WIDE_DEEP, before, before, new, reference,
        budget=0.0025, tolerance=0.05, number=1, recipe=RETRAINING, force=True,
    ).weights  # fmt: skip
    assert learned.arrays.keys() == original.arrays.keys()
    assert (judge(Predictor(LODBROK, learned, model.vocabularies), PRIVS[0]) > 0.5) == label


def test_no_field_alone_adds_more_than_its_limit(fitting: Fitting, original: Weights) -> None:
    set_arrays(fitting.network, {**original.arrays, TABLE: np.full((FEATURES, 1), 50, np.float32)})
    before = {**inputs(1), "weight_input": np.zeros((1, SLOTS), np.float32)}
    for field in FIELDS:
        after = {**before, "weight_input": np.array([[slot == field for slot in SLOT_FIELDS]], np.float32)}
        odds = [np.log(p[0, 1] / p[0, 0]) for p in (fitting.predict(before), fitting.predict(after))]
        assert odds[1] - odds[0] == pytest.approx(FIELD_LIMIT * WIDE_DEEP_SHARES[1], rel=1e-3)


def test_the_graph_is_the_network(fitting: Fitting, model: Predictor) -> None:
    random = np.random.default_rng(1)
    fitting.load(model_weights(fitting, model))
    numbers = {
        path: (array + 0.1 * random.normal(size=array.shape)).astype(np.float32)
        for path, array in get_arrays(fitting.network).items()
    }
    set_arrays(fitting.network, numbers)
    predict = load_engine("onnx", WIDE_DEEP, model.about.labels, model.vocabularies)(numbers)
    for count in (1, 2, 300):
        rows = inputs(count, count)
        np.testing.assert_allclose(predict(rows), fitting.predict(rows), rtol=0, atol=1e-5)


def test_the_graph_is_the_network_where_accounts_have_numbers_and_marks(
    fitting: Fitting, original: Weights, model: Predictor
) -> None:
    random = np.random.default_rng(2)
    filled = np.stack([4 * random.normal(size=ACCOUNTS), random.uniform(0.1, 1, ACCOUNTS)], axis=1)
    filled[random.random((ACCOUNTS, 2)) < 0.5] = 0
    numbers = {**original.arrays, ACCOUNT_TABLE: filled.astype(np.float32)}
    rows = inputs(300)
    scores = []
    for arrays in (original.arrays, numbers):
        set_arrays(fitting.network, arrays)
        scores.append(fitting.predict(rows))
        predict = load_engine("onnx", WIDE_DEEP, model.about.labels, model.vocabularies)(arrays)
        np.testing.assert_allclose(predict(rows), scores[-1], rtol=0, atol=1e-5)
    both = (numbers[ACCOUNT_TABLE][rows["account_input"], (0, 1)] != 0).all(axis=1)
    assert 0.15 < both.mean() < 0.35
    np.testing.assert_array_equal((scores[0] != scores[1]).any(axis=1), both)
    numbers[ACCOUNT_TABLE][:, 1] = filled[:, 1] > 0
    set_arrays(fitting.network, numbers)
    np.testing.assert_array_equal(fitting.predict(rows), scores[1], "a part of a mark is a mark")


def model_weights(fitting: Fitting, model: Predictor) -> Weights:
    return fitting.snapshot(model.about)


def test_privileges_that_say_no_trust_change_no_score(model: Predictor) -> None:
    scores = judge(model, *PRIVS)
    assert scores == pytest.approx(scores[[0, 0, 0]], rel=1e-6)  # a row's place among others rounds it differently


def test_the_name_counts(model: Predictor) -> None:
    scores = judge(model, {}, {"name": "casino4u"}, {"name": "casino4u"})
    assert scores[0] != pytest.approx(scores[1], rel=1e-3)
    assert scores[1] == pytest.approx(scores[2], rel=1e-6)


def test_a_missing_date_and_one_an_hour_before_differ(model: Predictor) -> None:
    since = {"member_since": "2020-01-01T10:00:00"}
    never, before = judge(model, since, {**since, "last_updated": "2020-01-01T09:00:00"})
    assert never != before


def test_it_works_with_weights_of_the_other_architecture_and_back(model: Predictor, original: Weights) -> None:
    lodbrok = {path: array for path, array in original.arrays.items() if path not in (TABLE, ACCOUNT_TABLE)}
    other = Weights(msgspec.structs.replace(original.about, architecture=None, version="000001-00000000"), lodbrok, {})
    before = judge(model, *PRIVS)
    model.swap(other, model.vocabularies)
    try:
        assert model.classifier is LODBROK
        assert judge(model, *PRIVS)[0] != judge(model, *PRIVS)[1] or judge(model, *PRIVS)[0] != before[0]
    finally:
        model.swap(original, model.vocabularies)
    np.testing.assert_array_equal(judge(model, *PRIVS), before)


def test_its_scores_are_calibrated_as_its_loss_weighs(settings: Settings, original: Weights, fitting: Fitting) -> None:
    """Without caution: of those with 0.8, eight in ten are spam."""
    assert weigh_labels(1.0) is None
    assert weigh_labels(8.0) == (16 / 9, 2 / 9)
    assert choose_recipe(WIDE_DEEP, 5000, None).label_weights is None
    assert choose_recipe(WIDE_DEEP, 5000, 8.0).label_weights == choose_recipe(LODBROK, 5000, None).label_weights
    reference = load_reference(settings.find("reference/lodbrok.npz"), WIDE_DEEP)
    fitting.load(original)
    on_guard = fitting.predict(reference.guard.arrays)
    held_out = reference.calibration
    scores = fitting.predict(held_out.arrays)
    plain, careful = (choose_temperature(held_out.targets, scores, caution) for caution in (1.0, 8.0))
    assert plain != careful
    # By made-up accounts alone no scores are sharper than that.
    assert plain < MADE_UP_TEMPERATURE == original.about.temperature
    assert calibrate(reference, fitting.predict, on_guard, 0.0025, 1.0) == (MADE_UP_TEMPERATURE, original.about.borders)
    own = replace(reference, uncalibrating=np.zeros(len(held_out)))
    assert calibrate(own, fitting.predict, on_guard, 0.0025, 1.0)[0] == plain


def test_few_rows_are_learned_as_many_times_as_it_takes() -> None:
    assert choose_recipe(WIDE_DEEP, 200, None).epochs == 75
    assert choose_recipe(WIDE_DEEP, 50_000, None).epochs == 8
    assert choose_recipe(LODBROK, 200, None).epochs == 4


def test_a_training_learns_words_that_nobody_had_before(
    settings: Settings, original: Weights, fitting: Fitting
) -> None:
    """A campaign of unknown words: its accounts before and after 20 verdicts, the half of them innocent."""
    reference = with_scores(load_reference(settings.find("reference/lodbrok.npz"), WIDE_DEEP), fitting, original)
    vocabularies = WIDE_DEEP.load_vocabularies(settings)
    innocent = [editor.record for editor in generate_editors(400, seed=77) if not editor.verdict]
    told = [
        *({"bio": f"Zolpidorex blumquist {number} frabjous", "verdict": 1} for number in range(10)),
        *({**record, "verdict": 0} for record in innocent[:10]),
    ]
    assert WIDE_DEEP.vectors is not None
    rows = WIDE_DEEP.vectors([msgspec.convert({**r, "id": n}, Verdict) for n, r in enumerate(told)], vocabularies)
    new = to_examples(WIDE_DEEP, rows)
    candidate = retrain_model(
        fitting, WIDE_DEEP, original, original, new, reference,
        budget=0.0025, tolerance=0.05, number=1, recipe=RETRAINING, force=True,
    )  # fmt: skip
    about = candidate.weights.about
    assert (about.architecture, about.parent) == ("wide-deep-3", original.about.version)
    model = Predictor(LODBROK, original, vocabularies)
    campaign = [{"bio": f"Frabjous blumquist {number} with zolpidorex"} for number in range(100, 105)]
    before, cleared = judge(model, *campaign), (judge(model, *innocent[10:200]) < 0.5).mean()
    model.swap(candidate.weights, vocabularies)
    after = judge(model, *campaign)
    assert (after > before + 0.2).all()
    assert (judge(model, *innocent[10:200]) < 0.5).mean() > cleared - 0.03


def test_a_reference_set_of_the_other_architecture_is_refused(tmp_path: Path) -> None:
    settings = Settings(state_dir=str(tmp_path))
    install_vocabularies(settings, VOCABULARIES)
    path = settings.find("reference/lodbrok.npz")
    assert len(load_reference(path, LODBROK).guard.targets) == 2000
    with pytest.raises(InvalidWeights, match=r"rows of 524 numbers; the architecture wide-deep-3 needs \d+"):
        load_reference(path, WIDE_DEEP)


def test_lodbrok_can_be_measured_on_the_reference_set_of_the_wide_one(settings: Settings) -> None:
    """So that a shipped set serves those who bring weights of the first project."""
    path = settings.find("reference/lodbrok.npz")
    wide, lodbrok = (load_reference(path, classifier) for classifier in (WIDE_DEEP, LODBROK))
    assert lodbrok.guard.arrays.keys() < wide.guard.arrays.keys()
    for name, array in lodbrok.replay.arrays.items():
        np.testing.assert_array_equal(array, wide.replay.arrays[name])
