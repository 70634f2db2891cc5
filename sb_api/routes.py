"""The JSON API: what comes in is decoded, queued, waited for, and answered."""

from __future__ import annotations

import uuid
from typing import IO, Any

import msgspec
from flask import Blueprint, Response, request
from gunicorn.http.errors import ParseException

from sb_api.auth.access import check_role, require
from sb_api.errors import InvalidParameter, InvalidRecords, MalformedBody, UnknownTask
from sb_api.kinds import EDITORS, MESSAGES, Kind, describe_answers, find_kind
from sb_api.records import decode_records
from sb_api.web.service import (
    Service,
    await_rollback,
    await_training,
    describe_readiness,
    get_service,
    judge,
    read_chain,
    read_quality,
    submit_replay,
    submit_training,
)

api = Blueprint("api", __name__)

PIECE = 1024 * 1024  # bytes of a body that are read at a time


@api.post("/predict")
@require("predict")
def predict() -> Response:
    """Judge editors."""
    return answer_predict(EDITORS)


@api.post("/intents/predict")
@require("predict")
def predict_intents() -> Response:
    """Sort messages into classes."""
    return answer_predict(MESSAGES)


def answer_predict(kind: Kind) -> Response:
    """Have the records of this request judged."""
    # Most requests have no query, and every look at one costs.
    partial, explain = (_flag("partial"), _flag("explain")) if request.query_string else (False, False)
    return _json(judge_body(get_service(), kind, read_body(), partial=partial, explain=explain))


def judge_body(
    service: Service, kind: Kind, body: bytes, *, partial: bool = False, explain: bool = False
) -> dict[str, Any]:
    """Have the records of a body judged: the answer to it.

    Raises what `decode_records` and `judge` raise, and InvalidRecords; when it is `partial`, not for records of which
    only some are wrong.
    """
    records = decode_records(body, kind.record, service.settings.max_records)
    sound = list(records.sound.values()) if partial and records.sound else records.all_sound()
    judged = judge(service, kind, sound, explain=explain)
    errors = records.errors
    if judged.errors:
        keys = list(records.sound)
        errors |= {keys[place]: {"field": "", "detail": detail} for place, detail in sorted(judged.errors.items())}
    if errors and not partial:
        raise InvalidRecords("Some records could not be judged; leave out those listed.", errors=errors)
    answer: dict[str, Any] = {"success": True} | describe_answers(sound, judged)
    if partial:
        answer["errors"] = errors
    return answer


@api.post("/train")
@require("train")
def train() -> Response:
    """Learn from verdicts."""
    return answer_train(EDITORS)


@api.post("/intents/train")
@require("train")
def train_intents() -> Response:
    """Learn from messages whose class a person told."""
    return answer_train(MESSAGES)


def answer_train(kind: Kind) -> Response:
    """Have the labelled records of this request learned."""
    service = get_service()
    force = _flag("force")
    if force:
        check_role("admin")
    records = decode_records(read_body(), kind.verdict, service.settings.max_records)
    verdicts = records.all_sound()
    if "respond-async" in request.headers.get("Prefer", ""):
        return accept_task(submit_training(service, kind, verdicts, force=force))
    trained = await_training(service, kind, verdicts, force=force)
    return _json({"success": True, "response": "Successfully retrained the model", **trained})


@api.post("/rollback")
@require("admin")
def rollback() -> Response:
    """Make earlier weights current again."""
    service, kind = get_service(), _kind()
    try:
        body = msgspec.json.decode(read_body())
        wanted = body["to"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        raise MalformedBody('Send {"to": "previous"}, {"to": "original"} or {"to": "<version>"}.') from None
    if not isinstance(wanted, str):
        raise MalformedBody('`to` must be "previous", "original" or the name of a version.')
    return _json({"success": True, **await_rollback(service, kind, wanted)})


@api.post("/replay")
@require("admin")
def replay() -> Response:
    """Rebuild the current weights from the original and the verdict log."""
    service, kind = get_service(), _kind()
    return accept_task(submit_replay(service, kind, force=_flag("force")))


@api.get("/quality")
@require("predict")
def quality() -> Response:
    """How right the weights were on verdicts before they learned them."""
    service, kind = get_service(), _kind()
    return _json({"success": True, "model": kind.name, **read_quality(service, kind)})


@api.get("/weights")
@require("predict")
def weights() -> Response:
    """The slots and the versions with their figures."""
    service, kind = get_service(), _kind()
    chain = read_chain(service, kind)
    return _json({"success": True, "model": kind.name, **msgspec.to_builtins(chain)})


@api.get("/get-result/<task_id>")
@require("predict")
def get_result(task_id: str) -> Response:
    """What became of an asynchronous task."""
    try:
        task = uuid.UUID(task_id).hex
    except ValueError:
        raise UnknownTask(f"{task_id[:40]!r} is not a task id.") from None
    answer = get_service().jobs.result(task)
    if answer is None:
        raise UnknownTask(f"There is no task {task_id}, or its result is no longer kept.")
    if answer.status in ("queued", "processing"):
        progress = {"progress": answer.data} if answer.data else {}
        response = _json({"success": True, "status": answer.status, "task_id": task, **progress}, 202)
        response.headers["Retry-After"] = "1"
        return response
    if answer.problem is not None:
        return _json({"success": False, "status": "failed", "task_id": task, "error": answer.problem})
    return _json({"success": True, "status": "completed", "task_id": task, "data": answer.data})


@api.get("/healthz")
def healthz() -> Response:
    """This web process is alive."""
    return _json({"success": True, "status": "alive"})


@api.get("/readyz")
def readyz() -> Response:
    """Whether editors can be judged: Redis, a warm classify process, published weights."""
    document = describe_readiness(get_service())
    return _json(document, 200 if document["success"] else 503)


def read_body() -> bytes:
    """The body of this request. Raises what `read_stream` raises."""
    return read_stream(request.stream, request.content_length)


def read_stream(stream: IO[bytes], length: int | None) -> bytes:
    """All of a body, of so many bytes if that is known.

    Raises MalformedBody when it ends before it should, or its chunks are no chunks.
    """
    # Not get_data: it asks for 64 KiB at a time, and at each gunicorn copies all that it has received beyond.
    size = min(length or PIECE, PIECE)
    try:
        return b"".join(iter(lambda: stream.read(size), b""))
    except (OSError, ParseException) as error:
        raise MalformedBody(f"The body could not be read to its end: {error}.") from None


def accept_task(task: str) -> Response:
    """202, and where the result will be."""
    response = _json({"success": True, "task_id": task, "message": "The task is queued."}, 202)
    response.headers["Location"] = f"/get-result/{task}"
    response.headers["Retry-After"] = "1"
    return response


def _kind() -> Kind:
    return find_kind(_parameter("model", "lodbrok"))


def _parameter(name: str, default: str) -> str:
    try:
        return request.args.get(name, default)
    except UnicodeDecodeError:  # raw bytes, which are passed on as they came
        raise InvalidParameter("The query string is not UTF-8; percent-encode it.") from None


def _flag(name: str) -> bool:
    value = _parameter(name, "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise InvalidParameter(f"{name}={value[:40]!r}: must be true or false.")
    return value in ("true", "1")


def _json(document: Any, status: int = 200) -> Response:
    return Response(encode_answer(document), status, content_type="application/json")


def encode_answer(document: Any) -> bytes:
    """An answer as JSON."""
    return msgspec.json.encode(document)
