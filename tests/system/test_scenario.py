"""The service equals the bare model, step by step; many at once do not get in each other's way."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sb_api.learning.ingest import Intake
from sb_api.learning.recipe import Examples, share_of_log
from sb_api.models.engine import TOLERANCE
from sb_api.models.weights_file import Weights
from sb_api.models.weights_store import WeightsStore
from sb_api.train import retrain_model
from tests.support.service import (
    BUDGET,
    NOT_SPAM,
    RECIPE,
    ROOT,
    SHIPPED,
    SPAM,
    Bare,
    Service,
    as_editors,
    as_verdicts,
    make_editors,
    make_verdicts,
)


def assert_predicts_as(bare: Bare, service: Service, editors: list[dict[str, Any]]) -> None:
    """Fail unless the service says of every editor what the bare model says."""
    answer = service.post("/predict", editors).json()
    scores, errors = bare.model.judge(as_editors(editors))
    assert errors == {}
    assert answer["weights"] == bare.model.version
    expected = {str(editor["id"]): row for editor, row in zip(editors, scores, strict=True)}
    assert answer["scores"] == pytest.approx({editor: float(row[1]) for editor, row in expected.items()}, abs=1e-6)
    assert answer["predictions"] == {editor: SPAM if row[1] > row[0] else NOT_SPAM for editor, row in expected.items()}


def retrain(bare: Bare, service: Service, current: Weights, records: list[dict[str, Any]], number: int) -> Weights:
    """What the bare model makes of verdicts that the service has just learned, with the same log behind it."""
    verdicts = as_verdicts(records)
    targets = np.array([verdict.verdict for verdict in verdicts], np.int64)
    new = Examples(SHIPPED.preprocess(verdicts, bare.model.vocabularies), targets)
    intake = Intake(service.settings, SHIPPED, service.verdict_log())
    learned = service.verdict_log().learned_numbers(current.about.features)
    earlier = learned[: -len(records)]
    log = intake.draw_log(earlier, current.about, number, bare.reference.guard.arrays)
    candidate = retrain_model(
        *(bare.fitting, SHIPPED, bare.original, current, new, bare.reference, log),
        budget=BUDGET,
        tolerance=1.0,
        number=number,
        recipe=replace(RECIPE, log_share=share_of_log(len(earlier), service.settings.log_share)),
        observed=intake.observe(),
    )
    return candidate.weights


def last_number(service: Service) -> int:
    return max(int(version["version"].partition("-")[0]) for version in service.get("/weights").json()["versions"])


def test_predict_train_predict_rollback_predict_equals_the_bare_model(service: Service, bare: Bare) -> None:
    editors = make_editors(100)
    number = last_number(service)
    assert_predicts_as(bare, service, editors)

    # Two trainings in a row, by steps: the optimizer state of the first is carried on by the second.
    current = bare.original
    trained = []
    for step in (1, 2):
        verdicts = make_verdicts(12 * step, start=1000 * step)
        answer = service.post("/train", verdicts).json()
        current = retrain(bare, service, current, verdicts, number + step)
        trained.append(current)
        assert answer["weights"] == {"version": current.about.version, "previous": current.about.parent}
        told = ("before", "after", "reference")
        assert {name: answer[name] for name in told} == {name: current.about.figures[name] for name in told}
        bare.model.swap(current, bare.model.vocabularies)
        assert_predicts_as(bare, service, editors)

    for to, weights in (("previous", trained[0]), ("original", bare.original), (trained[1].about.version, trained[1])):
        assert service.post("/rollback", {"to": to}).json()["weights"]["version"] == weights.about.version
        bare.model.swap(weights, bare.model.vocabularies)
        assert_predicts_as(bare, service, editors)


def test_clients_at_the_same_time_never_get_each_others_editors(service: Service, bare: Bare) -> None:
    """In the original, concurrent requests took each other's editors from one shared list."""
    batches = {number: make_editors(1 + number % 9, start=1000 * number) for number in range(160)}
    with ThreadPoolExecutor(16) as pool:
        answers = dict(zip(batches, pool.map(lambda editors: ask(service, editors), batches.values()), strict=True))
    for number, editors in batches.items():
        scores, _ = bare.model.judge(as_editors(editors))
        assert answers[number]["scores"] == pytest.approx(
            {str(editor["id"]): float(row[1]) for editor, row in zip(editors, scores, strict=True)}, abs=1e-6
        )


def ask(service: Service, editors: list[dict[str, Any]]) -> Any:
    response = service.post("/predict", editors)
    assert response.status_code == 200
    return response.json()


def test_a_large_request_is_judged_by_one_version_even_while_trainings_run(service: Service, bare: Bare) -> None:
    editors = make_editors(2500)
    over = threading.Event()
    versions = {bare.original.about.version}

    def train() -> None:
        start = 0
        while not over.is_set():
            start += 100
            versions.add(service.post("/train", make_verdicts(3, start)).json()["weights"]["version"])

    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(train)
        try:
            answers = []
            # Predictions come before trainings, which take their time meanwhile.
            while (len(answers) < 4 or len(versions) < 3) and not training.done():
                answers.append(ask(service, editors))
        finally:
            over.set()
        training.result()
    assert len(versions) > 2
    store = WeightsStore("lodbrok", ROOT / "static" / "weights" / "original_lodbrok.h5", service.state / "weights")
    kept = {about.version for about in store.chain().versions}
    expected: dict[str, list[float]] = {}
    for answer in answers:
        version = answer["weights"]
        assert version in versions
        assert answer["scores"].keys() == {str(editor["id"]) for editor in editors}
        if version in kept and version not in expected:
            bare.model.swap(store.load_version(version), bare.model.vocabularies)
            expected[version] = bare.model.judge(as_editors(editors))[0][:, 1].tolist()
        if version in expected:
            assert list(answer["scores"].values()) == pytest.approx(expected[version], abs=TOLERANCE)
    assert expected
