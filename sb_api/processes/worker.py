"""The loop of every process that works on jobs: claim, do, finish, beat; and go on after whatever happens to Redis."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import redis
from redis.exceptions import LockError

from sb_api.broker.jobs import Answer, Claim, Claimed, Jobs, failure
from sb_api.broker.shared_state import BEAT_INTERVAL
from sb_api.errors import JobFailed, LeaseLost, SbApiError, Unavailable
from sb_api.memory import freeze_objects, release_memory, resident_bytes
from sb_api.telemetry.aggregation import Publisher
from sb_api.telemetry.logs import is_logged, logging_about
from sb_api.telemetry.metrics import Instruments
from sb_api.telemetry.tracing import open_tracer

logger = logging.getLogger(__name__)

BLOCK = 1.0  # seconds to wait for a job before looking after other things
BULK_AT_ONCE = 8  # entries of a stream that is not urgent, while nothing urgent comes
URGENT = 1.0  # seconds for which a small request makes the worker take large ones one by one
PAUSE = 0.5  # seconds between attempts to reach a lost Redis


class Worker:
    """One process of a consumer group. `do` turns claims into answers. Before each batch `refresh` is told the versions
    of the weights that are published, by classifier, and tells those it has ready; `idle` is called when none has come.

    Jobs of the streams that are `awaited` wake the process (all by default); it takes others' when nobody else does.
    In an `ordered` worker's stream one job is under way at a time, across all processes, oldest first.
    """

    def __init__(
        self,
        jobs: Jobs,
        role: str,
        streams: Sequence[str],
        do: Callable[[Sequence[Claim]], list[Answer]],
        refresh: Callable[[Mapping[str, str]], dict[str, str]],
        *,
        instruments: Instruments | None = None,
        idle: Callable[[], None] | None = None,
        ordered: bool = False,
        awaited: Sequence[str] = (),
    ) -> None:
        self.jobs = jobs
        self.role = role
        self.streams = streams
        self.do = do
        self.refresh = refresh
        self.instruments = instruments or Instruments()
        self.idle = idle
        self.ordered = ordered
        self.awaited = awaited
        self.publisher = Publisher(jobs, self.instruments)
        self.tracer = open_tracer(role)
        self.stopping = threading.Event()
        self._versions: dict[str, str] = {}
        self._has_news = threading.Event()
        self._idling = False
        self._look_for_stale = 0.0
        self._urgent_until = 0.0
        self._look_at_others = 0.0
        self._delivered: dict[str, bytes] = {}
        self._is_needed = False
        self._held: Sequence[Claim] = ()
        self._locks: list[Any] = []

    def run_process(self) -> None:
        """Be the work of this process: run until SIGTERM or SIGINT, and then finish the batch under way."""

        def stop(*_: object) -> None:
            self.stopping.set()
            if self._idling or not self._versions:
                # Nothing is claimed, and warming up takes longer than stopping may. Keras would swallow a SystemExit.
                os._exit(0)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        self.run()
        # At its end Python would look for garbage in all that TensorFlow has made, which takes seconds.
        gc.freeze()

    def run(self) -> None:
        """Work until told to stop."""
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(over,), name="beat", daemon=True)
        beat.start()
        while not self.stopping.is_set():
            try:
                self._run_connected()
            except (redis.RedisError, Unavailable, OSError) as error:
                logger.warning("Redis, a database or a disk fails, trying again: %s", error)
                self.stopping.wait(PAUSE)
        # Not at the signal: what is under way keeps its lease until it is done.
        over.set()
        self._has_news.set()
        beat.join(PAUSE)
        self.leave()

    def leave(self) -> None:
        """Send what is counted and traced, and take this process out of the groups."""
        if self.tracer is not None:
            self.tracer.close()
        try:
            self.publisher.publish()
            self.jobs.leave(self.streams)
        except redis.RedisError as error:
            logger.debug("left without a word to Redis: %s", error)

    def _run_connected(self) -> None:
        self.jobs.ensure_groups(self.streams)
        self._refresh(self.jobs.published_versions())
        freeze_objects()
        worked = False
        while not self.stopping.is_set():
            # Published after the claims: a job that was sent after a training must be judged by what the training made.
            claims, published = self._claim()
            worked = self._refresh(published) or worked
            if claims:
                self._work(claims)
                worked = True
            elif worked:
                release_memory()
                worked = False
            elif self.idle is not None and not self.stopping.is_set():
                self._idling = True
                self.idle()
                self._idling = False

    def _refresh(self, published: Mapping[str, str]) -> bool:
        """Work with what is published; whether that is something else than before."""
        before, self._versions = self._versions, self.refresh(published)
        if self._versions == before:
            return False
        self._has_news.set()
        return True

    def _claim(self) -> Claimed:
        if monotonic() >= self._look_for_stale:
            stale = self.jobs.claim_stale(self.streams)
            if stale:
                return Claimed(stale, self.jobs.published_versions())
            # Not before every batch: with many small ones it would cost as much as the claims themselves.
            self._look_for_stale = monotonic() + self.jobs.settings.lease / 10
        if self.ordered:
            return self._claim_in_order()
        # Whoever sent a small request lately may soon send another, and should not wait for several large ones.
        others = 1 if monotonic() < self._urgent_until else BULK_AT_ONCE
        streams = self._choose_streams()
        count = self.jobs.settings.batch_requests if streams[0] == self.streams[0] else others
        claimed = self.jobs.claim(streams, count, BLOCK, others=others, awaited=self.awaited)
        if self.awaited:
            self._delivered |= {claim.stream: claim.entry for claim in claimed.claims}
        if any(claim.stream == self.streams[0] for claim in claimed.claims):
            self._urgent_until = monotonic() + URGENT
        return claimed

    def _choose_streams(self) -> Sequence[str]:
        """The streams, without those that others look after: a helper leaves small requests to them, and whoever had a
        small one lately leaves large ones to helpers, so that the next small one waits for none."""
        if self.awaited:
            kept = self.awaited
        elif monotonic() < self._urgent_until:
            kept = self.streams[:1]
        else:
            return self.streams
        if monotonic() >= self._look_at_others:
            self._is_needed = any(self._is_left_alone(stream) for stream in self.streams if stream not in kept)
            self._look_at_others = monotonic() + BLOCK / 2
        return self.streams if self._is_needed else kept

    def _is_left_alone(self, stream: str) -> bool:
        """Whether a stream's jobs, which are for others, are claimed by nobody."""
        delivered, is_more = self.jobs.progress(stream)
        before, self._delivered[stream] = self._delivered.get(stream), delivered
        if self.awaited:
            # What this process claimed meanwhile does not count, so it goes on as long as it is alone.
            return is_more and before == delivered
        # To helpers alone: several that left large requests to each other would all stop, and all begin again.
        return before in (None, delivered) or not any(beat.helper for beat in self.jobs.registry.alive())

    def _claim_in_order(self) -> Claimed:
        # Under a lock, or two processes could both see that nothing is under way, and take a job each.
        lock = self.jobs.lock(f"order:{self.role}")
        if lock.acquire(blocking=False):
            try:
                # What is under way, or waits for a dead process's lease to run out, comes before what was sent later.
                if not any(self.jobs.pending(stream) for stream in self.streams):
                    return self.jobs.claim(self.streams, 1, min(BLOCK, self.jobs.settings.lease / 2))
            finally:
                with suppress(LockError):
                    lock.release()
        self.stopping.wait(PAUSE)
        return Claimed([], self.jobs.published_versions())

    def _work(self, claims: Sequence[Claim]) -> None:
        self._held = claims
        claimed = time.time()
        try:
            with logging_about(claim.job.request for claim in claims):
                answers = self._do_and_finish(claims)
            self.instruments.count_jobs(claims, answers, claimed)
            self._log_jobs(claims, answers, claimed)
            if self.tracer is not None:
                self.tracer.record_jobs(claims, answers, claimed)
        except LeaseLost as error:
            logger.warning("an answer is dropped: %s", error.detail)
        finally:
            self._held = ()

    def _log_jobs(self, claims: Sequence[Claim], answers: Sequence[Answer], claimed: float) -> None:
        seconds = time.time() - claimed
        for claim, answer in zip(claims, answers, strict=True):
            job = claim.job
            if is_logged(job.request, self.jobs.settings.access_log):
                fields = {
                    "operation": job.operation,
                    "classifier": job.classifier,
                    "status": answer.status,
                    "waited": round(max(0.0, claimed - claim.sent), 6),
                    "seconds": round(seconds, 6),
                    "batch_jobs": len(claims),
                }
                with logging_about((job.request,)):
                    logger.info("job", extra={"fields": fields})

    def _do_and_finish(self, claims: Sequence[Claim]) -> list[Answer]:
        # Again and again, with the claims held: given back, what Redis cannot take for a while (full, its disk full)
        # would look as if it had killed a process each time.
        failed = ""
        while True:
            try:
                self.jobs.mark_processing(claims)
                answers = self._answers(claims)
                self.jobs.finish(list(zip(claims, answers, strict=True)))
                return answers
            except redis.RedisError as error:
                if str(error) != failed:
                    logger.warning("a batch of %d jobs waits for Redis: %s", len(claims), error)
                failed = str(error)
                if self.stopping.wait(PAUSE):
                    raise

    def _answers(self, claims: Sequence[Claim]) -> list[Answer]:
        first = claims[0]
        if first.deliveries > self.jobs.settings.max_deliveries:
            logger.error("task %s is set aside after %d deliveries", first.job.task, first.deliveries)
            self.jobs.registry.note_error(self.role, f"task {first.job.task} has stopped processes and was set aside")
            return [failure(JobFailed(f"The job has stopped {first.deliveries - 1} processes and was set aside."))]
        try:
            return self.do(claims)
        except (redis.RedisError, LeaseLost):
            raise
        except SbApiError as error:
            if len(claims) == 1:
                return [failure(error)]
        except Exception:
            logger.exception("a batch of %d jobs failed", len(claims))
            self.jobs.registry.note_error(self.role, f"{len(claims)} jobs at once failed; the log says why")
            if len(claims) == 1:
                return [failure(JobFailed("The job failed for a reason of ours, which is in the log."))]
        return [self._answers([claim])[0] for claim in claims]

    def _beat(self, over: threading.Event) -> None:
        while True:
            # What is new is told at once: which weights every process works with is seen by these beats.
            self._has_news.wait(min(BEAT_INTERVAL, self.jobs.settings.lease / 3))
            if over.is_set():
                return
            self._has_news.clear()
            # Each by itself: a Redis whose memory is full renews a lease, and refuses the rest.
            for step in (self._renew, self._say_alive, self.publisher.publish):
                try:
                    step()
                except (redis.RedisError, OSError) as error:
                    logger.debug("no beat: %s", error)

    def _renew(self) -> None:
        self.jobs.renew(self._held)
        for lock in list(self._locks):
            lock.reacquire()

    def _say_alive(self) -> None:
        if self._versions:
            self.jobs.registry.beat(self.role, self._versions, resident_bytes(), helper=bool(self.awaited))

    @contextmanager
    def alone(self, name: str) -> Iterator[Callable[[], None]]:
        """Hold a lock across all hosts. Yields a check that raises LeaseLost when the lock or a claim is lost."""
        lock = self.jobs.lock(name)
        lock.acquire(blocking=True)
        self._locks.append(lock)

        def check() -> None:
            if not lock.owned() or not self.jobs.renew(self._held):
                raise LeaseLost("This process stood still for too long, and another has taken the job over.")

        try:
            yield check
        finally:
            self._locks.remove(lock)
            try:
                lock.release()
            except (LockError, redis.RedisError) as error:
                logger.warning("the lock %s was lost before it was given back: %s", name, error)
