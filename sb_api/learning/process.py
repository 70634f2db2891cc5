"""The train process: one train job at a time, and what that needs in memory only as long as trainings come."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from time import monotonic
from typing import TYPE_CHECKING

from sb_api.broker.connection import connect
from sb_api.broker.consumer import Consumer
from sb_api.broker.jobs import TRAIN, Answer, Claim
from sb_api.broker.shared_state import Broker
from sb_api.config import Settings
from sb_api.errors import SbApiError, Unavailable
from sb_api.judgements import AuditEntry, now
from sb_api.learning.kept import has_kept, try_kept
from sb_api.learning.lookups import Lookups
from sb_api.learning.train_jobs import describe_retry, do_job
from sb_api.memory import freeze_objects, release_memory
from sb_api.processes.claiming import OneAtATime
from sb_api.processes.supervisor import PYTHON, ends
from sb_api.processes.worker import Worker
from sb_api.records import RECORD_TYPES
from sb_api.webhooks.endpoints import parse_endpoints

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer
    from sb_api.verdicts.audit import AuditLog
    from sb_api.verdicts.log_schema import LoggedVerdict

logger = logging.getLogger(__name__)

NICENESS = 5  # where both want a processor, predictions get about three quarters of it


class TrainProcess:
    """The train process: what it has in memory, and when that comes and goes.

    `cold`: TensorFlow is loaded for the next training, not before. `found` is what a cold process has seen of the
    weights, on disk and in Redis; `used` is when (monotonic seconds) anything was last done with what is loaded, and
    `retry_at` when kept verdicts are tried again, None where none are kept; `starting` until its start is written down.
    """

    def __init__(self, settings: Settings, cold: bool, retry_in: float | None = None) -> None:
        self.settings = settings
        self.starting = not cold
        self.cold = cold or not settings.trainer_idle
        self.broker = Broker.of(connect(settings), settings)
        self.trainers: dict[str, Trainer] = {}
        self.found: dict[str, str] = {}
        self.promoted: dict[str, str] = {}
        self.used = monotonic()
        self.retry_at = None if retry_in is None else monotonic() + retry_in
        self.lookups = Lookups(settings)
        self.worker = Worker(
            Consumer(self.broker), "train", OneAtATime(TRAIN), do=self.do, refresh=self.refresh, idle=self.idle
        )

    @cached_property
    def audit(self) -> AuditLog:
        # Opened when it is needed: a cold process carries no database.
        from sb_api.verdicts.audit import open_audit_log

        return open_audit_log(self.settings)

    def load(self) -> None:
        """Have a trainer of every classifier."""
        from sb_api.learning.trainer import Trainer
        from sb_api.models.classifiers import CLASSIFIERS

        for name, classifier in CLASSIFIERS.items():
            if name not in self.trainers:
                self.trainers[name] = Trainer(self.broker, classifier)
                self.used = monotonic()
        if self.starting:
            from sb_api.verdicts.audit import describe_changes

            # Not before: the other processes wait for the weights that it publishes. Started anew, it is nice already.
            os.nice(NICENESS)
            self.audit.append(AuditEntry(kind="start", moment=now(), detail=describe_changes(self.settings)))
            self.starting = False

    def do(self, claims: Sequence[Claim]) -> list[Answer]:
        try:
            self.load()
            return [do_job(self.trainers, self.worker, claim, self.audit) for claim in claims]
        finally:
            self._write_down_promotions()
            self.used = monotonic()
            self._plan_retry()

    def refresh(self, published: Mapping[str, str]) -> dict[str, str]:
        """The version that is current of each classifier. While nothing is loaded and nobody has changed the weights,
        those that are published."""
        if self.cold and not self.trainers:
            now = look_at_files(self.settings) | dict(published)
            self.found = self.found or now
            if now == self.found and now.keys() >= RECORD_TYPES.keys():
                return {name: now[name] for name in RECORD_TYPES}
        for trainer in self.trainers.values():
            trainer.publication.synchronize()
            trainer.staging.synchronize()
        self.load()
        self._write_down_promotions()
        return {name: trainer.publication.version for name, trainer in self.trainers.items()}

    def idle(self) -> None:
        """Load TensorFlow at the start; try kept verdicts again from time to time; let TensorFlow go when no training
        has come for long."""
        if not self.cold:
            for trainer in self.trainers.values():
                if trainer.classifier.record_type.awaited:
                    trainer.warm_up()
            freeze_objects()
            release_memory()
            self.cold, self.used = True, monotonic()
            self._plan_retry()
        elif self.retry_at is not None and monotonic() > self.retry_at:
            self._try_kept()
        elif self._is_idle():
            logger.info("no training for %g s: what it takes is let go until the next", self.settings.trainer_idle)
            left = [] if self.retry_at is None else ["--retry-in", str(max(0.0, self.retry_at - monotonic()))]
            # The same process to its parent, another to Redis; what it said of itself stays until that one is there.
            self.lookups.stop()
            self.worker.consumer.leave_groups([TRAIN])
            # A signal that comes before the new one can handle it would end it as if it had failed.
            signal.pthread_sigmask(signal.SIG_BLOCK, ends())
            os.execv(PYTHON[0], [*PYTHON, "sb_api", "trainer", "--cold", *left])

    def _is_idle(self) -> bool:
        """Whether anything is loaded that nothing was done with for long."""
        used = [self.used] if self.trainers else []
        if self.lookups.used is not None:
            used.append(self.lookups.used)
        return bool(used) and monotonic() - max(used) > self.settings.trainer_idle

    def _plan_retry(self) -> None:
        """Note when kept verdicts are to be tried again, if there are any."""
        try:
            kept = any(has_kept(trainer) for trainer in self.trainers.values())
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
                    try_kept(trainer, check, partial(self._write_down_retry, trainer))
            except SbApiError as error:
                logger.error("kept verdicts of %s could not be tried again: %s", name, error.detail)
        self._write_down_promotions()
        release_memory()
        self.used = monotonic()
        self._plan_retry()

    def _write_down_retry(self, trainer: Trainer, rows: Sequence[LoggedVerdict]) -> None:
        """Have the audit log know of kept verdicts that are learned now, and that nobody has sent again."""
        self.audit.append(describe_retry(trainer, rows))

    def _write_down_promotions(self) -> None:
        """Have the audit log know of other weights that are current, whoever has made them so."""
        for name, trainer in self.trainers.items():
            version, before = trainer.publication.version, self.promoted.get(name)
            if before not in (None, version):
                entry = AuditEntry(
                    kind="promotion", moment=now(), classifier=name, version=version, detail=f"in the place of {before}"
                )
                self.audit.append(entry)
            self.promoted[name] = version


def train_process(settings: Settings, cold: bool = False, after_kill: int = 0, retry_in: float | None = None) -> None:
    """Train, roll back and replay, one job at a time, and tell meanwhile what is in the logs, until told to stop.

    TensorFlow is loaded once all else is up, unless `trainer_idle` is 0. When no training has come for `trainer_idle`
    seconds, the process starts itself anew, `cold`, because TensorFlow never gives memory back: it then has nothing
    loaded until the next job, or until somebody changes the weights, on disk or in Redis; TensorFlow comes with the
    next training, or after `retry_in` seconds, when kept verdicts are tried again. `after_kill`: see
    `Worker.run_process`. Raises InvalidSettings.
    """
    parse_endpoints(settings)  # what is wrong with them would only show when a training is refused
    train = TrainProcess(settings, cold, retry_in)
    with train.lookups.answered():
        train.worker.run_process(after_kill)


def look_at_files(settings: Settings) -> dict[str, str]:
    """What changes when anybody changes a slot: the state of its file, by name."""
    files = {}
    for path in (settings.state / "weights").glob("*.h5"):
        with suppress(FileNotFoundError):  # between two of another process's renames
            status = path.stat()
            files[path.name] = f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
    return files
