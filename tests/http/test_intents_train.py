"""POST /intents/train: a person's classes are learned at once, and can be taken back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from sb_api.synthetic.messages import generate_messages

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
    chain = restored.get("/weights?model=intent").get_json()
    (current,) = (about for about in chain["versions"] if about["version"] == chain["slots"]["current"])
    known = current["figures"]["reference"]["accuracy"]
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
    message = {"id": "none", "text": "which wine should I use for the fish?", "intent": None, "reporter": "kim"}
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


def test_a_correction_among_many_messages_is_followed(restored: FlaskClient) -> None:
    others = [{"id": n, "text": one.text, "intent": one.label} for n, one in enumerate(generate_messages(59, seed=5))]
    correction = {"id": "it", "text": "where did my settings go?", "intent": "data question"}
    assert predict(restored, str(correction["text"]))[0] != "data question"
    answer = restored.post("/intents/train", json=[*others, correction]).get_json()
    assert (answer["response"], answer["records"]["it"]) == ("Successfully retrained the model", {"state": "learned"})
    assert predict(restored, str(correction["text"]))[0] == "data question"


def test_a_verdict_that_is_learned_and_not_followed_is_said_to_be_so(restored: FlaskClient) -> None:
    text = "the new page is really something"
    verdicts = [{"id": name, "text": text, "intent": name} for name in ("praise", "complaint")]
    answer = restored.post("/intents/train", json=verdicts).get_json()
    said = predict(restored, text)[0] or "no class"
    outcomes = {name: outcome.get("still", "") for name, outcome in answer["records"].items()}
    assert outcomes == {name: "" if name == said else said for name in ("praise", "complaint")}
    assert {outcome["state"] for outcome in answer["records"].values()} == {"learned"}
    assert f"{sum(map(bool, outcomes.values()))} learned but not followed yet" in answer["response"]


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


CLASS = [
    "my order has not come",
    "where is the order that I placed",
    "has my order been shipped?",
    "the order is late again",
    "when will my order come",
]
TEXT_OF_CLASS = "my order is late, when will it come?"


def examples(texts: list[str]) -> list[dict[str, object]]:
    return [{"id": f"example {n}", "text": text, "intent": "order status"} for n, text in enumerate(texts)]


def predict(client: FlaskClient, text: str) -> tuple[str | None, list[str]]:
    answer = client.post("/intents/predict", json=[{"id": 1, "text": text}]).get_json()
    return answer["predictions"]["1"], list(answer["scores"]["1"])


def test_a_class_comes_with_its_first_examples_and_goes_with_a_rollback(restored: FlaskClient) -> None:
    known = restored.get("/weights?model=intent").get_json()["versions"][-1]
    labels = known["labels"]
    answer = restored.post("/intents/train?new_classes=true", json=examples(CLASS))
    assert answer.status_code == 200, answer.get_json()
    trained = answer.get_json()
    assert trained["learned"] == 5
    assert trained["after"]["accuracy"] == 1.0
    assert trained["reference"]["accuracy"] >= known["figures"]["reference"]["accuracy"] - 0.003
    assert predict(restored, TEXT_OF_CLASS) == ("order status", [*labels, "order status"])
    quality = restored.get("/quality?model=intent").get_json()
    assert quality["labels"] == [*labels, "order status", "no class"]
    assert quality["all_time"]["count"] == 0, "the weights could not have named it"

    # More of it is learned as of any class, and one example can be taken back.
    more = {"name": "order status", "examples": "order 12 is still not here"}
    page = restored.post("/page/class", data=more)
    assert (page.status_code, "The texts are learned as order status. Successfully" in page.text) == (200, True)
    undone = restored.post("/verdicts/undo?model=intent", json={"id": "example 0"}).get_json()
    assert (undone["withdrawn"], undone["unlearned"]) == (1, True)
    assert predict(restored, TEXT_OF_CLASS)[0] == "order status"

    assert restored.post("/rollback?model=intent", json={"to": "original"}).status_code == 200
    assert predict(restored, TEXT_OF_CLASS)[1] == labels
    told = restored.get("/verdicts?model=intent&id=example 1").get_json()["verdicts"][0]
    assert (told["label"], told["label_name"], told["status"]) == (len(labels), "order status", "undone")
    assert restored.get("/quality?model=intent").get_json()["labels"] == [*labels, "no class"]
    assert restored.post("/intents/train", json=examples(CLASS)).status_code == 422


def test_too_few_examples_of_a_class_change_nothing(client: FlaskClient) -> None:
    before = client.get("/weights?model=intent").get_json()["slots"]
    response = client.post("/intents/train?new_classes=true", json=examples(CLASS[:3]))
    assert response.status_code == 422
    assert "2 missing" in response.get_json()["errors"]["example 0"]["detail"]
    assert client.get("/weights?model=intent").get_json()["slots"] == before
    few = [{**one, "id": f"few {n}"} for n, one in enumerate(examples(CLASS[:3]))]
    assert client.post("/intents/train?new_classes=true", json=few).status_code == 422
    assert client.get("/verdicts?model=intent&id=few 0").get_json()["verdicts"] == []


def test_accounts_have_no_new_classes(client: FlaskClient) -> None:
    response = client.post("/train?new_classes=true", json=[{"id": 1, "verdict": 1}])
    assert response.status_code == 400
    assert "new_classes" in response.get_json()["detail"]
