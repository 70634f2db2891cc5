"""The train process: one train job at a time, and what that needs in memory only as long as trainings come."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from sb_api.broker.connection import connect
from sb_api.broker.jobs import TRAIN, Answer, Claim, Jobs, Training
from sb_api.config import Settings
from sb_api.errors import JobFailed
from sb_api.memory import freeze_objects, release_memory
from sb_api.processes.worker import Worker
from sb_api.records import KINDS, decode_payload

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer

logger = logging.getLogger(__name__)

NICENESS = 5  # where both want a processor, predictions get about three quarters of it


def do_job(trainers: dict[str, Trainer], worker: Worker, claim: Claim) -> Answer:
    """Train, roll back or replay, as the job says. Raises SbApiError when it cannot be done; then nothing changes."""
    job = claim.job
    trainer = trainers.get(job.classifier)
    if trainer is None:
        raise JobFailed(f"There is no classifier {job.classifier!r}.")
    with (
        worker.instruments.training(job.classifier, job.operation),
        worker.alone(f"train:{job.classifier}") as check,
    ):
        trainer.synchronize()
        if job.operation == "train":
            training = decode_payload(job.body, Training)
            verdicts = decode_payload(training.verdicts, list[trainer.classifier.kind.verdict])  # type: ignore[name-defined]
            data = trainer.train(job.task, verdicts, check, training.force)
        elif job.operation == "replay":
            force = decode_payload(job.body, bool)
            data = trainer.replay(job.task, check, force, lambda done: worker.jobs.mark_processing([claim], done))
        else:
            data = trainer.roll_back(decode_payload(job.body, str), check)
        return Answer(status="completed", data=data)


def train_process(settings: Settings, cold: bool = False) -> None:
    """Train, roll back and replay, one job at a time, until told to stop.

    TensorFlow is loaded once all else is up, unless `trainer_idle` is 0. When no training has come for `trainer_idle`
    seconds, the process starts itself anew, `cold`, because TensorFlow never gives memory back: it then has nothing
    loaded until the next job, or until somebody changes the weights, on disk or in Redis; TensorFlow comes with the
    next training.
    """
    if not cold:
        os.nice(NICENESS)  # started anew, it has that already
    cold = cold or not settings.trainer_idle
    jobs = Jobs(connect(settings), settings)
    trainers: dict[str, Trainer] = {}
    found: dict[str, str] = {}
    used = monotonic()

    def load() -> None:
        nonlocal used
        from sb_api.learning.trainer import Trainer
        from sb_api.models.classifiers import CLASSIFIERS

        for name, classifier in CLASSIFIERS.items():
            if name not in trainers:
                trainers[name] = Trainer(jobs, classifier)
                used = monotonic()

    def do(claims: Sequence[Claim]) -> list[Answer]:
        nonlocal used
        try:
            load()
            return [do_job(trainers, worker, claim) for claim in claims]
        finally:
            release_memory()
            used = monotonic()

    def refresh(published: Mapping[str, str]) -> dict[str, str]:
        nonlocal found
        if cold and not trainers:
            now = look_at_files(jobs.settings) | dict(published)
            found = found or now
            if now == found and now.keys() >= KINDS.keys():
                return {name: now[name] for name in KINDS}
        for trainer in trainers.values():
            trainer.synchronize()
        load()
        return {name: trainer.version for name, trainer in trainers.items()}

    def idle() -> None:
        nonlocal cold, used
        if not cold:
            for trainer in trainers.values():
                trainer.warm_up()
            freeze_objects()
            cold, used = True, monotonic()
        elif trainers and monotonic() - used > settings.trainer_idle:
            logger.info("no training for %g s: what it takes is let go until the next", settings.trainer_idle)
            # The same process to its parent and to Redis; what it had in memory and open is gone.
            os.execv(sys.executable, [sys.executable, "-m", "sb_api", "trainer", "--cold"])

    worker = Worker(jobs, "train", [TRAIN], do=do, refresh=refresh, idle=idle, ordered=True)
    worker.run_process()


def look_at_files(settings: Settings) -> dict[str, str]:
    """What changes when anybody changes a slot: the state of its file, by name."""
    files = {}
    for path in (settings.state / "weights").glob("*.h5"):
        with suppress(FileNotFoundError):  # between two of another process's renames
            status = path.stat()
            files[path.name] = f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
    return files
