"""What web processes ask of the others: judge, train, roll back, replay, and what is known of weights and processes."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from flask import current_app

from sb_api.auth.access import current_identity
from sb_api.broker.jobs import (
    BULK,
    LOOKUPS,
    NOBODY,
    SMALL,
    SMALL_RECORDS,
    TRAIN,
    Actor,
    Answer,
    Job,
    Operation,
)
from sb_api.broker.limiter import Room
from sb_api.broker.producer import Producer
from sb_api.broker.rpc import Mailbox
from sb_api.broker.shared_state import WEB, Broker, WorkerBeat
from sb_api.config import Settings
from sb_api.errors import (
    Forbidden,
    InvalidParameter,
    NoAnswerInTime,
    NotOffered,
    SbApiError,
    Unavailable,
    error_from_problem,
)
from sb_api.json_bodies import decode_records
from sb_api.judgements import AuditEntry, Judged, PastVerdict, VerdictQuery, answer_body
from sb_api.records import EDITORS, RECORD_TYPES, Editor, RecordType, encode_payload
from sb_api.review.store import ReviewStore
from sb_api.telemetry.logs import current_request
from sb_api.telemetry.readiness import AWAITED, look_at_service
from sb_api.telemetry.tracing import current_trace
from sb_api.versions import Chain
from sb_api.web.results import ResultMemory, is_nearly_full, own_task, owns

NOTHING_PUBLISHED = "No train process has published weights yet; `sb-api run` or `sb-api trainer` starts one."
MOST_LOOKED_UP = 25  # editors at once: as many as the page shows
Review = Literal["", "share", "all"]  # what may go to the review queue
ROUNDS = 5  # attempts to have all of a large request judged by one version of the weights


@dataclass(frozen=True)
class Service:
    """What a web process works with."""

    settings: Settings
    producer: Producer
    mailbox: Mailbox
    results: ResultMemory
    reading: Room  # bodies that are read or at work
    working: Room  # those of which records are made
    review: ReviewStore | None = None  # None: the queue is off

    @property
    def broker(self) -> Broker:
        return self.producer.broker


def get_service() -> Service:
    service: Service = current_app.extensions["sb_api"]
    return service


def look_up_editors(service: Service, ids: Sequence[int], names: Sequence[str]) -> tuple[list[Editor], list[str]]:
    """MusicBrainz's editors with these numbers or names, and the numbers and names that nobody has.

    Raises NotOffered without a database of them, InvalidParameter for none or too many, Unavailable.
    """
    from sb_api.readers.database import find_editors

    url = service.settings.editors_url
    if not url:
        raise NotOffered("Accounts cannot be looked up here; SB_API_EDITORS_URL names a database of them.")
    wanted = [name for name in names if name.strip()]
    if not 0 < len(ids) + len(wanted) <= MOST_LOOKED_UP:
        raise InvalidParameter(f"Name an editor's number or name, {MOST_LOOKED_UP} at most.")
    if not all(-(2**31) <= number < 2**31 for number in ids) or any("\0" in name for name in wanted):
        raise InvalidParameter("A number has at most 31 bits, and no name holds U+0000.")
    try:
        rows = find_editors(url, ids, wanted)
    except (Forbidden, InvalidParameter) as error:  # of the database, and not of whoever asks
        raise Unavailable(error.detail) from None
    found = decode_records(b"[%b]" % b",".join(rows), Editor, len(rows)).all_sound() if rows else []
    known = {str(editor.id) for editor in found} | {(editor.name or "").lower() for editor in found}
    return found, [str(one) for one in (*ids, *wanted) if str(one).lower() not in known]


def choose_stream(count: int) -> str:
    """The stream for a request with `count` records: small ones do not wait behind large ones."""
    return SMALL if count <= SMALL_RECORDS else BULK


def judge(
    service: Service,
    record_type: RecordType,
    records: Sequence[Any],
    *,
    explain: bool = False,
    review: Review = "",
    by: str = "",
) -> Judged:
    """Have n records judged by the classify processes, all by one version of the weights: the current ones, or `by`
    another, which is for few. `review` says whether they may wait for review afterwards.

    Raises QueueFull, Unavailable, NoAnswerInTime, or the error that a job ended in; UnknownVersion among these.
    """
    if by and len(records) > SMALL_RECORDS:
        raise InvalidParameter(
            f"By other weights than the current ones at most {SMALL_RECORDS} records are judged at once."
        )
    operation: Operation = "explain" if explain else "predict"
    size = service.settings.slice_records
    slices = [records[start : start + size] for start in range(0, len(records), size)]
    parts: list[Any] = [None] * len(slices)
    wanted = list(range(len(slices)))
    version = by
    for _ in range(ROUNDS):
        stream = choose_stream(len(records))
        jobs = [
            make_job(
                service,
                operation,
                record_type,
                encode_payload(slices[position]),
                weights=version,
                exact=bool(by),
                review=review,
            )
            for position in wanted
        ]
        answers = service.mailbox.exchange(stream, jobs, service.settings.predict_timeout, len(records))
        for position, answer in zip(wanted, answers, strict=True):
            parts[position] = completed(service, jobs[0], answer, service.settings.predict_timeout)
        # A training or a rollback may end between two slices; those of another version are judged again.
        version = parts[wanted[-1]]["version"]
        wanted = [position for position, part in enumerate(parts) if part["version"] != version]
        if by not in ("", version):  # a process of an older release takes the current ones
            raise Unavailable(f"The classify process that was asked does not judge by other weights than {version}.")
        if not wanted:
            break
    else:
        raise Unavailable("The weights changed again and again while the request was judged; try again.")
    return _join([Judged(**part) for part in parts], size)


def _join(parts: Sequence[Judged], size: int) -> Judged:
    """Slices of `size` records, the last of what is left, as one."""
    if len(parts) == 1:
        return parts[0]
    errors = {
        position * size + offset: detail
        for position, part in enumerate(parts)
        for offset, detail in part.errors.items()
    }
    columns = ("predictions", "scores", "bands", "reasons", "neighbours")
    joined = {name: [value for part in parts for value in getattr(part, name)] for name in columns}
    return Judged(parts[0].version, errors=errors, usual=parts[0].usual, **joined)


def find_result(service: Service, task: str) -> Answer | None:
    """What became of a task of whoever asks; None when there is none, no longer, or it is another's."""
    answer = service.producer.result(task)
    return answer if owns(current_identity().name, task) else None


def ask_verdicts(
    service: Service, record_type: RecordType, query: VerdictQuery, timeout: float | None = None
) -> tuple[list[PastVerdict], bool]:
    """The verdicts that are asked for, from the train process, which has the log, and whether there are more. Raises
    QueueFull, Unavailable, NoAnswerInTime after `timeout` seconds (as long as a prediction may take, by default)."""
    patience = timeout or service.settings.predict_timeout
    job = make_job(service, "verdicts", record_type, encode_payload(query))
    found = completed(service, job, service.mailbox.exchange(LOOKUPS, [job], patience)[0], patience)
    # A train process of an older release does not say whether there are more.
    return msgspec.convert(found["verdicts"], list[PastVerdict]), found.get("more", False)


def ask_audit(service: Service, limit: int, timeout: float) -> list[AuditEntry]:
    """The latest entries of the audit log, from the train process. Raises as `ask_verdicts` does."""
    job = make_job(service, "audit", EDITORS, encode_payload(limit))
    found = completed(service, job, service.mailbox.exchange(LOOKUPS, [job], timeout)[0], timeout)
    return msgspec.convert(found["entries"], list[AuditEntry])


def read_quality(service: Service, record_type: RecordType) -> dict[str, Any]:
    """The running figures that the train process has published. Raises Unavailable."""
    measured = service.broker.registry.published_about(record_type.name, "quality")
    if measured is None:
        raise Unavailable(NOTHING_PUBLISHED)
    quality: dict[str, Any] = msgspec.json.decode(measured)
    return quality


def read_chain(service: Service, record_type: RecordType) -> Chain:
    """The slots and versions of the published weights. Raises Unavailable."""
    published = service.broker.registry.published_about(record_type.name, "chain")
    if published is None:
        raise Unavailable(NOTHING_PUBLISHED)
    return msgspec.json.decode(published, type=Chain)


def describe_readiness(service: Service) -> dict[str, Any]:
    """The answer of /readyz."""
    looked = look_at_service(service.broker)
    problems, classify, redis = looked.problems, looked.classify, looked.redis
    drifting: list[str] = []
    aside: dict[str, int] = {}
    damaged: dict[str, list[str]] = {}
    sending: list[WorkerBeat] = []
    if looked.has_redis:  # one that is away takes its time at each question
        try:
            measured = {name: _measured(service, name) for name in RECORD_TYPES}
            drifting = [name for name, found in measured.items() if found.get("drift", {}).get("detected")]
            aside = {name: len(found.get("set_aside", ())) for name, found in measured.items()}
            damaged = {name: _damaged(service, name) for name in RECORD_TYPES}
            sending = [beat for beat in service.broker.registry.alive(WEB) if beat.role == "webhooks"]
        except Unavailable as error:
            problems.insert(0, f"Redis: {error.detail}")
    trainers = [beat for beat in looked.alive if beat.role == "train"]
    unpublished = [name for name in AWAITED if looked.published[name] is None]
    notes = [] if trainers else ["no train process is alive and warm: /train and /rollback wait for one"]
    if unpublished and not classify:
        notes.append(
            f"no weights of {' and '.join(unpublished)} are published: classify processes wait for a train process"
        )
    notes += redis.warnings()
    if is_nearly_full(redis):
        notes.append("Redis is nearly full of what is kept: /classify is refused until results have gone")
    notes += [
        f"credentials are set aside, {count} of them, because their trainings of {name} were refused again and again: "
        "see GET /quality"
        for name, count in aside.items()
        if count
    ]
    notes += [f"errors of {name} have risen on moderators' verdicts: see GET /quality" for name in drifting]
    notes += [
        f"the file of the {slot} weights of {name} is damaged, and earlier ones stand in for it: see the log"
        for name, slots in damaged.items()
        for slot in slots
    ]
    if looked.has_redis and service.settings.webhooks and not sending:
        notes.append(
            "no process sends webhooks; `sb-api run` or `sb-api webhooks deliver` starts one, or its log says why"
        )
    return {
        "success": not problems,
        "status": "not ready" if problems else "ready",
        "problems": problems,
        "notes": notes,
        "classify_processes": len(classify),
        "train_processes": len(trainers),
        "weights": looked.published,
        "drift": drifting,
    }


def _measured(service: Service, classifier: str) -> dict[str, Any]:
    measured = service.broker.registry.published_about(classifier, "quality")
    found: dict[str, Any] = msgspec.json.decode(measured or b"{}")
    return found


def _damaged(service: Service, classifier: str) -> list[str]:
    chain = service.broker.registry.published_about(classifier, "chain")
    slots: list[str] = msgspec.json.decode(chain or b"{}").get("damaged", [])
    return slots


def make_job(
    service: Service,
    operation: Operation,
    record_type: RecordType,
    body: bytes,
    keep: int = 0,
    weights: str = "",
    exact: bool = False,
    actor: Actor = NOBODY,
    review: Review = "",
) -> Job:
    """A job of whoever sent the request under way; see Job."""
    return Job(
        task=own_task(current_identity().name, uuid.uuid4().bytes) if keep else _unique(),
        operation=operation,
        classifier=record_type.name,
        body=body,
        reply=service.mailbox.name,
        patience=0.0 if keep else service.settings.predict_timeout,
        keep=keep,
        weights=weights,
        exact=exact,
        review=review,
        request=current_request(),
        trace=current_trace(),
        actor=actor,
    )


def _unique() -> str:
    """A name that nobody needs to guess, made without the system call of a secret one."""
    return f"{random.getrandbits(128):032x}"


def submit_job(service: Service, job: Job, stream: str = TRAIN) -> str:
    """Queue a job that nobody waits for, by default for the train process; its task. Raises QueueFull, or Unavailable
    where it would be done by a process that does not know its classifier."""
    if ignorance := _find_ignorance(service, job):
        raise ignorance
    service.producer.submit(stream, [job])
    return job.task


def await_job(service: Service, job: Job) -> dict[str, Any]:
    """The figures of a job for the train process, once it is done."""
    answers = service.mailbox.exchange(TRAIN, [job], service.settings.train_timeout)
    figures: dict[str, Any] = completed(service, job, answers[0], service.settings.train_timeout, task_id=job.task)
    return figures


def completed(service: Service, job: Job, answer: Answer | None, timeout: float, **members: Any) -> Any:
    """The data of the answer to a job. Raises NoAnswerInTime where there is none, or the error that the job ended in:
    Unavailable where it came to a process that does not know its classifier."""
    if answer is None:
        where = f" It goes on; ask GET /get-result/{members['task_id']} for its result." if members else ""
        raise NoAnswerInTime(f"No answer within {timeout:g} s.{where}", **members)
    if answer.problem is not None:
        raise explain_failure(service, job, answer.problem)
    return answer.data


def explain_failure(service: Service, job: Job, problem: dict[str, Any]) -> SbApiError:
    """The error that a job ended in. Processes of an older release cannot read a job for a classifier that is new, and
    call that an error of ours; those that are alive say what they know."""
    error = error_from_problem(problem)
    return (_find_ignorance(service, job) if error.status == 500 else None) or error


def _find_ignorance(service: Service, job: Job) -> Unavailable | None:
    """The error where processes are there for a job, and not all of them know its classifier: older ones are left from
    before an upgrade. One that has no weights of it yet does not know it either."""
    role = "classify" if job.operation in ("predict", "explain") else "train"
    alive = [beat for beat in service.broker.registry.alive() if beat.role == role]
    ignorant = [beat for beat in alive if job.classifier not in beat.versions]
    if not ignorant:
        return None
    who = f"No running {role} process knows"
    if len(ignorant) < len(alive):
        who = f"{len(ignorant)} of {len(alive)} running {role} processes do not know"
    return Unavailable(
        f"{who} the classifier {job.classifier!r}: they are of an older release, or have no weights of it yet. Restart "
        "them with this release (`sb-api run`, or `sb-api worker` and `sb-api trainer`), and send the request again."
    )


def judge_body(
    service: Service,
    record_type: RecordType,
    body: bytes,
    *,
    partial: bool = False,
    explain: bool = False,
    review: Review = "share",
    by: str = "",
) -> dict[str, Any]:
    """Have the records of a body judged: the answer to it. Raises what `answer_body` and `judge` raise."""
    if service.review is None or by:
        review = ""

    def judge_sound(records: Sequence[Any]) -> Judged:
        return judge(service, record_type, records, explain=explain, review=review, by=by)

    return answer_body(body, record_type, service.settings.max_records, judge_sound, partial=partial)
