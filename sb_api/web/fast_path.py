"""The fast path: small plain requests for predictions, answered without Flask.

What Flask does around a view takes longer than the view. So a request is answered here when all of this holds:

- it is a POST to a call that predicts, such as /predict, without a query, whose body is plain and known to be small;
- its client needs no proof of who it is, or has proved it before with the very same header.

Every other request goes on to Flask. An error is answered by the function that answers all errors (`problems`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.wsgi import get_input_stream

from sb_api.auth.gate import Gate
from sb_api.records import RecordType
from sb_api.web.http import encode_answer, read_stream
from sb_api.web.problems import answer_exception
from sb_api.web.service import Service, judge_body
from sb_api.web.shedding import PREDICT_ROUTES, ROUTE, SMALL_BYTES, is_small

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def answer_small_requests(application: WSGIApplication, app: Flask, service: Service, gate: Gate) -> WSGIApplication:
    """The application, but for small plain requests for predictions: those are answered here. `app` renders errors."""
    largest = min(SMALL_BYTES, service.settings.max_body_bytes)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        route = environ.get("PATH_INFO", "")
        record_type = PREDICT_ROUTES.get(route)
        is_plain = not environ.get("QUERY_STRING") and "HTTP_CONTENT_ENCODING" not in environ
        if record_type is None or not is_plain or not is_small(environ, largest):
            return application(environ, start_response)
        try:
            identity = gate.recognize(environ)
            body = _judge(service, record_type, environ) if identity and identity.may("predict") else None
        except Exception as error:
            with app.request_context(environ):
                return answer_exception(error)(environ, start_response)
        if body is None:
            return application(environ, start_response)
        environ[ROUTE] = route
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def _judge(service: Service, record_type: RecordType, environ: WSGIEnvironment) -> bytes:
    body = read_stream(get_input_stream(environ), int(environ["CONTENT_LENGTH"]))
    return encode_answer(judge_body(service, record_type, body))
