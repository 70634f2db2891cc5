"""Failures are counted by who made them, and each one after the first few makes the next attempt wait longer."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

CAPACITY = 10_000  # remembered at once; the one heard of longest ago is forgotten first
QUIET = 900.0  # seconds without a failure after which earlier ones are forgotten


@dataclass
class _Record:
    failures: int
    last: float
    blocked_until: float


class Throttle:
    """After `free` failures of one key the wait is 1 s, and doubles with each failure up to `longest` seconds."""

    def __init__(self, free: int, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.free = free
        self.longest = longest
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def wait(self, key: str) -> float:
        """The seconds until this key may try again; 0 when it may now."""
        record = self._records.get(key)
        return max(0.0, record.blocked_until - self._clock()) if record else 0.0

    def fail(self, key: str) -> int:
        """Count a failure; returns how many there were in a row."""
        now = self._clock()
        record = self._records.pop(key, None)
        failures = record.failures + 1 if record and now - record.last < QUIET else 1
        over = failures - self.free
        pause = min(self.longest, 2.0 ** min(over - 1, 30)) if over > 0 else 0.0
        self._records[key] = _Record(failures, now, now + pause)
        while len(self._records) > CAPACITY:
            self._records.popitem(last=False)
        return failures

    def forgive(self, key: str) -> None:
        """Forget a key's failures."""
        self._records.pop(key, None)
