"""Verdicts that were accepted with 202 are learned, also when Redis evicts what waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
import redis

from sb_api import create_app
from sb_api.broker.jobs import TRAIN
from sb_api.broker.shared_state import Broker
from sb_api.config import Settings
from sb_api.errors import TooManyKept
from sb_api.learning import trainer as learning_trainer
from sb_api.learning.kept import has_kept, try_kept
from sb_api.learning.train_jobs import do_job
from sb_api.learning.trainer import Trainer
from sb_api.processes.claiming import OneAtATime
from sb_api.processes.worker import Worker
from sb_api.verdicts.audit import AuditLog
from tests.conftest import join, wait_until
from tests.support.jobs import Jobs
from tests.support.service import BUDGET, SHIPPED, Bare, assert_problem, make_verdicts

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def evicting(jobs: Jobs) -> Iterator[Jobs]:
    """The queue on a Redis that evicts."""
    jobs.redis.config_set("maxmemory-policy", "allkeys-lru")
    yield jobs
    jobs.redis.config_set("maxmemory-policy", "noeviction")


def evict(jobs: Jobs) -> None:
    """Make Redis throw away all that it can, as when its neighbours fill it."""
    jobs.redis.config_set("maxmemory", 1)
    with suppress(redis.exceptions.OutOfMemoryError):
        jobs.redis.set("{sb_api}:neighbour", "x", ex=60)
    jobs.redis.config_set("maxmemory", 0)


def submit(settings: Settings, count: int = 3) -> Any:
    return create_app(settings).test_client().post("/train", json=make_verdicts(count), headers=ASYNC)


@pytest.fixture
def trainer(jobs: Jobs, bare: Bare, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    monkeypatch.setattr(learning_trainer, "Fitting", lambda *_: bare.fitting)
    monkeypatch.setattr(Trainer, "reference", bare.reference)
    settings = msgspec.structs.replace(jobs.settings, guard_tolerance=1.0, fp_budget=BUDGET)
    return Trainer(Broker.of(jobs.redis, settings), SHIPPED)


@pytest.fixture
def working(evicting: Jobs, trainer: Trainer) -> Iterator[Worker]:
    """A train process that works with `trainer`."""
    patient = Jobs(evicting.redis, msgspec.structs.replace(evicting.settings, lease=60.0))
    worker = Worker(
        patient,
        "train",
        OneAtATime(TRAIN),
        lambda claims: [do_job({"lodbrok": trainer}, worker, claim, AuditLog(None)) for claim in claims],
        lambda _: {"lodbrok": trainer.publication.version},
    )
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    yield worker
    worker.stopping.set()
    join(thread)


def test_accepted_verdicts_are_in_the_log_and_learned_though_redis_evicts_their_training(
    working: Worker, trainer: Trainer, evicting: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three accepted trainings were gone, and their tasks 404."""
    answered = threading.Event()
    learn = trainer.learn

    def lose_and_learn(*arguments: Any, **options: Any) -> Any:
        assert answered.wait(20)
        evict(evicting)
        return learn(*arguments, **options)

    monkeypatch.setattr(trainer, "learn", lose_and_learn)
    accepted = submit(evicting.settings)
    assert accepted.status_code == 202
    assert trainer.intake.log is not None
    assert [row.status for row in trainer.intake.log.find()] == 3 * ["learning"]
    answered.set()
    wait_until(lambda: evicting.redis.exists(TRAIN) and not working._held)  # dropped, and the queue made anew
    assert [row.status for row in trainer.intake.log.find()] == 3 * ["learning"]
    assert has_kept(trainer)  # so the train process plans to try them again
    assert try_kept(trainer, lambda: None) == 3
    assert [row.status for row in trainer.intake.log.find()] == 3 * ["learned"]
    assert trainer.publication.version != trainer.original.about.version


@pytest.mark.usefixtures("working")
def test_where_redis_evicts_a_training_that_is_accepted_ends_as_any_other(trainer: Trainer, evicting: Jobs) -> None:
    accepted = submit(evicting.settings)
    assert accepted.status_code == 202
    task = accepted.get_json()["task_id"]
    wait_until(lambda: (answer := evicting.result(task)) is not None and answer.status == "completed")
    assert trainer.publication.version != trainer.original.about.version


@pytest.mark.usefixtures("working")
def test_where_redis_evicts_verdicts_that_the_log_does_not_take_are_not_accepted(
    trainer: Trainer, evicting: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise TooManyKept("So many are kept already.")

    monkeypatch.setattr(trainer.intake, "take", refuse)
    assert assert_problem(submit(evicting.settings), 429)["detail"] == "So many are kept already."


def test_where_redis_evicts_verdicts_that_no_train_process_takes_are_not_accepted(evicting: Jobs) -> None:
    hasty = msgspec.structs.replace(evicting.settings, predict_timeout=0.2)
    answer = assert_problem(submit(hasty), 503, "unavailable")
    assert "count as not accepted" in answer["detail"]


@pytest.mark.parametrize(("policy", "log"), [("noeviction", ""), ("volatile-lru", ""), ("allkeys-lru", "off")])
def test_elsewhere_a_training_is_accepted_at_once(policy: str, log: str, evicting: Jobs) -> None:
    """Where Redis keeps what waits; and without a log, in which case /readyz says what may be lost."""
    evicting.redis.config_set("maxmemory-policy", policy)
    settings = msgspec.structs.replace(evicting.settings, predict_timeout=0.2, verdict_log=log)
    assert submit(settings).status_code == 202


def test_a_job_whose_stream_is_gone_is_no_longer_held(evicting: Jobs) -> None:
    """Asking for it was an error, for which a train process tried again and again."""
    evicting.ensure_groups([TRAIN])
    submit(msgspec.structs.replace(evicting.settings, verdict_log="off"))
    (claim,) = evicting.claim([TRAIN], 1, 0).claims
    assert evicting.renew([claim])
    evicting.redis.delete(TRAIN)
    assert not evicting.renew([claim])
