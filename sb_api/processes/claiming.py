"""Four ways to choose what a process claims next: small requests first, large ones alone, jobs as they come, or one job
at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import ClassVar, Protocol

from redis.exceptions import LockError

from sb_api.broker.connection import PREFIX
from sb_api.broker.consumer import Consumer
from sb_api.broker.jobs import BULK, SMALL, Claimed
from sb_api.records import RECORD_TYPES

BLOCK = 1.0  # seconds to wait for a job before looking after other things
MOMENT = 0.005  # seconds to wait for one before work that can wait: who has just been answered may soon send another
BULK_AT_ONCE = 8  # entries of a stream that is not urgent, while nothing urgent comes
BULK_SECONDS = 0.5  # that they may take at once: for so long what is urgent may wait for them
URGENT = 1.0  # seconds for which a small request makes the worker take large ones one by one
AT_ONCE = 8  # jobs of a stream that are done as they come
PAUSE = 0.5  # seconds between attempts to reach a lost Redis


class Claiming(Protocol):
    """How a worker claims jobs of its `streams`; `is_helper`: it is there for large requests."""

    streams: Sequence[str]
    is_helper: ClassVar[bool]

    def claim(
        self, consumer: Consumer, stopping: threading.Event, /, *, beside: bool = False, wait: bool = True
    ) -> Claimed:
        """Jobs to do now, none when none came for a while, or for a moment, if not to `wait`; `beside` a large one
        that is under way, what cannot wait for that and is there already. Raises RedisError."""
        ...


class _Pace:
    """How many entries of the bulk stream to claim at once: one when a small request came lately, whose sender may soon
    send another; else as many as are done in BULK_SECONDS at the rate of the last ones."""

    def __init__(self) -> None:
        self._until = 0.0
        self._claimed = 0.0
        self._bulk = 0
        self._seconds = 0.0  # that an entry took

    @property
    def is_urgent(self) -> bool:
        return monotonic() < self._until

    @property
    def bulk_at_once(self) -> int:
        """How many entries of the bulk stream to claim at once."""
        if self._bulk:
            self._seconds = (monotonic() - self._claimed) / self._bulk
            self._bulk = 0
        if self.is_urgent:
            return 1
        return max(1, min(BULK_AT_ONCE, int(BULK_SECONDS / self._seconds) if self._seconds else BULK_AT_ONCE))

    def note(self, claimed: Claimed) -> None:
        """Take in what is claimed; it is done by the next look at `bulk_at_once`."""
        small = sum(claim.stream == SMALL for claim in claimed.claims)
        self._bulk = len(claimed.claims) - small
        self._claimed = monotonic()
        if small:
            self.note_urgent()

    def note_urgent(self) -> None:
        """Take in that a small request came."""
        self._until = monotonic() + URGENT


class SmallFirst:
    """Small requests first, then large ones; after a small one, large ones are left to helpers as long as these take
    them, so that the next small one waits for none."""

    is_helper: ClassVar[bool] = False

    def __init__(self) -> None:
        self.streams: Sequence[str] = (SMALL, BULK)
        self._pace = _Pace()
        self._next_look = 0.0
        self._last_delivered: bytes | None = None
        self._takes_bulk = False

    def claim(self, consumer: Consumer, _: threading.Event, /, *, beside: bool = False, wait: bool = True) -> Claimed:
        if beside:
            claimed = consumer.claim((SMALL,), consumer.settings.batch_requests, 0)
            if claimed.claims:
                self._pace.note_urgent()
            return claimed
        is_urgent = self._pace.is_urgent
        if is_urgent and monotonic() >= self._next_look:
            self._takes_bulk = self._is_bulk_left_alone(consumer)
            self._next_look = monotonic() + BLOCK / 2
        streams = self.streams if self._takes_bulk or not is_urgent else (SMALL,)
        count, others = consumer.settings.batch_requests, self._pace.bulk_at_once
        claimed = consumer.claim(streams, count, BLOCK if wait else MOMENT, others=others)
        self._pace.note(claimed)
        return claimed

    def _is_bulk_left_alone(self, consumer: Consumer) -> bool:
        before = self._last_delivered
        self._last_delivered, _ = consumer.progress(BULK)
        # To helpers alone: several that left large requests to each other would all stop, and all begin again.
        return before in (None, self._last_delivered) or not any(
            beat.helper for beat in consumer.broker.registry.alive()
        )


class LargeOnly:
    """Large requests alone: of a helper, which takes small ones as long as nobody else does."""

    is_helper: ClassVar[bool] = True

    def __init__(self) -> None:
        self.streams: Sequence[str] = (SMALL, BULK)
        self._pace = _Pace()
        self._next_look = 0.0
        self._last_delivered: bytes | None = None
        self._takes_small = False

    def claim(self, consumer: Consumer, _: threading.Event, /, *, beside: bool = False, wait: bool = True) -> Claimed:
        if monotonic() >= self._next_look:
            self._takes_small = self._are_small_left_alone(consumer)
            self._next_look = monotonic() + BLOCK / 2
        count, block = consumer.settings.batch_requests, BLOCK if wait else MOMENT
        if beside:
            claimed = consumer.claim((SMALL,) if self._takes_small else (), count, 0)
        elif self._takes_small:
            others = self._pace.bulk_at_once
            claimed = consumer.claim(self.streams, count, block, others=others, awaited=(BULK,))
        else:
            claimed = consumer.claim((BULK,), self._pace.bulk_at_once, block)
        for claim in claimed.claims:
            if claim.stream == SMALL:
                # What this process claims itself does not count, so it goes on as long as it is alone.
                self._last_delivered = claim.entry
        if not beside:
            self._pace.note(claimed)
        return claimed

    def _are_small_left_alone(self, consumer: Consumer) -> bool:
        before = self._last_delivered
        self._last_delivered, is_more = consumer.progress(SMALL)
        return is_more and before == self._last_delivered


class AsTheyCome:
    """Jobs of a stream, several at a time, oldest first."""

    is_helper: ClassVar[bool] = False

    def __init__(self, stream: str) -> None:
        self.streams: Sequence[str] = (stream,)

    def claim(self, consumer: Consumer, _: threading.Event, /, *, beside: bool = False, wait: bool = True) -> Claimed:
        if beside:
            return consumer.claim((), 0, 0)
        return consumer.claim(self.streams, AT_ONCE, BLOCK if wait else MOMENT)


class OneAtATime:
    """One job of a stream under way at a time, across all processes, oldest first."""

    is_helper: ClassVar[bool] = False

    def __init__(self, stream: str) -> None:
        self.streams: Sequence[str] = (stream,)
        self._stream = stream

    def claim(
        self, consumer: Consumer, stopping: threading.Event, /, *, beside: bool = False, wait: bool = True
    ) -> Claimed:
        if beside:
            return consumer.claim((), 0, 0)
        # Under a lock, or two processes could both see that nothing is under way, and take a job each.
        lock = consumer.lock(f"order:{self._stream.removeprefix(PREFIX)}")
        if lock.acquire(blocking=False):
            try:
                # What is under way, or waits for a dead process's lease to run out, comes before what was sent later.
                if not consumer.pending(self._stream):
                    return consumer.claim(self.streams, 1, min(BLOCK, consumer.settings.lease / 2) if wait else 0)
            finally:
                with suppress(LockError):
                    lock.release()
        stopping.wait(PAUSE if wait else 0)
        return Claimed([], consumer.broker.registry.published_versions(RECORD_TYPES))
