"""Staged weights: what the calls and the page ask of the train process and of Redis."""

from __future__ import annotations

from typing import Any

import msgspec

from sb_api.broker.jobs import TRAIN, Actor, Operation, Promotion
from sb_api.broker.staging import StagedWeights
from sb_api.errors import NothingStaged
from sb_api.judgements import Shadow
from sb_api.records import RecordType, encode_payload
from sb_api.versions import Version
from sb_api.web.service import Service, await_job, completed, make_job, read_chain, submit_job


def read_staged(service: Service, record_type: RecordType) -> Version | None:
    """What is known of the staged version; None where there is none. Raises Unavailable."""
    about = StagedWeights(service.broker.redis).about(record_type.name)
    return None if about is None else msgspec.json.decode(about, type=Version)


def read_shadow(service: Service, record_type: RecordType) -> Shadow | None:
    """What came of judging live requests by the staged weights; None where there are none. Raises Unavailable."""
    return StagedWeights(service.broker.redis).read(record_type.name)


def compare_staged(service: Service, record_type: RecordType, timeout: float | None = None) -> dict[str, Any]:
    """Current and staged weights, side by side: on live requests, and where labels are known.

    Raises NothingStaged, QueueFull, Unavailable, NoAnswerInTime while a training takes longer than `timeout` (as long
    as a prediction may take, by default).
    """
    patience = timeout or service.settings.predict_timeout
    job = make_job(service, "compare", record_type, b"")
    found: dict[str, Any] = completed(service, job, service.mailbox.exchange(TRAIN, [job], patience)[0], patience)
    shadow = read_shadow(service, record_type)
    if shadow is None:
        raise NothingStaged(f"No weights of {record_type.name} are staged any more.")
    return {**found, "share": service.settings.shadow_share, "shadow": msgspec.to_builtins(shadow)}


def await_staging(service: Service, record_type: RecordType, wanted: str, actor: Actor) -> dict[str, Any]:
    """Have a slot or a kept version staged. Raises UnknownVersion, InvalidParameter for what is current, and what
    `await_training` raises."""
    read_chain(service, record_type).resolve(wanted)
    return _await(service, "stage", record_type, wanted, actor)


def await_drop(service: Service, record_type: RecordType, wanted: str, actor: Actor) -> dict[str, Any]:
    """Have the staged weights dropped, if they are those. Raises NothingStaged, and what `await_training` raises."""
    return _await(service, "drop", record_type, wanted, actor)


def submit_promotion(service: Service, record_type: RecordType, wanted: Promotion, actor: Actor) -> str:
    """Queue the promotion of the staged weights; its task. Raises NothingStaged, QueueFull, Unavailable."""
    about = read_staged(service, record_type)
    if about is None or about.version != wanted.version:
        staged = "nothing is" if about is None else f"that is {about.version}"
        raise NothingStaged(f"{wanted.version[:40]!r} is not what is staged: {staged}.")
    body = encode_payload(wanted)
    keep = service.settings.result_ttl
    return submit_job(service, make_job(service, "promote", record_type, body, keep=keep, actor=actor))


def _await(
    service: Service, operation: Operation, record_type: RecordType, wanted: str, actor: Actor
) -> dict[str, Any]:
    keep = service.settings.result_ttl
    return await_job(service, make_job(service, operation, record_type, encode_payload(wanted), keep=keep, actor=actor))
