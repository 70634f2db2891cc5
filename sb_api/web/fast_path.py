"""Small requests for predictions, below Flask: refused at once while there is no room, or answered without its cost.

Looked at, checked and decoded, a request that is refused costs half of one that is answered; refused here it costs next
to nothing, so that a web process which is asked far more than it can answer still answers what it has let in.

What Flask does around a view takes longer than the view. Whatever is not plain goes on to Flask: a request with a
query, of a client that has not proved yet who it is, or by a page's cookie. Errors go there too, so that they are
answered in one place (`problems`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from flask import Flask
from werkzeug.wsgi import ClosingIterator, get_input_stream

from sb_api.auth.gate import Gate
from sb_api.broker.jobs import SMALL, SMALL_RECORDS
from sb_api.broker.limiter import Limiter
from sb_api.broker.rpc import too_much_waits
from sb_api.records import EDITORS, MESSAGES, Kind
from sb_api.telemetry.logs import current_request
from sb_api.web.http import encode_answer, read_stream
from sb_api.web.service import Service, judge_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SMALL_BYTES = 64 * 1024  # bytes of a body that is taken for a small request's; what is in larger ones is looked at
LONGEST_TURN = 0.01  # seconds that all others take for theirs; above it this process itself is what is short
ROUTE = "sb_api.route"  # of a request that Flask has not seen

PREDICT_ROUTES = {"/predict": EDITORS, "/intents/predict": MESSAGES}


def take_shortcut(app: Flask, service: Service, gate: Gate) -> None:
    """Have `app` answer small requests for predictions the short way."""
    answer = app.wsgi_app
    limiter = service.mailbox.limiters[SMALL]
    largest = min(SMALL_BYTES, service.settings.max_body_bytes)

    def answer_shortly(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        route = environ.get("PATH_INFO", "")
        kind = PREDICT_ROUTES.get(route)
        if kind is None or not _is_small(environ, largest):
            return answer(environ, start_response)
        if not has_room(limiter):
            environ[ROUTE] = route
            return refuse(environ, start_response)
        if environ.get("QUERY_STRING"):
            return answer(environ, start_response)
        try:
            identity = gate.recognize(environ)
            body = _judge(service, kind, environ) if identity and identity.may("predict") else None
        except Exception as error:
            with app.request_context(environ):
                response = app.finalize_request(app.handle_user_exception(error))
                return response(environ, start_response)
        if body is None:
            return answer(environ, start_response)
        environ[ROUTE] = route
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    app.wsgi_app = answer_shortly  # type: ignore[method-assign]


def _judge(service: Service, kind: Kind, environ: WSGIEnvironment) -> bytes:
    body = read_stream(get_input_stream(environ), int(environ["CONTENT_LENGTH"]))
    return encode_answer(judge_body(service, kind, body))


def _is_small(environ: WSGIEnvironment, largest: int) -> bool:
    length = environ.get("CONTENT_LENGTH") or ""
    # Nobody knows how long a body in chunks is.
    return environ["REQUEST_METHOD"] == "POST" and length.isdecimal() and int(length) <= largest


def refuse(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request that there is no room for."""
    _discard_body(environ)
    error = too_much_waits()
    document = {**error.problem(), "instance": f"urn:sb_api:request:{current_request()}"}
    body = msgspec.json.encode(document)
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Retry-After", str(error.retry_after)),
    ]
    start_response("503 SERVICE UNAVAILABLE", headers)
    # Once it is sent: else a client that is quick to ask again would be refused often before another is refused once.
    return ClosingIterator([body], lambda: time.sleep(0))


def has_room(limiter: Limiter) -> bool:
    """Whether any small request may be begun; when much is inside already, after all others have had their turn."""
    if limiter.inside + SMALL_RECORDS <= limiter.least:
        return True
    if not limiter.has_room(SMALL_RECORDS):
        return False
    before = time.monotonic()
    time.sleep(0)
    return time.monotonic() - before <= LONGEST_TURN and limiter.has_room(SMALL_RECORDS)


def _discard_body(environ: WSGIEnvironment) -> None:
    # At once: what is left unread, gunicorn discards in steps of a kilobyte, which takes longer than all the rest.
    with suppress(OSError):  # The connection is lost; gunicorn finds that out too.
        environ["wsgi.input"].read(SMALL_BYTES)
