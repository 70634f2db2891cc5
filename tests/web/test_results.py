"""Results are their owner's, and take a share of Redis's memory that leaves room for everything else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.auth.credentials import add_credential
from sb_api.broker.jobs import TRAIN, Answer
from sb_api.config import Settings
from sb_api.web.results import LOOK, MARK, SHARE, own_task, owns
from tests.support.jobs import Jobs
from tests.support.service import assert_problem, make_verdicts, waiting

LIMIT = 32 * 2**20  # bytes of Redis's memory


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(settings: Settings) -> dict[str, str]:
    settings.state.mkdir()
    return {name: add_credential(settings.credentials_file, name, "admin") for name in ("alice", "bob")}


@pytest.fixture
def client(settings: Settings, jobs: Jobs, tokens: dict[str, str], clock: Clock) -> FlaskClient:
    app = create_app(msgspec.structs.replace(settings, web_processes=1))
    app.extensions["sb_api"].results.clock = clock
    return app.test_client()


@pytest.fixture
def small_redis(jobs: Jobs) -> Iterator[Jobs]:
    jobs.redis.config_set("maxmemory", LIMIT)
    yield jobs
    jobs.redis.config_set("maxmemory", 0)


def task(text: str) -> dict[str, Any]:
    return {"model": "intent", "data": [{"id": 1, "text": text}]}


def keep(client: FlaskClient, token: str, body: Any, **headers: str) -> Any:
    return client.post("/classify", json=body, headers={"Authorization": f"Bearer {token}", **headers})


def fetch(client: FlaskClient, token: str, task: str) -> Any:
    return client.get(f"/get-result/{task}", headers={"Authorization": f"Bearer {token}"})


def test_a_task_is_fetched_by_its_owner_alone(client: FlaskClient, tokens: dict[str, str]) -> None:
    mine = keep(client, tokens["alice"], task("one")).get_json()["task_id"]
    assert fetch(client, tokens["alice"], mine).status_code == 202
    assert_problem(fetch(client, tokens["bob"], mine), 404, "not-found")
    # Who sends the same has a task, and a result, of their own.
    other = keep(client, tokens["bob"], task("one")).get_json()["task_id"]
    assert other != mine
    assert keep(client, tokens["alice"], task("one")).get_json()["task_id"] == mine


def test_a_training_and_a_replay_are_their_owners_too(client: FlaskClient, tokens: dict[str, str], jobs: Jobs) -> None:
    headers = {"Authorization": f"Bearer {tokens['alice']}", "Prefer": "respond-async"}
    for path, body in (("/train", make_verdicts(1)), ("/replay", None)):
        mine = client.post(path, json=body, headers=headers).get_json()["task_id"]
        assert fetch(client, tokens["alice"], mine).status_code == 202
        assert_problem(fetch(client, tokens["bob"], mine), 404, "not-found")
    jobs.ensure_groups([TRAIN])
    claims = jobs.claim([TRAIN], 2, 0).claims
    jobs.finish([(claim, Answer(status="completed", data={"secret": 1})) for claim in claims])
    for claim in claims:
        assert fetch(client, tokens["alice"], claim.job.task).get_json()["data"] == {"secret": 1}
        assert_problem(fetch(client, tokens["bob"], claim.job.task), 404, "not-found")


def test_an_idempotency_key_is_its_owners_own(client: FlaskClient, tokens: dict[str, str]) -> None:
    key = {"Idempotency-Key": "1"}
    assert keep(client, tokens["alice"], task("one"), **key).status_code == 202
    assert keep(client, tokens["bob"], task("two"), **key).status_code == 202
    assert_problem(keep(client, tokens["alice"], task("two"), **key), 422, "idempotency-key-reused")


def test_an_id_says_whose_it_is() -> None:
    seed = os.urandom(32)
    mine = own_task("alice", seed)
    assert len(mine) == 32
    assert own_task("alice", seed) == mine != own_task("bob", seed)
    assert [owns(name, mine) for name in ("alice", "bob", "", "alic", "alicf")] == [True, False, False, False, False]
    assert not owns("alice", "0" * 32)


def test_one_credential_keeps_no_more_than_its_share_and_others_keep_theirs(
    client: FlaskClient, tokens: dict[str, str], small_redis: Jobs, clock: Clock
) -> None:
    size, answers = 20_000 - 10, []
    for number in range(2 * int(SHARE * LIMIT) // size):
        answers.append(keep(client, tokens["alice"], task(f"{number} ".ljust(size, "x"))))
        if answers[-1].status_code != 202:
            break
    assert LIMIT * SHARE * 0.9 <= size * len(answers) <= LIMIT * SHARE
    problem = assert_problem(answers[-1], 503, "queue-full")
    assert "/predict" in problem["detail"]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 3601
    assert keep(client, tokens["bob"], task("one")).status_code == 202
    # The same content again takes nothing more, and with time there is room again.
    assert keep(client, tokens["alice"], task("0 ".ljust(size, "x"))).status_code == 202
    clock.now += small_redis.settings.result_ttl
    assert keep(client, tokens["alice"], task("two")).status_code == 202


def test_a_redis_that_is_nearly_full_keeps_no_results_and_does_everything_else(
    client: FlaskClient, tokens: dict[str, str], small_redis: Jobs, clock: Clock
) -> None:
    others = [f"other {number}" for number in range(int(MARK * LIMIT) // 2**20 + 1)]
    for name in others:
        small_redis.redis.set(name, b"x" * 2**20, ex=60)
    before = waiting(small_redis)
    response = keep(client, tokens["alice"], task("one"))
    assert_problem(response, 503, "queue-full")
    assert int(response.headers["Retry-After"]) > 0
    assert waiting(small_redis) == before
    assert any("nearly full" in note for note in client.get("/readyz").get_json()["notes"])
    headers = {"Authorization": f"Bearer {tokens['alice']}", "Prefer": "respond-async"}
    assert client.post("/train", json=make_verdicts(1), headers=headers).status_code == 202
    small_redis.redis.delete(*others)
    assert keep(client, tokens["alice"], task("one")).status_code == 503  # believed for a moment longer
    clock.now += LOOK
    assert keep(client, tokens["alice"], task("one")).status_code == 202
    assert not any("nearly full" in note for note in client.get("/readyz").get_json()["notes"])
