"""Small requests for predictions, below Flask: refused at once while there is no room, or answered without its cost.

What Flask does around a view takes longer than the view. Whatever is not plain goes on to Flask: a request with a
query, of a client that has not proved yet who it is, or by a page's cookie. Errors go there too, so that they are
answered in one place (`problems`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.wsgi import get_input_stream

from sb_api.auth.access import Gate
from sb_api.broker.jobs import SMALL
from sb_api.kinds import EDITORS, MESSAGES, Kind
from sb_api.routes import encode_answer, judge_body, read_stream
from sb_api.web.service import Service
from sb_api.web.shedding import ROUTE, SMALL_BYTES, has_room, refuse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

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
