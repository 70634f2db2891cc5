"""A WSGI application that tells what its server gave it, and answers in the ways that a server must stand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.wsgi import ClosingIterator

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LARGE = bytes(range(256)) * 40_000  # more than a connection takes at once
closed: list[str] = []  # paths of answers that were closed


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/unread":
        start_response("200 OK", [("Content-Length", "4")])
        return [b"left"]
    body = environ["wsgi.input"].read()
    if body == b"fail":
        raise RuntimeError("the application fails")
    if body == b"inject":
        start_response("200 OK", [("X-Told", "a\r\nSet-Cookie: b=c")])
        return [b"told"]
    if path == "/large":
        start_response("200 OK", [])
        return [LARGE]
    if path == "/empty":
        start_response("204 NO CONTENT", [])
        return []
    if path == "/pieces":
        start_response("201 CREATED", [("X-Pieces", "2"), ("X-Latin", "\xe9")])
        return ClosingIterator([b"one, ", b"two"], lambda: closed.append(path))
    told = {name: value for name, value in environ.items() if isinstance(value, str | bool)}
    answer = json.dumps(
        {"environ": told, "body": body.decode(), "parsed": "wsgi.early_hints" in environ, "closed": len(closed)}
    ).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]
