"""The OpenAPI 3.1 document: made from the record types, the error tree and the routes of the application."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, get_args

import msgspec
from flask import Flask
from msgspec import Meta

from sb_api import errors, records
from sb_api.client import answers
from sb_api.errors import SbApiError
from sb_api.judgements import Outcome, Status
from sb_api.review import entries
from sb_api.web import schemas
from sb_api.web.schemas import Editors, Verdicts

Schema = dict[str, Any]
Describe = Callable[[Any], Schema]
TEMPLATE = "#/components/schemas/{name}"
PAGES = ("/page/", "/assets/")  # for people, not for programs
RETRY_AFTER = {"description": "seconds", "schema": {"type": "integer"}}
REQUEST_ID = {"description": "the id of the request, in all log lines about it", "schema": {"type": "string"}}
DESCRIPTION = (
    "Judges MusicBrainz editor accounts and learns from moderators' verdicts. Records are sent as an object of records "
    "by any key, or as an array; one alone needs neither. Members that are no fields of theirs are not used, and named "
    "under `ignored`; a query parameter that a call does not have is an error. Every error is an RFC 9457 problem "
    "document. Every answer has the id of its request in `X-Request-ID`; a request may bring one. A role includes "
    "those before it: predict, train, admin; without configured credentials the service listens on loopback alone and "
    "asks for none."
)
# What some errors say besides the members of every problem.
MEMBERS: Mapping[type[SbApiError], Mapping[str, Any]] = {
    errors.InvalidRecords: {"errors": dict[str, answers.Fault], "ignored": answers.Ignored},
    errors.TrainingRefused: {
        **dict.fromkeys(("before", "after", "reference"), answers.Figures),
        "kept": int,
        "set_aside": str,
        "records": dict[str, Outcome],
    },
    errors.NoAnswerInTime: {"task_id": str},
    errors.UnknownEntry: {"entries": list[str]},
    errors.ClaimedByAnother: {"entries": list[str]},
    errors.ContentChanged: {"entries": list[str], "changed": list[entries.Waiting]},
}


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
VERDICT_QUERY = (
    _filter("id", "only those on this record", str),
    _filter("reporter", "only those of this reporter", str),
    _filter("status", "only those of this status", Status),
    _filter("since", "only those received since this moment (UTC)", datetime),
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
            _filter("name", "names of editors, whatever their case", list[str]),
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
        (MODEL, FORCE),
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


def list_errors(error: type[SbApiError] = SbApiError) -> list[type[SbApiError]]:
    """The error tree, root first."""
    return [error] + [below for child in error.__subclasses__() for below in list_errors(child)]


def list_routes(app: Flask) -> dict[str, Callable[..., Any]]:
    """The function behind every "METHOD /path/{parameter}" of the application but its web pages."""
    routes = {}
    for rule in app.url_map.iter_rules():
        if rule.rule == "/" or rule.rule.startswith(PAGES):
            continue
        path = re.sub(r"<(?:[^:<>]*+:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            routes[f"{method} {path}"] = app.view_functions[rule.endpoint]
    return routes


def build_document(app: Flask, version: str) -> Schema:
    """The OpenAPI 3.1 document of the application. Raises KeyError for a route that OPERATIONS does not have."""
    components: dict[str, Schema] = {}

    def describe(shape: Any) -> Schema:
        (schema,), found = msgspec.json.schema_components((shape,), ref_template=TEMPLATE)
        components.update(found)
        return schema

    for record_type in records.RECORD_TYPES.values():  # which bodies refer to by name
        describe(record_type.record)
        describe(record_type.verdict)
    for error in list_errors():
        components[error.__name__] = _problem(error, describe)
    paths: dict[str, Schema] = {}
    for route, view in sorted(list_routes(app).items()):
        method, _, path = route.partition(" ")
        paths.setdefault(path, {})[method.lower()] = _operation(route, view, describe)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "sb_api",
            "version": version,
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "headers": {"X-Request-ID": REQUEST_ID},
            "securitySchemes": {scheme: {"type": "http", "scheme": scheme} for scheme in ("bearer", "basic")},
        },
    }
    tidy: Schema = _tidy(document)
    return tidy


def _problem(error: type[SbApiError], describe: Describe) -> Schema:
    """The problem document of one class of errors."""
    fixed = {"type": f"urn:sb_api:problem:{error.type}", "status": error.status, "title": error.title}
    properties = {name: {"const": value} for name, value in fixed.items()}
    properties |= {name: describe(shape) for name, shape in MEMBERS.get(error, {}).items()}
    text = (error.__doc__ or f"{error.title}.").partition("`detail`")[0]
    return {
        "title": error.__name__,
        "description": text,
        "allOf": [describe(schemas.Problem)],
        "properties": properties,
    }


def _operation(route: str, view: Callable[..., Any], describe: Describe) -> Schema:
    operation, text = OPERATIONS[route], view.__doc__ or ""
    role = getattr(view, "role", None)
    in_path = re.findall(r"{(\w+)}", route)
    responses = {status: _answer(shape, describe) for status, shape in operation.answers.items()}
    for status, possible in _errors_by_status(operation, needs_role=role is not None).items():
        references = [{"$ref": TEMPLATE.format(name=error.__name__)} for error in possible]
        title = "; ".join(error.title for error in possible)
        responses.setdefault(status, {"description": title, **_problems(references)})
        if any(error.retry_after for error in possible):
            responses[status]["headers"] = {"Retry-After": RETRY_AFTER}
    if in_path:
        # What no route or file is found for: a problem without a type of its own.
        missing = responses.setdefault(404, {"description": "There is no such thing", **_problems([])})
        missing["content"]["application/problem+json"]["schema"]["anyOf"].append(describe(schemas.Problem))
    for response in responses.values():
        response.setdefault("headers", {})["X-Request-ID"] = {"$ref": "#/components/headers/X-Request-ID"}
    needed: list[Schema] = [{}] if getattr(view, "may_be_open", False) else []
    described: Schema = {
        "summary": text.partition("\n")[0].rstrip("."),
        "description": text,
        "operationId": re.sub(r"\W+", "_", route.lower()).strip("_"),
        "tags": [role or "open"],
        "security": [*needed, {"bearer": [role]}, {"basic": [role]}] if role else [],
        "parameters": [*map(_path_parameter, in_path), *operation.parameters],
        "responses": {str(status): response for status, response in sorted(responses.items())},
    }
    if operation.body is not None:
        media = {"schema": describe(operation.body), "example": operation.example}
        described["requestBody"] = {"required": True, "content": {"application/json": media}}
    return described


def _problems(schemas: list[Schema]) -> Schema:
    return {"content": {"application/problem+json": {"schema": {"anyOf": schemas}}}}


def _answer(shape: Any, describe: Describe) -> Schema:
    if isinstance(shape, str):
        return {"description": "The file.", "content": {shape: {}}}
    members = get_args(shape) or (shape,)
    described: Schema = {
        "description": " ".join(member.__doc__ for member in members),
        "content": {"application/json": {"schema": describe(shape)}},
    }
    if shape is answers.Accepted:
        described["headers"] = {"Location": {"schema": {"type": "string"}}, "Retry-After": RETRY_AFTER}
    return described


def _errors_by_status(operation: Operation, *, needs_role: bool) -> dict[int, list[type[SbApiError]]]:
    """Its own errors, those that are a fault of ours, and, where a role is asked for, those of credentials."""
    everywhere = {500, 401, 403, 429} if needs_role else {500}
    by_status: dict[int, list[type[SbApiError]]] = {}
    for error in list_errors():
        if error in operation.errors or error.status in everywhere:
            by_status.setdefault(error.status, []).append(error)
    return by_status


def _path_parameter(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _tidy(part: Any) -> Any:
    """The same with descriptions, which come from docstrings, on one line; and without defaults of null, for which
    generators of clients have whoever uses them give every field."""
    if isinstance(part, dict):
        return {
            key: " ".join(value.split()) if key == "description" and isinstance(value, str) else _tidy(value)
            for key, value in part.items()
            if (key, value) != ("default", None)
        }
    return [_tidy(value) for value in part] if isinstance(part, list | tuple) else part
