"""Load shedding: while there is no room for small requests, they are refused before anything is spent on them.

Looked at, checked and decoded, a request that is refused costs half of one that is answered; here it costs next to
nothing, so that a web process which is asked far more than it can answer still answers what it has let in.
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
from sb_api.telemetry.logs import current_request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SMALL_BYTES = 64 * 1024  # bytes of a body that is taken for a small request's; what is in larger ones is looked at
LONGEST_TURN = 0.01  # seconds that all others take for theirs; above it this process itself is what is short
ROUTE = "sb_api.route"  # of a request that Flask has not seen


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
