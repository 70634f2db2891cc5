"""What calls take from a request, and the answer to one whose work goes on."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from flask import Response, request

from sb_api.errors import InvalidParameter, MalformedBody
from sb_api.json_bodies import Records
from sb_api.records import RecordType, find_record_type
from sb_api.web.http import answer_json, read_body

T = TypeVar("T")


def accept_task(task: str, records: Records | None = None, note: str = "") -> Response:
    """202, where the result will be, what is to be known by then, and what of the records that were sent is not
    used."""
    accepted = {"success": True, "task_id": task, "message": f"The task is queued.{note and f' {note}.'}"}
    response = answer_json(accepted | (records.describe_ignored() if records else {}), 202)
    response.headers["Location"] = f"{request.script_root}/get-result/{task}"
    response.headers["Retry-After"] = "1"
    return response


def wants_no_wait() -> bool:
    return "respond-async" in request.headers.get("Prefer", "")


def read_shape(shape: type[T]) -> T:
    """The body of this request. Raises MalformedBody."""
    try:
        return msgspec.json.decode(read_body(), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"The body is not what is asked for: {error}.") from None


def read_record_type() -> RecordType:
    return find_record_type(read_parameter("model", "lodbrok"))


def read_parameter(name: str, default: str) -> str:
    """The one value of a query parameter. Raises InvalidParameter where it has several."""
    try:
        values = request.args.getlist(name)
    except UnicodeDecodeError:  # raw bytes, which are passed on as they came
        raise InvalidParameter("The query string is not UTF-8; percent-encode it.") from None
    if len(values) > 1:
        raise InvalidParameter(f"`{name}` is given {len(values)} times; this call takes it once.")
    return values[0] if values else default


def read_flag(name: str) -> bool:
    value = read_parameter(name, "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise InvalidParameter(f"{name}={value[:40]!r}: must be true or false.")
    return value in ("true", "1")
