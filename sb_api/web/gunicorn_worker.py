"""The gunicorn worker of the web processes: gevent's, which reads the head of a connection's requests once.

With each request of a connection most clients send the same head again, but for the length of the body. gunicorn parses
the first one, and judges what it may say. One that is the same to the byte says the same: it is not parsed again, its
environment is copied, and its answer is sent in one piece.

All that relies on the inside of gunicorn stands here: `Unreader.take_buffered` (26.2), `Config.__dict__` before
`__getattr__`, `Unreader.sock`, `timeout_ctx`, the environment's "wsgi.early_hints" and StopIteration as the end of a
connection. setup.py keeps to the
versions that it was tried with, and tests/web/test_gunicorn_worker.py checks each of them by name.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import gevent
import msgspec
from gunicorn import SERVER
from gunicorn.http import wsgi
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader
from gunicorn.workers.ggevent import GeventWorker

from sb_api.auth.addresses import client_network
from sb_api.auth.headers import is_named, parse_networks
from sb_api.config import load_settings
from sb_api.memory import freeze_objects
from sb_api.web.connections import GRACE, HEAD_SECONDS, PER_ADDRESS, SEND_SECONDS, PacedReader, Places

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LARGEST = 96 * 1024  # bytes of a request that is held in memory before the application asks for it
PIECE, MOST_DISCARDED = 2**20, 64 * 2**20  # bytes of a refused body that are read at a time, and at most
# What gunicorn does around each request where one of these is set, it must do around all.
WATCHING = (
    *("accesslog", "logconfig", "logconfig_dict", "logconfig_json", "syslog", "statsd_host"),
    *("max_requests", "pre_request", "post_request", "protocol"),
)
BODILESS = ("1", "204", "304")  # status codes of answers that have no body

# What is answered to a head that is too long: status line, title, and what to do.
TOO_LONG = {
    LimitRequestLine: ("414 URI Too Long", "The address is too long; records belong into the body of a POST."),
    LimitRequestHeaders: ("431 Request Header Fields Too Large", "The headers are too long."),
}
FULL = ("503 Service Unavailable", "This address has as many connections as one may have; use those again.")

LET_GO = 2.0  # seconds in which what still comes over a kept connection is answered when a process is to end

_START = re.compile(rb"POST [^ ]+ HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})\r\n", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:", re.IGNORECASE)
_LINES = re.compile(r"(?:[\t\x20-\x7e\x80-\xff]+\r\n)+")


class Received(NamedTuple):
    """What came of a request: its head without the length of its body, its body, and how much of that is missing."""

    head: bytes
    body: bytes
    missing: int


def split_request(data: bytes) -> Received | None:
    """The request that `data` begins; None unless it is a POST that says its length, of `LARGEST` bytes at most, and
    nothing comes after it."""
    end = data.find(b"\r\n\r\n") + 4
    length = _LENGTH.search(data, 0, end) if _START.match(data, 0, end) else None
    if length is None:
        return None
    missing = end + int(length[1]) - len(data)
    if missing < 0 or len(data) + missing > LARGEST:
        return None
    return Received(data[: length.start(1)] + data[length.end(1) : end], data[end:], missing)


class WebWorker(GeventWorker):  # type: ignore[misc]
    """gevent's worker, with a shorter way for requests like the one before, and an end to what a client may take."""

    grace = GRACE
    head_seconds = HEAD_SECONDS
    per_address = PER_ADDRESS

    def run(self) -> None:
        settings = self.cfg.settings
        # gunicorn looks some thirty settings up a request, by two calls each; attributes come before them.
        self.cfg.__dict__.update({name: setting.get() for name, setting in settings.items()})
        self.is_watched = self.cfg.is_ssl or any(settings[name].get() != settings[name].default for name in WATCHING)
        # By connection: the head of the request that gunicorn reads next, if its like may come again.
        self.heads: WeakKeyDictionary[Unreader, bytes] = WeakKeyDictionary()
        self.places = Places(self.per_address)
        # Connections between two requests: those are closed when this process is to end.
        self.idle: set[socket.socket] = set()
        self.last_alive = time.monotonic()
        own = load_settings()
        self.proxies = parse_networks(own.proxy_addresses) if own.proxies else []
        # Headers of proxies are believed by the application alone, which knows its proxies (`auth.headers`).
        self.cfg.__dict__.update(secure_scheme_headers={}, forwarder_headers=[])
        freeze_objects()
        super().run()

    def notify(self) -> None:
        """Called each second: say that this process is alive; and when it is to end, let go after a while of who only
        keeps a connection. It would wait for them until it is killed, and what it has counted last would be lost."""
        super().notify()
        if self.alive:
            self.last_alive = time.monotonic()
        elif time.monotonic() - self.last_alive > LET_GO:
            for client in list(self.idle):
                # Of a copy: who waits at the socket itself would get an error, and gunicorn would log it.
                with suppress(OSError), client.dup() as same:  # it has gone by itself
                    same.shutdown(socket.SHUT_RD)

    def timeout_ctx(self) -> gevent.Timeout:
        """Around each head that gunicorn reads, along with what is left of the body before it."""
        # Between requests a connection waits in `handle_request`, but for a server whose requests are watched.
        return gevent.Timeout(self.cfg.keepalive if self.is_watched else self.head_seconds, False)

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """Answer what comes over a connection. Proxies, and a unix socket, are not limited."""
        self.idle.add(client)
        try:
            if not isinstance(addr, tuple) or is_named(addr[0], self.proxies):
                super().handle(listener, client, addr)
                return
            with self.places.take(client_network(addr[0])) as has_place:
                if has_place:
                    super().handle(listener, client, addr)
                else:
                    self._refuse(client, *FULL)
                    client.close()
        finally:
            self.idle.discard(client)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer a request that cannot be read; too long a head by a problem document."""
        answer = next((answer for error, answer in TOO_LONG.items() if isinstance(exc, error)), None)
        if answer is None:
            super().handle_error(req, client, addr, exc)
        else:
            self._refuse(client, *answer)

    def _refuse(self, client: socket.socket, status: str, detail: str) -> None:
        code, _, title = status.partition(" ")
        problem = {"type": "about:blank", "title": title, "status": int(code), "detail": detail, "success": False}
        body = msgspec.json.encode(problem)
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        client.setblocking(False)
        with suppress(OSError):  # the client has gone, or takes nothing
            client.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def handle_request(self, listener_name: Any, req: Request, sock: socket.socket, addr: Any) -> bool:
        """Answer a request that gunicorn has parsed, and those like it that follow."""
        self.idle.discard(sock)
        try:
            return self._answer_all(listener_name, req, sock, addr)
        finally:
            self.idle.add(sock)

    def _answer_all(self, listener_name: Any, req: Request, sock: socket.socket, addr: Any) -> bool:
        head = None if self.is_watched else self.heads.pop(req.unreader, None)
        req.unreader.sock = PacedReader(sock, self.grace)
        try:
            try:
                super().handle_request(listener_name, req, sock, addr)
            except StopIteration:
                # The connection is to be closed. What is unread then would reset it, before the client has its answer.
                with suppress(OSError):
                    discard(req.body)
                raise
            if not discard(req.body):
                raise StopIteration
            if self.is_watched:
                return True
        except TimeoutError:
            raise StopIteration from None  # as gunicorn ends a connection
        finally:
            req.unreader.sock = sock
        environ: WSGIEnvironment = {}
        while data := req.unreader.take_buffered() or self._receive(sock):
            received = split_request(data)
            if received is None or received.head != head or not self.alive:
                req.unreader.unread(data)
                # Who wants to be asked for the body is asked by gunicorn, each time.
                if received is not None and not _EXPECTS.search(received.head):
                    self.heads[req.unreader] = received.head
                return True
            if not environ:
                _, environ = wsgi.create(req, sock, addr, listener_name, self.cfg)
                environ["wsgi.multithread"] = True
                del environ["wsgi.early_hints"]  # of that one answer
            self._answer_alike(environ, _complete(received, PacedReader(sock, self.grace)), sock)
        raise StopIteration  # as gunicorn ends a connection

    def _receive(self, sock: socket.socket) -> bytes:
        """What begins the next request; b"" when the client has gone, or says nothing for too long."""
        sock.settimeout(self.cfg.keepalive)
        self.idle.add(sock)
        try:
            return sock.recv(LARGEST)
        except TimeoutError:
            return b""
        finally:
            self.idle.discard(sock)
            sock.settimeout(SEND_SECONDS)

    def _answer_alike(self, environ: WSGIEnvironment, body: bytes, sock: socket.socket) -> None:
        """Answer a request with another body than the one whose environment this is."""
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            started.append((status, headers))

        own = environ | {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}
        answer: Iterable[bytes] = self.wsgi(own, start_response)
        try:
            content = b"".join(answer)
            data = encode_head(*started[-1], len(content)) + content
            # Nearly always all of it; gevent's sendall begins with a system call that asks how much may be sent.
            if (sent := sock.send(data)) < len(data):
                sock.sendall(data[sent:])
        finally:
            if hasattr(answer, "close"):
                answer.close()


def discard(body: Any) -> bool:
    """Read what the application has left of a body that it refused; whether that was all of it."""
    # gunicorn would do so a kilobyte at a time, and at each copy all that it has received beyond: for minutes.
    return any(not body.read(PIECE) for _ in range(MOST_DISCARDED // PIECE))


def _complete(received: Received, reader: PacedReader) -> bytes:
    """The whole body. Raises StopIteration, as gunicorn ends a connection, when the client goes or is too slow."""
    pieces, missing = [received.body], received.missing
    while missing:
        try:
            piece = reader.recv(missing)
        except TimeoutError:
            piece = b""
        if not piece:
            raise StopIteration
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def encode_head(status: str, headers: Sequence[tuple[str, str]], length: int) -> bytes:
    """The head of an answer of `length` bytes, whose connection is kept.

    Raises ValueError when a header would be more than a line.
    """
    named = [
        *(("Server", SERVER), ("Date", _date(int(time.time()))), ("Connection", "keep-alive")),
        *headers,
    ]
    if not status.startswith(BODILESS) and not any(name.lower() == "content-length" for name, _ in headers):
        named.append(("Content-Length", str(length)))
    lines = f"HTTP/1.1 {status}\r\n" + "".join([f"{name}: {value}\r\n" for name, value in named])
    if lines.count("\n") != 1 + len(named) or not _LINES.fullmatch(lines):
        raise ValueError("A header of the answer holds a control character.")
    return f"{lines}\r\n".encode("latin-1")


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
