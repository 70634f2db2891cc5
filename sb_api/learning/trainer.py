"""Verdicts -> candidate -> current weights; and back again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from time import monotonic
from typing import Any

import msgspec

from sb_api.arrays import Scores
from sb_api.broker.jobs import Jobs
from sb_api.errors import EngineDisagrees, JobFailed, TrainingRefused, Unavailable, UnknownVersion
from sb_api.learning import quality
from sb_api.learning.ingest import Batch, Intake
from sb_api.learning.publication import Publication
from sb_api.learning.recipe import RETRAINING, Examples
from sb_api.learning.reference_set import Reference, load_reference, with_scores
from sb_api.learning.training_loop import Fitting
from sb_api.learning.verdict_log import Event, LoggedVerdict, open_verdict_log
from sb_api.models.classifiers import Classifier
from sb_api.models.engine import check_engine
from sb_api.models.weights_file import Weights, named
from sb_api.models.weights_store import WeightsStore
from sb_api.text.tokenizers import Vocabularies
from sb_api.train import Candidate, retrain_model
from sb_api.versions import EventKind

logger = logging.getLogger(__name__)

Check = Callable[[], None]
Progress = Callable[[dict[str, Any]], None]


class Trainer:
    """What changes a classifier's weights: trainings, rollbacks and replays."""

    def __init__(self, jobs: Jobs, classifier: Classifier) -> None:
        settings = jobs.settings
        self.jobs = jobs
        self.settings = settings
        self.classifier = classifier
        self.store = WeightsStore.of(settings, classifier.name)
        self.store.clean()
        self.vocabularies: Vocabularies = classifier.load_vocabularies(settings)
        self.intake = Intake(settings, classifier, open_verdict_log(settings, classifier.name))
        self.publication = Publication(jobs.registry, self.store, self.vocabularies, self.intake.log)

    @cached_property
    def original(self) -> Weights:
        return self.store.load("original")

    @cached_property
    def fitting(self) -> Fitting:
        return Fitting(self.classifier, self.original.about.labels, self.vocabularies)

    @cached_property
    def reference(self) -> Reference:
        reference = load_reference(self.settings.find(f"reference/{self.classifier.name}.npz"), self.classifier)
        return with_scores(reference, self.fitting, self.original)

    @property
    def warm(self) -> bool:
        """Whether TensorFlow is loaded for it."""
        return "fitting" in self.__dict__

    def warm_up(self) -> None:
        """Load TensorFlow and trace the training loop, which takes seconds, before the first verdicts wait for it."""
        guard = self.reference.guard
        first = Examples({name: array[:1] for name, array in guard.arrays.items()}, guard.targets[:1])
        self.fitting.fit(first, 0, self.reference.replay)
        quality.load_detector()
        try:
            # Those that were made here were compared before they were promoted.
            self.fitting.load(self.original)
            self._check_engine(self.original, self.fitting.predict(guard.arrays))
        except EngineDisagrees as error:
            logger.error("the original weights of %s: %s", self.classifier.name, error.detail)

    def _promote(
        self, kind: EventKind, version: str, previous: str, learned: int = 0, start: float | None = None
    ) -> None:
        """Make a version current, and log that it took the place of `previous`."""
        self.publication.promote(version)
        if self.intake.log and version != previous:
            seconds = 0.0 if start is None else monotonic() - start
            now = datetime.now(UTC).replace(tzinfo=None)
            self.intake.log.note(
                Event(kind=kind, moment=now, version=version, previous=previous, learned=learned, seconds=seconds)
            )

    def train(self, task: str, verdicts: Sequence[Any], check: Check, force: bool = False) -> dict[str, Any]:
        """Learn from verdicts and promote what came of it. `check` raises when this process may no longer.

        A task that was learned before its process died is not learned twice. Raises TrainingRefused when the guard
        finds that the candidate would lose what the weights know, unless `force`; then nothing changes.
        """
        start = monotonic()
        current = self.store.load_current()
        self.fitting.load(current)
        self.intake.settle_abandoned(task, self._version_made_by)
        batch = self.intake.take(task, verdicts, current, self.fitting.predict, self.vocabularies)
        if self._roll_back_on_drift(task, check):
            current = self.store.load_current()
        learned = self._made_by(task)
        if learned is None and batch.learn:
            learned = self._learn(task, current, batch, check, force)
        about = current.about
        if learned is not None:
            if learned.about.parent == about.version:
                check()
                self._promote("training", learned.about.version, about.version, len(batch.learn), start)
                logger.info("learned %d verdicts; the current weights are %s", len(batch.learn), learned.about.version)
            about = learned.about
            try:
                self.intake.settle(batch, "learned", about.version)
            except Unavailable as error:
                # They are learned; the next training tells the log so.
                logger.error("the log does not know yet what %s has learned: %s", about.version, error.detail)
        self.publication.publish_quality()
        return {
            "learned": len(batch.learn),
            "known": batch.known,
            "held": batch.held,
            "waiting": batch.waiting,
            "weights": {"version": about.version, "previous": about.parent},
            **(about.figures if learned is not None else {}),
        }

    def _version_made_by(self, task: str) -> str | None:
        return next((about.version for about in self.store.chain().versions if about.task == task), None)

    def _made_by(self, task: str) -> Weights | None:
        version = self._version_made_by(task)
        return self.store.load_version(version) if version else None

    def _learn(self, task: str, current: Weights, batch: Batch, check: Check, force: bool) -> Weights:
        number = 1 + max(about.number for about in self.store.chain().versions)
        try:
            candidate = self._make(current, batch.learn, number, task, force)
            self._check_engine(candidate.weights, candidate.on_guard)
        except (TrainingRefused, EngineDisagrees):
            self.intake.settle(batch, "refused")
            self.publication.publish_quality()
            raise
        check()
        self._save(candidate.weights)
        return candidate.weights

    def _save(self, weights: Weights) -> None:
        try:
            self.store.save(weights)
        except OSError as error:
            raise Unavailable(f"The weights cannot be written ({error.strerror}); nothing changed.") from error

    def _check_engine(self, weights: Weights, on_guard: Scores) -> None:
        """Raises EngineDisagrees when those who predict would not say of the guard's n records what Keras says of them,
        `on_guard` (n, labels)."""
        if self.settings.engine == "keras":
            return
        labels = weights.about.labels
        check = check_engine(self.settings.engine, self.classifier, labels, self.vocabularies, weights.arrays)
        check(self.reference.guard.arrays, on_guard)

    def _make(self, current: Weights, rows: Sequence[LoggedVerdict], number: int, task: str, force: bool) -> Candidate:
        """What a training makes of `current`. Raises TrainingRefused."""
        like = self.reference.guard.arrays
        candidate = retrain_model(
            self.fitting,
            self.classifier,
            self.original,
            current,
            self.intake.examples(rows, like),
            self.reference,
            self.intake.draw_log(current.about, rows[0].number, number, like),
            budget=self.settings.fp_budget,
            tolerance=self.settings.guard_tolerance,
            number=number,
            recipe=replace(RETRAINING, replay_rows=self.settings.replay_rows),
            task=task,
            force=force,
        )
        if candidate.losses and not force:
            figures = candidate.weights.about.figures
            raise TrainingRefused(f"Nothing was changed: {'; '.join(candidate.losses)}.", **figures)
        return candidate

    def _roll_back_on_drift(self, task: str, check: Check) -> bool:
        log = self.intake.log
        if log is None or self.settings.auto_rollback == "off":
            return False
        latest = log.latest(quality.WINDOW)
        drift = quality.detect_drift(latest)
        # Once: a rise that was known before this training has been answered already.
        risen = drift.detected and not quality.detect_drift([row for row in latest if row.task != task]).detected
        chain = self.store.chain()
        if not (risen and drift.sound and drift.sound != chain.slots["current"]):
            return False
        try:
            version = chain.resolve(drift.sound)
        except UnknownVersion:
            version = chain.resolve("original")
        logger.error("errors have risen from %s to %s", drift.error_rate_before, drift.error_rate)
        self.roll_back(version, check)
        return True

    def roll_back(self, to: str, check: Check) -> dict[str, Any]:
        """Make the weights `to`, a slot or a version, current. Raises UnknownVersion."""
        version = self.store.chain().resolve(to)
        previous = self.publication.version
        check()
        self._promote("rollback", version, previous)
        self.publication.publish_quality()
        logger.info("rolled back from %s to %s", previous, version)
        return {"weights": {"version": version, "previous": previous}}

    def replay(self, task: str, check: Check, force: bool, progress: Progress) -> dict[str, Any]:
        """Rebuild the current weights from the original and every learned verdict in the log, training by training.

        The same log gives the same bits. Raises TrainingRefused as `train` does, and JobFailed without a log.
        """
        start, previous = monotonic(), self.publication.version
        made = self._made_by(task) or self._rebuild(task, check, force, progress)
        self._promote("replay", made.about.version, previous, made.about.learned, start)
        self.publication.publish_quality()
        return {
            "learned": made.about.learned,
            "weights": {"version": made.about.version, "previous": previous},
            **made.about.figures,
        }

    def _rebuild(self, task: str, check: Check, force: bool, progress: Progress) -> Weights:
        if self.intake.log is None:
            raise JobFailed("The verdict log is off, so there is nothing to replay.")
        original = self.original
        trainings = _by_training(self.intake.log.learned(original.about.tokenizers))
        if not trainings:
            return original
        total, done, start = sum(map(len, trainings)), 0, monotonic()
        log = self.intake.log
        estimate = quality.estimate_replay(total, len(trainings), log.events(quality.EVENTS))
        progress({"done": 0, "total": total, "seconds_left": estimate["seconds"]})
        weights = original
        for number, rows in enumerate(trainings, start=1):
            check()
            candidate = self._make(weights, rows, number, task, force)
            weights = candidate.weights
            done += len(rows)
            left = (monotonic() - start) / done * (total - done)
            progress({"done": done, "total": total, "seconds_left": round(left, 1)})
        number = 1 + max(about.number for about in self.store.chain().versions)
        about = msgspec.structs.replace(weights.about, parent=original.about.version, learned=total)
        self._check_engine(candidate.weights, candidate.on_guard)
        check()
        rebuilt = named(replace(weights, about=about), number)
        self._save(rebuilt)
        return rebuilt


def _by_training(rows: Sequence[LoggedVerdict]) -> list[list[LoggedVerdict]]:
    trainings: dict[str, list[LoggedVerdict]] = {}
    for row in rows:
        trainings.setdefault(row.task, []).append(row)
    # A verdict that waited for a second reporter is older than the training that learned it.
    return sorted(trainings.values(), key=lambda training: training[-1].number)
