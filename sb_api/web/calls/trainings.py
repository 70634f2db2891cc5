"""What is asked of the train process: trainings, withdrawals, rollbacks, replays, and letting a credential back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sb_api.broker.connection import unavailable_when_lost
from sb_api.broker.examination import examine
from sb_api.broker.jobs import TRAIN, Actor, Job, Renaming, Replay, Training, Withdrawal
from sb_api.errors import Unavailable
from sb_api.records import RecordType, encode_payload
from sb_api.versions import SLOTS
from sb_api.web.service import Service, await_job, explain_failure, make_job, read_chain, submit_job


def await_training(
    service: Service,
    record_type: RecordType,
    verdicts: Sequence[Any],
    actor: Actor,
    *,
    force: bool = False,
    new_classes: bool = False,
    overruled: int = 0,
) -> dict[str, Any]:
    """Have verdicts learned, of which `overruled` ones named a reporter that they may not; what came of it. Raises
    QueueFull, Unavailable, NoAnswerInTime, TrainingRefused."""
    return await_job(service, _training(service, record_type, verdicts, actor, force, new_classes, overruled))


def submit_training(
    service: Service,
    record_type: RecordType,
    verdicts: Sequence[Any],
    actor: Actor,
    *,
    force: bool,
    new_classes: bool = False,
    overruled: int = 0,
) -> str:
    """Queue a training; its task. Where Redis may evict it, its verdicts are in the log by then, if there is one.

    Raises QueueFull, Unavailable; where they had to be logged, also what refuses them.
    """
    job = _training(service, record_type, verdicts, actor, force, new_classes, overruled)
    with unavailable_when_lost():
        evicts = examine(service.broker.redis).evicts
    if not evicts or service.settings.verdict_log == "off":
        return submit_job(service, job)
    patience = service.settings.predict_timeout
    (answer,) = service.mailbox.exchange(TRAIN, [msgspec.structs.replace(job, acknowledge=True)], patience)
    if answer is None:
        raise Unavailable(
            f"No train process has put the verdicts into the log within {patience:g} s, and Redis may evict them "
            "(maxmemory-policy) before one does: they count as not accepted. Send them again; what has been learned "
            "meanwhile is not learned twice."
        )
    if answer.problem is not None:
        raise explain_failure(service, job, answer.problem)
    return job.task


def await_withdrawal(service: Service, record_type: RecordType, wanted: Withdrawal, actor: Actor) -> dict[str, Any]:
    """Have what a reporter says of a record taken back; what came of it. Raises what `await_training` raises."""
    body = encode_payload(wanted)
    return await_job(
        service, make_job(service, "withdraw", record_type, body, keep=service.settings.result_ttl, actor=actor)
    )


def await_rollback(service: Service, record_type: RecordType, wanted: str, actor: Actor) -> dict[str, Any]:
    """Make a slot or a version current. Raises UnknownVersion, and what `await_training` raises."""
    chain = read_chain(service, record_type)
    # What a slot stands for is found when it is done: trainings may wait before it.
    if wanted not in SLOTS:
        chain.resolve(wanted)
    job = make_job(
        service, "rollback", record_type, encode_payload(wanted), keep=service.settings.result_ttl, actor=actor
    )
    return await_job(service, job)


def await_let_back(service: Service, record_type: RecordType, credential: str, actor: Actor) -> dict[str, Any]:
    """Let a credential back that is set aside. Raises InvalidParameter where it is not, and what `await_training`
    raises."""
    job = make_job(
        service, "let back", record_type, encode_payload(credential), keep=service.settings.result_ttl, actor=actor
    )
    return await_job(service, job)


def await_renaming(service: Service, record_type: RecordType, wanted: Renaming, actor: Actor) -> dict[str, Any]:
    """Have classes called otherwise. Raises InvalidParameter, and what `await_training` raises."""
    body = encode_payload(wanted)
    return await_job(
        service, make_job(service, "rename", record_type, body, keep=service.settings.result_ttl, actor=actor)
    )


def submit_replay(
    service: Service, record_type: RecordType, actor: Actor, *, force: bool = False, with_undone: bool = False
) -> str:
    """Queue a replay; its task. Raises QueueFull, Unavailable."""
    body = encode_payload(Replay(force, with_undone))
    job = make_job(service, "replay", record_type, body, keep=service.settings.result_ttl, actor=actor)
    return submit_job(service, job)


def _training(
    service: Service,
    record_type: RecordType,
    verdicts: Sequence[Any],
    actor: Actor,
    force: bool,
    new_classes: bool,
    overruled: int,
) -> Job:
    body = encode_payload(Training(encode_payload(verdicts), force, new_classes, overruled))
    return make_job(service, "train", record_type, body, keep=service.settings.result_ttl, actor=actor)
