"""What processes count adds up: of all of them, once each, and never less than before."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from sb_api.broker.connection import connect
from sb_api.broker.jobs import PREDICT_STREAMS, SMALL, TRAIN, Answer, Claim, Job
from sb_api.config import Settings, load_settings
from sb_api.errors import LeaseLost, TrainingRefused
from sb_api.telemetry.aggregation import Publisher, collect_totals
from sb_api.telemetry.gauges import StreamState, read_stream
from sb_api.telemetry.metrics import Instruments
from tests.conftest import wait_until
from tests.support.jobs import Jobs
from tests.support.service import RedisServer


@pytest.fixture(scope="module", autouse=True)
def no_other_apps() -> None:
    """Apps of tests before these publish into the same Redis until they are collected."""
    gc.collect()


def process(jobs: Jobs) -> tuple[Instruments, Publisher]:
    instruments = Instruments()
    return instruments, Publisher(jobs.broker, instruments)


def totals(jobs: Jobs, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name, by the values of their labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for metric in collect_totals(jobs.broker)
        for sample in metric.samples
        if sample.name == name
    }


def requests(jobs: Jobs) -> float:
    return sum(totals(jobs, "sb_api_http_requests_total").values())


def count_requests(instruments: Instruments, count: int = 1, status: str = "200") -> None:
    instruments.requests.labels("POST", "/predict", status).inc(count)


def test_the_counts_of_processes_add_up(jobs: Jobs) -> None:
    one, first = process(jobs)
    two, second = process(jobs)
    count_requests(one, 3)
    count_requests(two, 4)
    count_requests(two, 1, "503")
    first.publish()
    second.publish()
    assert totals(jobs, "sb_api_http_requests_total") == {
        ("POST", "/predict", "200"): 7,
        ("POST", "/predict", "503"): 1,
    }


def test_a_count_is_added_once(jobs: Jobs) -> None:
    instruments, publisher = process(jobs)
    for count in (1, 2):
        count_requests(instruments)
        publisher.publish()
        publisher.publish()
        assert requests(jobs) == count


def test_no_count_falls_when_a_process_ends_and_another_begins(jobs: Jobs) -> None:
    seen = []
    for _ in range(3):
        instruments, publisher = process(jobs)
        count_requests(instruments, 5)
        publisher.publish()
        seen.append(requests(jobs))
    assert seen == [5, 10, 15]


def test_with_nothing_new_redis_is_left_alone(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    instruments, publisher = process(jobs)
    add, sent = publisher._add, []
    monkeypatch.setattr(publisher, "_add", lambda *arguments: sent.append(arguments) or add(*arguments))
    count_requests(instruments)
    publisher.publish()
    assert len(sent) == 1
    publisher.publish()
    assert len(sent) == 1


@pytest.mark.parametrize("when", ["before Redis has it", "after Redis has it"])
def test_a_lost_connection_loses_nothing_and_counts_nothing_twice(
    when: str, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    instruments, publisher = process(jobs)
    add: Callable[..., Any] = publisher._add

    def lose(*arguments: Any) -> None:
        if when.startswith("after"):
            add(*arguments)
        raise redis.ConnectionError("lost")

    count_requests(instruments, 2)
    monkeypatch.setattr(publisher, "_add", lose)
    with pytest.raises(redis.ConnectionError):
        publisher.publish()
    count_requests(instruments, 5)
    monkeypatch.setattr(publisher, "_add", add)
    publisher.publish()
    publisher.publish()
    assert requests(jobs) == 7


def test_what_is_counted_while_redis_is_away_comes_later(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    settings = load_settings({}, redis_url=server.url, state_dir=str(tmp_path))
    server.start()
    with connect(settings) as client:
        jobs = Jobs(client, settings)
        instruments, publisher = process(jobs)
        count_requests(instruments, 2)
        publisher.publish()
        server.kill()
        count_requests(instruments, 3)
        with pytest.raises(redis.ConnectionError):
            publisher.publish()
        server.start()
        try:
            publisher.publish()
            assert requests(jobs) == 5
        finally:
            server.kill()


def test_a_process_publishes_each_second_and_says_that_it_is_alive(jobs: Jobs, settings: Settings) -> None:
    instruments, publisher = process(jobs)
    publisher.start()
    publisher.start()
    count_requests(instruments)
    wait_until(lambda: requests(jobs) == 1)
    (beat,) = [beat for beat in jobs.registry.alive("{sb_api}:web") if beat.name == jobs.name]
    assert beat.role == "web"
    assert beat.resident > 10**6
    assert jobs.registry.alive() == []
    count_requests(instruments)
    publisher.close()
    assert requests(jobs) == 2
    assert jobs.name not in [beat.name for beat in jobs.registry.alive("{sb_api}:web")]
    wait_until(lambda: publisher._thread is not None and not publisher._thread.is_alive())


def test_a_histogram_has_all_its_buckets_in_order(jobs: Jobs) -> None:
    """Also those in which no process has counted anything: quantiles are wrong without them."""
    one, first = process(jobs)
    two, second = process(jobs)
    for instruments, seconds in ((one, 0.003), (one, 0.3), (two, 0.3), (two, 1000)):
        instruments.request_seconds.labels("GET", "/healthz").observe(seconds)
    first.publish()
    second.publish()
    (metric,) = [metric for metric in collect_totals(jobs.broker) if metric.name == "sb_api_http_request_seconds"]
    buckets = {s.labels["le"]: s.value for s in metric.samples if s.name.endswith("_bucket")}
    bounds = [float(le) for le in buckets]
    assert bounds == sorted(bounds)
    assert len(bounds) == 16
    assert [buckets[le] for le in ("0.001", "0.0025", "0.005", "0.25", "0.5", "120.0", "+Inf")] == [0, 0, 1, 1, 3, 3, 4]
    assert totals(jobs, "sb_api_http_request_seconds_count") == {("GET", "/healthz"): 4}
    assert totals(jobs, "sb_api_http_request_seconds_sum")["GET", "/healthz"] == pytest.approx(1000.603)


def test_what_another_release_has_counted_is_left_out(jobs: Jobs) -> None:
    instruments, publisher = process(jobs)
    count_requests(instruments)
    publisher.publish()
    jobs.redis.hset("{sb_api}:totals:1", '["sb_api_of_yore_total",{"a":"b"}]', 5)
    assert requests(jobs) == 1
    assert "sb_api_of_yore_total" not in {
        sample.name for metric in collect_totals(jobs.broker) for sample in metric.samples
    }


def claim(operation: Any = "predict", stream: str = SMALL, sent: float = 0.0) -> Claim:
    job = Job(task="1", operation=operation, classifier="lodbrok", body=b"")
    return Claim(stream, f"{round(sent * 1000)}-0".encode(), job)


def test_jobs_are_counted_with_the_time_that_they_waited(jobs: Jobs) -> None:
    instruments, publisher = process(jobs)
    now = time.time()
    done, failed = Answer(status="completed"), Answer(status="failed")
    # One from a host whose clock is ahead.
    claims = [claim(sent=now - 2), claim(sent=now - 3), claim("train", TRAIN, now + 60)]
    instruments.count_jobs(claims, [done, failed, done], now)
    publisher.publish()
    assert totals(jobs, "sb_api_jobs_total") == {
        ("lodbrok", "predict", "completed"): 1,
        ("lodbrok", "predict", "failed"): 1,
        ("lodbrok", "train", "completed"): 1,
        ("lodbrok", "train", "failed"): 0,  # so that Prometheus sees the first one rise
    }
    waits = totals(jobs, "sb_api_wait_seconds_sum")
    assert waits["predict:small",] == pytest.approx(5, abs=0.01)
    assert waits["train",] == 0


def test_judged_records_are_counted_by_label() -> None:
    instruments = Instruments()
    instruments.count_records("lodbrok", 4, {"fine": 1, "spam": 2})
    value = instruments.registry.get_sample_value
    assert value("sb_api_judged_records_total", {"classifier": "lodbrok", "label": "fine"}) == 1
    assert value("sb_api_judged_records_total", {"classifier": "lodbrok", "label": "spam"}) == 2
    assert value("sb_api_batch_records_sum", {"classifier": "lodbrok"}) == 4


@pytest.mark.parametrize(
    ("error", "result"),
    [(None, "done"), (TrainingRefused("x"), "refused"), (LeaseLost("x"), "lost"), (ValueError("x"), "failed")],
)
def test_what_becomes_of_a_training_is_counted_and_timed(error: Exception | None, result: str) -> None:
    instruments = Instruments()

    def train() -> None:
        with instruments.training("lodbrok", "train"):
            if error is not None:
                raise error

    if error is None:
        train()
    else:
        with pytest.raises(type(error)):
            train()
    about = {"classifier": "lodbrok", "operation": "train"}
    value = instruments.registry.get_sample_value
    counted = {
        outcome: value("sb_api_trainings_total", {**about, "result": outcome})
        for outcome in ("done", "refused", "failed", "lost")
    }
    assert counted == {**dict.fromkeys(counted, 0), result: 1}
    assert value("sb_api_training_seconds_count", about) == 1


def test_the_state_of_a_stream(jobs: Jobs) -> None:
    assert [read_stream(jobs.broker, stream) for stream in PREDICT_STREAMS] == [StreamState(0, 0, 0.0)] * 2
    jobs.ensure_groups(PREDICT_STREAMS)
    jobs.submit(SMALL, [claim().job, claim().job, claim().job])
    jobs.claim([SMALL], 2, 0)
    wait_until(lambda: read_stream(jobs.broker, SMALL).oldest > 0.05)
    state = read_stream(jobs.broker, SMALL)
    assert (state.length, state.claimed) == (3, 2)
    assert state.oldest < 10
