"""The train process: one train job at a time, and what that needs in memory only as long as trainings come."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from sb_api.broker.connection import connect
from sb_api.broker.consumer import Consumer
from sb_api.broker.jobs import TRAIN, Answer, Claim, Replay, Training
from sb_api.broker.shared_state import Broker
from sb_api.config import Settings
from sb_api.errors import JobFailed, SbApiError, Unavailable
from sb_api.judgements import VerdictQuery
from sb_api.memory import freeze_objects, release_memory
from sb_api.processes.claiming import OneAtATime
from sb_api.processes.worker import Worker
from sb_api.records import KINDS, decode_payload

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer

logger = logging.getLogger(__name__)

NICENESS = 5  # where both want a processor, predictions get about three quarters of it


def do_job(trainers: dict[str, Trainer], worker: Worker, claim: Claim) -> Answer:
    """Train, roll back, replay or look into the log, as the job says. Raises SbApiError when it cannot be done; then
    nothing changes."""
    job = claim.job
    trainer = trainers.get(job.classifier)
    if trainer is None:
        raise JobFailed(f"There is no classifier {job.classifier!r}.")
    if job.operation == "verdicts":
        return Answer(status="completed", data=trainer.find_verdicts(decode_payload(job.body, VerdictQuery)))
    with (
        worker.instruments.training(job.classifier, job.operation),
        worker.alone(f"train:{job.classifier}") as check,
    ):
        trainer.publication.synchronize()
        if job.operation == "train":
            training = decode_payload(job.body, Training)
            verdicts = decode_payload(training.verdicts, list[trainer.classifier.kind.verdict])  # type: ignore[name-defined]
            data = trainer.train(job.task, verdicts, check, training.force)
        elif job.operation == "replay":
            asked = decode_payload(job.body, bool | Replay)
            wanted = Replay(asked) if isinstance(asked, bool) else asked  # older web processes send `force` alone

            def report(done: dict[str, Any]) -> None:
                worker.consumer.mark_processing([claim], done)

            data = trainer.replay(job.task, check, wanted.force, report, wanted.with_undone)
        else:
            data = trainer.roll_back(decode_payload(job.body, str), check)
        return Answer(status="completed", data=data)


class TrainProcess:
    """The train process: what it has in memory, and when that comes and goes.

    `cold`: TensorFlow is loaded for the next training, not before. `found` is what a cold process has seen of the
    weights, on disk and in Redis; `used` is when (monotonic seconds) anything was last done with what is loaded, and
    `retry_at` when kept verdicts are tried again, None where none are kept.
    """

    def __init__(self, settings: Settings, cold: bool, retry_in: float | None = None) -> None:
        self.settings = settings
        self.cold = cold or not settings.trainer_idle
        self.broker = Broker.of(connect(settings), settings)
        self.trainers: dict[str, Trainer] = {}
        self.found: dict[str, str] = {}
        self.used = monotonic()
        self.retry_at = None if retry_in is None else monotonic() + retry_in
        self.worker = Worker(
            Consumer(self.broker), "train", OneAtATime(TRAIN), do=self.do, refresh=self.refresh, idle=self.idle
        )

    def load(self) -> None:
        """Have a trainer of every classifier."""
        from sb_api.learning.trainer import Trainer
        from sb_api.models.classifiers import CLASSIFIERS

        for name, classifier in CLASSIFIERS.items():
            if name not in self.trainers:
                self.trainers[name] = Trainer(self.broker, classifier)
                self.used = monotonic()

    def do(self, claims: Sequence[Claim]) -> list[Answer]:
        try:
            self.load()
            return [do_job(self.trainers, self.worker, claim) for claim in claims]
        finally:
            release_memory()
            self.used = monotonic()
            self._plan_retry()

    def refresh(self, published: Mapping[str, str]) -> dict[str, str]:
        """The version that is current of each classifier. While nothing is loaded and nobody has changed the weights,
        those that are published."""
        if self.cold and not self.trainers:
            now = look_at_files(self.settings) | dict(published)
            self.found = self.found or now
            if now == self.found and now.keys() >= KINDS.keys():
                return {name: now[name] for name in KINDS}
        for trainer in self.trainers.values():
            trainer.publication.synchronize()
        self.load()
        return {name: trainer.publication.version for name, trainer in self.trainers.items()}

    def idle(self) -> None:
        """Load TensorFlow at the start; try kept verdicts again from time to time; let TensorFlow go when no training
        has come for long."""
        if not self.cold:
            for trainer in self.trainers.values():
                trainer.warm_up()
            freeze_objects()
            self.cold, self.used = True, monotonic()
            self._plan_retry()
        elif self.retry_at is not None and monotonic() > self.retry_at:
            self._try_kept()
        elif self.trainers and monotonic() - self.used > self.settings.trainer_idle:
            logger.info("no training for %g s: what it takes is let go until the next", self.settings.trainer_idle)
            left = [] if self.retry_at is None else ["--retry-in", str(max(0.0, self.retry_at - monotonic()))]
            # The same process to its parent, another to Redis; what it said of itself stays until that one is there.
            self.worker.consumer.leave_groups([TRAIN])
            os.execv(sys.executable, [sys.executable, "-m", "sb_api", "trainer", "--cold", *left])

    def _plan_retry(self) -> None:
        """Note when kept verdicts are to be tried again, if there are any."""
        try:
            kept = any(trainer.has_kept() for trainer in self.trainers.values())
        except Unavailable as error:
            logger.debug("whether verdicts are kept is not known: %s", error.detail)
            return
        if not (kept and self.settings.retry_kept):
            self.retry_at = None
        elif self.retry_at is None:
            self.retry_at = monotonic() + self.settings.retry_kept

    def _try_kept(self) -> None:
        """Have kept verdicts learned; what goes wrong is nobody's request, and is tried again later."""
        self.retry_at = None
        self.load()
        for name, trainer in self.trainers.items():
            try:
                with self.worker.alone(f"train:{name}") as check:
                    trainer.publication.synchronize()
                    trainer.try_kept(check)
            except SbApiError as error:
                logger.error("kept verdicts of %s could not be tried again: %s", name, error.detail)
        release_memory()
        self.used = monotonic()
        self._plan_retry()


def train_process(settings: Settings, cold: bool = False, after_kill: int = 0, retry_in: float | None = None) -> None:
    """Train, roll back and replay, one job at a time, until told to stop.

    TensorFlow is loaded once all else is up, unless `trainer_idle` is 0. When no training has come for `trainer_idle`
    seconds, the process starts itself anew, `cold`, because TensorFlow never gives memory back: it then has nothing
    loaded until the next job, or until somebody changes the weights, on disk or in Redis; TensorFlow comes with the
    next training, or after `retry_in` seconds, when kept verdicts are tried again. `after_kill`: see
    `Worker.run_process`.
    """
    if not cold:
        os.nice(NICENESS)  # started anew, it has that already
    TrainProcess(settings, cold, retry_in).worker.run_process(after_kill)


def look_at_files(settings: Settings) -> dict[str, str]:
    """What changes when anybody changes a slot: the state of its file, by name."""
    files = {}
    for path in (settings.state / "weights").glob("*.h5"):
        with suppress(FileNotFoundError):  # between two of another process's renames
            status = path.stat()
            files[path.name] = f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
    return files
