"""/sentiments/predict and /sentiments/train: a second set of classes through what sorts messages into intents."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

SENTIMENTS = ["negative", "neutral", "positive"]


def predict(client: FlaskClient, *texts: str) -> dict[str, Any]:
    body = [{"id": n, "text": text} for n, text in enumerate(texts)]
    answer: dict[str, Any] = client.post("/sentiments/predict", json=body).get_json()
    return answer


@pytest.mark.parametrize(
    ("sentiment", "texts"),
    [
        ("positive", ("your support was great, I am so happy", "ich bin begeistert, vielen Dank", "muchas gracias")),
        (
            "negative",
            ("the new app is terrible and I am angry", "je suis furieux, le pire service", "bedankt voor niets"),
        ),
        (
            "negative",
            (
                "I am not happy",
                "ich bin nicht zufrieden",
                "je ne suis pas content",
                "no me gusta",
                "the page is not good",
                "it never works",
                "isn't good",
                "wasn't happy",
                "isn\u2019t good",
                "I don't like it at all",
                "n'est pas bon",
            ),
        ),
        ("positive", ("I can't complain", "not bad", "gar nicht schlecht", "pas mal", "niente male")),
        ("neutral", ("how do I change the invoice?", "wo finde ich die Rechnung", "quais são os horários?")),
    ],
)
def test_a_message_has_a_sentiment_whatever_its_language(
    client: FlaskClient, sentiment: str, texts: tuple[str, ...]
) -> None:
    answer = predict(client, *texts)
    assert list(answer["predictions"].values()) == [sentiment] * len(texts)
    assert [sorted(scores) for scores in answer["scores"].values()] == [SENTIMENTS] * len(texts)
    assert answer["weights"] == client.get("/weights?model=sentiment").get_json()["slots"]["current"]


def test_what_cannot_be_read_has_none(client: FlaskClient) -> None:
    assert predict(client, "zxqv wwkp 3391")["predictions"] == {"0": None}


def test_it_is_found_by_its_name(client: FlaskClient) -> None:
    """As every classifier is, by its row of data."""
    body = {"model": "sentiment", "data": [{"id": 1, "text": "wonderful, thank you so much"}]}
    assert client.post("/classify", json=body).status_code == 202
    assert client.get("/quality?model=sentiment").get_json()["labels"] == [*SENTIMENTS, "no class"]
    assert "sentiment" in client.get("/readyz").get_json()["weights"]
    explained = client.post("/sentiments/predict?explain=true", json=body["data"]).get_json()
    assert explained["reasons"]["1"][0]["value"] in ("wonderful", "thank", "much")


def test_what_a_person_says_of_it_is_learned_and_can_be_taken_back(client: FlaskClient) -> None:
    text = "the quokka frobnicates my zither"
    before = predict(client, text)["scores"]["0"]
    intents = client.get("/weights?model=intent").get_json()
    message = {"id": "a", "text": text, "sentiment": "negative", "reporter": "kim"}
    answer = client.post("/sentiments/train", json=[message]).get_json()
    assert answer["records"]["a"] == {"state": "learned"}
    assert predict(client, text)["predictions"]["0"] == "negative"
    told = client.get("/verdicts?model=sentiment&id=a").get_json()["verdicts"][0]
    assert (told["label_name"], told["status"]) == ("negative", "learned")
    assert client.get("/weights?model=intent").get_json() == intents
    assert client.post("/rollback?model=sentiment", json={"to": "previous"}).status_code == 200
    assert predict(client, text)["scores"]["0"] == before


@pytest.mark.parametrize("message", [{"sentiment": "sarcastic"}, {"intent": "praise"}, {}])
def test_a_class_that_is_none_is_named_by_its_own_field(client: FlaskClient, message: dict[str, str]) -> None:
    response = client.post("/sentiments/train", json=[{"id": 0, "text": "hm", **message}])
    assert response.status_code == 422
    assert response.get_json()["errors"]["0"]["field"] == "sentiment"
