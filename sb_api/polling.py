"""Submitting a task over HTTP and waiting for its result."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from typing import Any

import msgspec

from sb_api.errors import NoAnswerInTime, SbApiError, Unavailable, error_from_problem

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between two questions; each is half as long again as the one before


def submit_task(address: str, model: str, records: bytes, timeout: float = 300.0) -> str:
    """Send the JSON of records to `/classify`; the id of the task. Asks again while the service has no room.

    Raises NoAnswerInTime after `timeout` seconds, Unavailable without a service, or the error it answered with.
    """
    body = b'{"model": %b, "data": %b}' % (msgspec.json.encode(model), records)
    answer = _ask(f"{address.rstrip('/')}/classify", body, time.monotonic() + timeout)
    return str(answer["task_id"])


def fetch_result(address: str, task: str, timeout: float = 300.0) -> str:
    """The JSON of a task's result, once there is one. Raises as `submit_task` does, and when the task failed."""
    answer = _ask(f"{address.rstrip('/')}/get-result/{task}", None, time.monotonic() + timeout)
    if answer["status"] == "failed":
        raise error_from_problem(answer["error"])
    return msgspec.json.format(msgspec.json.encode(answer["data"])).decode()


def _ask(url: str, body: bytes | None, deadline: float) -> dict[str, Any]:
    """Ask until the answer is neither 202 (of a question without a body) nor 503, as often as Retry-After allows."""
    if not url.startswith(("http://", "https://")):
        raise Unavailable(f"{url} is no HTTP address.")
    pause = FIRST_PAUSE
    while True:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=max(1.0, deadline - time.monotonic())) as response:  # noqa: S310
                status, headers, content = response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            status, headers, content = error.code, error.headers, error.read()
        except OSError as error:
            raise Unavailable(f"{url} cannot be reached: {error}.") from error
        try:
            document: dict[str, Any] = msgspec.json.decode(content, type=dict[str, Any])
        except msgspec.DecodeError:
            raise SbApiError(f"{url} answered {status} with something that is not of sb_api.") from None
        if status != 503 and (body is not None or status != 202):
            if status >= 400:
                raise error_from_problem(document)
            return document
        wanted = headers.get("Retry-After", "")
        pause = max(pause, float(wanted)) if wanted.isdigit() else pause
        if time.monotonic() + pause > deadline:
            raise NoAnswerInTime(f"{url} has no result yet.")
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 1.5)
