"""The JSON API: what comes in is decoded, queued, waited for, and answered."""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import Blueprint, Flask, Response, current_app, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from sb_api.auth import challenge, check_role, require
from sb_api.classifiers import CLASSIFIERS, Classifier, Judged, describe_answers, find_classifier
from sb_api.config import Settings
from sb_api.errors import (
    InvalidParameter,
    InvalidRecords,
    MalformedBody,
    NoAnswerInTime,
    SbApiError,
    TooLarge,
    Unavailable,
    UnknownTask,
    error_from_problem,
)
from sb_api.jobs import BULK, SMALL, TRAIN, Answer, Job, Jobs
from sb_api.logs import current_request
from sb_api.mailbox import Mailbox
from sb_api.records import decode_records, encode_payload
from sb_api.tracing import current_trace
from sb_api.weights import Chain

logger = logging.getLogger(__name__)

api = Blueprint("api", __name__)

SMALL_RECORDS = 64  # a request with more goes to the bulk stream
NOTHING_PUBLISHED = "No train process has published weights yet; `sb-api run` or `sb-api trainer` starts one."
ROUNDS = 5  # attempts to have all of a large request judged by one version of the weights


@dataclass(frozen=True)
class Service:
    """What the routes work with."""

    settings: Settings
    jobs: Jobs
    mailbox: Mailbox


def get_service() -> Service:
    service: Service = current_app.extensions["sb_api"]
    return service


@api.post("/predict")
@require("predict")
def predict() -> Response:
    """Judge editors."""
    return answer_predict(CLASSIFIERS["lodbrok"])


@api.post("/intents/predict")
@require("predict")
def predict_intents() -> Response:
    """Sort messages into classes."""
    return answer_predict(CLASSIFIERS["intent"])


def answer_predict(classifier: Classifier) -> Response:
    """Have the records of this request judged."""
    service = get_service()
    # Most requests have no query, and every look at one costs.
    partial, explain = (_flag("partial"), _flag("explain")) if request.query_string else (False, False)
    records = decode_records(read_body(), classifier.record, service.settings.max_records)
    sound = list(records.sound.values()) if partial and records.sound else records.all_sound()
    judged = judge(service, classifier, sound, explain=explain)
    keys = list(records.sound)
    errors = records.errors | {
        keys[position]: {"field": "", "detail": detail} for position, detail in sorted(judged.errors.items())
    }
    if errors and not partial:
        raise InvalidRecords("Some records could not be judged; leave out those listed.", errors=errors)
    answer: dict[str, Any] = {"success": True} | describe_answers(sound, judged)
    if partial:
        answer["errors"] = errors
    return _json(answer)


def judge(service: Service, classifier: Classifier, records: Sequence[Any], *, explain: bool = False) -> Judged:
    """Have n records judged by the classify processes, all by one version of the weights.

    Raises QueueFull, Unavailable, NoAnswerInTime, or the error that a job ended in.
    """
    operation = "explain" if explain else "predict"
    size = service.settings.slice_records
    slices = [records[start : start + size] for start in range(0, len(records), size)]
    parts: list[Any] = [None] * len(slices)
    wanted = list(range(len(slices)))
    version = ""
    for _ in range(ROUNDS):
        stream = SMALL if len(records) <= SMALL_RECORDS else BULK
        jobs = [
            _job(service, operation, classifier, encode_payload(slices[position]), weights=version)
            for position in wanted
        ]
        answers = service.mailbox.exchange(stream, jobs, service.settings.predict_timeout, len(records))
        for position, answer in zip(wanted, answers, strict=True):
            parts[position] = _completed(answer, service.settings.predict_timeout)
        # A training or a rollback may end between two slices; those of another version are judged again.
        version = parts[wanted[-1]]["version"]
        wanted = [position for position, part in enumerate(parts) if part["version"] != version]
        if not wanted:
            break
    else:
        raise Unavailable("The weights changed again and again while the request was judged; try again.")
    errors = {
        position * size + offset: detail
        for position, part in enumerate(parts)
        for offset, detail in part["errors"].items()
    }
    columns = ("predictions", "scores", "bands", "reasons")
    return Judged(version, errors=errors, **{name: [told for part in parts for told in part[name]] for name in columns})


@api.post("/train")
@require("train")
def train() -> Response:
    """Learn from verdicts."""
    return answer_train(CLASSIFIERS["lodbrok"])


@api.post("/intents/train")
@require("train")
def train_intents() -> Response:
    """Learn from messages whose class a person told."""
    return answer_train(CLASSIFIERS["intent"])


def answer_train(classifier: Classifier) -> Response:
    """Have the labelled records of this request learned."""
    service = get_service()
    force = _flag("force")
    if force:
        check_role("admin")
    records = decode_records(read_body(), classifier.verdict, service.settings.max_records)
    verdicts = records.all_sound()
    job = _training(service, classifier, verdicts, force=force)
    if "respond-async" in request.headers.get("Prefer", ""):
        service.jobs.submit(TRAIN, [job])
        return accept_task(job.task)
    return _json({"success": True, "response": "Successfully retrained the model", **_trained(service, job)})


@api.post("/rollback")
@require("admin")
def rollback() -> Response:
    """Make earlier weights current again."""
    service, classifier = get_service(), _classifier()
    try:
        body = msgspec.json.decode(read_body())
        wanted = body["to"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        raise MalformedBody('Send {"to": "previous"}, {"to": "original"} or {"to": "<version>"}.') from None
    if not isinstance(wanted, str):
        raise MalformedBody('`to` must be "previous", "original" or the name of a version.')
    return _json({"success": True, **await_rollback(service, classifier, wanted)})


@api.post("/replay")
@require("admin")
def replay() -> Response:
    """Rebuild the current weights from the original and the verdict log."""
    service, classifier = get_service(), _classifier()
    return accept_task(submit_replay(service, classifier, force=_flag("force")))


@api.get("/quality")
@require("predict")
def quality() -> Response:
    """How right the weights were on verdicts before they learned them."""
    service, classifier = get_service(), _classifier()
    return _json({"success": True, "model": classifier.name, **read_quality(service, classifier)})


@api.get("/weights")
@require("predict")
def weights() -> Response:
    """The slots and the versions with their figures."""
    service, classifier = get_service(), _classifier()
    chain = read_chain(service, classifier)
    return _json({"success": True, "model": classifier.name, **msgspec.to_builtins(chain)})


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


def describe_readiness(service: Service) -> dict[str, Any]:
    """What /readyz tells."""
    problems = []
    alive: list[Any] = []
    published: dict[str, str | None] = dict.fromkeys(CLASSIFIERS)
    drifting: list[str] = []
    damaged: dict[str, list[str]] = {}
    try:
        alive = service.jobs.registry.alive()
        published |= service.jobs.registry.published_versions(CLASSIFIERS)
        drifting = [name for name in CLASSIFIERS if _drifts(service, name)]
        damaged = {name: _damaged(service, name) for name in CLASSIFIERS}
    except Unavailable as error:
        problems.append(f"Redis: {error.detail}")
    classify = [beat for beat in alive if beat.role == "classify"]
    trainers = [beat for beat in alive if beat.role == "train"]
    if not classify:
        problems.append("no classify process is alive and warm; `sb-api run` or `sb-api worker` starts one")
    notes = [] if trainers else ["no train process is alive and warm: /train and /rollback wait for one"]
    notes += [f"errors of {name} have risen on moderators' verdicts: see GET /quality" for name in drifting]
    notes += [
        f"the file of the {slot} weights of {name} is damaged, and earlier ones stand in for it: see the log"
        for name, slots in damaged.items()
        for slot in slots
    ]
    if classify and not all(name in beat.versions for beat in classify for name in CLASSIFIERS):
        problems.append("a classifier has no weights yet")
    return {
        "success": not problems,
        "status": "not ready" if problems else "ready",
        "problems": problems,
        "notes": notes,
        "classify_processes": len(classify),
        "train_processes": len(trainers),
        "weights": published,
        "drift": drifting,
    }


def _drifts(service: Service, classifier: str) -> bool:
    measured = service.jobs.registry.published_about(classifier, "quality")
    return bool(measured) and bool(msgspec.json.decode(measured or b"{}").get("drift", {}).get("detected"))


def _damaged(service: Service, classifier: str) -> list[str]:
    chain = service.jobs.registry.published_about(classifier, "chain")
    slots: list[str] = msgspec.json.decode(chain or b"{}").get("damaged", [])
    return slots


def register_error_handlers(app: Flask) -> None:
    """Every error leaves as RFC 9457 `application/problem+json`."""

    @app.errorhandler(SbApiError)
    def on_own(error: SbApiError) -> Response:
        report_error(error)
        response = _problem(error.problem())
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
        if error.status == 401:
            response.headers["WWW-Authenticate"] = challenge(request.environ)
        return response

    @app.errorhandler(RequestEntityTooLarge)
    def on_too_large(_: RequestEntityTooLarge) -> Response:
        limit = get_service().settings.max_body_bytes
        return _problem(TooLarge(f"The body is larger than {limit} bytes; send it in several requests.").problem())

    @app.errorhandler(HTTPException)
    def on_http(error: HTTPException) -> Response:
        document = {"type": "about:blank", "title": error.name, "status": error.code, "detail": error.description}
        response = _problem({**document, "success": False})
        for name, value in error.get_headers():
            if name != "Content-Type":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def on_unexpected(_: Exception) -> Response:
        logger.exception("%s %s failed", request.method, request.path)
        get_service().jobs.registry.note_error("web", f"{request.method} {request.path} failed; the log says why")
        return _problem(SbApiError("The service failed for a reason of its own, which is in its log.").problem())


def report_error(error: SbApiError) -> None:
    """Log an error that is ours. What is unavailable, and how full the queue is, shows elsewhere on the page."""
    if error.status >= 500:
        logger.warning("%s %s: %s", request.method, request.path, error.detail)
        if error.status != 503:
            get_service().jobs.registry.note_error("web", f"{request.method} {request.path}: {error.detail}")


def _job(
    service: Service, operation: Any, classifier: Classifier, body: bytes, keep: int = 0, weights: str = ""
) -> Job:
    return Job(
        task=uuid.uuid4().hex if keep else _unique(),
        operation=operation,
        classifier=classifier.name,
        body=body,
        reply=service.mailbox.name,
        keep=keep,
        weights=weights,
        request=current_request(),
        trace=current_trace(),
    )


def _unique() -> str:
    """A name that nobody needs to guess, made without the system call of a secret one."""
    return f"{random.getrandbits(128):032x}"


def _training(service: Service, classifier: Classifier, verdicts: Sequence[Any], *, force: bool = False) -> Job:
    body = encode_payload({"verdicts": encode_payload(verdicts), "force": force})
    return _job(service, "train", classifier, body, keep=service.settings.result_ttl)


def await_training(service: Service, classifier: Classifier, verdicts: Sequence[Any]) -> dict[str, Any]:
    """Have verdicts learned; what came of it. Raises QueueFull, Unavailable, NoAnswerInTime, TrainingRefused."""
    trained: dict[str, Any] = _trained(service, _training(service, classifier, verdicts))
    return trained


def await_rollback(service: Service, classifier: Classifier, wanted: str) -> dict[str, Any]:
    """Make a slot or a version current. Raises UnknownVersion, and what `await_training` raises."""
    # Resolved here, so that a job that is done twice does not go back two steps.
    version = read_chain(service, classifier).resolve(wanted)
    job = _job(service, "rollback", classifier, encode_payload(version), keep=service.settings.result_ttl)
    trained: dict[str, Any] = _trained(service, job)
    return trained


def submit_replay(service: Service, classifier: Classifier, *, force: bool) -> str:
    """Queue a replay; its task. Raises QueueFull, Unavailable."""
    job = _job(service, "replay", classifier, encode_payload(force), keep=service.settings.result_ttl)
    service.jobs.submit(TRAIN, [job])
    return job.task


def read_quality(service: Service, classifier: Classifier) -> dict[str, Any]:
    """The running figures that the train process has published. Raises Unavailable."""
    measured = service.jobs.registry.published_about(classifier.name, "quality")
    if measured is None:
        raise Unavailable(NOTHING_PUBLISHED)
    quality: dict[str, Any] = msgspec.json.decode(measured)
    return quality


def _trained(service: Service, job: Job) -> Any:
    """The figures of a job for the train process, once it is done."""
    answers = service.mailbox.exchange(TRAIN, [job], service.settings.train_timeout)
    return _completed(answers[0], service.settings.train_timeout, task_id=job.task)


def _completed(answer: Answer | None, timeout: float, **members: Any) -> Any:
    if answer is None:
        where = f" It goes on; ask GET /get-result/{members['task_id']} for its result." if members else ""
        raise NoAnswerInTime(f"No answer within {timeout:g} s.{where}", **members)
    if answer.problem is not None:
        raise error_from_problem(answer.problem)
    return answer.data


def read_body() -> bytes:
    """The body of this request. Raises MalformedBody when it ends before it should, or its chunks are no chunks."""
    try:
        return request.get_data()
    except (OSError, ParseException) as error:
        raise MalformedBody(f"The body could not be read to its end: {error}.") from None


def accept_task(task: str) -> Response:
    """202, and where the result will be."""
    response = _json({"success": True, "task_id": task, "message": "The task is queued."}, 202)
    response.headers["Location"] = f"/get-result/{task}"
    response.headers["Retry-After"] = "1"
    return response


def read_chain(service: Service, classifier: Classifier) -> Chain:
    """The slots and versions of the published weights. Raises Unavailable."""
    published = service.jobs.registry.published_about(classifier.name, "chain")
    if published is None:
        raise Unavailable(NOTHING_PUBLISHED)
    return msgspec.json.decode(published, type=Chain)


def _classifier() -> Classifier:
    return find_classifier(_parameter("model", "lodbrok"))


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
    return Response(msgspec.json.encode(document), status, content_type="application/json")


def _problem(document: dict[str, Any]) -> Response:
    document = {**document, "instance": f"urn:sb_api:request:{current_request()}"}
    return Response(msgspec.json.encode(document), document["status"], mimetype="application/problem+json")
