"""POST /rollback: any training can be taken back, and that can be taken back too."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.jobs import Jobs
from tests.support.service import EDITOR, assert_problem, make_editors, make_verdicts, waiting


def slots(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/weights").get_json()["slots"]
    return found


def learn(client: FlaskClient, start: int) -> str:
    return str(client.post("/train", json=make_verdicts(2, start)).get_json()["weights"]["version"])


def roll_back(client: FlaskClient, to: str) -> dict[str, Any]:
    response = client.post("/rollback", json={"to": to})
    assert (response.status_code, response.content_type) == (200, "application/json")
    answer: dict[str, Any] = response.get_json()
    return answer


def test_previous_is_what_was_current_before_and_a_second_time_it_is_undone(client: FlaskClient) -> None:
    first, second = learn(client, 0), learn(client, 10)
    answer = roll_back(client, "previous")
    assert answer["success"] is True
    assert answer["weights"] == {"version": first, "previous": second}
    assert (slots(client)["current"], slots(client)["previous"]) == (first, second)
    assert roll_back(client, "previous")["weights"] == {"version": second, "previous": first}
    assert (slots(client)["current"], slots(client)["previous"]) == (second, first)


def test_original_is_what_the_project_ships(client: FlaskClient) -> None:
    original = slots(client)["original"]
    learn(client, 0)
    second = learn(client, 10)
    assert roll_back(client, "original")["weights"] == {"version": original, "previous": second}
    assert slots(client) == {"original": original, "previous": second, "current": original}


def test_any_kept_version_can_be_named(client: FlaskClient) -> None:
    first, _, third = (learn(client, start) for start in (0, 10, 20))
    assert roll_back(client, first)["weights"] == {"version": first, "previous": third}
    assert slots(client)["current"] == first


def test_what_is_current_already_stays_so(client: FlaskClient) -> None:
    before = slots(client)
    version = before["current"]
    for to in ("original", "current", version):
        assert roll_back(client, to)["weights"]["version"] == version
        assert slots(client) == before


def test_the_scores_are_those_of_before_and_the_answer_says_by_which_weights(client: FlaskClient) -> None:
    editors = [EDITOR, *make_editors(5)]
    before = client.post("/predict", json=editors).get_json()
    learned = learn(client, 0)
    between = client.post("/predict", json=editors).get_json()
    roll_back(client, "previous")
    assert client.post("/predict", json=editors).get_json() == before
    assert between["weights"] == learned
    assert between["scores"] != before["scores"]


def test_a_training_after_a_rollback_goes_on_from_there(client: FlaskClient) -> None:
    first = learn(client, 0)
    learn(client, 10)
    roll_back(client, first)
    answer = client.post("/train", json=make_verdicts(2, 30)).get_json()
    assert answer["weights"]["previous"] == first
    assert slots(client)["previous"] == first


@pytest.mark.parametrize("to", ["000099-00000000", "nothing", "", "../original", "original_lodbrok.h5", "x" * 100_000])
def test_what_is_not_there_is_404_says_what_is_and_changes_nothing(to: str, client: FlaskClient) -> None:
    before = slots(client)
    problem = assert_problem(client.post("/rollback", json={"to": to}), 404, "unknown-version")
    assert before["current"] in problem["detail"]
    assert len(problem["detail"]) < 1000
    assert slots(client) == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"original",
        b"null",
        b"5",
        b'"original"',
        b"[]",
        b'["original"]',
        b"{}",
        b'{"To": "original"}',
        b'{"to": null}',
        b'{"to": 0}',
        b'{"to": ["original"]}',
        b'{"to": "\xff"}',
        b'{"to": "\\ud800"}',
        b'{"to": ' + b"[" * 100_000,
        b'{"to": NaN}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_malformed_body_is_400_and_nothing_is_queued(body: bytes, lonely_client: FlaskClient, jobs: Jobs) -> None:
    problem = assert_problem(lonely_client.post("/rollback", data=body), 400, "malformed-body")
    assert "previous" in problem["detail"]
    assert waiting(jobs) == 0


def test_an_unknown_model_is_400(lonely_client: FlaskClient, jobs: Jobs) -> None:
    response = lonely_client.post("/rollback?model=nonsense", json={"to": "original"})
    assert "lodbrok" in assert_problem(response, 400, "invalid-parameter")["detail"]
    assert waiting(jobs) == 0


def test_while_no_weights_are_published_it_says_who_publishes_them(lonely_client: FlaskClient, jobs: Jobs) -> None:
    problem = assert_problem(lonely_client.post("/rollback", json={"to": "original"}), 503, "unavailable")
    assert "sb-api trainer" in problem["detail"]
    assert waiting(jobs) == 0


def test_previous_is_what_is_previous_when_it_is_done(client: FlaskClient) -> None:
    """After a training that was asked for and not waited for it went back two versions."""
    first = learn(client, 0)
    assert client.post("/train", json=make_verdicts(2, 10), headers={"Prefer": "respond-async"}).status_code == 202
    answer = roll_back(client, "previous")
    assert answer["weights"]["version"] == first
    assert answer["weights"]["previous"] != first
    assert slots(client)["current"] == first
