"""The service, step by step, says what the bare model says; clients never get each other's answers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from service import LODBROK, NOT_SPAM, SPAM, Bare, Service, as_editors, as_verdicts, make_editors, make_verdicts

from sb_api.train import retrain_model
from sb_api.weights import Weights


def bare_scores(bare: Bare, editors: list[dict[str, Any]]) -> dict[str, float]:
    scores, errors = bare.model.judge(as_editors(editors))
    assert errors == {}
    return {str(editor["id"]): float(row[1]) for editor, row in zip(editors, scores, strict=True)}


def assert_same_answer(answer: dict[str, Any], bare: Bare, editors: list[dict[str, Any]]) -> None:
    """The answer is the bare model's: version, scores, and the label of the larger of two."""
    expected = bare_scores(bare, editors)
    assert answer["success"] is True
    assert answer["weights"] == bare.model.version
    assert answer["scores"] == pytest.approx(expected, abs=1e-6)
    assert answer["predictions"] == {key: SPAM if score > 0.5 else NOT_SPAM for key, score in expected.items()}


def learn(bare: Bare, current: Weights, verdicts: list[dict[str, Any]], number: int) -> Weights:
    records = as_verdicts(verdicts)
    learned = retrain_model(
        bare.fitting,
        LODBROK,
        current,
        LODBROK.preprocess(records, bare.model.vocabularies),
        np.array([record.verdict for record in records]),
        bare.reference,
        number=number,
    )
    bare.model.swap(learned, bare.model.vocabularies)
    return learned


def test_predict_train_predict_rollback_predict_equals_the_bare_model(service: Service, bare: Bare) -> None:
    """After every step of the way, the same version and the same scores, bit for bit the same weights."""
    editors, verdicts = make_editors(70), make_verdicts(12, start=1000)
    assert_same_answer(service.post("/predict", editors).json(), bare, editors)

    numbers = [int(about["version"].split("-")[0]) for about in service.get("/weights").json()["versions"]]
    answer = service.post("/train", verdicts).json()
    learned = learn(bare, bare.original, verdicts, number=max(numbers) + 1)
    assert answer["weights"]["version"] == learned.about.version
    assert answer["after"] == learned.about.figures["after"]
    assert_same_answer(service.post("/predict", editors).json(), bare, editors)

    assert service.post("/rollback", {"to": "previous"}).json()["weights"]["version"] == bare.original.about.version
    bare.reset()
    assert_same_answer(service.post("/predict", editors).json(), bare, editors)

    assert service.post("/rollback", {"to": learned.about.version}).status_code == 200
    bare.model.swap(learned, bare.model.vocabularies)
    assert_same_answer(service.post("/predict", editors).json(), bare, editors)


def test_concurrent_clients_never_get_each_others_editors(service: Service, bare: Bare) -> None:
    """A fault of the original: requests took each other's editors from one queue."""

    def ask(client: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        editors = make_editors(1 + client % 4, start=client * 10)
        return editors, service.post("/predict", {str(client): editor for client, editor in enumerate(editors)}).json()

    with ThreadPoolExecutor(16) as pool:
        for editors, answer in pool.map(ask, range(200)):
            assert_same_answer(answer, bare, editors)


def test_a_large_request_is_judged_by_one_version_while_trainings_run(service: Service, bare: Bare) -> None:
    """Several slices, one version, and the scores are those of that very version."""
    editors = make_editors(2500)
    stop = threading.Event()
    trained: list[int] = []

    def train() -> None:
        while not stop.is_set():
            trained.append(service.post("/train", make_verdicts(2, start=5000 + len(trained) * 10)).status_code)

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        answers = [service.post("/predict", editors) for _ in range(6)]
    finally:
        stop.set()
        trainer.join()
    assert set(trained) == {200}
    assert {answer.status_code for answer in answers} == {200}
    original = next(
        (answer.json() for answer in answers if answer.json()["weights"] == bare.original.about.version), None
    )
    assert {len(answer.json()["scores"]) for answer in answers} == {2500}
    service.post("/rollback", {"to": "original"})
    assert_same_answer(original or service.post("/predict", editors).json(), bare, editors)
