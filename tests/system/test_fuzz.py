"""Nothing that a client sends gives a 500, a hang, or a lost or swollen process."""

from __future__ import annotations

import random
import re
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from flask import Flask

from tests.support.service import Service, as_editors, load_shipped, make_editors
from tools.fuzzer import Finding, run, send
from tools.raw_requests import Request, make_request

COUNT = 6_000  # requests; `make fuzz` sends a million


def test_a_request_depends_on_the_seed_and_its_number_alone() -> None:
    assert make_request(1, 7) == make_request(1, 7)
    assert make_request(1, 7) != make_request(1, 8)
    assert make_request(1, 7) != make_request(2, 7)


def test_a_fault_of_ours_would_be_found(service_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(service_app.view_functions, "api.healthz", lambda: 1 / 0)
    with pytest.raises(Finding, match="500"):
        send(service_app, Request("GET", "/healthz"))


@pytest.fixture
def unmeasured_threads() -> Iterator[None]:
    """So many requests take twice the time while coverage measures them, and tell it nothing that others do not."""
    trace = threading.gettrace()
    threading.settrace(None)  # type: ignore[arg-type]
    yield
    threading.settrace(trace)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unmeasured_threads")
def test_raw_requests_are_answered_and_leave_the_service_as_it_was(service: Service, service_app: Flask) -> None:
    outcomes = run(service, service_app, seed=1, start=0, count=COUNT)
    assert outcomes.total() == COUNT
    # Sound ones came through to the classify and train processes, others were refused for every kind of reason.
    assert {"200", "202", "400 malformed-body", "400 invalid-parameter", "422 invalid-records"} <= outcomes.keys()
    assert {"404 not-found", "404 unknown-version", "405 about:blank", "413 too-large"} & outcomes.keys()
    service.post("/rollback", {"to": "original"})
    editors = make_editors(20)
    scores, _ = load_shipped().model.judge(as_editors(editors))
    answer = service.post("/predict", editors).json()["scores"]
    assert list(answer.values()) == pytest.approx(scores[:, 1].tolist(), abs=1e-6)


REQUEST = b'POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 11\r\n\r\n[{"id": 1}]'
# What is wrong with the protocol itself never gets to Flask.
BROKEN = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "cut off": REQUEST[:60],
    "less than its length": REQUEST.replace(b"11", b"5000"),
    "no length": REQUEST.replace(b"Content-Length: 11\r\n", b""),
    "two lengths": REQUEST.replace(b"11\r\n", b"11\r\nContent-Length: 5\r\n"),
    "a negative length": REQUEST.replace(b"11", b"-1"),
    "a length of 400 digits": REQUEST.replace(b"11", b"9" * 400),
    "length and chunks": REQUEST.replace(b"11\r\n", b"11\r\nTransfer-Encoding: chunked\r\n"),
    "chunks of no size": REQUEST.replace(b"Content-Length: 11", b"Transfer-Encoding: chunked").replace(
        b"[", b"zz\r\n["
    ),
    "a line of 100,000 bytes": REQUEST.replace(b"/predict", b"/" + b"a" * 100_000),
    "a header of 100,000 bytes": REQUEST.replace(b"Host: localhost", b"Host: localhost\r\nX: " + b"a" * 100_000),
    "10,000 headers": REQUEST.replace(b"Host: localhost", b"Host: localhost" + b"\r\nX: a" * 10_000),
    "another version": REQUEST.replace(b"1.1", b"9.9"),
    "a raw query": REQUEST.replace(b"/predict", b"/predict?partial=\xff\xfe"),
    "a raw path": REQUEST.replace(b"/predict", b"/\xff\xfe"),
    "NUL in a header": REQUEST.replace(b"Host: localhost", b"Host: localhost\0"),
}


def exchange(service: Service, sent: bytes) -> bytes:
    """What a client gets that sends `sent` and then no more."""
    address = urlsplit(service.address)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        received = b""
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                received += part
        except TimeoutError:
            raise
        except OSError:
            pass  # it closed before it had all
    return received


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
def test_broken_http_is_refused_and_the_web_process_goes_on(sent: bytes, service: Service) -> None:
    before = {child.pid for child in service.children()}
    status = re.match(rb"HTTP/1.1 (\d+)", exchange(service, sent))
    assert status is None or status[1] != b"500"
    assert exchange(service, REQUEST).startswith(b"HTTP/1.1 200")
    assert {child.pid for child in service.children()} == before


def test_http_with_some_bytes_changed_is_answered_without_a_500(service: Service) -> None:
    before = {child.pid for child in service.children()}
    chance = random.Random(1)
    statuses = set()
    for _ in range(300):
        changed = bytearray(REQUEST)
        for _ in range(chance.choice((1, 1, 3))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        statuses |= set(re.findall(rb"^HTTP/1.1 (\d+)", exchange(service, bytes(changed))))
    assert {b"200", b"400"} <= statuses
    assert b"500" not in statuses
    assert {child.pid for child in service.children()} == before
