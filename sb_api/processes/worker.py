"""The loop of every process that works on jobs: claim, do, finish, beat; and go on after whatever happens to Redis."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

import redis
from redis.exceptions import LockError

from sb_api.broker.consumer import Consumer
from sb_api.broker.examination import examine
from sb_api.broker.jobs import Answer, Claim, Claimed, failure
from sb_api.broker.shared_state import BEAT_INTERVAL
from sb_api.errors import JobFailed, LeaseLost, NoAnswerInTime, SbApiError, Unavailable
from sb_api.memory import freeze_objects, release_memory, resident_bytes
from sb_api.processes.claiming import PAUSE, Claiming
from sb_api.processes.supervisor import ends
from sb_api.records import RECORD_TYPES
from sb_api.telemetry.aggregation import Publisher
from sb_api.telemetry.logs import is_logged, logging_about
from sb_api.telemetry.metrics import Instruments
from sb_api.telemetry.tracing import open_tracer

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 600.0  # seconds between two log lines of one outage


@dataclass
class Outage:
    """Something that fails again and again: logged at once, and then ever more rarely. Times are monotonic seconds."""

    began: float | None = None
    reason: str = ""
    pause: float = 0.0
    due: float = 0.0

    def note(self, reason: str, moment: float) -> None:
        """Log that it fails, when the last time was long enough ago or it fails for another reason."""
        if self.began is None:
            self.began = moment
        if reason != self.reason:
            self.reason, self.pause, self.due = reason, FIRST_PAUSE, moment
        if moment < self.due:
            return
        logger.warning("nothing can be done, trying again: %s", reason)
        self.due, self.pause = moment + self.pause, min(2 * self.pause, LONGEST_PAUSE)

    def end(self, moment: float) -> None:
        """Log that it works again, if it failed."""
        if self.began is not None:
            logger.warning("it works again, after %.0f s", moment - self.began)
        self.began, self.reason = None, ""


Do = Callable[[Sequence[Claim]], Sequence[Answer | None]]


class Spare(Protocol):
    """Work that is done a piece at a time, when there is no job to do. What comes meanwhile waits for a piece."""

    def is_due(self) -> bool:
        """Whether there is any."""
        ...

    def work(self) -> None:
        """Do a piece of it. May raise RedisError."""
        ...


class Worker:
    """One process of a consumer group, which claims jobs as `claiming` says. `do` turns claims into answers; None for
    one of which only a part is done: it is called with that one alone again, once what came meanwhile is done. Before
    each batch `refresh` gets the versions of the weights that are published, by classifier, and returns those that it
    has ready; `idle` is called when no job has come, `after` with jobs that are done, once their answers are out;
    `spare` is what can wait until no job comes.
    """

    def __init__(
        self,
        consumer: Consumer,
        role: str,
        claiming: Claiming,
        do: Do,
        refresh: Callable[[Mapping[str, str]], dict[str, str]],
        *,
        instruments: Instruments | None = None,
        idle: Callable[[], None] | None = None,
        after: Callable[[Sequence[Claim], Sequence[Answer]], None] | None = None,
        spare: Spare | None = None,
    ) -> None:
        self.consumer = consumer
        self.role = role
        self.claiming = claiming
        self.do = do
        self.refresh = refresh
        self.instruments = instruments or Instruments()
        self.idle = idle
        self.after = after
        self.spare = spare
        self.publisher = Publisher(consumer.broker, self.instruments)
        self.tracer = open_tracer(role)
        self.stopping = threading.Event()
        self._versions: dict[str, str] = {}
        self._has_news = threading.Event()
        self._idling = False
        self._look_for_stale = 0.0
        self._after_kill = 0
        self._outage = Outage()
        self._held: Sequence[Claim] = ()
        # What is done in part, oldest first, and when (seconds since 1970) it was claimed.
        self._unfinished: dict[tuple[str, bytes], tuple[Claim, float]] = {}
        self._locks: list[Any] = []

    def run_process(self, after_kill: int = 0) -> None:
        """Be the work of this process: run until SIGTERM, SIGINT or SIGHUP, and then finish the batch under way.

        `after_kill` is the number of the process that this one stands in for, when somebody has killed it.
        """
        self._after_kill = after_kill

        def stop(*_: object) -> None:
            self.stopping.set()
            if self._idling or not self._versions:
                # Nothing is claimed, and warming up takes longer than stopping may. Keras would swallow a SystemExit.
                os._exit(0)

        for number in ends():
            signal.signal(number, stop)
        # A process that has started itself anew holds signals back until here.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ends())
        self.run()
        # At its end Python would look for garbage in all that TensorFlow has made, which takes seconds.
        gc.freeze()

    def run(self) -> None:
        """Work until `stopping` is set."""
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(over,), name="beat", daemon=True)
        beat.start()
        while not self.stopping.is_set():
            try:
                self._run_connected()
            except (redis.RedisError, Unavailable, OSError) as error:
                self._outage.note(str(error), monotonic())
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
            self.consumer.leave(self.claiming.streams)
        except redis.RedisError as error:
            logger.debug("left without a word to Redis: %s", error)

    def _run_connected(self) -> None:
        redis_server = examine(self.consumer.redis)
        if self._outage.began is None:
            for fault in (*redis_server.problems(), *redis_server.warnings()):
                logger.error("%s", fault)
        self.consumer.ensure_groups(self.claiming.streams)
        if self._after_kill:
            self.consumer.release_claims_of(self.claiming.streams, self._after_kill)
            self._after_kill = 0
        self._refresh(self.consumer.broker.registry.published_versions(RECORD_TYPES))
        self._outage.end(monotonic())
        freeze_objects()
        worked = False
        while not self.stopping.is_set() or self._unfinished:
            spare = self.spare if self.spare is not None and self.spare.is_due() else None
            # Published after the claims: a job that was sent after a training must be judged by what the training made.
            claims, published, moment = self._claim(wait=spare is None)
            claims = self._drop_forsaken(claims, moment)
            worked = self._refresh(published) or worked
            if claims:
                self._work(claims, time.time())
            is_busy = bool(claims or self._unfinished)
            if self._unfinished:
                claim, claimed = next(iter(self._unfinished.values()))
                self._work([claim], claimed)
            if is_busy:
                worked = True
            elif spare is not None and not self.stopping.is_set():
                spare.work()
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

    def _claim(self, wait: bool) -> Claimed:
        if self.stopping.is_set():
            return Claimed([], self.consumer.broker.registry.published_versions(RECORD_TYPES))
        if monotonic() >= self._look_for_stale:
            # Its own may be among them, if this process stood still; they are under way.
            stale = self.consumer.claim_stale(self.claiming.streams)
            stale = [claim for claim in stale if claim.place not in self._unfinished]
            if stale:
                return Claimed(stale, self.consumer.broker.registry.published_versions(RECORD_TYPES))
            # Not before every batch: with many small ones it would cost as much as the claims themselves.
            self._look_for_stale = monotonic() + self.consumer.settings.lease / 10
        return self.claiming.claim(self.consumer, self.stopping, beside=bool(self._unfinished), wait=wait)

    def _drop_forsaken(self, claims: list[Claim], moment: float) -> list[Claim]:
        """The claims without those whose senders wait no longer: what is done for nobody keeps others waiting."""
        forsaken = [claim for claim in claims if not claim.is_awaited(moment)]
        if not forsaken:
            return claims
        logger.warning("%d jobs are dropped: their senders wait no longer", len(forsaken))
        late = failure(NoAnswerInTime("Nobody waited for the answer any more."))
        self.consumer.finish([(claim, late) for claim in forsaken])
        self.instruments.count_jobs(forsaken, [late] * len(forsaken), time.time())
        return [claim for claim in claims if claim.is_awaited(moment)]

    def _work(self, claims: Sequence[Claim], claimed: float) -> None:
        others = (claim for place, (claim, _) in self._unfinished.items() if place != claims[0].place)
        self._held = [*claims, *others]
        try:
            with logging_about(claim.job.request for claim in claims):
                answers = self._do_and_finish(claims)
            for claim, answer in zip(claims, answers, strict=True):
                if answer is None:
                    self._unfinished.setdefault(claim.place, (claim, claimed))
                else:
                    self._unfinished.pop(claim.place, None)
            done = _done(claims, answers)
            if done:
                self._note_done([claim for claim, _ in done], [answer for _, answer in done], claimed)
        except LeaseLost as error:
            logger.warning("an answer is dropped: %s", error.detail)
            for claim in claims:
                self._unfinished.pop(claim.place, None)
        finally:
            self._held = [claim for claim, _ in self._unfinished.values()]

    def _note_done(self, claims: Sequence[Claim], answers: Sequence[Answer], claimed: float) -> None:
        self.instruments.count_jobs(claims, answers, claimed)
        if self.after is not None:
            self.after(claims, answers)
        self._log_jobs(claims, answers, claimed)
        if self.tracer is not None:
            self.tracer.record_jobs(claims, answers, claimed)

    def _log_jobs(self, claims: Sequence[Claim], answers: Sequence[Answer], claimed: float) -> None:
        seconds = time.time() - claimed
        for claim, answer in zip(claims, answers, strict=True):
            job = claim.job
            if is_logged(job.request, self.consumer.settings.access_log):
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

    def _do_and_finish(self, claims: Sequence[Claim]) -> Sequence[Answer | None]:
        # Again and again, with the claims held: given back, what Redis cannot take for a while (full, its disk full)
        # would look as if it had killed a process each time.
        failed = ""
        while True:
            try:
                self.consumer.mark_processing(claims)
                answers = self._answers(claims)
                if done := _done(claims, answers):
                    self.consumer.finish(done)
                return answers
            except redis.RedisError as error:
                if str(error) != failed:
                    logger.warning("a batch of %d jobs waits for Redis: %s", len(claims), error)
                failed = str(error)
                if self.stopping.wait(PAUSE):
                    raise

    def _answers(self, claims: Sequence[Claim]) -> Sequence[Answer | None]:
        first = claims[0]
        if first.deliveries > self.consumer.settings.max_deliveries:
            logger.error("task %s is set aside after %d deliveries", first.job.task, first.deliveries)
            self.consumer.broker.registry.note_error(
                self.role, f"task {first.job.task} has stopped processes and was set aside"
            )
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
            self.consumer.broker.registry.note_error(self.role, f"{len(claims)} jobs at once failed; the log says why")
            if len(claims) == 1:
                return [failure(JobFailed("The job failed for a reason of ours, which is in the log."))]
        return [self._answers([claim])[0] for claim in claims]

    def _beat(self, over: threading.Event) -> None:
        while True:
            # News goes out at once: these beats show which weights every process works with.
            self._has_news.wait(min(BEAT_INTERVAL, self.consumer.settings.lease / 3))
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
        self.consumer.renew(self._held)
        for lock in list(self._locks):
            lock.reacquire()

    def _say_alive(self) -> None:
        if self._versions:
            self.consumer.broker.registry.beat(
                self.role, self._versions, resident_bytes(), helper=self.claiming.is_helper
            )

    @contextmanager
    def alone(self, name: str) -> Iterator[Callable[[], None]]:
        """Hold a lock across all hosts. Yields a check that raises LeaseLost when the lock or a claim is lost."""
        lock = self.consumer.lock(name)
        while not lock.acquire(blocking=True, blocking_timeout=self.consumer.settings.lease):
            lock = self.consumer.lock(name)  # anew, in case the clock was set back
        self._locks.append(lock)

        def check() -> None:
            if not lock.owned() or not self.consumer.renew(self._held):
                raise LeaseLost("This process stood still for too long, and another has taken the job over.")

        try:
            yield check
        finally:
            self._locks.remove(lock)
            try:
                lock.release()
            except (LockError, redis.RedisError) as error:
                logger.warning("the lock %s was lost before it was given back: %s", name, error)


def _done(claims: Sequence[Claim], answers: Sequence[Answer | None]) -> list[tuple[Claim, Answer]]:
    return [(claim, answer) for claim, answer in zip(claims, answers, strict=True) if answer is not None]
