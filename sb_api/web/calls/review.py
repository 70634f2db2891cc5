"""The calls of the review queue."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, request

from sb_api.auth.access import require
from sb_api.errors import InvalidParameter, InvalidRecords, MalformedBody, explain
from sb_api.review.entries import Action, GiveVerdicts, ListQuery
from sb_api.web.calls.parameters import accept_task, read_flag, read_parameter, wants_no_wait
from sb_api.web.http import answer_json, read_body, takes
from sb_api.web.review import act, list_entries, need_review, submit_verdicts
from sb_api.web.service import get_service

calls = Blueprint("review", __name__)
NUMBERS = ("min_age", "max_age", "limit", "offset")


@calls.get("/review")
@require("train")
@takes(*ListQuery.__struct_fields__)
def list_review() -> Response:
    """The accounts that wait for a verdict; where the review queue is on."""
    given = {name: read_parameter(name, "") for name in ListQuery.__struct_fields__ if name in request.args}
    # A filter by no text is none; no number is a mistake.
    given = {name: value for name, value in given.items() if value or name in NUMBERS}
    if "mine" in given:
        given["mine"] = str(read_flag("mine")).lower()
    try:
        query = msgspec.convert(given, ListQuery, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidParameter(f"The query cannot be read: {explain(error, ListQuery)}.") from None
    if nothing := [name for name in given if getattr(query, name) is None]:  # what msgspec makes of the word null
        raise InvalidParameter(f"`{nothing[0]}` cannot be null; leave it out.")
    return answer_json(list_entries(get_service(), query)[0])


@calls.post("/review")
@require("train")
@takes()
def review() -> Response:
    """Claim accounts that wait for a verdict, release them, give verdicts, or take one back."""
    service = get_service()
    need_review(service)
    try:
        action = msgspec.json.decode(read_body(), type=Action)
    except msgspec.ValidationError as error:
        raise InvalidRecords(f"That cannot be done: {error}.", errors={}) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f'Send {{"action": "claim"}}, "release", "verdicts" or "undo": {error}.') from None
    if isinstance(action, GiveVerdicts) and wants_no_wait():
        return accept_task(submit_verdicts(service, action))
    return answer_json(act(service, action))
