"""POST /classify and GET /get-result: asynchronous judging, by either classifier."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient

from sb_api.broker.jobs import PREDICT_STREAMS
from sb_api.config import load_settings
from sb_api.records import RECORD_TYPES
from tests.conftest import wait_until
from tests.support.jobs import Jobs
from tests.support.service import make_editors

RECORDS = {
    "lodbrok": {"0": {"id": 1, "website": "http://shop.example"}, "1": {"id": 2, "bio": "music"}},
    "intent": [{"id": 1, "text": "how do I change my password?"}, {"id": 2, "text": "great site"}],
    "sentiment": [{"id": 1, "text": "great site"}],
}
ROUTES = {name: f"{each.path}/predict" for name, each in RECORD_TYPES.items()}


def classify(client: FlaskClient, model: str, data: Any, **headers: str) -> Any:
    return client.post("/classify", json={"model": model, "data": data}, headers=headers)


def completed(client: FlaskClient, task: str) -> Any:
    wait_until(lambda: client.get(f"/get-result/{task}").status_code == 200)
    return client.get(f"/get-result/{task}").get_json()


def waiting(jobs: Jobs) -> int:
    return sum(jobs.redis.xlen(stream) for stream in PREDICT_STREAMS)


def one(text: str) -> list[dict[str, Any]]:
    return [{"id": 1, "text": text}]


@pytest.mark.parametrize("model", RECORDS)
def test_a_task_ends_with_what_predict_would_say(client: FlaskClient, model: str) -> None:
    accepted = classify(client, model, RECORDS[model])
    assert accepted.status_code == 202
    task = accepted.get_json()["task_id"]
    assert accepted.headers["Location"] == f"/get-result/{task}"
    assert int(accepted.headers["Retry-After"]) > 0
    result = completed(client, task)
    assert (result["success"], result["status"]) == (True, "completed")
    direct = client.post(ROUTES[model], json=RECORDS[model]).get_json()
    assert {name: direct[name] for name in result["data"]} == result["data"]
    assert result["data"].keys() >= {"predictions", "scores", "weights"}


def test_a_long_task_ends_with_what_predict_would_say(client: FlaskClient) -> None:
    """It is judged in slices."""
    records = make_editors(1 + 2 * load_settings({}).slice_records)
    result = completed(client, classify(client, "lodbrok", records).get_json()["task_id"])
    direct = client.post("/predict", json=records).get_json()
    assert result["data"]["scores"] == pytest.approx(direct["scores"], abs=1e-6)
    assert result["data"].keys() == direct.keys() - {"success"}
    assert result["data"]["weights"] == direct["weights"]


def test_nobody_there_means_queued(lonely_client: FlaskClient) -> None:
    task = classify(lonely_client, "intent", one("a")).get_json()["task_id"]
    response = lonely_client.get(f"/get-result/{task}")
    assert (response.status_code, response.get_json()["status"]) == (202, "queued")
    assert int(response.headers["Retry-After"]) > 0


def test_the_same_content_again_is_the_same_task_and_queued_once(lonely_client: FlaskClient, jobs: Jobs) -> None:
    first = classify(lonely_client, "intent", one("a")).get_json()
    # Other white space and key order, same records.
    body = b'{"data":[ {"text": "a",  "id": 1} ], "model":"intent"}'
    assert lonely_client.post("/classify", data=body).get_json() == first
    assert waiting(jobs) == 1


def test_other_content_and_another_model_are_other_tasks(lonely_client: FlaskClient, jobs: Jobs) -> None:
    bodies = [("intent", one("a")), ("intent", one("b")), ("lodbrok", one("a"))]
    tasks = {classify(lonely_client, *body).get_json()["task_id"] for body in bodies}
    assert len(tasks) == waiting(jobs) == 3


def test_a_result_that_is_gone_is_made_anew(lonely_client: FlaskClient, jobs: Jobs) -> None:
    task = classify(lonely_client, "intent", one("a")).get_json()["task_id"]
    jobs.forget(task)
    assert lonely_client.get(f"/get-result/{task}").status_code == 404
    assert classify(lonely_client, "intent", one("a")).get_json()["task_id"] == task
    assert waiting(jobs) == 2


def test_results_live_for_the_set_time(lonely_client: FlaskClient, jobs: Jobs) -> None:
    task = classify(lonely_client, "intent", one("a")).get_json()["task_id"]
    keys = [key for key in jobs.redis.scan_iter() if task in key.decode()]  # the answer, and where its entry is
    assert [0 < jobs.redis.ttl(key) <= jobs.settings.result_ttl for key in keys] == [True, True]


def test_an_idempotency_key_stands_for_one_content(lonely_client: FlaskClient, jobs: Jobs) -> None:
    key = {"Idempotency-Key": "k1"}
    first = classify(lonely_client, "intent", one("a"), **key)
    again = classify(lonely_client, "intent", one("a"), **key)
    other = classify(lonely_client, "intent", one("b"), **key)
    assert first.get_json() == again.get_json()
    assert (other.status_code, other.get_json()["type"]) == (422, "urn:sb_api:problem:idempotency-key-reused")
    assert waiting(jobs) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b'{"data": []}', 400),
        (b'{"model": "intent"}', 400),
        (b'{"model": "other", "data": [{"id": 1}]}', 400),
        (b'{"model": 3, "data": [{"id": 1}]}', 400),
        (b'{"model": "intent", "data": []}', 400),
        (b'{"model": "intent", "data": 7}', 400),
        (b'{"model": "intent", "data": [{"id": 1}]}', 422),
        (b'{"model": "intent", "data": ' + b"[" * 5000, 400),
        (b"\xff\xfe", 400),
    ],
)
def test_what_is_wrong_is_refused_and_not_queued(
    lonely_client: FlaskClient, jobs: Jobs, body: bytes, status: int
) -> None:
    response = lonely_client.post("/classify", data=body)
    assert (response.status_code, response.mimetype) == (status, "application/problem+json")
    assert waiting(jobs) == 0


def test_an_unknown_task_is_not_found(lonely_client: FlaskClient) -> None:
    assert lonely_client.get(f"/get-result/{uuid.uuid4().hex}").status_code == 404
