"""The connection to Redis, and what its loss means to whoever waits for an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from sb_api.broker.sentinel import Sentinels, parse_sentinels
from sb_api.config import Settings
from sb_api.errors import Unavailable

PREFIX = "{sb_api}:"  # of every key; the braces keep them in one slot of a cluster
CONNECTIONS = 64  # of one process to Redis
LONGEST_REASON = 200  # characters of what Redis says
REFUSALS = ("OOM", "READONLY", "MISCONF", "NOREPLICAS")


def connect(settings: Settings) -> redis.Redis:
    """A client that waits for Redis longer than any command here blocks, and raises every failure to its caller."""
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
    }
    sentinels = parse_sentinels(settings.redis_address)
    if sentinels is not None:
        return _connect_to_master(sentinels, options)
    # A web process answers a thousand requests at a time; those that find every connection in use wait for one.
    pool = redis.BlockingConnectionPool.from_url(
        settings.redis_address, max_connections=CONNECTIONS, timeout=5, **options
    )
    return redis.Redis.from_pool(pool)


def _connect_to_master(sentinels: Sentinels, options: dict[str, Any]) -> redis.Redis:
    """A client of whatever Redis the Sentinels call the master at the time of each new connection."""
    given: dict[str, Any] = dict(parse_url(sentinels.url))  # type: ignore[no-untyped-call]
    tls = given.pop("connection_class", None) is not None
    del given["host"]
    # One that is cut off must not keep the others from being asked.
    asking = {"socket_timeout": 2, "socket_connect_timeout": 2, "password": sentinels.password, "protocol": 2}
    asking |= {name: value for name, value in given.items() if name.startswith("ssl_")} | ({"ssl": True} if tls else {})
    sentinel: Any = Sentinel(sentinels.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinel.master_for(sentinels.service, ssl=tls, **options, **given)
    return client


@contextmanager
def unavailable_when_lost() -> Iterator[None]:
    """Turns the loss of Redis into Unavailable, for the processes that answer to someone."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Unavailable(f"The queue cannot be reached ({type(error).__name__}); try again in a moment.") from error
    except redis.ResponseError as error:
        if isinstance(error, redis.OutOfMemoryError | redis.ReadOnlyError) or has_code(error, *REFUSALS):
            raise Unavailable("The queue takes nothing right now; try again in a moment.") from error
        # No right, another database, a cluster that is down: whoever runs Redis must mend it, by this reason.
        raise Unavailable(f"Redis refuses what the queue needs: {str(error)[:LONGEST_REASON]}") from error


def has_code(error: redis.ResponseError, *codes: str) -> bool:
    """Whether Redis gave one of these codes with its error."""
    # Not only at the start: a pipeline and a script put words of their own before the code.
    return any(code in str(error) for code in codes)
