"""A web process's mailbox: jobs go out, and their answers come back to the threads that wait for them.

Two threads exchange with Redis on behalf of all the others. What is submitted during one exchange goes out together
in the next, and the answers that came together are read together: under load that saves most of the cost.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import redis

from sb_api.broker.identity import Identity
from sb_api.broker.jobs import BULK, SMALL, TRAIN, Answer, Job
from sb_api.broker.limiter import Limiter
from sb_api.broker.producer import Producer
from sb_api.config import Settings
from sb_api.errors import QueueFull, SbApiError, Unavailable

logger = logging.getLogger(__name__)

GATHERED = 256  # exchanges that go out together at most
BATCH = 256  # records of small requests that are let in though nothing is known of the rate


@dataclass(eq=False, slots=True)
class _Exchange:
    """Jobs of one request, their answers by task, and what refused them."""

    stream: str
    jobs: Sequence[Job]
    answers: dict[str, Answer] = field(default_factory=dict)
    error: SbApiError | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def receive(self, task: str, answer: Answer) -> None:
        self.answers[task] = answer
        if len(self.answers) == len(self.jobs):
            self.over.set()

    def refuse(self, error: SbApiError) -> None:
        self.error = error
        self.over.set()


def limiters(settings: Settings) -> dict[str, Limiter]:
    """How much may wait in each stream of predictions; trainings wait as long as they must."""
    return {
        SMALL: Limiter(settings.longest_wait, BATCH),
        # What would be answered too late is refused at once.
        BULK: Limiter(settings.predict_timeout * 0.9, 10 * settings.max_records),
    }


def too_much_waits() -> QueueFull:
    return QueueFull("More is waiting already than is done in time; try again in a moment.")


def _submit_surely(producer: Producer, stream: str, groups: Sequence[Sequence[Job]]) -> list[bool]:
    try:
        return producer.submit_all(stream, groups)
    except Unavailable as error:
        # The kept connection was cut, maybe before. Records may be judged twice; verdicts must not be learned twice.
        if stream == TRAIN or not isinstance(error.__cause__, redis.ConnectionError):
            raise
        return producer.submit_all(stream, groups)


class Mailbox:
    """Hands the answers on one reply list to the threads that wait for them; one for each web process."""

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.identity = Identity()
        self.limiters = limiters(producer.settings)
        self._waiting: dict[str, _Exchange] = {}
        self._outgoing: queue.SimpleQueue[_Exchange] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started_in = 0  # the process that has the threads, which do not survive a fork

    @property
    def name(self) -> str:
        """The reply list of this process. One that is started anew has another, and reads no answers of old."""
        return self.identity.name

    def exchange(self, stream: str, jobs: Sequence[Job], timeout: float, size: int = 1) -> list[Answer | None]:
        """Submit jobs of `size` records and wait for their answers, in order; None for one that did not come within
        `timeout` seconds.

        Raises QueueFull when the stream has no room for all of them or too much is waiting already; then nothing is
        queued. Raises Unavailable when Redis cannot be reached or takes nothing.
        """
        limiter = self.limiters.get(stream)
        if limiter is None:
            return self._exchange(stream, jobs, timeout)
        if not limiter.enter(size):
            raise too_much_waits()
        done = False
        try:
            answers = self._exchange(stream, jobs, timeout)
            done = None not in answers
            return answers
        finally:
            limiter.leave(size, done=done)

    def _exchange(self, stream: str, jobs: Sequence[Job], timeout: float) -> list[Answer | None]:
        exchange = _Exchange(stream, jobs)
        if self._started_in != os.getpid():
            self._start_threads()
        for job in jobs:
            self._waiting[job.task] = exchange
        try:
            self._outgoing.put(exchange)
            exchange.over.wait(timeout)
        finally:
            for job in jobs:
                self._waiting.pop(job.task, None)
        if exchange.error is not None:
            raise exchange.error
        return [exchange.answers.get(job.task) for job in jobs]

    def _start_threads(self) -> None:
        # Not in the constructor: a pre-loading server forks after it.
        with self._lock:
            if self._started_in != os.getpid():
                threading.Thread(target=self._send, name="submissions", daemon=True).start()
                threading.Thread(target=self._read, name="replies", daemon=True).start()
            self._started_in = os.getpid()

    def _send(self) -> None:
        producer = self.producer.for_one_thread()
        while True:
            gathered = defaultdict(list)
            exchange = self._outgoing.get()
            gathered[exchange.stream].append(exchange)
            for _ in range(GATHERED - 1):
                try:
                    exchange = self._outgoing.get_nowait()
                except queue.Empty:
                    break
                gathered[exchange.stream].append(exchange)
            for stream, exchanges in gathered.items():
                self._submit(producer, stream, exchanges)

    def _submit(self, producer: Producer, stream: str, exchanges: Sequence[_Exchange]) -> None:
        try:
            accepted = _submit_surely(producer, stream, [exchange.jobs for exchange in exchanges])
        except SbApiError as error:
            for exchange in exchanges:
                exchange.refuse(error)
        except Exception:
            # The thread must outlive whatever is wrong with one submission; its senders get an error.
            logger.exception("%d submissions failed", len(exchanges))
            for exchange in exchanges:
                exchange.refuse(SbApiError("The request could not be queued for a reason of ours; see the log."))
        else:
            for exchange, is_queued in zip(exchanges, accepted, strict=True):
                if not is_queued:
                    exchange.refuse(self.producer.queue_full())

    def _read(self) -> None:
        producer = self.producer.for_one_thread()
        pause = threading.Event()
        lost = cut = False
        while True:
            try:
                if cut:
                    unread = producer.unread_replies(self.name)
                    cut = False
                    self._hand_out(unread)
                self._hand_out(producer.read_replies(self.name, timeout=5))
                lost = False
            except redis.RedisError as error:
                # Once: five lines a second would drown what else the log says of an outage.
                if not lost:
                    logger.warning("replies cannot be read, trying until they can: %s", error)
                lost = cut = True
                pause.wait(0.2)
            except Exception:
                # The thread must outlive whatever is wrong with one reply; whoever waits for it gets no answer in time.
                logger.exception("a reply cannot be read")

    def _hand_out(self, replies: Sequence[tuple[str, Answer]]) -> None:
        for task, answer in replies:
            exchange = self._waiting.get(task)
            if exchange is not None:
                exchange.receive(task, answer)
