"""A Redis that is not as it should be: too old, evicting or refusing. What is wrong is named."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from sb_api import create_app
from sb_api.broker import examination
from sb_api.broker.connection import connect, unavailable_when_lost
from sb_api.broker.examination import RIGHTS, Examined, examine, missing_rights
from sb_api.broker.jobs import SMALL, Answer, Job
from sb_api.broker.redis_version import is_too_old
from sb_api.config import Settings
from sb_api.errors import Unavailable
from sb_api.processes.claiming import SmallFirst
from sb_api.processes.worker import Worker
from tests.conftest import join, wait_until
from tests.support.jobs import Jobs
from tests.support.service import EDITOR, assert_problem

DOCUMENTED = Path(__file__).parents[2] / "docs" / "how-to-scale-out.md"


def rules() -> list[str]:
    """The rights that are needed, as ACL SETUSER takes them."""
    return ["~{sb_api}:*", *(f"+{words.lower().replace(' ', '|')}" for words in RIGHTS)]


def value(client: object, name: str) -> float | None:
    """A metric of GET /metrics, None when it is not there."""
    text = client.get("/metrics").text  # type: ignore[attr-defined]
    samples = {
        sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples
    }
    return samples.get(name)


@pytest.fixture
def user_settings(jobs: Jobs, settings: Settings) -> Iterator[Callable[..., Settings]]:
    """Settings of a Redis user with the needed rights, and what is added to them or taken from them."""

    def make(*changes: str) -> Settings:
        jobs.redis.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">secret", *rules(), *changes)
        url = settings.redis_url.replace("unix://", "unix://limited:secret@")
        return msgspec.structs.replace(settings, redis_url=url)

    yield make
    jobs.redis.execute_command("ACL", "DELUSER", "limited")


def test_the_documented_rights_are_those_that_are_needed() -> None:
    assert " ".join(rules()) in " ".join(DOCUMENTED.read_text().split())


def test_with_the_rights_that_are_needed_everything_works(user_settings: Callable[..., Settings]) -> None:
    """No INFO among them: /metrics was an error for ever, and doctor said that Redis cannot be reached."""
    own = user_settings()
    with connect(own) as client:
        assert missing_rights(client) == []
        queue = Jobs(client, own)
        worker = Worker(
            queue,
            "classify",
            SmallFirst(),
            do=lambda claims: [Answer(status="completed", data=claim.job.body) for claim in claims],
            refresh=lambda _: {"lodbrok": "1", "intent": "1"},
        )
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        try:
            job = Job(task="t", operation="predict", classifier="lodbrok", body=b"x", keep=60, reply="web")
            queue.submit(SMALL, [job])
            assert queue.result("t") is not None
            assert queue.read_replies("web", 20)[0][0] == "t"
            queue.forget("t")
            lock = queue.lock("train")
            assert lock.acquire(blocking=False)
            assert lock.owned()
            lock.reacquire()
            lock.release()
            wait_until(lambda: queue.registry.alive())
            web = create_app(own).test_client()
            assert web.get("/readyz").get_json()["problems"] == []
            assert value(web, "sb_api_redis_up") == 1
            assert value(web, "sb_api_redis_memory_bytes") is None
            assert web.get("/page/service").status_code == 200
        finally:
            worker.stopping.set()
            join(thread)
        assert queue.registry.alive() == []


def test_rights_that_are_missing_are_named_one_by_one(user_settings: Callable[..., Settings]) -> None:
    with connect(user_settings("-xclaim", "-evalsha", "-script")) as client:
        assert missing_rights(client) == ["XCLAIM", "EVALSHA", "SCRIPT LOAD", "SCRIPT EXISTS"]
    with connect(user_settings("resetkeys", "~other:*")) as client:
        assert {"GET", "XADD", "XREADGROUP"} < set(missing_rights(client))
    with connect(user_settings("-multi")) as client:
        assert missing_rights(client) == ["MULTI"]


def test_looking_for_rights_changes_nothing(jobs: Jobs) -> None:
    jobs.redis.set("{sb_api}:x", 1, ex=60)
    assert missing_rights(jobs.redis) == []
    assert jobs.redis.keys() == [b"{sb_api}:x"]


def test_what_a_user_without_info_may_ask_is_known(user_settings: Callable[..., Settings]) -> None:
    with connect(user_settings()) as client:
        examined = examine(client)
    assert (examined.policy, examined.used, examined.limit) == (None, None, None)
    with connect(user_settings("+config|get")) as client:
        examined = examine(client)
    assert examined.policy == "noeviction"
    assert not is_too_old(examined.version or "0")


def test_of_a_user_with_info_all_is_known(jobs: Jobs) -> None:
    jobs.redis.config_set("maxmemory", "200mb")
    try:
        examined = examine(jobs.redis)
    finally:
        jobs.redis.config_set("maxmemory", "0")
    assert examined.used is not None
    assert examined.used > 100_000
    assert (examined.limit, examined.policy) == (200 * 2**20, "noeviction")
    assert examined.problems() == examined.warnings() == []


@pytest.mark.parametrize(
    ("version", "old"),
    [("5.0.7", True), ("6.0.16", True), ("6", True), ("6.2.0", False), ("7.0.15", False), ("10.1", False), ("", False)],
)
def test_what_is_too_old(version: str, old: bool) -> None:
    assert is_too_old(version) is old
    assert bool(Examined(version).problems()) is old


def test_a_redis_that_is_too_old_is_not_ready(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every prediction was 504, and /readyz green."""
    monkeypatch.setattr(examination, "is_too_old", lambda version: is_too_old("5.0.7") and version != "")
    answer = create_app(settings).test_client().get("/readyz")
    assert answer.status_code == 503
    assert any("is older than 6.2" in problem for problem in answer.get_json()["problems"])


@pytest.fixture
def evicting(jobs: Jobs) -> Iterator[Jobs]:
    jobs.redis.config_set("maxmemory-policy", "allkeys-lru")
    yield jobs
    jobs.redis.config_set("maxmemory-policy", "noeviction")


def test_a_redis_that_evicts_is_named_by_readyz_and_at_the_start(
    evicting: Jobs, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Accepted trainings were gone, and everything green."""
    notes = create_app(settings).test_client().get("/readyz").get_json()["notes"]
    (note,) = [note for note in notes if "evict" in note]
    assert "maxmemory-policy allkeys-lru" in note
    worker = Worker(evicting, "classify", SmallFirst(), do=lambda _: [], refresh=lambda _: {})
    worker.stopping.set()
    worker._run_connected()
    assert "maxmemory-policy allkeys-lru" in caplog.text


def test_what_redis_refuses_is_503_with_the_reason(user_settings: Callable[..., Settings]) -> None:
    """A missing right was 500 on all calls."""
    web = create_app(user_settings("-xadd", "-get", "-xlen")).test_client()
    for response in (
        web.post("/predict", json=[EDITOR]),
        web.post("/train", json=[EDITOR | {"verdict": 1}]),
        web.get("/get-result/00000000-0000-0000-0000-000000000000"),
    ):
        assert response.status_code == 503
        assert re.search("permission|can't run", response.text)
    assert_problem(web.post("/predict", json=[EDITOR]), 503, "unavailable")
    assert value(web, "sb_api_redis_up") == 0


def test_a_database_that_is_not_there_is_503_with_the_reason(settings: Settings) -> None:
    away = msgspec.structs.replace(settings, redis_url=f"{settings.redis_url}?db=99")
    web = create_app(away).test_client()
    response = web.post("/predict", json=[EDITOR])
    assert "DB index" in assert_problem(response, 503, "unavailable")["detail"]
    assert value(web, "sb_api_redis_up") == 0


def test_a_cluster_that_is_down_is_503_with_the_reason() -> None:
    with pytest.raises(Unavailable, match="CLUSTERDOWN The cluster is down"), unavailable_when_lost():
        raise redis.ResponseError("CLUSTERDOWN The cluster is down")


def test_a_right_that_only_webhooks_or_the_review_queue_need_takes_no_other_figure(
    user_settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    own = msgspec.structs.replace(user_settings(), webhooks="https://ops.example/", review="on")
    web = create_app(own).test_client()
    assert value(web, "sb_api_redis_up") == 1
    assert [record.msg for record in caplog.records if record.msg.startswith("no figures of")] == [
        "no figures of the review queue: %s",
        "no figures of webhooks: %s",
    ]
    page = web.get("/page/service").text
    assert "Redis:" not in page
    assert "Processes</h2>" in page
