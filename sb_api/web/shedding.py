"""Load shedding: what there is no room for is refused before anything is spent on it.

Looked at, checked and decoded, a request that is refused costs half of one that is answered; refused here it costs next
to nothing, so that a web process which is asked far more than it can answer still answers what it has let in.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from werkzeug.wsgi import ClosingIterator

from sb_api.broker.jobs import SMALL_RECORDS
from sb_api.broker.limiter import Limiter
from sb_api.broker.rpc import too_much_waits
from sb_api.records import RECORD_TYPES
from sb_api.telemetry.logs import current_request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SMALL_BYTES = 64 * 1024  # bytes of a body that is taken for a small request's; what is in larger ones is looked at
LONGEST_TURN = 0.01  # seconds that all others take for theirs; above it this process itself is what is short
ROUTE = "sb_api.route"  # where a WSGI environment has the route of a request that Flask has not seen

PREDICT_ROUTES = {f"{each.path}/predict": each for each in RECORD_TYPES.values()}
SHED_ROUTES = {*PREDICT_ROUTES, "/classify"}


def shed_load(application: WSGIApplication, limiter: Limiter) -> WSGIApplication:
    """The application, but for small requests for predictions while the `limiter` has no room: those get 503."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") in SHED_ROUTES and is_small(environ, SMALL_BYTES) and not has_room(limiter):
            environ[ROUTE] = environ["PATH_INFO"]
            return refuse(environ, start_response)
        return application(environ, start_response)

    return answer


def is_small(environ: WSGIEnvironment, largest: int) -> bool:
    """Whether this is a POST whose body is known to have `largest` bytes at most."""
    length = environ.get("CONTENT_LENGTH") or ""
    # Nobody knows how long a body in chunks is.
    return environ["REQUEST_METHOD"] == "POST" and length.isdecimal() and int(length) <= largest


def has_room(limiter: Limiter) -> bool:
    """Whether any small request may be begun; when much is inside already, after all others have had their turn."""
    if limiter.inside + SMALL_RECORDS <= limiter.least:
        return True
    if not limiter.has_room(SMALL_RECORDS):
        return False
    before = time.monotonic()
    time.sleep(0)
    return time.monotonic() - before <= LONGEST_TURN and limiter.has_room(SMALL_RECORDS)


def refuse(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request that there is no room for. Not by `problems`, whose Flask request would cost more than this."""
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


def _discard_body(environ: WSGIEnvironment) -> None:
    # At once: what is left unread, gunicorn discards in steps of a kilobyte, which takes longer than all the rest.
    with suppress(OSError):  # The connection is lost; gunicorn finds that out too.
        environ["wsgi.input"].read(SMALL_BYTES)
