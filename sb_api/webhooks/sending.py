"""One attempt to send a message: no redirect is followed, no proxy asked, and no answer is waited for without end."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError

from sb_api.webhooks.endpoints import Endpoint
from sb_api.webhooks.messages import Message
from sb_api.webhooks.signing import sign

LIMIT = 10.0  # seconds of an attempt
LONGEST_PAUSE = 3600.0  # seconds that a receiver may ask to be left alone
GONE = 410


class Attempt(NamedTuple):
    """What came of an attempt: why the message was not taken, "" when it was; for how long (seconds) the receiver wants
    to hear nothing; and whether it never wants to hear this again."""

    reason: str
    pause: float = 0.0
    is_final: bool = False


def trusted() -> ssl.SSLContext:
    """The certificates of the system, or of SSL_CERT_FILE, as they are now. Reading them for each message is slow."""
    return ssl.create_default_context()


def send(
    endpoint: Endpoint, message: Message, keys: Sequence[bytes], tls: ssl.SSLContext, limit: float = LIMIT
) -> Attempt:
    """Send a message, signed with each of some keys. Of the answer its head alone is read."""
    connection = _open(endpoint, tls, limit)
    parts = urlsplit(endpoint.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Content-Type": "application/json", "User-Agent": "sb_api", "Connection": "close"}
    headers |= sign(keys, message.id, int(time.time()), message.body)
    # The timeout of a socket is of each read: one who answers letter by letter would never be done.
    is_over = threading.Event()
    watch = threading.Timer(limit, _cut, [connection, is_over])
    watch.daemon = True
    watch.start()
    try:
        connection.connect()
        if is_over.is_set():  # while there was nothing to cut: each address of a host has its own time
            return Attempt(f"no answer within {limit:g} s")
        connection.request("POST", target, body=message.body, headers=headers)
        # Not that of urllib3, which logs the URL with a head that it cannot read.
        with http.client.HTTPConnection.getresponse(connection) as answer:
            attempt = _judge(answer.status, answer.headers.get("Retry-After", ""))
            # What was cut off looks like a head that ends there.
            return Attempt(f"no answer within {limit:g} s") if is_over.is_set() else attempt
    except (HTTPError, http.client.HTTPException, OSError) as error:
        return Attempt(f"no answer within {limit:g} s" if is_over.is_set() else _describe(error, limit))
    finally:
        watch.cancel()
        connection.close()


def _open(endpoint: Endpoint, tls: ssl.SSLContext, limit: float) -> HTTPConnection:
    parts = urlsplit(endpoint.url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return HTTPConnection(host, parts.port, timeout=limit)
    return HTTPSConnection(host, parts.port, timeout=limit, ssl_context=tls)


def _cut(connection: Any, is_over: threading.Event) -> None:
    is_over.set()
    with suppress(OSError, AttributeError):  # not connected yet, or no longer
        connection.sock.shutdown(socket.SHUT_RDWR)


def _judge(status: int, pause: str) -> Attempt:
    if 200 <= status < 300:
        return Attempt("")
    if 300 <= status < 400:
        return Attempt(f"answered {status}; redirects are not followed")
    wanted = float(pause) if pause.isascii() and pause.isdigit() and len(pause) < 10 else 0.0
    return Attempt(f"answered {status}", min(wanted, LONGEST_PAUSE), status == GONE)


def _describe(error: Exception, limit: float) -> str:
    """What went wrong, without the URL that is part of what such errors say."""
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return f"no answer within {limit:g} s"
    if isinstance(error, NameResolutionError):
        return "its host has no address"
    if isinstance(error, NewConnectionError):
        return "no connection"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or type(error).__name__}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
