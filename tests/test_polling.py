"""`sb-api predict`: submits to /classify and asks for the result as often as Retry-After allows."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from sb_api.cli import main
from sb_api.errors import InvalidRecords, NoAnswerInTime, SbApiError, Unavailable
from sb_api.polling import fetch_result, submit_task

if TYPE_CHECKING:
    from service import Service

Answers = list[tuple[int, dict[str, str], bytes]]


@contextmanager
def scripted(answers: Answers) -> Iterator[tuple[str, list[float]]]:
    """A server that gives these answers, the last one again and again. Yields its address and when it was asked."""
    asked: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append(time.monotonic())
            status, headers, body = answers[min(len(asked), len(answers)) - 1]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


DONE = (200, {}, b'{"status": "completed", "data": {"predictions": {"1": "praise"}}}')


def test_a_file_is_judged_by_a_real_service(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "messages.json"
    file.write_text('[{"id": 1, "text": "thank you for this wonderful database"}]')
    command = ["predict", str(file), "--model", "intent", "--url", service.address, "--wait"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["predictions"] == {"1": "praise"}


def test_wrong_records_are_told_as_the_service_told_them(service: Service) -> None:
    with pytest.raises(InvalidRecords, match="text"):
        submit_task(service.address, "intent", b'[{"id": 1}]')


def test_retry_after_is_obeyed() -> None:
    with scripted([(202, {"Retry-After": "1"}, b'{"status": "queued"}'), DONE]) as (address, asked):
        assert json.loads(fetch_result(address, "t"))["predictions"] == {"1": "praise"}
    assert asked[1] - asked[0] >= 1


def test_without_it_the_pauses_grow() -> None:
    with scripted([*[(202, {}, b'{"status": "queued"}')] * 5, DONE]) as (address, asked):
        fetch_result(address, "t")
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses[-1] > 2 * pauses[0]


def test_a_full_queue_is_asked_again() -> None:
    full = (503, {}, b'{"type": "urn:sb_api:problem:queue-full", "status": 503, "detail": "full"}')
    with scripted([full, (202, {}, b'{"task_id": "t"}')]) as (address, asked):
        assert submit_task(address, "intent", b"[]") == "t"
    assert len(asked) == 2


def test_it_does_not_wait_longer_than_told() -> None:
    queued = (202, {"Retry-After": "60"}, b'{"status": "queued"}')
    with scripted([queued]) as (address, asked), pytest.raises(NoAnswerInTime):
        fetch_result(address, "t", timeout=1)
    assert len(asked) == 1


def test_a_failed_task_raises_its_error() -> None:
    problem = b'{"status": "failed", "error": {"type": "urn:sb_api:problem:job-failed", "detail": "it broke"}}'
    with scripted([(200, {}, problem)]) as (address, _), pytest.raises(SbApiError, match="it broke"):
        fetch_result(address, "t")


def test_a_stranger_is_told_apart() -> None:
    with scripted([(200, {}, b"<html>")]) as (address, _), pytest.raises(SbApiError, match="not of sb_api"):
        fetch_result(address, "t")


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "file:///etc", "nothing"])
def test_no_service_is_unavailable(address: str) -> None:
    with pytest.raises(Unavailable):
        fetch_result(address, "t", timeout=1)
