"""A web process's mailbox: jobs go out, and their answers come back to the threads that wait for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import redis

from sb_api.jobs import Answer, Job, Jobs

logger = logging.getLogger(__name__)


class Mailbox:
    """Hands the answers on one reply list to the threads that wait for them; one for each web process."""

    def __init__(self, jobs: Jobs, name: str) -> None:
        self.jobs = jobs
        self.name = name
        self._waiting: dict[str, Callable[[Answer], None]] = {}
        self._lock = threading.Lock()
        self._reader: threading.Thread | None = None

    def exchange(self, stream: str, jobs: Sequence[Job], timeout: float) -> list[Answer | None]:
        """Submit jobs and wait for their answers, in order; None for one that did not come within `timeout` seconds.

        Raises what `Jobs.submit` raises; then nothing is queued.
        """
        answers: dict[str, Answer] = {}
        done = threading.Event()

        def receive(task: str, answer: Answer) -> None:
            answers[task] = answer
            if len(answers) == len(jobs):
                done.set()

        self._start_reader()
        for job in jobs:
            self._waiting[job.task] = partial(receive, job.task)
        try:
            self.jobs.submit(stream, jobs)
            done.wait(timeout)
        finally:
            for job in jobs:
                self._waiting.pop(job.task, None)
        return [answers.get(job.task) for job in jobs]

    def _start_reader(self) -> None:
        # Not in the constructor: a thread does not survive the fork of a pre-loading server.
        with self._lock:
            if self._reader is None or not self._reader.is_alive():
                self._reader = threading.Thread(target=self._read, name="replies", daemon=True)
                self._reader.start()

    def _read(self) -> None:
        pause = threading.Event()
        lost = False
        while True:
            try:
                for task, answer in self.jobs.read_replies(self.name, timeout=5):
                    receive = self._waiting.get(task)
                    if receive is not None:
                        receive(answer)
                lost = False
            except (redis.RedisError, msgspec.DecodeError) as error:
                # Once: five lines a second would drown what else the log says of an outage.
                if not lost:
                    logger.warning("replies cannot be read, trying until they can: %s", error)
                lost = True
                pause.wait(0.2)
