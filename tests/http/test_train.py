"""POST /train: moderators' verdicts are learned at once, or refused with a reason and nothing changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.auth.credentials import add_credential
from sb_api.broker.jobs import TRAIN, Answer
from sb_api.config import Settings
from tests.conftest import wait_until
from tests.support.jobs import Jobs
from tests.support.service import (
    EDITOR,
    MALFORMED_BODIES,
    WRONG_RECORDS,
    Service,
    assert_problem,
    make_verdicts,
    waiting,
)

FIGURES = {"count", "accuracy", "precision", "recall", "f1", "roc_auc", "false_positives_per_thousand", "confusion"}


def current(client: FlaskClient) -> str:
    return str(client.get("/weights").get_json()["slots"]["current"])


def test_verdicts_are_learned_and_the_answer_says_what_came_of_it(client: FlaskClient) -> None:
    before = current(client)
    response = client.post("/train", json=make_verdicts(10))
    answer = response.get_json()
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert answer["success"] is True
    assert answer["response"] == "Successfully retrained the model"
    assert answer["learned"] == 10
    assert answer["weights"] == {"version": current(client), "previous": before}
    assert answer["weights"]["version"] != before
    for name in ("before", "after", "reference"):
        assert answer[name].keys() >= FIGURES
    assert answer["before"]["count"] == answer["after"]["count"] == 10
    assert answer["reference"]["count"] == 500  # see `thin_reference`


def test_the_next_prediction_is_made_with_what_was_learned(client: FlaskClient) -> None:
    before = client.post("/predict", json=[EDITOR]).get_json()
    verdict = 1 - round(before["scores"]["2478"])
    learned = client.post("/train", json=[{**EDITOR, "verdict": verdict}]).get_json()
    after = client.post("/predict", json=[EDITOR]).get_json()
    assert after["weights"] == learned["weights"]["version"]
    assert abs(after["scores"]["2478"] - verdict) < abs(before["scores"]["2478"] - verdict)


def test_a_list_and_an_object_of_verdicts_are_learned_alike(client: FlaskClient) -> None:
    listed = client.post("/train", json=make_verdicts(3)).get_json()
    keyed = {f"key {verdict['id']}": verdict for verdict in make_verdicts(3, start=10)}
    again = client.post("/train", json=keyed).get_json()
    assert again["learned"] == listed["learned"] == 3
    assert again["weights"]["previous"] == listed["weights"]["version"]


def test_what_is_known_is_not_learned_again_and_nothing_changes(client: FlaskClient) -> None:
    first = client.post("/train", json=make_verdicts(3)).get_json()
    again = client.post("/train", json=make_verdicts(3)).get_json()
    assert (first["learned"], first["known"]) == (3, 0)
    assert (again["learned"], again["known"]) == (0, 3)
    assert again["weights"] == first["weights"]
    assert current(client) == first["weights"]["version"]


@pytest.mark.parametrize("fields", [{"verdict": 0}, {"verdict": 1}, {"verdict": 1, "reporter": "someone"}])
def test_one_verdict_is_enough(fields: dict[str, Any], client: FlaskClient) -> None:
    response = client.post("/train", json=[{"id": 1, **fields}])
    assert (response.status_code, response.get_json()["learned"]) == (200, 1)


def test_trainings_sent_at_the_same_time_follow_upon_each_other(client: FlaskClient, service: Service) -> None:
    original = current(client)
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda start: service.post("/train", make_verdicts(2, start)).json(), range(100, 140, 10))
        )
    parents = {answer["weights"]["version"]: answer["weights"]["previous"] for answer in answers}
    chain, version = [], current(client)
    while version != original:
        chain.append(version)
        version = parents[version]
    assert len(chain) == 4


# Asynchronously


def test_a_name_that_does_not_count_is_told_at_once(lonely_client: FlaskClient, jobs: Jobs, settings: Settings) -> None:
    settings.state.mkdir(exist_ok=True)
    token = add_credential(settings.credentials_file, "ann", "train")
    headers = {"Prefer": "respond-async", "Authorization": f"Bearer {token}"}
    response = lonely_client.post("/train", json=[{"id": 1, "verdict": 1, "reporter": "zed"}], headers=headers)
    assert response.status_code == 202
    assert response.get_json()["message"] == (
        "The task is queued. 1 named a reporter, which this credential may not: they are its own."
    )
    own = lonely_client.post("/train", json=[{"id": 1, "verdict": 1, "reporter": "ann"}], headers=headers)
    assert own.get_json()["message"] == "The task is queued."


def test_with_respond_async_the_task_is_named_at_once_and_its_result_comes(client: FlaskClient) -> None:
    before = current(client)
    response = client.post("/train", json=make_verdicts(5), headers={"Prefer": "respond-async, wait=10"})
    queued = response.get_json()
    assert response.status_code == 202
    assert queued["success"] is True
    assert queued["message"]
    location = f"/get-result/{queued['task_id']}"
    assert response.headers["Location"] == location
    assert int(response.headers["Retry-After"]) > 0
    seen = []

    def done() -> bool:
        response = client.get(location)
        seen.append((response.status_code, response.get_json()["status"]))
        return response.status_code == 200

    wait_until(done)
    assert set(seen[:-1]) <= {(202, "queued"), (202, "processing")}
    assert seen[-1] == (200, "completed")
    learned = client.get(location).get_json()["data"]
    assert learned["learned"] == 5
    assert learned["weights"] == {"version": current(client), "previous": before}


# What is refused


@pytest.mark.parametrize("body", MALFORMED_BODIES.values(), ids=MALFORMED_BODIES)
@pytest.mark.parametrize("headers", [{}, {"Prefer": "respond-async"}], ids=["", "async"])
def test_a_body_without_records_is_refused_and_nothing_is_queued(
    body: bytes, headers: dict[str, str], lonely_client: FlaskClient, jobs: Jobs
) -> None:
    assert_problem(lonely_client.post("/train", data=body, headers=headers), 400, "malformed-body")
    assert waiting(jobs) == 0


@pytest.mark.parametrize(
    ("record", "field"),
    [
        *(
            (record[:-1] + (b', "verdict": 1}' if len(record) > 2 else b'"verdict": 1}'), field)
            for record, field in WRONG_RECORDS.values()
        ),
        (b'{"id": 1}', "verdict"),
        (b'{"id": 1, "verdict": null}', "verdict"),
        (b'{"id": 1, "verdict": 2}', "verdict"),
        (b'{"id": 1, "verdict": -1}', "verdict"),
        (b'{"id": 1, "verdict": 0.5}', "verdict"),
        (b'{"id": 1, "verdict": true}', "verdict"),
        (b'{"id": 1, "verdict": "1"}', "verdict"),
        (b'{"id": 1, "verdict": "spam"}', "verdict"),
        (b'{"id": 1, "verdict": 1%s}' % (b"0" * 400), "verdict"),
        (b'{"id": 1, "verdict": 1, "reporter": 5}', "reporter"),
        (b'{"id": 1, "verdict": 1, "reporter": "%s"}' % (b"x" * 256), "reporter"),
    ],
    ids=[
        *WRONG_RECORDS,
        "no verdict",
        "verdict null",
        "verdict 2",
        "verdict -1",
        "verdict 0.5",
        "verdict true",
        "verdict a string",
        "verdict a word",
        "verdict of 400 digits",
        "reporter a number",
        "reporter too long",
    ],
)
def test_a_wrong_record_is_named_with_its_field_and_nothing_is_queued(
    record: bytes, field: str, lonely_client: FlaskClient, jobs: Jobs
) -> None:
    response = lonely_client.post("/train", data=b'{"sound": {"id": 77, "verdict": 0}, "wrong": %s}' % record)
    problem = assert_problem(response, 422, "invalid-records")
    assert {key: fault["field"] for key, fault in problem["errors"].items()} == {"wrong": field}
    assert "'wrong'" in problem["detail"]
    assert waiting(jobs) == 0


def test_two_verdicts_on_one_editor_are_an_error(lonely_client: FlaskClient, jobs: Jobs) -> None:
    verdicts = [{"id": 1, "verdict": 1}, {"id": 1, "verdict": 0}]
    problem = assert_problem(lonely_client.post("/train", json=verdicts), 422, "invalid-records")
    assert problem["errors"]["1"]["field"] == "id"
    assert waiting(jobs) == 0


def test_too_much_is_refused(lonely_client: FlaskClient, jobs: Jobs) -> None:
    verdicts = [{"id": number, "verdict": 1} for number in range(10_001)]
    assert_problem(lonely_client.post("/train", json=verdicts), 413, "too-large")
    assert_problem(lonely_client.post("/train", data=b" " * (32 * 2**20 + 1)), 413, "too-large")
    assert waiting(jobs) == 0


def test_no_answer_in_time_names_the_task_which_goes_on(jobs: Jobs, settings: Settings) -> None:
    client = create_app(msgspec.structs.replace(settings, train_timeout=0.05)).test_client()
    problem = assert_problem(client.post("/train", json=make_verdicts(1)), 504, "no-answer-in-time")
    assert f"/get-result/{problem['task_id']}" in problem["detail"]
    assert client.get(f"/get-result/{problem['task_id']}").get_json()["status"] == "queued"
    wait_until(lambda: jobs.redis.xlen(TRAIN) == 1)
    jobs.ensure_groups([TRAIN])
    (claim,) = jobs.claim([TRAIN], 1, 0).claims
    jobs.finish([(claim, Answer(status="completed", data={"learned": 1}))])
    assert client.get(f"/get-result/{problem['task_id']}").get_json()["data"] == {"learned": 1}


@pytest.mark.parametrize("headers", [{}, {"Prefer": "respond-async"}], ids=["", "async"])
def test_without_redis_it_says_so(headers: dict[str, str], settings: Settings) -> None:
    away = msgspec.structs.replace(settings, redis_url="unix:///nonexistent/redis.sock")
    response = create_app(away).test_client().post("/train", json=make_verdicts(1), headers=headers)
    assert_problem(response, 503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0


def test_a_full_queue_takes_nothing_and_forgets_the_task(jobs: Jobs, settings: Settings) -> None:
    client = create_app(msgspec.structs.replace(settings, queue_limit=1)).test_client()
    accepted = client.post("/train", json=make_verdicts(1), headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202
    response = client.post("/train", json=make_verdicts(1), headers={"Prefer": "respond-async"})
    assert_problem(response, 503, "queue-full")
    assert waiting(jobs) == 1
    # Its answer, and where its entry is.
    kept = f"{{sb_api}}:task:{accepted.get_json()['task_id'].replace('-', '')}"
    assert {key.decode() for key in jobs.redis.scan_iter("*task*")} == {kept, f"{kept}:entry"}
