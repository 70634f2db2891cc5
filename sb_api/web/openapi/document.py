"""The OpenAPI 3.1 document: made from the record types, the error tree and the routes of the application."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec
from flask import Flask

from sb_api import errors, records
from sb_api.client import answers
from sb_api.errors import SbApiError
from sb_api.judgements import Outcome
from sb_api.review import entries
from sb_api.web import schemas
from sb_api.web.openapi.operations import OPERATIONS, Operation, Schema

Describe = Callable[[Any], Schema]
TEMPLATE = "#/components/schemas/{name}"
PAGES = ("/page/", "/assets/")  # for people, not for programs
RETRY_AFTER = {"description": "seconds", "schema": {"type": "integer"}}
REQUEST_ID = {"description": "the id of the request, in all log lines about it", "schema": {"type": "string"}}
DESCRIPTION = (
    "Judges MusicBrainz editor accounts and learns from moderators' verdicts. Records are sent as an object of records "
    "by any key, or as an array; one alone needs neither. Members that are no fields of theirs are not used, and named "
    "under `ignored`; a query parameter that a call does not have, or that comes twice where a call takes it once, is "
    "an error. Every error is an RFC 9457 problem document. Every answer has the id of its request in `X-Request-ID`; "
    "a request may bring one. A role includes those before it: predict, train, admin; without configured credentials "
    "the service listens on loopback alone and asks for none."
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
