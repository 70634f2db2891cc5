"""POST /intents/predict: short texts are sorted into the classes that the weights carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from flask.testing import FlaskClient

if TYPE_CHECKING:
    from tests.support.service import Service


def predict(client: FlaskClient, body: Any) -> Any:
    return client.post("/intents/predict", json=body)


def labels(client: FlaskClient) -> list[str]:
    chain = client.get("/weights?model=intent").get_json()
    current = chain["slots"]["current"]
    (own,) = (version["labels"] for version in chain["versions"] if version["version"] == current)
    return own


def test_every_message_gets_a_class_and_all_scores(client: FlaskClient) -> None:
    bodies = [
        {"id": 1, "text": "the search page crashes on my phone"},
        {"id": "two", "text": "buy cheap watches at http://watches-shop.example"},
    ]
    answer = predict(client, bodies).get_json()
    assert answer["success"] is True
    assert answer["predictions"] == {"1": "bug report", "two": "spam"}
    for scores in answer["scores"].values():
        assert sorted(scores) == sorted(labels(client))
        assert sum(scores.values()) == pytest.approx(1, abs=1e-4)
    assert answer["weights"] == client.get("/weights?model=intent").get_json()["slots"]["current"]


def test_a_body_by_key_is_the_same_as_a_list(client: FlaskClient) -> None:
    message = {"id": 7, "text": "thank you for this wonderful database"}
    assert predict(client, {"0": message}).get_json() == predict(client, [message]).get_json()


def test_typing_errors_do_not_change_the_class(client: FlaskClient) -> None:
    texts = (
        "I forgot my password, how do I get in",
        "i forgto my pasword, hwo do i get in",
        "I FORGOT my passssssword??",
    )
    answer = predict(client, [{"id": n, "text": text} for n, text in enumerate(texts)]).get_json()
    assert set(answer["predictions"].values()) == {"account question"}


def test_what_is_out_of_scope_is_of_no_class_and_still_scored(client: FlaskClient) -> None:
    answer = predict(client, [{"id": 1, "text": "zxqv wwkp"}]).get_json()
    assert answer["predictions"] == {"1": None}
    assert len(answer["scores"]["1"]) == len(labels(client))


def test_the_words_that_speak_for_a_class_are_named(client: FlaskClient) -> None:
    messages = [{"id": 1, "text": "the search page crashes, it crashes on my phone"}, {"id": 2, "text": "crashes"}]
    plain = predict(client, messages).get_json()
    assert "reasons" not in plain
    answer = client.post("/intents/predict?explain=true", json=messages).get_json()
    assert (answer["predictions"], answer["scores"]) == (plain["predictions"], plain["scores"])
    reasons = answer["reasons"]["1"]
    strongest = reasons[0]
    assert (strongest["feature"], strongest["value"]) == ("word 'crashes'", "crashes")
    assert strongest["log_odds"] > 0.5
    assert [abs(reason["log_odds"]) for reason in reasons] == sorted(
        (abs(reason["log_odds"]) for reason in reasons), reverse=True
    )
    assert {reason["value"] for reason in reasons} <= {
        "the",
        "search",
        "page",
        "crashes",
        ",",
        "it",
        "on",
        "my",
        "phone",
    }
    # What is said of a word is what leaving it out wherever it stands changes.
    without = predict(client, [{"id": 1, "text": "the search page , it on my phone"}]).get_json()["scores"]["1"]
    lost = answer["scores"]["1"]["bug report"] - without["bug report"]
    assert strongest["effect"] == pytest.approx(lost, abs=1e-5)
    assert answer["reasons"]["2"][0]["value"] == "crashes"


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"id": 1}, "text"),
        ({"id": 1, "text": None}, "text"),
        ({"id": 1, "text": "  \n "}, "text"),
        ({"id": 1, "text": "x" * 20_001}, "text"),
        ({"text": "hello"}, "id"),
    ],
)
def test_a_wrong_message_is_named_by_its_field(client: FlaskClient, message: dict[str, Any], field: str) -> None:
    response = predict(client, {"a": message, "b": {"id": 2, "text": "fine"}})
    assert response.status_code == 422
    assert {key: fault["field"] for key, fault in response.get_json()["errors"].items()} == {"a": field}


def test_partial_judges_the_sound_ones(client: FlaskClient) -> None:
    answer = client.post("/intents/predict?partial=true", json=[{"id": 1, "text": "thank you"}, {"id": 2}]).get_json()
    assert list(answer["predictions"]) == ["1"]
    assert list(answer["errors"]) == ["1"]


@pytest.mark.parametrize("text", ["\u0000", "😀😀😀", "ﷺ" * 100, "a" * 20_000, "1" * 20_000, "\ud7ff ё", "<script>"])
def test_no_text_gives_a_500(client: FlaskClient, text: str) -> None:
    assert predict(client, [{"id": 1, "text": text}]).status_code == 200


def test_many_messages_are_judged_by_one_version(service: Service) -> None:
    answer = service.post("/intents/predict", [{"id": n, "text": f"thanks number {n}"} for n in range(1500)]).json()
    assert len(answer["predictions"]) == len(answer["scores"]) == 1500
