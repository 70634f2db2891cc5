"""The loop of every process that works on jobs: it answers every job, and goes on after whatever happens."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sb_api import create_app
from sb_api.broker.connection import connect
from sb_api.broker.jobs import BULK, GROUP, PREDICT_STREAMS, SMALL, Answer, Claim, Job
from sb_api.broker.shared_state import BEAT_INTERVAL
from sb_api.config import Settings
from sb_api.errors import InvalidWeights, LeaseLost
from sb_api.processes import claiming
from sb_api.processes import worker as worker_module
from sb_api.processes.claiming import Claiming, LargeOnly, OneAtATime, SmallFirst
from sb_api.processes.worker import Outage, Worker
from tests.conftest import join, wait_until
from tests.support.jobs import Jobs
from tests.support.service import EDITOR, RedisServer, assert_stays, clean_environment

LEASE = 0.5
PATIENT_LEASE = 2.0
RUN_WORKER = """
import os, signal, time
from sb_api.config import load_settings
from sb_api.broker.connection import connect
from sb_api.broker.consumer import Consumer
from sb_api.broker.jobs import Answer
from sb_api.broker.shared_state import Broker
from sb_api.processes.claiming import SmallFirst
from sb_api.processes.worker import Worker

settings = load_settings()

def do(claims):
    bodies = [claim.job.body for claim in claims]
    if b"poison" in bodies:
        os.kill(os.getpid(), signal.SIGKILL)
    if b"until stopped" in bodies:
        worker.stopping.wait(30)
    return [Answer(status="completed", data=body) for body in bodies]

consumer = Consumer(Broker.of(connect(settings), settings))
worker = Worker(consumer, "classify", SmallFirst(), do, lambda _: {"lodbrok": "1"})
worker.run_process(int(os.environ.get("AFTER_KILL", "0")))
"""

Do = Callable[[Sequence[Claim]], Sequence[Answer | None]]


def make_job(body: str) -> Job:
    return Job(task=body, operation="predict", classifier="lodbrok", body=body.encode(), keep=60)


def echo(claims: Sequence[Claim]) -> list[Answer]:
    return [Answer(status="completed", data=claim.job.body) for claim in claims]


@pytest.fixture(autouse=True)
def _short_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers notice sooner that they are to stop."""
    monkeypatch.setattr(claiming, "BLOCK", 0.1)


@pytest.fixture
def queue(jobs: Jobs) -> Jobs:
    """The queue with a short lease, for what has to run out."""
    queue = Jobs(jobs.redis, msgspec.structs.replace(jobs.settings, lease=LEASE))
    queue.ensure_groups(PREDICT_STREAMS)
    return queue


@pytest.fixture
def patient(queue: Jobs) -> Jobs:
    """The queue with a lease that does not run out on a busy machine."""
    return Jobs(queue.redis, msgspec.structs.replace(queue.settings, lease=PATIENT_LEASE))


def make_worker(queue: Jobs, do: Do, claiming: Claiming | None = None, **options: Any) -> Worker:
    return Worker(queue, "classify", claiming or SmallFirst(), do, lambda _: {"lodbrok": "1"}, **options)


@contextmanager
def working(worker: Worker) -> Iterator[Worker]:
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        worker.stopping.set()
        join(thread)


def completed(queue: Jobs, *tasks: str) -> bool:
    return all((answer := queue.result(task)) and answer.status == "completed" for task in tasks)


def failed(queue: Jobs, task: str) -> str:
    """Why a task failed, once it has."""
    answers: list[Any] = []

    def has_failed() -> bool:
        answers[:] = [queue.result(task)]
        return bool(answers[0] and answers[0].status == "failed")

    wait_until(has_failed)
    return str(answers[0].problem["detail"])


def start_process(settings: Settings, after_kill: int = 0) -> subprocess.Popen[bytes]:
    environment = clean_environment(
        SB_API_REDIS_URL=settings.redis_url, SB_API_LEASE=str(LEASE), AFTER_KILL=str(after_kill)
    )
    return subprocess.Popen([sys.executable, "-c", RUN_WORKER], env=environment, stderr=subprocess.DEVNULL)


def elsewhere(queue: Jobs) -> Jobs:
    """The queue as another process sees it."""
    return Jobs(queue.redis, queue.settings)


# Batches


def test_what_waits_is_taken_as_one_batch_small_requests_first(queue: Jobs) -> None:
    batches = []

    def do(claims: Sequence[Claim]) -> list[Answer]:
        batches.append([claim.job.task for claim in claims])
        return echo(claims)

    queue.submit(BULK, [make_job("bulk 1"), make_job("bulk 2")])
    queue.submit(SMALL, [make_job(f"small {number}") for number in range(5)])
    with working(make_worker(queue, do)):
        wait_until(lambda: completed(queue, "bulk 1", "bulk 2", *(f"small {number}" for number in range(5))))
    assert batches == [[*(f"small {number}" for number in range(5)), "bulk 1", "bulk 2"]]


def test_after_a_small_request_large_ones_are_taken_one_by_one(queue: Jobs) -> None:
    """Another small one may follow, and must not wait for several of them."""
    batches = []

    def do(claims: Sequence[Claim]) -> list[Answer]:
        batches.append([claim.job.task for claim in claims])
        return echo(claims)

    queue.submit(SMALL, [make_job("small")])
    with working(make_worker(queue, do)):
        wait_until(lambda: completed(queue, "small"))
        queue.submit(BULK, [make_job("bulk 1"), make_job("bulk 2")])
        wait_until(lambda: completed(queue, "bulk 1", "bulk 2"))
    assert batches == [["small"], ["bulk 1"], ["bulk 2"]]


def test_after_a_small_request_large_ones_are_left_to_a_process_that_takes_them(
    queue: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next small one would wait for a slice; without small ones both take them again."""
    monkeypatch.setattr(claiming, "URGENT", 0.5)
    monkeypatch.setattr(claiming, "BLOCK", 0.6)
    taken: dict[str, list[str]] = {"first": [], "helper": []}
    over = threading.Event()

    def take(name: str) -> Do:
        def do(claims: Sequence[Claim]) -> list[Answer]:
            taken[name].extend(claim.job.task for claim in claims)
            over.wait(0.005)
            return echo(claims)

        return do

    def send_for(seconds: float) -> str:
        """Requests of both kinds; the last large one."""
        begin = time.monotonic()
        for number in itertools.count():
            queue.submit(BULK, [make_job(f"bulk {begin} {number} {part}") for part in range(10)])
            queue.submit(SMALL, [make_job(f"small {begin} {number}")])
            wait_until(lambda number=number: completed(queue, f"small {begin} {number}"), interval=0.005)
            if time.monotonic() > begin + seconds:
                return f"bulk {begin} {number} 9"
        raise AssertionError

    with (
        working(make_worker(queue, take("first"))),
        working(make_worker(elsewhere(queue), take("helper"), LargeOnly())),
    ):
        wait_until(lambda: any(beat.helper for beat in queue.registry.alive()))
        send_for(2 * claiming.BLOCK)  # by then each has looked who else is there
        before = len(taken["first"])
        last = send_for(1.0)
        assert [task for task in taken["first"][before:] if not task.startswith("small")] == []
        assert not [task for task in taken["helper"] if task.startswith("small")]
        wait_until(lambda: completed(queue, last), timeout=30)
        before = len(taken["first"])

        def takes_large_ones_again() -> bool:
            queue.submit(BULK, [make_job(f"later {len(taken['first'])} {part}") for part in range(100)])
            return len(taken["first"]) > before

        wait_until(takes_large_ones_again)


def test_without_a_helper_large_requests_are_left_to_nobody(queue: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that left them to each other would both stop."""
    monkeypatch.setattr(claiming, "URGENT", 60.0)
    monkeypatch.setattr(claiming, "BLOCK", 0.02)
    taken: list[str] = []

    def take(claims: Sequence[Claim]) -> list[Answer]:
        taken.extend(claim.job.task for claim in claims if claim.stream == BULK)
        return echo(claims)

    other = elsewhere(queue)
    queue.submit(SMALL, [make_job("small")])
    with working(make_worker(queue, take)):
        wait_until(lambda: completed(queue, "small"))

        def is_taken_though_another_takes_it_too() -> bool:
            queue.submit(BULK, [make_job(f"bulk {number}") for number in range(5)])
            claims = other.claim([BULK], 1, 0).claims
            other.finish([(claim, Answer(status="completed")) for claim in claims])
            return len(taken) > 200

        wait_until(is_taken_though_another_takes_it_too, interval=0.001)


def test_a_job_that_comes_while_nothing_waits_is_answered_without_delay(
    queue: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "BLOCK", 1.0)
    with working(make_worker(queue, echo)):
        for number in range(3):
            queue.submit(SMALL, [make_job(str(number))])
            wait_until(lambda number=number: completed(queue, str(number)), timeout=0.9)


def test_a_helper_wakes_for_large_requests_and_takes_small_ones_when_it_looks(
    queue: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks each second, so that small requests are answered though nobody else is there."""
    monkeypatch.setattr(claiming, "BLOCK", 1.0)
    queue.submit(SMALL, [make_job("first")])
    with working(make_worker(queue, echo, LargeOnly())):
        wait_until(lambda: completed(queue, "first"))
        queue.submit(BULK, [make_job("large")])
        wait_until(lambda: completed(queue, "large"), timeout=0.9)
        queue.submit(SMALL, [make_job("second")])
        wait_until(lambda: completed(queue, "second"), timeout=5)


def test_a_helper_leaves_small_requests_to_who_wakes_for_them(queue: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "BLOCK", 30.0)
    asked: list[str] = []

    def help_out(claims: Sequence[Claim]) -> list[Answer]:
        asked.extend(claim.job.task for claim in claims)
        return echo(claims)

    other = elsewhere(queue)
    with working(make_worker(queue, help_out, LargeOnly())) as helper:
        queue.submit(BULK, [make_job("large")])
        wait_until(lambda: completed(queue, "large"))
        wait_until(lambda: any("b" in client["flags"] for client in queue.redis.client_list()))  # it is waiting
        with working(make_worker(other, echo)) as first:
            for number in range(20):
                queue.submit(SMALL, [make_job(str(number))])
                wait_until(lambda number=number: completed(queue, str(number)))
            first.stopping.set()
            helper.stopping.set()
            # Who takes small requests again and again waits for no others, and would stop half a minute later.
            queue.submit(SMALL, [make_job("wakes one, to stop")])
            queue.submit(BULK, [make_job("wakes the other")])
    assert not [task for task in asked if task.isdigit()]


def test_a_helper_takes_no_more_of_large_requests_at_once_than_others_do(queue: Jobs) -> None:
    sizes: list[int] = []

    def help_out(claims: Sequence[Claim]) -> list[Answer]:
        sizes.append(len(claims))
        return echo(claims)

    queue.submit(BULK, [make_job(str(number)) for number in range(3 * claiming.BULK_AT_ONCE)])
    with working(make_worker(queue, help_out, LargeOnly())):
        wait_until(lambda: completed(queue, str(3 * claiming.BULK_AT_ONCE - 1)))
    assert max(sizes) == claiming.BULK_AT_ONCE


def test_a_helper_takes_no_small_requests_while_another_does(queue: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even while many wait: it works with less of the processor, and they would wait longer for it."""
    monkeypatch.setattr(claiming, "BLOCK", 0.6)
    asked: list[str] = []

    def help_out(claims: Sequence[Claim]) -> list[Answer]:
        asked.extend(claim.job.task for claim in claims)
        return echo(claims)

    def take_time(claims: Sequence[Claim]) -> list[Answer]:
        over.wait(0.03)
        return echo(claims)

    over = threading.Event()
    other = elsewhere(queue)
    with working(make_worker(queue, help_out, LargeOnly())):
        with working(make_worker(other, take_time)):
            queue.submit(BULK, [make_job("large")])
            wait_until(lambda: completed(queue, "large"))
            for number in range(2000):
                queue.submit(SMALL, [make_job(str(number))])
            wait_until(lambda: completed(queue, "1999"))
        assert not [task for task in asked if task.isdigit()]
        queue.submit(SMALL, [make_job("left behind")])
        wait_until(lambda: completed(queue, "left behind"))
    assert "left behind" in asked


def test_every_batch_is_done_with_what_refresh_made_ready_after_its_jobs_were_sent(queue: Jobs) -> None:
    newest, seen = [0], []
    worker = make_worker(queue, lambda claims: seen.append(ready[0]) or echo(claims))
    ready = [0]

    def refresh(_: Mapping[str, str]) -> dict[str, str]:
        ready[0] = newest[0]
        return {"lodbrok": "1"}

    worker.refresh = refresh
    with working(worker):
        for number in range(1, 4):
            newest[0] = number
            queue.submit(SMALL, [make_job(str(number))])
            wait_until(lambda number=number: completed(queue, str(number)))
    assert seen == [1, 2, 3]


def test_what_work_and_new_weights_leave_free_is_given_back_once_nothing_comes(
    queue: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[str] = []
    monkeypatch.setattr(worker_module, "release_memory", lambda: released.append(version[0]))
    version = ["1"]
    worker = make_worker(queue, echo)
    worker.refresh = lambda _: {"lodbrok": version[0]}
    with working(worker):
        queue.submit(SMALL, [make_job("work")])
        wait_until(lambda: released == ["1"])
        version[0] = "2"
        wait_until(lambda: released == ["1", "2"])
        assert_stays(lambda: released == ["1", "2"], 0.5)


def test_a_job_that_fails_does_so_for_its_own_sender_alone(queue: Jobs) -> None:
    def do(claims: Sequence[Claim]) -> list[Answer]:
        for claim in claims:
            if claim.job.body == b"bad":
                raise ValueError("of ours")
            if claim.job.body == b"refused":
                raise InvalidWeights("It says why.")
        return echo(claims)

    queue.submit(SMALL, [make_job(task) for task in ("1", "bad", "2", "refused", "3")])
    with working(make_worker(queue, do)):
        assert "a reason of ours" in failed(queue, "bad")
        assert failed(queue, "refused") == "It says why."
        wait_until(lambda: completed(queue, "1", "2", "3"))
    assert queue.pending(SMALL) == 0


def test_an_ordered_worker_does_one_job_at_a_time_oldest_first(patient: Jobs) -> None:
    batches, under_way = [], []

    def do(claims: Sequence[Claim]) -> list[Answer]:
        under_way.append(patient.pending(SMALL))
        batches.append([claim.job.task for claim in claims])
        return echo(claims)

    tasks = [str(number) for number in range(12)]
    patient.submit(SMALL, [make_job(task) for task in tasks])
    with (
        working(make_worker(patient, do, OneAtATime(SMALL))),
        working(make_worker(elsewhere(patient), do, OneAtATime(SMALL))),
    ):
        wait_until(lambda: completed(patient, *tasks))
    assert batches == [[task] for task in tasks]
    assert set(under_way) == {1}


def test_what_an_ordered_workers_dead_neighbour_held_comes_before_what_was_sent_later(queue: Jobs) -> None:
    done = []
    queue.submit(SMALL, [make_job("earlier"), make_job("later")])
    elsewhere(queue).claim([SMALL], 1, 0)
    worker = make_worker(queue, lambda claims: done.append(claims[0].job.task) or echo(claims), OneAtATime(SMALL))
    with working(worker):
        wait_until(lambda: completed(queue, "earlier", "later"))
    assert done == ["earlier", "later"]


# Large jobs, done in parts


def in_parts(parts: int, seen: list[list[str]], between: Callable[[int], None] = lambda _: None) -> Do:
    """Does a job that is called "long" in so many parts, and others at once; notes what it is called with."""

    def do(claims: Sequence[Claim]) -> list[Answer | None]:
        seen.append([claim.job.task for claim in claims])
        if len(claims) == 1 and claims[0].job.task.startswith("long"):
            done = sum(batch == seen[-1] for batch in seen)
            between(done)
            return [*echo(claims)] if done >= parts else [None]
        return [None if claim.job.task.startswith("long") else echo([claim])[0] for claim in claims]

    return do


@pytest.mark.parametrize("claiming_as", [SmallFirst, LargeOnly])
def test_small_requests_that_come_meanwhile_wait_for_one_part_of_a_large_job(
    claiming_as: type[SmallFirst | LargeOnly], queue: Jobs
) -> None:
    """They waited for all of a task of 10,000 records. A helper that is alone takes them too."""
    seen: list[list[str]] = []
    is_alone = claiming_as is SmallFirst

    def send(part: int) -> None:
        if is_alone and part in (3, 6):
            queue.submit(SMALL, [make_job(f"small {part}")])

    queue.submit(BULK, [make_job("long 1"), make_job("long 2")])
    with working(make_worker(queue, in_parts(10, seen, send), claiming_as())):
        wait_until(lambda: completed(queue, "long 1", "long 2"))
    assert [batch for batch in seen if len(batch) == 1 and batch[0] == "long 2"] == 10 * [["long 2"]]
    if is_alone:
        for part in (3, 6):
            assert seen[seen.index([f"small {part}"]) - 1] == ["long 1"]
            assert seen[: seen.index([f"small {part}"])].count(["long 1"]) == part
    assert seen.index(["long 2"]) > max(place for place, batch in enumerate(seen) if batch == ["long 1"])
    assert queue.pending(BULK) == queue.redis.xlen(BULK) == 0


def test_a_large_job_keeps_its_lease_between_its_parts_and_is_finished_by_who_is_to_stop(patient: Jobs) -> None:
    other = elsewhere(patient)
    over, seen, stale = threading.Event(), list[list[str]](), list[Claim]()

    def take_time(part: int) -> None:
        over.wait(0.3)
        stale.extend(other.claim_stale(PREDICT_STREAMS))
        if part == 2:
            worker.stopping.set()

    patient.submit(BULK, [make_job("long")])
    patient.submit(SMALL, [make_job("small")])
    worker = make_worker(patient, in_parts(10, seen, take_time))
    with working(worker):
        wait_until(lambda: completed(patient, "long"))
    assert stale == []
    assert seen.count(["long"]) == 10
    assert completed(patient, "small")


def test_a_large_job_of_a_process_that_died_amid_its_parts_is_done_by_another(queue: Jobs) -> None:
    queue.submit(BULK, [make_job("long")])
    seen: list[list[str]] = []
    (claim,) = elsewhere(queue).claim([BULK], 1, 0).claims
    assert in_parts(2, [])([claim]) == [None]
    with working(make_worker(queue, in_parts(3, seen))):
        wait_until(lambda: completed(queue, "long"))
    assert seen == 3 * [["long"]]


def test_a_large_job_that_fails_amid_its_parts_is_answered_once_and_left(queue: Jobs) -> None:
    def fail(part: int) -> None:
        if part == 2:
            raise ValueError("of ours")

    seen: list[list[str]] = []
    queue.submit(BULK, [make_job("long")])
    with working(make_worker(queue, in_parts(3, seen, fail))):
        assert "a reason of ours" in failed(queue, "long")
        queue.submit(SMALL, [make_job("small")])
        wait_until(lambda: completed(queue, "small"))
    assert seen == [["long"], ["long"], ["small"]]


# Senders that are gone


def test_what_nobody_waits_for_any_more_is_not_done(queue: Jobs) -> None:
    """A large request that was 504 went on to be computed for minutes, in which everyone's small ones were 504."""
    done: list[str] = []
    queue.submit(BULK, [msgspec.structs.replace(make_job(str(number)), keep=0, patience=0.2) for number in range(3)])
    queue.submit(BULK, [msgspec.structs.replace(make_job("kept"), patience=0.2)])
    sent = int(queue.redis.xrange(BULK, count=1)[0][0].partition(b"-")[0]) / 1000
    wait_until(lambda: queue.redis.time()[0] > sent + 1)
    queue.submit(BULK, [msgspec.structs.replace(make_job("patient"), patience=60.0)])
    with working(make_worker(queue, lambda claims: done.extend(claim.job.task for claim in claims) or echo(claims))):
        wait_until(lambda: completed(queue, "kept", "patient"))
        wait_until(lambda: not queue.redis.xlen(BULK))
    assert done == ["kept", "patient"]


def test_a_prediction_says_how_long_its_sender_waits(queue: Jobs) -> None:
    settings = msgspec.structs.replace(queue.settings, predict_timeout=0.2)
    assert create_app(settings).test_client().post("/predict", json=[EDITOR]).status_code == 504
    (claim,) = queue.claim([SMALL], 1, 0).claims
    assert claim.job.patience == 0.2
    assert claim.is_awaited(claim.sent + 0.1)
    assert not claim.is_awaited(claim.sent + 0.3)


def test_large_requests_that_take_long_are_taken_one_by_one(queue: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one that comes meanwhile waits for one of them, not for eight."""
    monkeypatch.setattr(claiming, "BULK_SECONDS", 0.05)
    over, sizes = threading.Event(), []

    def take_long(claims: Sequence[Claim]) -> list[Answer]:
        sizes.append(len(claims))
        over.wait(0.1 * len(claims))
        return echo(claims)

    queue.submit(BULK, [make_job(str(number)) for number in range(claiming.BULK_AT_ONCE + 3)])
    with working(make_worker(queue, take_long)):
        wait_until(lambda: completed(queue, str(claiming.BULK_AT_ONCE + 2)))
    assert sizes == [claiming.BULK_AT_ONCE, 1, 1, 1]


# Processes that die


def test_jobs_of_a_dead_process_are_tried_one_by_one(queue: Jobs) -> None:
    tasks = ["1", "2", "3"]
    queue.submit(SMALL, [make_job(task) for task in tasks])
    assert len(elsewhere(queue).claim([SMALL], 3, 0).claims) == 3
    batches = []
    with working(make_worker(queue, lambda claims: batches.append(len(claims)) or echo(claims))):
        wait_until(lambda: completed(queue, *tasks))
    assert batches == [1, 1, 1]


def test_a_job_that_keeps_killing_processes_is_set_aside_and_its_neighbours_are_answered(queue: Jobs) -> None:
    queue.submit(SMALL, [make_job(task) for task in ("1", "poison", "2")])
    deaths = 0
    while not (answer := queue.result("poison")) or answer.status in ("queued", "processing"):
        with start_process(queue.settings) as process:

            def dead_or_done(process: subprocess.Popen[bytes] = process) -> bool:
                answer = queue.result("poison")
                return process.poll() is not None or bool(answer and answer.status == "failed")

            wait_until(dead_or_done)
            if process.poll() is None:
                wait_until(lambda: completed(queue, "1", "2"))
                process.terminate()
        deaths += process.returncode == -signal.SIGKILL
        assert deaths <= queue.settings.max_deliveries
    assert deaths == queue.settings.max_deliveries == 3
    assert "has stopped 3 processes and was set aside" in failed(queue, "poison")
    assert completed(queue, "1", "2")
    assert queue.pending(SMALL) == queue.redis.xlen(SMALL) == 0


def test_a_job_whose_processes_were_killed_from_outside_is_not_set_aside(queue: Jobs) -> None:
    """Three kills by hand during a long training, and its verdicts were lost."""
    queue.submit(SMALL, [make_job("until stopped")])
    killed = 0
    for is_last in [*[False] * (queue.settings.max_deliveries + 1), True]:
        with start_process(queue.settings, killed) as process:

            def has_it(holder: bytes = f":{process.pid}:".encode()) -> bool:
                held = queue.redis.xpending_range(SMALL, GROUP, "-", "+", 1)
                return bool(held) and holder in held[0]["consumer"] and held[0]["times_delivered"] == 1

            wait_until(has_it)
            process.send_signal(signal.SIGTERM if is_last else signal.SIGKILL)
        killed = process.pid
    assert completed(queue, "until stopped")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_stop_it_answers_what_is_under_way_and_leaves_the_group(number: int, queue: Jobs) -> None:
    with start_process(queue.settings) as process:
        wait_until(lambda: [beat.pid for beat in queue.registry.alive()] == [process.pid])
        queue.submit(SMALL, [make_job("until stopped")])
        wait_until(lambda: (answer := queue.result("until stopped")) and answer.status == "processing")
        process.send_signal(number)
        assert process.wait(10) == 0
    assert completed(queue, "until stopped")
    assert queue.registry.alive() == []
    assert queue.redis.xinfo_consumers(SMALL, GROUP) == []


def test_told_to_stop_before_it_is_warm_it_does_so_at_once(queue: Jobs) -> None:
    warm_up = "lambda _: print('warming', flush=True) or time.sleep(60)"
    script = RUN_WORKER.replace('lambda _: {"lodbrok": "1"}', warm_up)
    environment = clean_environment(SB_API_REDIS_URL=queue.settings.redis_url)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "warming\n"
        process.terminate()
        assert process.wait(5) == 0


def test_it_says_that_it_is_alive_once_it_is_warm_and_with_which_weights(queue: Jobs) -> None:
    warm = threading.Event()

    def refresh(_: Mapping[str, str]) -> dict[str, str]:
        warm.wait(20)
        return {"lodbrok": "000007-00000000"}

    worker = make_worker(queue, echo)
    worker.refresh = refresh
    with working(worker):
        assert_stays(lambda: not queue.registry.alive(), 1.5 * BEAT_INTERVAL)
        warm.set()
        wait_until(queue.registry.alive)
        (beat,) = queue.registry.alive()
    assert (beat.role, beat.versions) == ("classify", {"lodbrok": "000007-00000000"})
    assert queue.registry.alive() == []


def test_it_says_at_once_when_it_works_with_other_weights(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a training to have reached every process sees it by the beats."""
    monkeypatch.setattr(worker_module, "BEAT_INTERVAL", 60.0)
    queue = Jobs(jobs.redis, msgspec.structs.replace(jobs.settings, lease=180.0))
    current = {"lodbrok": "000001-00000000"}
    worker = make_worker(queue, echo)
    worker.refresh = lambda _: dict(current)

    def is_told() -> bool:
        return [beat.versions for beat in queue.registry.alive()] == [current]

    with working(worker):
        wait_until(is_told)
        current["lodbrok"] = "000002-00000000"
        wait_until(is_told)


@pytest.mark.parametrize("told_to_stop", [False, True])
def test_a_long_job_keeps_its_lease(told_to_stop: bool, patient: Jobs) -> None:
    doing, done = threading.Event(), threading.Event()
    other = elsewhere(patient)

    def do(claims: Sequence[Claim]) -> list[Answer]:
        doing.set()
        done.wait(20)
        return echo(claims)

    with working(make_worker(patient, do)) as worker:
        patient.submit(SMALL, [make_job("1")])
        doing.wait(20)
        if told_to_stop:
            worker.stopping.set()
        assert_stays(lambda: not other.claim_stale([SMALL]), 1.5 * PATIENT_LEASE)
        done.set()
    assert completed(patient, "1")


# Redis that goes away


def test_after_redis_was_killed_and_came_back_it_goes_on(tmp_path: Path, settings: Settings) -> None:
    server = RedisServer(tmp_path)
    server.start()
    queue_settings = msgspec.structs.replace(settings, redis_url=server.url, lease=LEASE)
    queue = Jobs(connect(queue_settings), queue_settings)
    doing, go_on = threading.Event(), threading.Event()

    def do(claims: Sequence[Claim]) -> list[Answer]:
        doing.set()
        go_on.wait(20)
        return echo(claims)

    try:
        with working(make_worker(Jobs(connect(queue_settings), queue_settings), do)):
            queue.submit(SMALL, [make_job("under way")])
            assert doing.wait(20)
            queue.submit(SMALL, [make_job("waiting")])
            server.kill()
            go_on.set()
            server.start()
            wait_until(lambda: completed(queue, "under way", "waiting"))
            queue.submit(SMALL, [make_job("later")])
            wait_until(lambda: completed(queue, "later"))
    finally:
        queue.redis.close()
        server.kill()


def test_after_redis_lost_everything_it_goes_on(queue: Jobs) -> None:
    with working(make_worker(queue, echo)):
        for number in range(3):
            queue.redis.flushall()
            queue.submit(SMALL, [make_job(str(number))])
            wait_until(lambda number=number: completed(queue, str(number)))


# Locks


@pytest.fixture
def pair(patient: Jobs) -> tuple[Worker, Worker]:
    return make_worker(patient, echo), make_worker(elsewhere(patient), echo)


def held(worker: Worker) -> AbstractContextManager[Callable[[], None]]:
    return worker.alone("train")


def test_only_one_process_is_alone(pair: tuple[Worker, Worker]) -> None:
    first, second = pair
    entered = threading.Event()

    def enter() -> None:
        with held(second) as check:
            check()
            entered.set()

    with held(first) as check:
        thread = threading.Thread(target=enter, daemon=True)
        thread.start()
        assert not entered.wait(PATIENT_LEASE / 4)
        check()
    assert entered.wait(20)
    join(thread)


def test_a_process_that_stood_still_learns_that_another_is_alone_now(pair: tuple[Worker, Worker]) -> None:
    first, second = pair
    with held(first) as check:
        # Nobody beats for the first, so its lock runs out.
        with held(second) as second_check:
            with pytest.raises(LeaseLost):
                check()
            second_check()
        with pytest.raises(LeaseLost):
            check()


def test_a_process_whose_job_has_passed_to_another_drops_its_answer_and_goes_on(queue: Jobs) -> None:
    queue.submit(SMALL, [make_job("1")])
    lost: list[str] = []
    go_on = threading.Event()

    def do(claims: Sequence[Claim]) -> list[Answer]:
        with worker.alone("train") as check:
            go_on.wait(20)
            try:
                check()
            except LeaseLost as error:
                lost.append(error.detail)
                raise
        return echo(claims)

    worker = make_worker(queue, do)
    other = elsewhere(queue)
    with working(worker):
        wait_until(lambda: queue.pending(SMALL))
        entry = queue.redis.xpending_range(SMALL, GROUP, "-", "+", 1)[0]["message_id"]
        queue.redis.xclaim(SMALL, GROUP, other.name, 0, [entry])
        go_on.set()
        wait_until(lambda: lost)
        queue.submit(SMALL, [make_job("2")])
        wait_until(lambda: completed(queue, "2"))
    assert "another has taken the job over" in lost[0]


def test_an_outage_is_logged_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    """It was twice a second, for as long as it lasted."""
    outage = Outage()
    for tick in range(2 * 86_400):
        outage.note("Connection refused.", tick / 2)
    assert 100 < len(caplog.records) < 200
    outage.note("OOM", 86_400)
    assert "OOM" in caplog.records[-1].getMessage()
    outage.end(86_401)
    assert caplog.records[-1].getMessage() == "it works again, after 86401 s"
    said = len(caplog.records)
    outage.end(86_402)
    assert len(caplog.records) == said


# Spare work


class Chore:
    """Spare work of three pieces; each adds a job to the queue, and notes what was done before it."""

    def __init__(self, queue: Jobs) -> None:
        self.queue = queue
        self.done: list[str] = []
        self.left = 3

    def is_due(self) -> bool:
        return self.left > 0

    def work(self) -> None:
        self.left -= 1
        self.done.append("piece")
        self.queue.submit((BULK, SMALL)[self.left % 2], [make_job(f"job {self.left}")])


def test_spare_work_waits_for_whatever_comes(patient: Jobs) -> None:
    """A piece is done when no job is there, and the next one not before those that came meanwhile."""
    chore = Chore(patient)

    def do(jobs: Sequence[Claim]) -> list[Answer]:
        chore.done += [claim.job.body.decode() for claim in jobs]
        return echo(jobs)

    patient.submit(BULK, [make_job("first")])
    with working(make_worker(elsewhere(patient), do, spare=chore)):
        wait_until(lambda: completed(patient, "first", "job 0", "job 1", "job 2"))
    assert chore.done == ["first", "piece", "job 2", "piece", "job 1", "piece", "job 0"]
