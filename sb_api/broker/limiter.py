"""Back-pressure: no more work is let in than would be done in time at the rate of late, or than memory has room for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from sb_api.errors import QueueFull

WINDOW = 0.25  # seconds of work that one measurement of the rate takes
WEIGHT = 0.3  # of the latest measurement


SMALL_ENOUGH = 256 * 1024  # bytes of a body that is let in whatever else is inside
PATIENCE = 5.0  # seconds for which a larger one waits for room


class Room:
    """Lets bodies in that are `most` bytes together; one of them, however large, may always be inside."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.inside = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, size: int, patience: float = PATIENCE) -> Iterator[None]:
        """Room for a body of so many bytes. Raises QueueFull when there is none within `patience` seconds."""
        if size <= SMALL_ENOUGH:
            yield
            return
        with self._changed:
            if not self._changed.wait_for(lambda: not self.inside or self.inside + size <= self.most, patience):
                raise QueueFull("As many large requests are inside as memory has room for; try again in a moment.")
            self.inside += size
        try:
            yield
        finally:
            with self._changed:
                self.inside -= size
                self._changed.notify_all()


class Limiter:
    """Lets work in while all that is inside would be done within `longest` seconds, and up to `least` in any case.

    The rate is that of the answers, so it follows the machine, the number of workers and what the batches gain. By
    Little's law the time that work spends inside is what is inside, divided by that rate. Work is counted in records.
    """

    def __init__(self, longest: float, least: int, clock: Callable[[], float] = monotonic) -> None:
        self.longest = longest
        self.least = least
        self.inside = 0
        self.rate = 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._done = 0
        self._busy = 0.0
        self._since = 0.0

    def enter(self, size: int) -> bool:
        """Let work of `size` in, or not. One piece of work, however large, may always be inside."""
        with self._lock:
            if not self.has_room(size):
                return False
            if not self.inside:
                self._since = self._clock()
            self.inside += size
            return True

    def has_room(self, size: int) -> bool:
        """Whether work of `size` would be let in now."""
        return not self.inside or self.inside + size <= max(self.least, self.rate * self.longest)

    def leave(self, size: int, *, done: bool) -> None:
        """Let work out, `done` or given up."""
        with self._lock:
            now = self._clock()
            self._busy += now - self._since
            self._since = now
            self.inside -= size
            self._done += size if done else 0
            if self._busy >= WINDOW:
                latest = self._done / self._busy
                self.rate += (latest - self.rate) * (WEIGHT if self.rate else 1.0)
                self._done, self._busy = 0, 0.0
