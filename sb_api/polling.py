"""Submitting a task over HTTP and waiting for its result."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import msgspec

from sb_api.errors import NoAnswerInTime, SbApiError, Unavailable, error_from_problem

FOLLOW_PAUSE = 0.5  # seconds between two looks at a task whose progress is shown
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between two questions; each is half as long again as the one before


def submit_task(address: str, model: str, records: bytes, timeout: float = 300.0) -> str:
    """Send the JSON of records to `/classify`; the id of the task. Asks again while the service has no room.

    Raises NoAnswerInTime after `timeout` seconds, Unavailable without a service, or the error it answered with.
    """
    body = b'{"model": %b, "data": %b}' % (msgspec.json.encode(model), records)
    answer = ask(f"{address.rstrip('/')}/classify", body, time.monotonic() + timeout)
    return str(answer["task_id"])


def fetch_result(address: str, task: str, timeout: float = 300.0) -> str:
    """The JSON of a task's result, once there is one. Raises as `submit_task` does, and when the task failed."""
    answer = ask(f"{address.rstrip('/')}/get-result/{task}", None, time.monotonic() + timeout)
    if answer["status"] == "failed":
        raise error_from_problem(answer["error"])
    return msgspec.json.format(msgspec.json.encode(answer["data"])).decode()


def follow_task(address: str, task: str, timeout: float = 3600.0) -> Iterator[dict[str, Any]]:
    """How far a task is, as often as it is worth telling, until it has a result. Raises as `fetch_result` does."""
    url, deadline = f"{address.rstrip('/')}/get-result/{task}", time.monotonic() + timeout
    while time.monotonic() < deadline:
        status, _, document = _exchange(url, None, deadline)
        if status >= 400:
            raise error_from_problem(document)
        if status != 202:
            if document["status"] == "failed":
                raise error_from_problem(document["error"])
            return
        if "progress" in document:
            yield document["progress"]
        time.sleep(FOLLOW_PAUSE)
    raise NoAnswerInTime(f"{url} has no result yet.")


def ask(url: str, body: bytes | None, deadline: float) -> dict[str, Any]:
    """Ask until the answer is neither 202 (of a question without a body) nor 503, as often as Retry-After allows.

    `deadline` is of `time.monotonic`. Raises NoAnswerInTime, Unavailable, or the error that the service answered with.
    """
    pause = FIRST_PAUSE
    while True:
        status, retry_after, document = _exchange(url, body, deadline)
        if status != 503 and (body is not None or status != 202):
            if status >= 400:
                raise error_from_problem(document)
            return document
        pause = max(pause, float(retry_after)) if retry_after.isdigit() else pause
        if time.monotonic() + pause > deadline:
            raise NoAnswerInTime(f"{url} has no result yet.")
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 1.5)


def _exchange(url: str, body: bytes | None, deadline: float) -> tuple[int, str, dict[str, Any]]:
    """One question: the status, the Retry-After header and the document of the answer."""
    if not url.startswith(("http://", "https://")):
        raise Unavailable(f"{url} is no HTTP address.")
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=max(1.0, deadline - time.monotonic())) as response:  # noqa: S310
            status, headers, content = response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        status, headers, content = error.code, error.headers, error.read()
    except OSError as error:
        raise Unavailable(f"{url} cannot be reached: {error}.") from error
    try:
        return status, headers.get("Retry-After", ""), msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.DecodeError:
        raise SbApiError(f"{url} answered {status} with something that is not of sb_api.") from None
