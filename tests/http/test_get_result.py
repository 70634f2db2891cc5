"""GET /get-result/<task>: what became of an asynchronous task, and nothing else."""

from __future__ import annotations

import uuid

import msgspec
import pytest
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.broker.jobs import TRAIN, Answer, Claim, failure
from sb_api.config import Settings
from sb_api.errors import JobFailed
from tests.support.jobs import Jobs
from tests.support.service import assert_problem, make_verdicts

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def task(lonely_client: FlaskClient) -> str:
    """A task that is queued and that nobody works on."""
    return str(lonely_client.post("/train", json=make_verdicts(1), headers=ASYNC).get_json()["task_id"])


def claim(jobs: Jobs) -> Claim:
    jobs.ensure_groups([TRAIN])
    (claim,) = jobs.claim([TRAIN], 1, 0).claims
    return claim


@pytest.mark.parametrize("status", ["queued", "processing"])
def test_a_task_that_is_not_done_is_202_and_says_when_to_ask_again(
    status: str, task: str, lonely_client: FlaskClient, jobs: Jobs
) -> None:
    if status == "processing":
        jobs.mark_processing([claim(jobs)])
    response = lonely_client.get(f"/get-result/{task}")
    assert response.status_code == 202
    assert response.get_json() == {"success": True, "status": status, "task_id": task}
    assert int(response.headers["Retry-After"]) > 0


def test_a_completed_task_has_its_data_as_often_as_one_asks(task: str, lonely_client: FlaskClient, jobs: Jobs) -> None:
    jobs.finish([(claim(jobs), Answer(status="completed", data={"learned": 1}))])
    for _ in range(3):
        response = lonely_client.get(f"/get-result/{task}")
        assert response.status_code == 200
        assert response.get_json() == {"success": True, "status": "completed", "task_id": task, "data": {"learned": 1}}


def test_a_failed_task_says_why(task: str, lonely_client: FlaskClient, jobs: Jobs) -> None:
    jobs.finish([(claim(jobs), failure(JobFailed("It was set aside.")))])
    response = lonely_client.get(f"/get-result/{task}")
    answer = response.get_json()
    assert response.status_code == 200
    assert (answer["success"], answer["status"]) == (False, "failed")
    assert answer["error"]["detail"] == "It was set aside."


def test_a_result_is_kept_for_a_while_and_not_for_ever(task: str, jobs: Jobs, settings: Settings) -> None:
    jobs.finish([(claim(jobs), Answer(status="completed", data={}))])
    (key,) = jobs.redis.scan_iter(f"*{task}*")
    assert settings.result_ttl - 10 <= jobs.redis.ttl(key) <= settings.result_ttl


def test_a_task_that_nobody_sent_is_404(lonely_client: FlaskClient) -> None:
    assert_problem(lonely_client.get(f"/get-result/{uuid.uuid4().hex}"), 404, "not-found")


@pytest.mark.parametrize(
    "path",
    [
        "1",
        "x" * 10_000,
        "..",
        "../weights",
        "%2e%2e%2fweights",
        "{sb_api}:weights:lodbrok",
        "weights:lodbrok",
        "*",
        "%00",
        "%ff",
        "a/b",
        "",
        "\u0661" * 31,
    ],
)
def test_what_is_no_task_id_is_4xx(path: str, client: FlaskClient) -> None:
    response = client.get(f"/get-result/{path}")
    assert_problem(response, 404)


def test_only_get_is_allowed(task: str, lonely_client: FlaskClient) -> None:
    response = lonely_client.post(f"/get-result/{task}")
    assert_problem(response, 405)
    assert "GET" in response.headers["Allow"]


def test_without_redis_it_says_so(settings: Settings) -> None:
    away = msgspec.structs.replace(settings, redis_url="unix:///nonexistent/redis.sock")
    response = create_app(away).test_client().get(f"/get-result/{uuid.uuid4().hex}")
    assert_problem(response, 503, "unavailable")
