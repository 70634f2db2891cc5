"""An answer leaves in one piece, and one without a body leaves all the same."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sb_api.web_worker import Gathering

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[Gathering, socket.socket]]:
    """A connection and its other end, which receives what was sent at once as one message."""
    server, client = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with server, client:
        client.settimeout(5)
        yield Gathering(server), client


def test_head_and_body_are_sent_at_once(ends: tuple[Gathering, socket.socket]) -> None:
    connection, client = ends
    connection.sendall(HEAD)
    connection.sendall(b"body")
    assert client.recv(100) == HEAD + b"body"


def test_more_of_a_body_is_sent_as_it_comes(ends: tuple[Gathering, socket.socket]) -> None:
    connection, client = ends
    for data in (HEAD, b"bo", b"dy", b"ends like a head\r\n\r\n"):
        connection.sendall(data)
    assert [client.recv(100) for _ in range(3)] == [HEAD + b"bo", b"dy", b"ends like a head\r\n\r\n"]


def test_a_head_alone_is_sent_before_the_next_request_is_read(ends: tuple[Gathering, socket.socket]) -> None:
    connection, client = ends
    connection.sendall(HEAD)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    assert connection.recv(100) == b"GET / HTTP/1.1\r\n\r\n"
    assert client.recv(100) == HEAD


def test_a_head_alone_is_sent_before_the_connection_is_closed(ends: tuple[Gathering, socket.socket]) -> None:
    connection, client = ends
    connection.sendall(HEAD)
    connection.close()
    assert client.recv(100) == HEAD
    assert client.recv(100) == b""


def test_two_heads_are_both_sent(ends: tuple[Gathering, socket.socket]) -> None:
    """A 103 with early hints is a head, and so is the one that follows."""
    connection, client = ends
    connection.sendall(HEAD)
    connection.sendall(HEAD)
    connection.sendall(b"body")
    assert client.recv(200) == HEAD + HEAD
    assert client.recv(100) == b"body"
