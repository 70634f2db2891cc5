"""What one client may take of a web process: time to send a request, and connections."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

HEAD_SECONDS = 20.0  # for the head of a request, and for what is left of a body that nobody wants
GRACE = 10.0  # seconds for a body, however small
LEAST_RATE = 16 * 1024  # bytes a second of a body after that
TURN = 256 * 1024  # bytes of a body, after which other connections have their turn
SEND_SECONDS = 60.0  # for an answer whose client does not take it
PER_ADDRESS = 400  # connections of one client address; a process has 1,000


class PacedReader:
    """A connection as the one request under way reads from it: `recv`, within `grace` seconds and at the least rate.

    Its TimeoutError is what a connection that is lost raises, too: an OSError.
    """

    def __init__(self, connection: socket.socket, grace: float) -> None:
        self._connection = connection
        self._until = time.monotonic() + grace
        self._turn = TURN

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes. Raises TimeoutError once fewer have come than the least rate asks for."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("it came too slowly")
        self._connection.settimeout(left)
        try:
            data = self._connection.recv(size)
        except TimeoutError:
            raise TimeoutError("it came too slowly") from None
        finally:
            self._connection.settimeout(SEND_SECONDS)
        self._until += len(data) / LEAST_RATE
        self._turn -= len(data)
        if self._turn < 0:
            # As long as there is more to read, reading waits for nothing, and nobody else is served.
            self._turn = TURN
            time.sleep(0)
        return data


class Places:
    """How many connections each client has, `most` of them at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: Counter[str] = Counter()

    @contextmanager
    def take(self, client: str) -> Iterator[bool]:
        """A place for a connection of a client while it lasts; False when the client has as many as it may."""
        if self._taken[client] >= self.most:
            yield False
            return
        self._taken[client] += 1
        try:
            yield True
        finally:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]
