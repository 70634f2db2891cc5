"""Weights beside the current ones: staged, judged in shadow, compared, promoted and dropped."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.conftest import wait_until
from tests.support.jobs import Jobs
from tests.support.service import Service, assert_problem, make_editors, make_verdicts, waiting

NOBODY = "000099-00000000"


def learn(client: FlaskClient, start: int, count: int = 2) -> str:
    return str(client.post("/train", json=make_verdicts(count, start)).get_json()["weights"]["version"])


def stage(client: FlaskClient, version: str) -> None:
    response = client.post("/weights/stage", json={"version": version})
    assert response.status_code == 200, response.get_data(as_text=True)
    assert client.get("/weights").get_json()["staged"]["version"] == response.get_json()["staged"]


def drop(client: FlaskClient, version: str) -> None:
    assert client.post("/weights/drop", json={"version": version}).get_json()["staged"] == version
    assert client.get("/weights").get_json()["staged"] is None


def compare(client: FlaskClient) -> dict[str, Any]:
    response = client.get("/weights/staged")
    assert response.status_code == 200, response.get_data(as_text=True)
    found: dict[str, Any] = response.get_json()
    return found


def promote(client: FlaskClient, version: str, **body: Any) -> dict[str, Any]:
    accepted = client.post("/weights/promote", json={"version": version, **body})
    assert accepted.status_code == 202, accepted.get_data(as_text=True)
    place = accepted.headers["Location"]
    wait_until(lambda: client.get(place).status_code == 200)
    answer: dict[str, Any] = client.get(place).get_json()
    assert answer["status"] == "completed", answer
    done: dict[str, Any] = answer["data"]
    return done


def statuses(service: Service) -> list[str]:
    return [row.status for row in reversed(service.verdict_log().find())]


def test_live_requests_are_judged_by_both_and_no_answer_changes(client: FlaskClient) -> None:
    editors = make_editors(60)
    current = learn(client, 0, 6)
    before = client.post("/predict", json=editors).get_json()
    stage(client, "original")
    staged = client.get("/weights").get_json()["slots"]["original"]
    answers = []

    def judged() -> bool:
        answers.append(client.post("/predict", json=editors).get_json())
        return bool(compare(client)["shadow"]["judged"] >= 60)

    wait_until(judged, interval=0.2)
    assert all(answer == before for answer in answers)
    found = compare(client)
    assert (found["version"], found["current"]) == (staged, current)
    shadow = found["shadow"]
    assert sum(sum(row.values()) for row in shadow["bands"].values()) == shadow["judged"]
    assert 0 < shadow["mean_difference"] < 1
    assert {one["id"] for one in shadow["largest"]} <= {str(editor["id"]) for editor in editors}
    reference = found["labelled"][0]
    assert sum(reference["right"].values()) == reference["staged"]["count"]
    assert found["unlearned"] == 6
    metrics = client.get("/metrics").get_data(as_text=True)
    assert f'sb_api_staged_weights_info{{classifier="lodbrok",version="{staged}"}} 1.0' in metrics
    assert "sb_api_shadow_records{" in metrics
    # Verdicts that come meanwhile say which of the two was right.
    learn(client, 100, 4)
    assert sum(compare(client)["shadow"]["verdicts"].values()) == 4
    drop(client, staged)
    assert_problem(client.get("/weights/staged"), 404, "nothing-staged")


def test_a_promotion_teaches_what_is_missing_and_a_rollback_undoes_it(client: FlaskClient, service: Service) -> None:
    first = learn(client, 0)
    second = learn(client, 10)
    stage(client, first)
    assert compare(client)["unlearned"] == 2
    done = promote(client, first)
    assert (done["learned"], done["unlearned"]) == (2, 0)
    made = done["weights"]["version"]
    slots = client.get("/weights").get_json()["slots"]
    assert (slots["current"], slots["previous"]) == (made, second)
    assert made not in (first, second)
    assert client.get("/weights").get_json()["staged"] is None
    assert statuses(service) == ["learned"] * 4
    assert client.get("/quality").get_json()["events"][-1]["kind"] == "promotion"
    assert client.post("/rollback", json={"to": "previous"}).get_json()["weights"]["version"] == second
    assert statuses(service) == ["learned"] * 4


def test_as_it_is_it_says_what_is_missing_and_how_to_have_it_learned(client: FlaskClient, service: Service) -> None:
    first = learn(client, 0)
    second = learn(client, 10)
    stage(client, first)
    done = promote(client, first, as_is=True)
    assert (done["learned"], done["unlearned"]) == (0, 2)
    assert done["weights"] == {"version": first, "previous": second}
    assert all(part in done["response"] for part in ("2 verdicts", "sb-api rollback", "--as-is"))
    assert statuses(service) == ["learned", "learned", "undone", "undone"]
    client.post("/rollback", json={"to": "previous"})
    assert statuses(service) == ["learned"] * 4


def test_what_is_current_or_nobody_has_cannot_be_staged(client: FlaskClient) -> None:
    current = client.get("/weights").get_json()["slots"]["current"]
    assert_problem(client.post("/weights/stage", json={"version": current}), 400, "invalid-parameter")
    assert_problem(client.post("/weights/stage", json={"version": NOBODY}), 404, "unknown-version")


def test_what_is_not_staged_is_neither_promoted_nor_dropped(client: FlaskClient) -> None:
    before = client.get("/weights").get_json()["slots"]
    first = learn(client, 0)
    stage(client, "original")
    for call in ("promote", "drop"):
        assert_problem(client.post(f"/weights/{call}", json={"version": first}), 404, "nothing-staged")
    drop(client, before["original"])
    for call in ("promote", "drop"):
        assert_problem(client.post(f"/weights/{call}", json={"version": first}), 404, "nothing-staged")


@pytest.mark.parametrize("call", ["stage", "promote", "drop"])
@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"version": 1}', b'{"version": "\xff"}', b"[" * 100_000])
def test_a_malformed_body_is_400_and_nothing_is_queued(
    call: str, body: bytes, lonely_client: FlaskClient, jobs: Jobs
) -> None:
    assert_problem(lonely_client.post(f"/weights/{call}", data=body), 400, "malformed-body")
    assert waiting(jobs) == 0
