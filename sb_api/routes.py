"""The JSON API: what comes in is decoded, queued, waited for, and answered."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any, get_args

import msgspec
from flask import Blueprint, Response, request

from sb_api.auth.access import check_role, current_actor, current_identity, require
from sb_api.auth.reporters import set_reporters
from sb_api.broker.jobs import Job, Withdrawal
from sb_api.errors import (
    Forbidden,
    IdempotencyKeyReused,
    InvalidParameter,
    InvalidRecords,
    MalformedBody,
    UnknownTask,
)
from sb_api.json_bodies import decode_records, decode_task
from sb_api.judgements import Status, VerdictQuery, say_overruled
from sb_api.records import EDITORS, RECORD_TYPES, RecordType, encode_payload, find_record_type
from sb_api.telemetry.logs import current_request
from sb_api.telemetry.tracing import current_trace
from sb_api.web.calls import review, staging
from sb_api.web.calls.parameters import accept_task, read_flag, read_parameter, read_record_type, wants_no_wait
from sb_api.web.calls.trainings import (
    await_let_back,
    await_rollback,
    await_training,
    await_withdrawal,
    submit_replay,
    submit_training,
)
from sb_api.web.http import answer_json, read_body, takes
from sb_api.web.results import own_task
from sb_api.web.review import need_review
from sb_api.web.schemas import LetBack, Undo
from sb_api.web.service import (
    Service,
    ask_verdicts,
    choose_stream,
    describe_readiness,
    find_result,
    get_service,
    judge_body,
    look_up_editors,
    read_chain,
    read_quality,
    submit_job,
)
from sb_api.web.staging import read_staged

api = Blueprint("api", __name__)
api.register_blueprint(review.calls)
api.register_blueprint(staging.calls)

MOST_VERDICTS = 1_000  # in one answer to GET /verdicts
VERDICT_FILTERS = ("id", "reporter", "status", "since", "before", "limit")


@api.post("/predict")
@require("predict")
@takes("partial", "explain", "review", "weights")
def predict() -> Response:
    """Judge editors."""
    return answer_predict(EDITORS)


@require("predict")
@takes("partial", "explain", "weights")
def predict_messages(record_type: RecordType) -> Response:
    """Sort messages into classes."""
    return answer_predict(record_type)


def answer_predict(record_type: RecordType) -> Response:
    """Have the records of this request judged."""
    if not request.query_string:
        flags: dict[str, Any] = {}
    else:
        flags = {name: read_flag(name) for name in ("partial", "explain")}
        if wanted := read_parameter("weights", ""):
            check_role("train")  # other weights are loaded for it
            flags["by"] = read_chain(get_service(), record_type).resolve(wanted)
        if record_type is EDITORS and read_flag("review"):
            check_role("train")
            if "by" in flags:
                raise InvalidParameter("`review` goes with the current weights alone; leave `weights` out.")
            need_review(get_service())
            flags["review"] = "all"
    service = get_service()
    with _body(service) as body:
        answer = judge_body(service, record_type, body, **flags)
    if "neighbours" in answer and not current_identity().may("train"):
        del answer["neighbours"]  # what other people wrote
    return answer_json(answer)


@api.post("/train")
@require("train")
@takes("force")
def train() -> Response:
    """Learn from verdicts."""
    return answer_train(EDITORS)


@require("train")
@takes("force", "new_classes")
def train_messages(record_type: RecordType) -> Response:
    """Learn from messages whose class a person named; with `new_classes` also classes that are not known yet, each with
    at least 5 examples."""
    return answer_train(record_type)


for _each in RECORD_TYPES.values():
    if _each.of_messages:
        for _call, _view in (("predict", predict_messages), ("train", train_messages)):
            # An endpoint of its own each: of one alone, werkzeug would redirect from one path to the other.
            api.add_url_rule(
                f"{_each.path}/{_call}",
                f"{_call}_{_each.name}",
                _view,
                methods=["POST"],
                defaults={"record_type": _each},
            )


def answer_train(record_type: RecordType) -> Response:
    """Have the labelled records of this request learned."""
    service = get_service()
    flags: dict[str, Any] = {"force": read_flag("force"), "new_classes": read_flag("new_classes")}
    if any(flags.values()):
        check_role("admin")
    with _body(service) as body:
        records = decode_records(body, record_type.verdict, service.settings.max_records)
        verdicts = records.all_sound()
        overruled = set_reporters(verdicts, current_identity())
        about = {**flags, "overruled": overruled}
        actor = current_actor()
        if wants_no_wait():
            task = submit_training(service, record_type, verdicts, actor, **about)
            return accept_task(task, records, say_overruled(overruled))
        trained = await_training(service, record_type, verdicts, actor, **about)
    return answer_json({"success": True, **trained, **records.describe_ignored()})


@api.post("/rollback")
@require("admin")
@takes("model")
def rollback() -> Response:
    """Make earlier weights current again."""
    service, record_type = get_service(), read_record_type()
    try:
        body = msgspec.json.decode(read_body())
        wanted = body["to"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        raise MalformedBody('Send {"to": "previous"}, {"to": "original"} or {"to": "<version>"}.') from None
    if not isinstance(wanted, str):
        raise MalformedBody('`to` must be "previous", "original" or the name of a version.')
    return answer_json({"success": True, **await_rollback(service, record_type, wanted, current_actor())})


@api.post("/let-back")
@require("admin")
@takes("model")
def let_back() -> Response:
    """Let a credential back that is set aside: what it sent is learned with the trainings that follow."""
    service, record_type = get_service(), read_record_type()
    try:
        wanted = msgspec.json.decode(read_body(), type=LetBack)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedBody('Send {"credential": "<name>"}.') from None
    answer = await_let_back(service, record_type, wanted.credential, current_actor())
    return answer_json({"success": True, "response": answer["response"], "kept": answer["kept"]})


@api.post("/replay")
@require("admin")
@takes("model", "force", "with_undone")
def replay() -> Response:
    """Rebuild the current weights from the original and the verdict log."""
    service, record_type = get_service(), read_record_type()
    flags = {"force": read_flag("force"), "with_undone": read_flag("with_undone")}
    return accept_task(submit_replay(service, record_type, current_actor(), **flags))


@api.get("/verdicts")
@require("train")
@takes("model", *VERDICT_FILTERS)
def verdicts() -> Response:
    """The verdicts that were given, newest first, and what became of each."""
    service, record_type = get_service(), read_record_type()
    found, more = ask_verdicts(service, record_type, _read_query())
    told = {"verdicts": msgspec.to_builtins(found), "more": more}
    return answer_json({"success": True, "model": record_type.name, **told})


@api.post("/verdicts/undo")
@require("train")
@takes("model")
def undo() -> Response:
    """Take back a verdict: it counts no longer, and what the current weights have learned of it is undone."""
    service, record_type = get_service(), read_record_type()
    try:
        wanted = msgspec.json.decode(read_body(), type=Undo)
    except msgspec.ValidationError as error:
        raise InvalidRecords(f"The verdict to take back is not named: {error}.", errors={}) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f'Send {{"id": <record>}}, with "digest" or "reporter" if need be: {error}.') from None
    if set_reporters([wanted], current_identity()):
        raise Forbidden("This credential takes back its own verdicts alone; it may not name reporters.")
    withdrawal = Withdrawal(wanted.reporter or "", str(wanted.id), wanted.digest)
    if "\0" in f"{withdrawal.record}{withdrawal.reporter}{withdrawal.digest}":
        raise InvalidRecords("`id`, `digest` and `reporter` hold no U+0000.", errors={})
    return answer_json({"success": True, **await_withdrawal(service, record_type, withdrawal, current_actor())})


@api.get("/editors")
@require("train")
@takes("id", "name")
def editors() -> Response:
    """MusicBrainz's editors by number or name, as records that can be judged; where there is `SB_API_EDITORS_URL`."""
    given = request.args
    try:
        ids = [int(value) for value in given.getlist("id")]
    except ValueError:
        raise InvalidParameter("`id` must be the number of an editor.") from None
    found, missing = look_up_editors(get_service(), ids, given.getlist("name"))
    return answer_json({"success": True, "editors": msgspec.to_builtins(found), "missing": missing})


@api.get("/quality")
@require("predict")
@takes("model")
def quality() -> Response:
    """How right the weights were on verdicts before they learned them."""
    service, record_type = get_service(), read_record_type()
    return answer_json({"success": True, "model": record_type.name, **read_quality(service, record_type)})


@api.get("/weights")
@require("predict")
@takes("model")
def weights() -> Response:
    """The slots and the versions with their figures."""
    service, record_type = get_service(), read_record_type()
    chain, staged = read_chain(service, record_type), read_staged(service, record_type)
    about = {**msgspec.to_builtins(chain), "staged": msgspec.to_builtins(staged)}
    return answer_json({"success": True, "model": record_type.name, **about})


@api.post("/classify")
@require("predict")
@takes()
def classify() -> Response:
    """Queue records to be judged. The same content is the same task while its result is kept."""
    service = get_service()
    with _body(service) as sent:
        model, data = decode_task(sent)
        record_type = find_record_type(model)
        records = decode_records(data, record_type.record, service.settings.max_records)
        sound = records.all_sound()
        body = encode_payload(sound)
    owner = current_identity().name
    task = own_task(owner, _digest(record_type.name, body))
    keep = service.settings.result_ttl
    key = request.headers.get("Idempotency-Key")
    # Each credential has its own keys: another's are neither in the way nor found out.
    if key is not None and service.producer.reserve(own_task(owner, _digest("key", key.encode())), task, keep) != task:
        raise IdempotencyKeyReused("This Idempotency-Key was sent with other content; send a new key with new content.")
    known = service.producer.result(task)
    if known is None or known.status == "failed":
        service.results.admit(owner, len(body), len(sound))
        service.producer.forget(task)
        job = Job(
            task=task,
            operation="predict",
            classifier=record_type.name,
            body=body,
            keep=keep,
            records=len(sound),
            review="share" if service.review is not None else "",
            request=current_request(),
            trace=current_trace(),
        )
        submit_job(service, job, choose_stream(len(sound)))
    return accept_task(task, records)


@api.get("/get-result/<task_id>")
@require("predict")
@takes()
def get_result(task_id: str) -> Response:
    """What became of an asynchronous task."""
    try:
        task = uuid.UUID(task_id).hex
    except ValueError:
        raise UnknownTask(f"{task_id[:40]!r} is not a task id.") from None
    answer = find_result(get_service(), task)
    if answer is None:
        raise UnknownTask(f"There is no task {task_id}, or its result is no longer kept.")
    if answer.status in ("queued", "processing"):
        progress = {"progress": answer.data} if answer.data else {}
        response = answer_json({"success": True, "status": answer.status, "task_id": task, **progress}, 202)
        response.headers["Retry-After"] = "1"
        return response
    if answer.problem is not None:
        return answer_json({"success": False, "status": "failed", "task_id": task, "error": answer.problem})
    return answer_json({"success": True, "status": "completed", "task_id": task, "data": answer.data})


@api.get("/healthz")
def healthz() -> Response:
    """This web process is alive."""
    return answer_json({"success": True, "status": "alive"})


@api.get("/readyz")
def readyz() -> Response:
    """Whether editors can be judged: Redis, a warm classify process, published weights."""
    document = describe_readiness(get_service())
    return answer_json(document, 200 if document["success"] else 503)


@contextmanager
def _body(service: Service) -> Iterator[bytes]:
    """The body of this request, while memory has room for it and for what is made of it. Raises as `read_body` does,
    and QueueFull."""
    declared = request.content_length
    with service.reading.take(service.settings.max_body_bytes if declared is None else declared):
        body = read_body()
        with service.working.take(len(body)):
            yield body


def _read_query() -> VerdictQuery:
    """Which verdicts the query string asks for. Raises InvalidParameter."""
    # An empty one is not passed over: `reporter=` asks for those of nobody named, and of the others it is refused.
    given = {name: read_parameter(name, "") for name in VERDICT_FILTERS if name in request.args}
    wanted: dict[str, Any] = {"record" if name == "id" else name: value for name, value in given.items()}
    wanted["statuses"] = [wanted.pop("status")] if "status" in wanted else []
    try:
        query = msgspec.convert(wanted, VerdictQuery, strict=False)
        if query.since is not None and query.since.tzinfo is not None:
            query.since.astimezone(UTC)  # as which it is looked for
    except (msgspec.ValidationError, OverflowError) as error:
        raise InvalidParameter(f"The query cannot be read: {error}.") from None
    if nothing := [name for name in ("since", "before") if name in given and getattr(query, name) is None]:
        raise InvalidParameter(f"`{nothing[0]}` cannot be null; leave it out.")  # what msgspec makes of the word null
    if "\0" in f"{query.record}{query.reporter}":
        raise InvalidParameter("`id` and `reporter` hold no U+0000.")
    if not 1 <= query.limit <= MOST_VERDICTS or not set(query.statuses) <= set(get_args(Status)):
        raise InvalidParameter(
            f"`limit` must be between 1 and {MOST_VERDICTS}, `status` one of {', '.join(get_args(Status))}."
        )
    return query


def _digest(classifier: str, content: bytes) -> bytes:
    return hashlib.sha256(classifier.encode() + b"\0" + content).digest()
