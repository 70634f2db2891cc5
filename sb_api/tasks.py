"""Asynchronous judging: a task is queued and answered at once; its result is fetched from /get-result."""

from __future__ import annotations

import hashlib

from flask import Blueprint, Response, request

from sb_api.auth.access import require
from sb_api.broker.jobs import Job
from sb_api.errors import IdempotencyKeyReused
from sb_api.kinds import find_kind
from sb_api.records import decode_records, decode_task, encode_payload
from sb_api.routes import accept_task, read_body
from sb_api.telemetry.logs import current_request
from sb_api.telemetry.tracing import current_trace
from sb_api.web.service import choose_stream, get_service

tasks = Blueprint("tasks", __name__)


@tasks.post("/classify")
@require("predict")
def classify() -> Response:
    """Queue records to be judged. The same content is the same task while its result is kept."""
    service = get_service()
    model, data = decode_task(read_body())
    kind = find_kind(model)
    records = decode_records(data, kind.record, service.settings.max_records).all_sound()
    body = encode_payload(records)
    task = _content_id(kind.name, body)
    keep = service.settings.result_ttl
    key = request.headers.get("Idempotency-Key")
    if key is not None and service.jobs.reserve(_content_id("key", key.encode()), task, keep) != task:
        raise IdempotencyKeyReused("This Idempotency-Key was sent with other content; send a new key with new content.")
    known = service.jobs.result(task)
    if known is None or known.status == "failed":
        service.jobs.forget(task)
        job = Job(
            task=task,
            operation="predict",
            classifier=kind.name,
            body=body,
            keep=keep,
            request=current_request(),
            trace=current_trace(),
        )
        service.jobs.submit(choose_stream(len(records)), [job])
    return accept_task(task)


def _content_id(kind: str, content: bytes) -> str:
    return hashlib.sha256(kind.encode() + b"\0" + content).hexdigest()[:32]
