"""POST /intents/train: a person's classes are learned at once, and can be taken back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

TEXT = "the quokka frobnicates my zither"


@pytest.fixture
def restored(client: FlaskClient) -> Iterator[FlaskClient]:
    yield client
    assert client.post("/rollback?model=intent", json={"to": "original"}).status_code == 200


def judge(client: FlaskClient) -> dict[str, float]:
    scores: dict[str, float] = client.post("/intents/predict", json=[{"id": 1, "text": TEXT}]).get_json()["scores"]["1"]
    return scores


def test_it_learns_from_then_on(restored: FlaskClient) -> None:
    before = judge(restored)["praise"]
    known = restored.get("/weights?model=intent").get_json()["versions"][0]["figures"]["reference"]["accuracy"]
    messages = [{"id": n, "text": TEXT, "intent": "praise", "reporter": "kim"} for n in range(20)]
    answer = restored.post("/intents/train", json=messages).get_json()
    assert answer["response"] == "Successfully retrained the model"
    assert answer["learned"] == 20
    assert answer["reference"]["accuracy"] >= known - 0.003
    assert judge(restored)["praise"] > before
    assert restored.get("/weights?model=intent").get_json()["slots"]["current"] == answer["weights"]["version"]


def test_a_rollback_brings_back_the_same_scores(restored: FlaskClient) -> None:
    before = judge(restored)
    assert restored.post("/intents/train", json=[{"id": 1, "text": TEXT, "intent": "spam"}]).status_code == 200
    assert restored.post("/rollback?model=intent", json={"to": "previous"}).status_code == 200
    assert judge(restored) == before


def test_the_threshold_stays_that_of_the_original(restored: FlaskClient) -> None:
    assert restored.post("/intents/train", json=[{"id": 1, "text": TEXT, "intent": "spam"}]).status_code == 200
    versions = restored.get("/weights?model=intent").get_json()["versions"]
    assert {version["figures"]["threshold"] for version in versions} == {versions[-1]["figures"]["threshold"]}


def test_the_other_classifier_is_not_touched(restored: FlaskClient) -> None:
    before = restored.get("/weights").get_json()
    assert restored.post("/intents/train", json=[{"id": 1, "text": TEXT, "intent": "spam"}]).status_code == 200
    assert restored.get("/weights").get_json() == before


def test_that_a_text_fits_no_class_is_learned_too(restored: FlaskClient) -> None:
    message = {"id": "none", "text": "what is the right wine for fish?", "intent": None, "reporter": "kim"}
    asked = [{"id": "none", "text": message["text"]}]
    assert restored.post("/intents/predict", json=asked).get_json()["predictions"]["none"] is not None
    answer = restored.post("/intents/train", json=[message]).get_json()
    assert answer["records"]["none"] == {"state": "learned"}
    assert (answer["before"]["accuracy"], answer["after"]["accuracy"]) == (0.0, 1.0)
    assert restored.post("/intents/predict", json=asked).get_json()["predictions"]["none"] is None
    told = restored.get("/verdicts?model=intent&id=none").get_json()["verdicts"][0]
    assert (told["label"], told["label_name"], told["status"]) == (-1, "no class", "learned")
    quality = restored.get("/quality?model=intent").get_json()
    assert quality["labels"][-1] == "no class"
    assert sum(quality["all_time"]["confusion"][-1]) >= 1, "it had been said to be of a class"


def test_an_unknown_class_is_refused_and_named(client: FlaskClient) -> None:
    before = client.get("/weights?model=intent").get_json()["slots"]
    response = client.post("/intents/train", json=[{"id": "x", "text": TEXT, "intent": "nonsense"}])
    assert response.status_code == 422
    assert response.get_json()["errors"]["x"]["field"] == "intent"
    assert client.get("/weights?model=intent").get_json()["slots"] == before


def test_a_message_without_a_class_is_refused(client: FlaskClient) -> None:
    response = client.post("/intents/train", json=[{"id": 1, "text": TEXT}])
    assert response.status_code == 422
    assert response.get_json()["errors"]["0"]["field"] == "intent"
