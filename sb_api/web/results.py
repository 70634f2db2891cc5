"""Kept results: whose they are, and how much of Redis's memory they may take.

What waits and what is under way shares Redis with the results of `/classify`, which stay for an hour. So they are
refused while Redis is nearly full, and to a credential that has kept more than its share.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from sb_api.broker.connection import unavailable_when_lost
from sb_api.broker.examination import Examined, examine
from sb_api.errors import QueueFull

MARK = 0.6  # of Redis's memory; above it no results are kept for anybody
SHARE = 0.25  # of Redis's memory, in the results that one credential keeps
LOOK = 0.5  # seconds for which Redis is believed to be as full as it was
RECORD_BYTES = 400  # of a record's result, at most, besides its id
SEED_BYTES = 10  # of a task id; the other 6 say whose it is
CHECK_BYTES = 6


def own_task(owner: str, seed: bytes) -> str:
    """A task id that is `owner`'s alone: the same for the same seed, of which the first bytes count.

    Nobody else can use it: an id with another owner's mark is another id, under which nothing is kept.
    """
    start = seed[:SEED_BYTES]
    return (start + _mark(owner, start)).hex()


def owns(owner: str, task: str) -> bool:
    """Whether a task id, of 32 hexadecimal digits, was made for `owner`."""
    raw = bytes.fromhex(task)
    return raw[SEED_BYTES:] == _mark(owner, raw[:SEED_BYTES])


def _mark(owner: str, start: bytes) -> bytes:
    return hashlib.blake2b(start + owner.encode(), digest_size=CHECK_BYTES).digest()


@dataclass
class _Kept:
    until: float
    size: int = 0


@dataclass
class ResultMemory:
    """Lets results be kept or not; one for each of `processes` web processes, each with its part of the shares."""

    redis: redis.Redis
    seconds: float  # for which a result is kept
    processes: int
    clock: Callable[[], float] = time.monotonic
    _looked: float = field(default=float("-inf"), init=False)
    _found: Examined = field(default=Examined(), init=False)
    _kept: dict[str, _Kept] = field(default_factory=dict, init=False)  # by owner: as many as there are credentials

    def admit(self, owner: str, size: int, records: int) -> None:
        """Count a result, whose body has `size` bytes and so many records, as `owner`'s.

        Raises QueueFull when Redis is too full, or the owner keeps too much already; Unavailable without Redis.
        """
        now = self.clock()
        if now - self._looked >= LOOK:
            with unavailable_when_lost():
                self._found = examine(self.redis)
            self._looked = now
        if is_nearly_full(self._found):
            raise _refused("Redis is nearly full of what is kept; results are kept again when others have gone.", 30)
        kept = self._kept.get(owner)
        if kept is None or kept.until <= now:
            kept = self._kept[owner] = _Kept(now + self.seconds)
        size += records * RECORD_BYTES
        if self._found.limit and kept.size + size > SHARE * self._found.limit / self.processes:
            detail = "These credentials have kept as many results as they may; /predict and others answer at once."
            raise _refused(detail, int(kept.until - now) + 1)
        kept.size += size


def is_nearly_full(found: Examined) -> bool:
    """Whether a Redis has too little memory left for results to be kept; one that names no limit has enough."""
    return bool(found.limit) and (found.used or 0) > MARK * (found.limit or 0)


def _refused(detail: str, seconds: int) -> QueueFull:
    error = QueueFull(detail)
    error.retry_after = seconds
    return error
