"""POST /weights/rename-class: classes of the running weights are called otherwise, or become one, until a rollback."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

BUG = {"id": 1, "text": "the search page crashes on my phone"}


def predict(client: FlaskClient) -> tuple[str, dict[str, float]]:
    answer: dict[str, Any] = client.post("/intents/predict", json=[BUG]).get_json()
    return answer["predictions"]["1"], answer["scores"]["1"]


def test_a_merged_class_is_judged_by_its_name_until_a_rollback(client: FlaskClient) -> None:
    _, before = predict(client)
    wanted = {"old": ["bug report", "complaint"], "new": "problem"}
    done = client.post("/weights/rename-class?model=intent", json=wanted)
    assert done.status_code == 200, done.get_json()
    assert done.get_json()["labels"].count("problem") == 1
    said, scores = predict(client)
    assert (said, set(scores)) == ("problem", (set(before) | {"problem"}) - set(wanted["old"]))
    assert scores["problem"] == pytest.approx(before["bug report"] + before["complaint"], abs=1e-5)
    quality = client.get("/quality?model=intent").get_json()
    assert quality["events"][-1]["kind"] == "renaming"
    assert quality["labels"] == [*done.get_json()["labels"], "no class"]
    assert {len(row) for row in quality["all_time"]["confusion"]} == {len(quality["labels"])}
    assert client.post("/intents/train", json=[{**BUG, "intent": "complaint"}]).status_code == 422
    previous = done.get_json()["weights"]["previous"]
    assert client.post("/rollback?model=intent", json={"to": previous}).status_code == 200
    assert predict(client)[1] == pytest.approx(before)


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("?model=intent", {"old": ["poetry"], "new": "prose"}, 400),
        ("?model=intent", {"old": [], "new": "prose"}, 400),
        ("?model=intent", {"old": ["spam"], "new": "PRAISE"}, 400),
        ("", {"old": ["Spam Editor Account"], "new": "x"}, 400),
    ],
)
def test_what_cannot_be_is_refused(client: FlaskClient, query: str, body: dict[str, Any], status: int) -> None:
    before = client.get("/weights?model=intent").get_json()["slots"]
    assert client.post(f"/weights/rename-class{query}", json=body).status_code == status
    assert client.get("/weights?model=intent").get_json()["slots"] == before
