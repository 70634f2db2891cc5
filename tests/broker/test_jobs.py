"""The queue: a job is never lost, never answered to the wrong sender, and never left half done."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
import redis

from sb_api.broker import connection, kept_connection, shared_state
from sb_api.broker.connection import PREFIX, connect
from sb_api.broker.jobs import BULK, GROUP, PREDICT_STREAMS, SMALL, TRAIN, Answer, Claim, Job, failure
from sb_api.broker.rpc import Mailbox
from sb_api.broker.shared_state import BEATS_TTL, WORKERS, Published
from sb_api.config import Settings
from sb_api.errors import JobFailed, QueueFull, SbApiError, Unavailable
from tests.conftest import join, wait_until
from tests.support.jobs import Jobs
from tests.support.service import assert_stays

LEASE = 0.8
DONE = Answer(status="completed", data={"a": 1})


def make_job(task: str, **fields: Any) -> Job:
    return Job(task=task, operation="predict", classifier="lodbrok", body=task.encode(), **fields)


def tasks(claims: list[Claim]) -> list[str]:
    return [claim.job.task for claim in claims]


def clients(jobs: Jobs) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = jobs.redis.client_list()
    return listed


@pytest.fixture
def queue(jobs: Jobs) -> Jobs:
    """The queue with its groups, as the first classify process leaves it, and with a short lease."""
    queue = Jobs(jobs.redis, msgspec.structs.replace(jobs.settings, lease=LEASE))
    queue.ensure_groups([*PREDICT_STREAMS, TRAIN])
    return queue


@pytest.fixture
def other(queue: Jobs) -> Jobs:
    """The same queue as another process sees it."""
    return Jobs(queue.redis, queue.settings)


def claim_stale(jobs: Jobs, count: int = 1) -> list[Claim]:
    """The next `count` jobs that `jobs` can claim once the lease of others has run out."""
    claims: list[Claim] = []
    wait_until(lambda: claims.extend(jobs.claim_stale(PREDICT_STREAMS)) or len(claims) == count)
    return claims


# From sender to answer


def test_a_job_is_queued_then_processing_then_completed(queue: Jobs) -> None:
    assert queue.result("t") is None
    queue.submit(SMALL, [make_job("t", keep=60, reply="web")])
    assert queue.result("t") == Answer(status="queued")
    (claim,) = queue.claim(PREDICT_STREAMS, 10, 0).claims
    assert claim.job == make_job("t", keep=60, reply="web")
    assert claim.deliveries == 1
    queue.mark_processing([claim])
    assert queue.result("t") == Answer(status="processing")
    assert queue.pending(SMALL) == 1
    queue.finish([(claim, DONE)])
    assert queue.result("t") == DONE
    assert queue.read_replies("web", timeout=1) == [("t", DONE)]
    assert queue.pending(SMALL) == queue.redis.xlen(SMALL) == 0


def test_a_failure_tells_the_sender_what_went_wrong(queue: Jobs) -> None:
    queue.submit(SMALL, [make_job("t", keep=60)])
    queue.finish([(claim, failure(JobFailed("It is broken."))) for claim in queue.claim([SMALL], 1, 0).claims])
    answer = queue.result("t")
    assert answer is not None
    assert (answer.status, answer.problem) == ("failed", JobFailed("It is broken.").problem())


def test_small_requests_are_claimed_before_bulk_ones_and_in_the_order_they_came(queue: Jobs) -> None:
    queue.submit(BULK, [make_job(f"bulk {number}") for number in range(3)])
    queue.submit(SMALL, [make_job(f"small {number}") for number in range(3)])
    assert tasks(queue.claim(PREDICT_STREAMS, 2, 0).claims) == ["small 0", "small 1", "bulk 0"]
    assert tasks(queue.claim(PREDICT_STREAMS, 2, 0).claims) == ["small 2", "bulk 1"]
    assert tasks(queue.claim(PREDICT_STREAMS, 2, 0).claims) == ["bulk 2"]
    assert queue.claim(PREDICT_STREAMS, 2, 0).claims == []


@pytest.mark.parametrize("stream", PREDICT_STREAMS)
def test_a_waiting_process_has_a_job_as_soon_as_it_comes(stream: str, queue: Jobs) -> None:
    with ThreadPoolExecutor(1) as pool:
        claimed = pool.submit(queue.claim, PREDICT_STREAMS, 10, 20)
        wait_until(lambda: any(client["cmd"] == "xreadgroup" and "b" in client["flags"] for client in clients(queue)))
        start = time.monotonic()
        queue.submit(stream, [make_job("t")])
        assert tasks(claimed.result(timeout=5).claims) == ["t"]
        assert time.monotonic() - start < 2


# All or none


def test_more_than_the_queue_holds_is_refused_and_none_of_it_is_queued(queue: Jobs) -> None:
    limited = Jobs(queue.redis, msgspec.structs.replace(queue.settings, queue_limit=3))
    limited.submit(BULK, [make_job("1"), make_job("2")])
    with pytest.raises(QueueFull, match="3 requests are waiting already"):
        limited.submit(BULK, [make_job("3", keep=60), make_job("4", keep=60)])
    assert queue.redis.xlen(BULK) == 2
    assert limited.result("3") is limited.result("4") is None
    limited.submit(BULK, [make_job("5")])
    limited.submit(SMALL, [make_job("6")])  # the streams are bounded one by one
    with pytest.raises(QueueFull):
        limited.submit(BULK, [make_job("7")])


def test_there_is_room_again_once_a_job_is_finished(queue: Jobs) -> None:
    limited = Jobs(queue.redis, msgspec.structs.replace(queue.settings, queue_limit=1))
    limited.submit(SMALL, [make_job("1")])
    claims = limited.claim([SMALL], 1, 0).claims
    with pytest.raises(QueueFull):
        limited.submit(SMALL, [make_job("2")])
    limited.finish([(claims[0], DONE)])
    limited.submit(SMALL, [make_job("2")])


@pytest.fixture(params=["out of memory", "read only"])
def refusing(request: pytest.FixtureRequest, queue: Jobs) -> Iterator[Jobs]:
    """A Redis that answers and takes nothing: full, or a replica during a failover."""
    if request.param == "out of memory":
        queue.redis.config_set("maxmemory", 1)
    else:
        queue.redis.replicaof("127.0.0.1", "1")
    yield queue
    queue.redis.config_set("maxmemory", 0)
    queue.redis.replicaof("no", "one")


@pytest.mark.parametrize("keep", [0, 60])
def test_when_redis_takes_nothing_the_sender_is_told_and_nothing_is_queued(keep: int, refusing: Jobs) -> None:
    with pytest.raises(Unavailable, match="takes nothing right now"):
        refusing.submit(SMALL, [make_job("1", keep=keep), make_job("2", keep=keep)])
    assert refusing.redis.xlen(SMALL) == 0
    assert refusing.result("1") is None


@pytest.mark.parametrize(
    "call",
    [
        lambda jobs: jobs.submit(SMALL, [make_job("t", keep=60)]),
        lambda jobs: jobs.result("t"),
        lambda jobs: jobs.registry.alive(),
        lambda jobs: jobs.registry.published_about("lodbrok", "chain"),
        lambda jobs: Mailbox(jobs).exchange(SMALL, [make_job("t")], 5),
    ],
    ids=["submit", "result", "alive", "published_about", "exchange"],
)
def test_without_redis_whoever_asks_is_told_so(call: Any, settings: Settings) -> None:
    away = msgspec.structs.replace(settings, redis_url="unix:///nonexistent/redis.sock")
    with pytest.raises(Unavailable, match="cannot be reached"):
        call(Jobs(connect(away), away))


def test_finish_stores_the_answer_and_acknowledges_the_job_or_does_neither(queue: Jobs) -> None:
    queue.submit(SMALL, [make_job("t", keep=60, reply="web")])
    (claim,) = queue.claim([SMALL], 1, 0).claims
    queue.redis.config_set("maxmemory", 1)
    with pytest.raises(redis.RedisError):
        queue.finish([(claim, DONE)])
    queue.redis.config_set("maxmemory", 0)
    assert queue.result("t") == Answer(status="queued")
    assert queue.pending(SMALL) == queue.redis.xlen(SMALL) == 1


def test_finish_may_be_repeated(queue: Jobs) -> None:
    queue.submit(SMALL, [make_job("t", keep=60), make_job("u", keep=60)])
    first, second = queue.claim([SMALL], 2, 0).claims
    queue.finish([(first, DONE)])
    queue.finish([(first, DONE), (second, DONE)])
    assert queue.result("t") == queue.result("u") == DONE
    assert queue.pending(SMALL) == queue.redis.xlen(SMALL) == 0


# Leases


def test_what_a_dead_process_held_passes_to_another_once_its_lease_runs_out(queue: Jobs, other: Jobs) -> None:
    queue.submit(SMALL, [make_job("1"), make_job("2")])
    held = queue.claim([SMALL], 2, 0).claims
    assert other.claim([SMALL], 2, 0).claims == other.claim_stale([SMALL]) == []
    claims = claim_stale(other, 2)
    assert [(claim.job, claim.entry) for claim in claims] == [(claim.job, claim.entry) for claim in held]
    assert [claim.deliveries for claim in claims] == [2, 2]


def test_a_process_claims_what_another_held_one_at_a_time(queue: Jobs, other: Jobs) -> None:
    queue.submit(SMALL, [make_job("1"), make_job("2")])
    queue.claim([SMALL], 2, 0)
    assert tasks(claim_stale(other)) == ["1"]
    # It dies of the first; that is no reason to set the second aside.
    assert [(claim.job.task, claim.deliveries) for claim in claim_stale(queue, 2)] == [("2", 2), ("1", 3)]


def test_every_delivery_is_counted(queue: Jobs, other: Jobs) -> None:
    queue.submit(SMALL, [make_job("t")])
    queue.claim([SMALL], 1, 0)
    for expected, process in enumerate([other, queue, other], start=2):
        assert [claim.deliveries for claim in claim_stale(process)] == [expected]


def test_a_renewed_lease_does_not_run_out_and_is_no_delivery(queue: Jobs, other: Jobs) -> None:
    queue.submit(SMALL, [make_job("1")])
    queue.submit(BULK, [make_job("2")])
    claims = queue.claim(PREDICT_STREAMS, 1, 0).claims
    assert len(claims) == 2
    assert_stays(lambda: queue.renew(claims) and not other.claim_stale(PREDICT_STREAMS), 2.5 * LEASE)
    assert [claim.deliveries for claim in claim_stale(other)] == [2]


def test_renewing_does_not_take_back_what_has_passed_to_another(queue: Jobs, other: Jobs) -> None:
    queue.submit(SMALL, [make_job("1"), make_job("2")])
    claims = queue.claim([SMALL], 2, 0).claims
    taken = claim_stale(other, 2)
    assert not queue.renew(claims)
    assert other.renew(taken)
    holders = {entry["consumer"].decode() for entry in queue.redis.xpending_range(SMALL, GROUP, "-", "+", 9)}
    assert holders == {other.name}


def test_renewing_what_is_finished_says_that_it_is_no_longer_held(queue: Jobs) -> None:
    queue.submit(SMALL, [make_job("1")])
    claims = queue.claim([SMALL], 1, 0).claims
    queue.finish([(claims[0], DONE)])
    assert not queue.renew(claims)


# What may happen to Redis and its streams


def test_a_lost_consumer_group_is_made_anew(queue: Jobs) -> None:
    for heal in (
        lambda: queue.claim(PREDICT_STREAMS, 1, 0).claims,
        lambda: queue.claim(PREDICT_STREAMS, 1, 0.01).claims,
        lambda: queue.claim_stale(PREDICT_STREAMS),
        lambda: queue.pending(SMALL) or [],
    ):
        queue.redis.flushall()
        queue.submit(SMALL, [make_job("t")])
        assert heal() == []
        (claim,) = queue.claim([SMALL], 1, 0).claims
        queue.finish([(claim, DONE)])


def test_a_job_that_was_under_way_when_redis_lost_everything_is_answered(queue: Jobs) -> None:
    queue.submit(SMALL, [make_job("t", keep=60, reply="web")])
    claims = queue.claim([SMALL], 1, 0).claims
    queue.redis.flushall()
    queue.finish([(claims[0], DONE)])
    assert queue.result("t") == DONE
    assert queue.read_replies("web", timeout=1) == [("t", DONE)]


@pytest.mark.parametrize(
    "fields", [{"foo": b"bar"}, {"job": b"\xc1 not msgpack"}, {"job": msgspec.msgpack.encode([1])}]
)
def test_an_entry_that_is_no_job_is_removed_and_does_not_come_back(fields: Any, queue: Jobs) -> None:
    queue.redis.xadd(SMALL, fields)
    queue.submit(SMALL, [make_job("t")])
    assert tasks(queue.claim([SMALL], 10, 0).claims) == ["t"]
    assert queue.redis.xlen(SMALL) == queue.pending(SMALL) == 1


def test_an_entry_that_someone_deleted_while_it_was_held_is_forgotten(queue: Jobs, other: Jobs) -> None:
    queue.submit(SMALL, [make_job("1"), make_job("2")])
    first, _ = queue.claim([SMALL], 2, 0).claims
    queue.redis.xdel(SMALL, first.entry)
    assert tasks(claim_stale(other)) == ["2"]
    assert queue.pending(SMALL) == 1


# Who is alive, and what is published


def test_what_a_dead_process_said_is_removed_after_its_time_though_others_live_on(queue: Jobs, other: Jobs) -> None:
    """A host that restarts its processes for months leaves nothing behind of each."""
    other.registry.beat("classify", {})
    seconds, _ = queue.redis.time()
    for name, age in (("old", BEATS_TTL + 2), ("young", BEATS_TTL - 20)):
        queue.redis.hset(WORKERS, name, f"{seconds - age} {{}}")
    queue.registry.beat("train", {})
    assert {name.decode() for name in queue.redis.hkeys(WORKERS)} == {queue.name, other.name, "young"}


def test_a_process_is_alive_as_long_as_it_beats(queue: Jobs, other: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert queue.registry.alive() == []
    queue.registry.beat("train", {"lodbrok": "000001-00000000"})
    other.registry.beat("classify", {"lodbrok": "000002-00000000"})
    assert [(beat.role, beat.name, beat.versions["lodbrok"]) for beat in queue.registry.alive()] == [
        ("classify", other.name, "000002-00000000"),
        ("train", queue.name, "000001-00000000"),
    ]
    monkeypatch.setattr(shared_state, "BEAT_LIFE", 1.0)

    def only_one_is_left() -> bool:
        queue.registry.beat("train", {"lodbrok": "000001-00000000"})
        return [beat.role for beat in queue.registry.alive()] == ["train"]

    wait_until(only_one_is_left, interval=0.1)


def test_who_leaves_is_gone_at_once(queue: Jobs) -> None:
    queue.registry.beat("classify", {"lodbrok": "000001-00000000"})
    queue.leave(PREDICT_STREAMS)
    assert queue.registry.alive() == []


def test_leaving_does_not_take_along_what_is_not_finished(queue: Jobs, other: Jobs) -> None:
    queue.submit(SMALL, [make_job("t")])
    queue.claim([SMALL], 1, 0)
    queue.leave([SMALL])
    assert tasks(claim_stale(other)) == ["t"]


def test_published_weights_come_back_as_they_were(queue: Jobs) -> None:
    assert queue.registry.published("lodbrok") is None
    assert queue.registry.published_versions(["lodbrok", "intent"]) == {}
    assert (
        queue.registry.published_about("lodbrok", "chain")
        is queue.registry.published_about("lodbrok", "quality")
        is None
    )
    published = Published("000001-00000000", b"\0file", {"bio": b"{}"}, b"[]", b"{}")
    queue.registry.publish("lodbrok", published)
    assert queue.registry.published("lodbrok") == published
    assert queue.registry.published_versions(["lodbrok", "intent"]) == {"lodbrok": published.version}
    assert queue.registry.published_about("lodbrok", "chain") == b"[]"
    assert queue.registry.published_about("lodbrok", "quality") == b"{}"
    assert queue.registry.published("intent") is None


def test_nothing_is_kept_for_ever_but_the_streams(queue: Jobs) -> None:
    queue.submit(SMALL, [make_job("1", keep=60, reply="web"), make_job("2", keep=60)])
    first, second = queue.claim([SMALL], 2, 0).claims
    queue.mark_processing([first])
    queue.finish([(first, DONE)])
    queue.registry.beat("classify", {})
    queue.registry.publish("lodbrok", Published("000001-00000000", b"", {}, b"", b""))
    assert queue.lock("train").acquire(blocking=False)
    lives = {key.decode().partition(":")[2]: queue.redis.ttl(key) for key in queue.redis.scan_iter()}
    assert {name for name, life in lives.items() if life == -1} == {"predict:small", "predict:bulk", "train"}
    assert {"task:1", "task:2", "reply:web", "workers", "weights:lodbrok", "lock:train"} < lives.keys()
    assert 0 < lives["task:1"] <= 60
    assert second.job.task == "2"


def test_keys_share_one_slot_of_a_cluster(queue: Jobs) -> None:
    queue.submit(SMALL, [make_job("1", keep=60)])
    queue.registry.beat("classify", {})
    assert {key.partition(b":")[0] for key in queue.redis.scan_iter()} == {b"{sb_api}"}


# Mailboxes


@pytest.fixture
def mailbox(queue: Jobs) -> Mailbox:
    """A mailbox with connections and a name of its own: its thread goes on reading when the test is over."""
    return Mailbox(Jobs(connect(queue.settings), queue.settings))


other_mailbox = mailbox


@pytest.fixture
def echo(queue: Jobs) -> Iterator[None]:
    """A process that answers every job with its own body, in no order, some of them one by one."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            claims = queue.claim(PREDICT_STREAMS, 20, 0.05).claims
            random.shuffle(claims)
            for batch in (claims[:3], claims[3:]):
                if batch:
                    queue.finish([(claim, Answer(status="completed", data=claim.job.body)) for claim in batch])

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    over.set()
    join(thread)


@pytest.mark.usefixtures("echo")
def test_every_thread_gets_the_answers_to_its_own_jobs(mailbox: Mailbox, other_mailbox: Mailbox) -> None:
    mailboxes = [mailbox, other_mailbox]

    def exchange(number: int) -> list[Any]:
        own_mailbox = mailboxes[number % 2]
        own = [make_job(f"{number}.{part}", reply=own_mailbox.name) for part in range(1 + number % 4)]
        answers = own_mailbox.exchange(PREDICT_STREAMS[number % 3 // 2], own, timeout=20)
        return [answer and answer.data == job.body for job, answer in zip(own, answers, strict=True)]

    with ThreadPoolExecutor(32) as pool:
        results = list(pool.map(exchange, range(400)))
    assert all(all(result) for result in results)


def test_an_answer_that_does_not_come_is_none_and_the_others_are_given(queue: Jobs, mailbox: Mailbox) -> None:
    both = [make_job("1", reply=mailbox.name), make_job("2", reply=mailbox.name)]
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(mailbox.exchange, SMALL, both, 1.0)
        claims: list[Claim] = []
        wait_until(lambda: claims.extend(queue.claim([SMALL], 2, 0.05).claims) or len(claims) == 2)
        queue.finish([(claims[1], DONE)])
        assert answers.result(timeout=10) == [None, DONE]
    # An answer that comes too late is nobody's.
    queue.finish([(claims[0], DONE)])
    assert mailbox.exchange(SMALL, [make_job("3", reply=mailbox.name)], 0.2) == [None]


def readers(queue: Jobs) -> list[int]:
    """The connections that wait for replies."""
    return [client["id"] for client in clients(queue) if client["cmd"] == "blmove"]


@pytest.mark.usefixtures("echo")
def test_a_mailbox_goes_on_after_its_connection_was_lost(queue: Jobs, mailbox: Mailbox) -> None:
    for number in range(3):
        job = make_job(str(number), reply=mailbox.name)
        (answer,) = mailbox.exchange(SMALL, [job], timeout=20)
        assert answer is not None
        assert answer.data == job.body
        wait_until(lambda: readers(queue))
        for reader in readers(queue):
            queue.redis.client_kill_filter(_id=reader)


@pytest.mark.usefixtures("echo")
def test_a_mailbox_goes_on_after_a_reply_that_is_none(queue: Jobs, mailbox: Mailbox) -> None:
    queue.redis.rpush(f"{PREFIX}reply:{mailbox.name}", b"\xc1 no reply")
    (answer,) = mailbox.exchange(SMALL, [make_job("1", reply=mailbox.name)], timeout=20)
    assert answer is not None


def test_a_mailbox_goes_on_after_a_job_that_cannot_be_sent(
    queue: Jobs, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender is told, the next is served."""
    with monkeypatch.context() as patch:
        patch.setattr(mailbox.producer, "_submit", lambda *_: 1 / 0)
        patch.setattr(mailbox.producer, "for_one_thread", lambda: mailbox.producer)
        with pytest.raises(SbApiError, match="could not be queued"):
            mailbox.exchange(SMALL, [make_job("1", reply=mailbox.name)], timeout=20)
    assert mailbox.exchange(SMALL, [make_job("2", reply=mailbox.name)], timeout=0.2) == [None]
    assert tasks(queue.claim([SMALL], 10, 0).claims) == ["2"]


def test_of_the_requests_that_go_out_together_those_without_room_are_refused(queue: Jobs) -> None:
    limited = Jobs(queue.redis, msgspec.structs.replace(queue.settings, queue_limit=3))
    groups = [[make_job("1"), make_job("2")], [make_job("3"), make_job("4")], [make_job("5")], [make_job("6")]]
    assert limited.submit_all(SMALL, groups) == [True, False, True, False]
    assert tasks(queue.claim([SMALL], 10, 0).claims) == ["1", "2", "5"]


def test_a_mailbox_tells_those_for_whom_there_is_no_room(queue: Jobs) -> None:
    limited = Jobs(connect(queue.settings), msgspec.structs.replace(queue.settings, queue_limit=1))
    full = Mailbox(limited)
    with pytest.raises(QueueFull, match="1 requests are waiting already"):
        full.exchange(SMALL, [make_job("1"), make_job("2")], timeout=20)
    assert queue.redis.xlen(SMALL) == 0


def test_a_thread_of_its_own_keeps_its_connection(queue: Jobs) -> None:
    kept = queue.for_one_thread()
    assert len({kept.redis.client_id() for _ in range(3)}) == 1
    queue.redis.client_kill_filter(_id=kept.redis.client_id())
    with pytest.raises(redis.ConnectionError):
        kept.redis.ping()
    assert kept.redis.ping()


def test_a_kept_connection_that_was_cut_while_nobody_used_it_is_made_anew(
    queue: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_connection, "UNUSED", -1.0)
    kept = queue.for_one_thread()
    for _ in range(2 * connection.CONNECTIONS):
        queue.redis.client_kill_filter(_id=kept.redis.client_id())
        assert kept.redis.ping()


def cut(queue: Jobs) -> None:
    """End the connections of every mailbox."""
    for client in clients(queue):
        if client["cmd"] in ("evalsha", "blmove"):
            queue.redis.client_kill_filter(_id=client["id"])


@pytest.mark.usefixtures("echo")
def test_a_mailbox_whose_connections_were_cut_asks_for_predictions_again(queue: Jobs, mailbox: Mailbox) -> None:
    for number in range(5):
        job = make_job(str(number), reply=mailbox.name)
        assert mailbox.exchange(SMALL, [job], 20) == [Answer(status="completed", data=job.body)]
        cut(queue)


@pytest.mark.usefixtures("echo")
def test_a_mailbox_whose_connections_were_cut_asks_for_no_training_again(queue: Jobs, mailbox: Mailbox) -> None:
    """It may be queued already."""
    job = make_job("a", reply=mailbox.name)
    assert mailbox.exchange(SMALL, [job], 20) == [Answer(status="completed", data=job.body)]
    cut(queue)
    with pytest.raises(Unavailable):
        mailbox.exchange(TRAIN, [make_job("b", reply=mailbox.name)], 20)
    assert queue.redis.xlen(TRAIN) == 0


def test_progress_tells_what_was_claimed_last_and_whether_more_waits(queue: Jobs) -> None:
    queue.ensure_groups([SMALL])
    assert queue.progress(SMALL) == (b"0-0", False)
    queue.submit(SMALL, [make_job("a"), make_job("b")])
    assert queue.progress(SMALL) == (b"0-0", True)
    first = queue.claim([SMALL], 1, 0).claims[0]
    assert queue.progress(SMALL) == (first.entry, True)
    second = queue.claim([SMALL], 1, 0).claims[0]
    assert queue.progress(SMALL) == (second.entry, False)
    queue.finish([(first, DONE), (second, DONE)])
    assert queue.progress(SMALL) == (second.entry, False)


def test_where_the_data_is_lost_there_may_be_more(queue: Jobs) -> None:
    queue.redis.flushall()
    assert queue.progress(SMALL) == (b"", True)


# What Redis may lose, and clocks that are set back


def test_a_task_whose_entry_is_lost_has_failed_and_may_be_sent_again(queue: Jobs) -> None:
    """After a power cut it was "queued" for ever, and the same content was never queued again."""
    queue.submit(SMALL, [make_job("t", keep=60), make_job("u", keep=60)])
    (first,) = queue.claim([SMALL], 1, 0).claims
    queue.mark_processing([first])
    queue.redis.delete(SMALL)
    for task in ("t", "u"):
        answer = queue.result(task)
        assert answer is not None
        assert answer.status == "failed"
        assert answer.problem is not None
        assert "has lost the job" in answer.problem["detail"]
    queue.forget("t")
    queue.submit(SMALL, [make_job("t", keep=60)])
    assert queue.result("t") == Answer(status="queued")
    assert 0 < queue.redis.ttl(f"{PREFIX}task:t:entry") <= 60


def test_a_task_that_is_finished_keeps_its_answer_when_the_entry_is_gone(queue: Jobs) -> None:
    queue.submit(SMALL, [make_job("t", keep=60)])
    (claim,) = queue.claim([SMALL], 1, 0).claims
    queue.finish([(claim, DONE)])
    assert queue.result("t") == DONE
    assert not queue.redis.exists(f"{PREFIX}task:t:entry")


def test_a_group_may_hold_jobs_whose_answers_are_kept_and_others(queue: Jobs) -> None:
    queue.submit(SMALL, [make_job("t", keep=60), make_job("u"), make_job("v", keep=30)])
    assert tasks(queue.claim([SMALL], 5, 0).claims) == ["t", "u", "v"]
    assert [queue.result(task) for task in ("t", "u", "v")] == [Answer(status="queued"), None, Answer(status="queued")]


def crc64(data: bytes) -> int:
    """The checksum (Jones, reflected) of what DUMP gives."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
    return crc


def date_claim(queue: Jobs, claim: Claim, milliseconds: int) -> None:
    """Move the moment at which a job was claimed, as a clock does that is set back."""
    dump = queue.redis.dump(claim.stream)
    first, _, second = claim.entry.partition(b"-")
    entry = int(first).to_bytes(8, "big") + int(second).to_bytes(8, "big")
    at = dump.rindex(entry, 0, dump.rindex(entry)) + len(entry)  # the last but one: the last is the consumer's own list
    seconds, micros = queue.redis.time()
    moment = int.from_bytes(dump[at : at + 8], "little")
    assert abs(moment - seconds * 1000 - micros / 1000) < 60_000
    dated = dump[:at] + (moment + milliseconds).to_bytes(8, "little") + dump[at + 8 : -8]
    queue.redis.restore(claim.stream, 0, dated + crc64(dated).to_bytes(8, "little"), replace=True)


def test_the_checksum_is_that_of_redis() -> None:
    assert crc64(b"123456789") == 0xE9C6D914C4B8D9CA


def test_after_the_clock_was_set_back_a_dead_process_holds_a_job_for_one_lease(queue: Jobs, other: Jobs) -> None:
    """It held it for an hour, and with it every training."""
    queue.submit(SMALL, [make_job("t")])
    (claim,) = queue.claim([SMALL], 1, 0).claims
    date_claim(queue, claim, 3_600_000)
    (stale,) = claim_stale(other)
    assert (stale.job.task, stale.deliveries) == ("t", 2)


def test_after_the_clock_was_set_back_a_living_process_keeps_its_job(queue: Jobs, other: Jobs) -> None:
    queue.submit(SMALL, [make_job("t")])
    (claim,) = queue.claim([SMALL], 1, 0).claims
    date_claim(queue, claim, 3_600_000)
    assert_stays(lambda: queue.renew([claim]) and not other.claim_stale([SMALL]), 2.5 * LEASE)


def test_after_the_clock_was_set_back_a_dead_process_holds_a_lock_for_one_lease(queue: Jobs) -> None:
    assert queue.lock("train").acquire(blocking=False)
    queue.redis.pexpire(f"{PREFIX}lock:train", 3_600_000)
    wait_until(lambda: queue.lock("train").acquire(blocking=False), timeout=10 * LEASE)


def test_a_beat_of_the_future_is_none(queue: Jobs, other: Jobs) -> None:
    """A dead process was alive for as long as the clock was set back."""
    other.registry.beat("classify", {})
    moment, about = queue.redis.hget(WORKERS, other.name).split(b" ", 1)
    queue.redis.hset(WORKERS, other.name, b"%d %s" % (int(moment) + 3600, about))
    assert queue.registry.alive() == []
    queue.registry.beat("train", {})
    assert [beat.role for beat in queue.registry.alive()] == ["train"]
    assert queue.redis.hkeys(WORKERS) == [queue.name.encode()]
