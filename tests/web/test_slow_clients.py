"""Who is slow, or takes many connections, is cut off; others are served beside them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from sb_api.web.connections import LEAST_RATE, TURN, PacedReader, Places
from sb_api.web.gunicorn_worker import LARGEST
from tests.conftest import wait_until
from tests.support.impatient import ImpatientWorker
from tests.web.test_gunicorn_worker import HEAD, Client, serve

CHUNKED = HEAD.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked")
SLOW = {
    "a head": HEAD[:40],
    "the first byte": b"P",
    "a body": HEAD % 100,
    "a large body": HEAD % (LARGEST * 2),
    "a body in chunks": CHUNKED + b"5\r\n",
    "a body that nobody reads": HEAD.replace(b"/path?query=1", b"/unread") % (LARGEST * 2),
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve("--keep-alive", "30", worker="tests.support.impatient.ImpatientWorker") as (port, _):
        yield port


def drip(client: Client) -> bool:
    """Send one byte more; whether the connection is closed."""
    try:
        client.send(b"x")
        client.socket.setblocking(False)
        while client.socket.recv(65536):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        client.socket.settimeout(20)


@pytest.mark.parametrize("before", [0, 3], ids=["a new connection", "a known connection"])
@pytest.mark.parametrize("what", SLOW)
def test_who_sends_a_byte_now_and_then_is_cut_off_and_others_are_served(port: int, what: str, before: int) -> None:
    slow = [Client(port) for _ in range(20)]
    other = Client(port)
    for client in slow:
        for _ in range(before):
            client.told(b"usual")
        client.send(SLOW[what])
    began = time.monotonic()
    closed: set[Client] = set()

    def all_are_closed() -> bool:
        assert other.told(b"beside")
        closed.update(client for client in slow if client not in closed and drip(client))
        return len(closed) == len(slow)

    wait_until(all_are_closed, interval=0.1)
    assert time.monotonic() - began >= ImpatientWorker.grace / 2  # as long as they may take, they are borne
    for client in (*slow, other):
        client.close()


def test_others_have_their_turn_while_a_large_body_comes_as_fast_as_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is always more to read, reading waits for nothing: one body of nobody kept all others for seconds."""
    turns: list[float] = []
    monkeypatch.setattr(time, "sleep", turns.append)
    ours, theirs = socket.socketpair()
    reader = PacedReader(ours, 10.0)
    piece = b"x" * 8192
    for _ in range(8 * TURN // len(piece)):
        theirs.sendall(piece)
        assert len(reader.recv(len(piece))) == len(piece)
    assert len(turns) in (7, 8)
    ours.close()
    theirs.close()


def test_who_sends_a_large_body_at_the_least_rate_is_served(port: int) -> None:
    client = Client(port)
    body = b"x" * LARGEST * 2
    client.send(HEAD % len(body))
    for start in range(0, len(body), LARGEST // 2):
        client.send(body[start : start + LARGEST // 2])
        client.hear_nothing(0.5) if start + LARGEST // 2 < len(body) else None
    assert len(json.loads(client.receive()[2])["body"]) == len(body)
    client.close()


def test_one_address_has_so_many_connections_and_no_more(port: int) -> None:
    def answer(client: Client) -> str:
        try:
            return client.ask(b"x")[0]
        except OSError:
            return ""

    clients = [Client(port) for _ in range(ImpatientWorker.per_address)]
    assert {answer(client) for client in clients} == {"HTTP/1.1 200 OK"}
    late = Client(port)
    status, headers, body = late.receive()
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["status"] == 503
    clients.pop().close()

    def is_served() -> bool:
        client = Client(port)
        clients.append(client)
        return answer(client) == "HTTP/1.1 200 OK"

    wait_until(is_served)
    for client in (*clients, late):
        client.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 10_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Many: x\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_too_long_a_head_is_answered_by_a_problem_document(port: int, request_: bytes, status: int) -> None:
    client = Client(port)
    client.send(request_)
    line, headers, body = client.receive()
    assert line.split()[1] == str(status)
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["status"] == status
    client.close()


@pytest.mark.parametrize("header", [b"X-Forwarded-Proto: https", b"SCRIPT_NAME: //evil.example", b"PATH_INFO: /other"])
def test_no_header_of_a_proxy_is_believed_below_the_application(port: int, header: bytes) -> None:
    client = Client(port)
    told = client.told(b"x", HEAD.replace(b"X-Own: 1", header))["environ"]
    assert (told["wsgi.url_scheme"], told["SCRIPT_NAME"], told["PATH_INFO"]) == ("http", "", "/path")
    client.close()


def test_a_reader_is_borne_for_longer_the_more_has_come() -> None:
    here, there = socket.socketpair()
    with here, there:
        reader = PacedReader(here, 0.05)
        there.sendall(b"x" * (LEAST_RATE // 2))
        received = 0
        while received < LEAST_RATE // 2:
            received += len(reader.recv(65536))
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            reader.recv(1)
        assert time.monotonic() - began >= 0.4


def test_places_are_given_back_and_nothing_is_kept_of_who_has_none() -> None:
    places = Places(1)
    with places.take("a") as first, places.take("a") as second, places.take("b") as other:
        assert (first, second, other) == (True, False, True)
    with places.take("a") as again:
        assert again
    assert not places._taken
