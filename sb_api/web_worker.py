"""The gunicorn worker of the web processes: gevent's, with the head and the body of an answer in one piece.

It also keeps the garbage collector from what is loaded before the first request, and settings at hand.
"""

from __future__ import annotations

import socket
from typing import Any

from gunicorn.workers.ggevent import GeventWorker

from sb_api.memory import freeze_objects


class Gathering:
    """A connection that holds the head of an answer back until its body comes, or anything else is asked of it.

    gunicorn sends the two apart, which is one more system call, and wakes the client twice.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._head = b""

    def sendall(self, data: bytes) -> None:
        """Send `data`, after what is held back; a head by itself is held back."""
        held, self._head = self._head, b""
        if not held and data.startswith(b"HTTP/1.") and data.endswith(b"\r\n\r\n"):
            self._head = data
        else:
            self._connection.sendall(held + data)

    def __getattr__(self, name: str) -> Any:
        # Before the next request is read or the connection closed, whoever waits for an answer without a body has it.
        if self._head:
            held, self._head = self._head, b""
            self._connection.sendall(held)
        return getattr(self._connection, name)


class WebWorker(GeventWorker):  # type: ignore[misc]
    """gevent's worker on connections that gather."""

    def run(self) -> None:
        # gunicorn looks some thirty settings up a request, by two calls each; attributes come before them.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        freeze_objects()
        super().run()

    def handle(self, listener: socket.socket, client: socket.socket, addr: Any) -> None:
        super().handle(listener, Gathering(client), addr)
