"""What the OpenAPI document says of each call that its function does not: shapes, parameters, errors, an example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from sb_api import errors, records
from sb_api.client import answers
from sb_api.errors import SbApiError
from sb_api.judgements import Status
from sb_api.review import entries
from sb_api.web import schemas
from sb_api.web.schemas import Editors, Verdicts

Schema = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """What is said of one method of one path besides what its function says: its docstring, and the role that `require`
    gave it. `answers` are the types, or the media types, of the answers by status; `body` is the type of the request's
    body."""

    answers: Mapping[int, Any]
    body: Any = None
    example: Any = None
    parameters: tuple[Schema, ...] = ()
    errors: tuple[type[SbApiError], ...] = ()


def _query(name: str, description: str, shape: Any = bool, default: Any = False) -> Schema:
    schema = {**msgspec.json.schema(shape), "default": default}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _filter(name: str, description: str, shape: Any) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": msgspec.json.schema(shape)}


def _header(name: str, description: str) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


# What a database can hold.
_Text = Annotated[str, Meta(pattern="^[^\\u0000]*$")]

PARTIAL = _query("partial", "judge the sound records and list the others under `errors`")
EXPLAIN = _query("explain", "add the reasons behind each score")
WEIGHTS = _filter(
    "weights",
    "judge at most 64 records by these weights instead of the current ones: a slot (`original`, `previous`) or a "
    "version; for the role train",
    str,
)
FORCE = _query("force", "promote the weights even if the guard finds them worse")
NEW_CLASSES = _query("new_classes", "learn classes that are not known yet, with at least 5 examples each; for admins")
WITH_UNDONE = _query("with_undone", "learn again what rollbacks have undone")
MODEL = _query("model", "which classifier", answers.Model, "lodbrok")
MODEL_OF_MESSAGES = _filter("model", "which classifier", answers.ModelOfMessages) | {"required": True}
VERDICT_QUERY = (
    _filter("id", "only those on this record", _Text),
    _filter("reporter", "only those of this reporter, of nobody named where it is empty", _Text),
    _filter("status", "only those of this status", Status),
    _filter(
        "since",
        "only those received since this moment (UTC)",
        Annotated[datetime, Meta(extra_json_schema={"minLength": 1})],
    ),
    _filter(
        "before",
        "only those with numbers below this one: where there are `more`, that of the last one told",
        Annotated[int, Meta(ge=1, le=2**63 - 1)],
    ),
    _query("limit", "at most so many", Annotated[int, Meta(ge=1, le=1000)], 50),
)
REVIEW = _query("review", "have these accounts wait for review if their band is high enough; for the role train")
REVIEW_QUERY = (
    _query(
        "order", "`surest`: the highest scores first; `useful`: those of which most is learned", entries.Order, "surest"
    ),
    _filter("band", "only those of this band", entries.Band),
    _filter("language", "only those whose bio is in this language", str),
    _filter("host", "only those that link to this host, or below it", str),
    _filter("min_age", "only accounts that are so many days old at least", entries.Days),
    _filter("max_age", "only accounts that are so many days old at most", entries.Days),
    _query("mine", "only what whoever asks has claimed"),
    _filter("reporter", "who that is, for a credential that may name reporters", entries.Reporter),
    _query("limit", "at most so many", Annotated[int, Meta(ge=1, le=entries.MOST_AT_ONCE)], 25),
    _query("offset", "without the first so many", Annotated[int, Meta(ge=0, le=1_000_000)], 0),
)
PREFER = _header("Prefer", "`respond-async`: answer 202 at once")
IDEMPOTENCY_KEY = _header("Idempotency-Key", "the same key stands for the same content while its result is kept")

EDITOR = {
    "id": 1,
    "name": "casino4u",
    "email": "someone@example.org",
    "website": "http://win-casino.example",
    "bio": "best online casino",
    "member_since": "2024-01-01T10:00:00",
    "last_updated": "2024-01-01T10:02:00",
}
MESSAGE = {"id": 1, "text": "the search page crashes when I press enter"}
OF_MESSAGES = [each for each in records.RECORD_TYPES.values() if each.of_messages]

QUEUED = (errors.QueueFull, errors.Unavailable, errors.NoAnswerInTime)
BODY = (errors.MalformedBody, errors.TooLarge, errors.UnsupportedEncoding)
RECORDS = (*BODY, errors.InvalidRecords)
LEARNING = (*RECORDS, errors.InvalidParameter, errors.TrainingRefused, errors.TooManyKept, *QUEUED)
JUDGING = (*RECORDS, errors.InvalidParameter, *QUEUED)
STORED = (errors.InvalidParameter, errors.Unavailable)

OPERATIONS: Mapping[str, Operation] = {
    "POST /predict": Operation(
        {200: schemas.EditorPredictions},
        Editors,
        [EDITOR],
        (PARTIAL, EXPLAIN, REVIEW, WEIGHTS),
        (*JUDGING, errors.NotOffered, errors.UnknownVersion),
    ),
    **{
        f"POST {each.path}/predict": Operation(
            {200: schemas.MessagePredictions},
            schemas.records_of(each.record),
            [MESSAGE],
            (PARTIAL, EXPLAIN, WEIGHTS),
            (*JUDGING, errors.UnknownVersion),
        )
        for each in OF_MESSAGES
    },
    "POST /classify": Operation(
        {202: answers.Accepted},
        schemas.Task,
        {"model": "lodbrok", "data": [EDITOR]},
        (IDEMPOTENCY_KEY,),
        (*RECORDS, errors.InvalidParameter, errors.IdempotencyKeyReused, errors.QueueFull, errors.Unavailable),
    ),
    "GET /get-result/{task_id}": Operation(
        {
            200: schemas.TaskCompleted | schemas.TaskFailed,
            202: schemas.TaskQueued | schemas.TaskProcessing,
        },
        errors=(errors.InvalidParameter, errors.UnknownTask, errors.Unavailable),
    ),
    "GET /weights": Operation({200: answers.WeightsChain}, parameters=(MODEL,), errors=STORED),
    "GET /quality": Operation({200: schemas.Quality}, parameters=(MODEL,), errors=STORED),
    "GET /verdicts": Operation(
        {200: answers.PastVerdicts},
        parameters=(MODEL, *VERDICT_QUERY),
        errors=(errors.InvalidParameter, *QUEUED),
    ),
    "POST /verdicts/undo": Operation(
        {200: answers.Undone},
        schemas.Undo,
        {"id": 1, "reporter": "moderator-7"},
        (MODEL,),
        (*RECORDS, errors.InvalidParameter, *QUEUED),
    ),
    "GET /editors": Operation(
        {200: answers.FoundEditors},
        parameters=(
            _filter("id", "numbers of editors", list[records.IntegerId]),
            _filter("name", "names of editors, whatever their case", list[_Text]),
        ),
        errors=(errors.InvalidParameter, errors.InvalidRecords, errors.NotOffered, errors.Unavailable),
    ),
    "GET /review": Operation(
        {200: answers.ReviewList},
        parameters=REVIEW_QUERY,
        errors=(errors.InvalidParameter, errors.InvalidRecords, errors.NotOffered, errors.Unavailable),
    ),
    "POST /review": Operation(
        {200: answers.ReviewAnswer, 202: answers.Accepted},
        entries.Action,
        {"action": "claim", "count": 1, "band": "certain spam"},
        (PREFER,),
        (
            *RECORDS,
            *(errors.NotOffered, errors.UnknownEntry, errors.ClaimedByAnother, errors.ContentChanged),
            *(errors.TrainingRefused, errors.TooManyKept, *QUEUED),
        ),
    ),
    "POST /train": Operation(
        {200: answers.Trained, 202: answers.Accepted},
        Verdicts,
        [{**EDITOR, "verdict": 1, "reporter": "moderator-7"}],
        (FORCE, PREFER),
        LEARNING,
    ),
    **{
        f"POST {each.path}/train": Operation(
            {200: answers.Trained, 202: answers.Accepted},
            schemas.records_of(each.verdict),
            [{**MESSAGE, records.field_of_label(each.verdict): each.example}],
            (FORCE, NEW_CLASSES, PREFER),
            LEARNING,
        )
        for each in OF_MESSAGES
    },
    "POST /rollback": Operation(
        {200: answers.RolledBack},
        schemas.Rollback,
        {"to": "previous"},
        (MODEL,),
        (*BODY, errors.InvalidParameter, errors.UnknownVersion, *QUEUED),
    ),
    "GET /weights/staged": Operation(
        {200: answers.Comparison},
        parameters=(MODEL,),
        errors=(errors.InvalidParameter, errors.NothingStaged, *QUEUED),
    ),
    "POST /weights/stage": Operation(
        {200: answers.Staged},
        schemas.WantedVersion,
        {"version": "previous"},
        (MODEL,),
        (*BODY, errors.InvalidParameter, errors.UnknownVersion, *QUEUED),
    ),
    "POST /weights/promote": Operation(
        {202: answers.Accepted},
        schemas.WantedPromotion,
        {"version": "000012-0a1b2c3d"},
        (MODEL, FORCE),
        (*BODY, errors.InvalidParameter, errors.NothingStaged, errors.QueueFull, errors.Unavailable),
    ),
    "POST /weights/rename-class": Operation(
        {200: answers.Renamed},
        schemas.WantedNames,
        {"old": ["bug report", "complaint"], "new": "problem"},
        (MODEL_OF_MESSAGES, FORCE),
        (*RECORDS, errors.InvalidParameter, errors.TrainingRefused, *QUEUED),
    ),
    "POST /weights/drop": Operation(
        {200: answers.Staged},
        schemas.WantedVersion,
        {"version": "000012-0a1b2c3d"},
        (MODEL,),
        (*BODY, errors.InvalidParameter, errors.NothingStaged, *QUEUED),
    ),
    "POST /let-back": Operation(
        {200: answers.LetBack},
        schemas.LetBack,
        {"credential": "moderation-tool"},
        (MODEL,),
        (*BODY, errors.InvalidParameter, errors.NotSetAside, *QUEUED),
    ),
    "POST /replay": Operation(
        {202: answers.Accepted},
        parameters=(MODEL, FORCE, WITH_UNDONE),
        errors=(errors.InvalidParameter, errors.QueueFull, errors.Unavailable),
    ),
    "GET /healthz": Operation({200: schemas.Alive}),
    "GET /readyz": Operation({200: schemas.Readiness, 503: schemas.Readiness}),
    "GET /metrics": Operation({200: "text/plain"}),
    "GET /openapi.json": Operation({200: "application/json"}),
    "GET /docs": Operation({200: "text/html"}),
    "GET /docs/{name}": Operation({200: "*/*"}),
}
