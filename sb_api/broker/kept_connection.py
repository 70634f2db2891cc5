"""One connection that one thread keeps. All that relies on how redis-py uses its pools stands here, and in setup.py the
versions that it was tried with; tests/broker/test_kept_connection.py names what it relies on.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import redis

UNUSED = 1.0  # seconds after which a kept connection is looked at before it is used


class _KeptConnection:
    """What stands for the pool of a client that one thread has to itself: one connection, not given back after each
    command. A pool looks at a connection's socket whenever it hands it out; under gevent, that is a turn of the event
    loop."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._pool = pool
        self._connection: Any = None
        self._used = 0.0

    def get_connection(self, *_: Any, **__: Any) -> Any:
        if self._connection is not None and monotonic() - self._used > UNUSED:
            # The other end may have closed it; the pool looks.
            connection, self._connection = self._connection, None
            self._pool.release(connection)
        if self._connection is None:
            self._connection = self._pool.get_connection()
        # One that was cut connects by itself, but to where it was connected, and the master may be another now.
        self._connection.connect()
        return self._connection

    def release(self, _: Any) -> None:
        self._used = monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


def keep_connection(client: redis.Redis) -> redis.Redis:
    """A client for one thread, which keeps one connection of the other client's."""
    kept: Any = _KeptConnection(client.connection_pool)
    return redis.Redis.from_pool(kept)
