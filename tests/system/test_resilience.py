"""`make chaos`, `make overload` and `make soak` in small, with the service that all tests share."""

from __future__ import annotations

import random
import re
import statistics
import threading
import time

import msgspec
import pytest
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.broker.jobs import SMALL
from sb_api.broker.rpc import BATCH
from sb_api.config import Settings
from tests.conftest import join, wait_until
from tests.support.jobs import Jobs
from tests.support.service import SHIPPED, Service, assert_problem, make_editors, make_verdicts, waiting
from tests.support.steady_load import SteadyLoad, Tally, Versions
from tools.faults import Target, cut_connections, damage, is_normal, kill, out_of_memory, stop, wait_warm
from tools.ledger import Ledger
from tools.soak import Work, measure


@pytest.fixture
def target(service: Service) -> Target:
    wait_warm(service.address)
    return Target(service.folder, {}, service=service)


def test_the_ledger_finds_what_is_wrong_and_nothing_else(target: Target, service: Service) -> None:
    """All calls at once, in waves; a process dies meanwhile. Then the book is tampered with."""
    versions = Versions(service.state / "weights" / "versions" / SHIPPED.name)
    versions.look()
    ledger = Ledger(target.address, versions, seed=3)
    with ledger.running():
        wait_until(lambda: len(ledger.judged) > 15 and ledger.texts, 90)
        kill("classify").inject(target, random.Random(3))
        wait_until(lambda: len(ledger.taken) > 1, 60)
        wait_until(target.is_normal, 30, interval=0.1)
    assert {entry.call for entry in ledger.judged} == {"/predict", "/classify"}
    log = service.verdict_log()
    tally = ledger.judge(log)
    assert (tally.lost, tally.wrong, tally.doubled) == (0, 0, 0), tally.notes
    assert tally.right > 30

    tampered, other = ledger.judged[:2]
    tampered.answer["scores"][tampered.names[-1]] += 0.001
    other.answer["weights"] = "000099-deadbeef"
    ledger.texts[0]["scores"]["0"] = ledger.texts[0]["scores"]["1"]
    ledger.judged, ledger.texts, ledger.tally = [tampered, other], ledger.texts[:1], Tally()
    ledger.taken = [1]
    worse = ledger.judge(log)
    log.close()
    assert (worse.lost, worse.wrong, worse.doubled, worse.right) == (1, 3, 0, 0), worse.notes


def test_under_faults_nothing_is_lost_wrong_or_doubled(target: Target, service: Service) -> None:
    """Single and bulk requests, trainings and rollbacks at once, each answer checked against the bare model."""
    versions = Versions(service.state / "weights" / "versions" / SHIPPED.name)
    versions.look()
    load = SteadyLoad(target.address, versions, seed=5)
    chance = random.Random(5)
    faults = [
        cut_connections(0.5),
        out_of_memory(0.5),
        stop("classify", 0.5),
        stop("redis", 0.5),
        damage("flipped in one bit"),
        kill("classify"),
    ]
    with load.running():
        for fault in faults:
            wait_until(target.is_normal, 30, interval=0.1)
            fault.inject(target, chance)
        wait_until(target.is_normal, 30, interval=0.1)
    log = service.verdict_log()
    tally = load.judge(log)
    log.close()
    assert (tally.lost, tally.wrong, tally.doubled) == (0, 0, 0), tally.notes
    assert tally.right > 20
    for fault in faults:
        fault.check(target)


def test_a_damaged_weights_file_is_told_until_it_is_mended(service: Service) -> None:
    """In /readyz, in /metrics and in the log; the service goes on."""
    assert service.post("/train", make_verdicts(2, 10)).status_code == 200
    path = service.state / "weights" / "previous_lodbrok.h5"
    said = "the file of the previous weights of lodbrok is damaged, and earlier ones stand in for it: see the log"
    told = 'sb_api_weights_damaged_files{classifier="lodbrok"}'
    # Not in place: the file is linked to its version, which the other tests need.
    damaged = path.read_bytes()[:-1]
    path.unlink()
    path.write_bytes(damaged)
    try:
        wait_until(lambda: said in service.ready()["notes"])
        assert f"{told} 1.0" in service.get("/metrics").text
        assert service.ready()["code"] == 200
        assert is_normal(service.address)
        assert service.get("/weights").json()["damaged"] == ["previous"]
        assert re.search(f"ERROR.*a weights file cannot be used: {path}", service.log)
    finally:
        path.unlink()
    wait_until(lambda: service.ready()["notes"] == [])
    assert f"{told} 0.0" in service.get("/metrics").text


def test_more_than_can_be_done_in_time_is_refused_at_once(jobs: Jobs, settings: Settings) -> None:
    """503 with Retry-After, though nobody works; nothing of what is refused is queued, so memory is bounded."""
    app = create_app(msgspec.structs.replace(settings, predict_timeout=3.0))
    seconds: list[float] = []

    def ask(client: FlaskClient) -> None:
        assert_problem(client.post("/predict", json=make_editors(BATCH // 4)), 504)

    inside = [threading.Thread(target=ask, args=(app.test_client(),)) for _ in range(4)]
    for thread in inside:
        thread.start()
    wait_until(lambda: waiting(jobs) == 4)
    for _ in range(20):
        start = time.monotonic()
        response = app.test_client().post("/predict", json=make_editors(1))
        seconds.append(time.monotonic() - start)
        assert_problem(response, 503, "queue-full")
        assert int(response.headers["Retry-After"]) > 0
    assert jobs.redis.xlen(SMALL) == 4
    assert statistics.median(seconds) < 0.05
    # What takes long does not stand in the way of what is short, nor the other way round.
    other = threading.Thread(target=ask_many, args=(app.test_client(),), daemon=True)
    other.start()
    wait_until(lambda: waiting(jobs) == 8)
    for thread in (*inside, other):
        join(thread)


def ask_many(client: FlaskClient) -> None:
    assert_problem(client.post("/predict", json=make_editors(500)), 504)


def test_work_leaves_no_open_file_and_no_key_behind(service: Service) -> None:
    """Records by the thousand and trainings, as `make soak` does it for longer."""
    for _ in Work(service.address, 1000, seed=1).run():
        pass  # its processes open what they keep open
    before = measure(service)
    work = Work(service.address, 2000, seed=2)
    for _ in work.run():
        pass
    after = measure(service)
    assert work.judged >= 2000
    assert (work.trained, work.failures) == (2, [])
    assert after.files == pytest.approx(before.files, abs=3)  # connections of the test's own come and go
    # Nothing is left by each record or each training; a lease that somebody holds just now comes to its end.
    wait_until(lambda: measure(service).keys < before.keys + work.trained)
    assert not after.lasting
