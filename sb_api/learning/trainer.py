"""Verdicts -> candidate -> current weights; and back again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property, partial
from time import monotonic
from typing import Any

from sb_api.arrays import Scores
from sb_api.broker.shared_state import Broker
from sb_api.errors import EngineDisagrees, TrainingRefused, Unavailable, UnknownVersion
from sb_api.learning import quality
from sb_api.learning.answers import describe_training, find_sent
from sb_api.learning.classes.naming import name_new_classes
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.ingest import Batch, Intake
from sb_api.learning.publication import Publication, describe_run, find_missing_event
from sb_api.learning.recipe import RETRAININGS, Examples, share_of_log
from sb_api.learning.reference_set import Reference, load_reference, with_scores
from sb_api.learning.staging.promotion import judge_verdicts
from sb_api.learning.staging.staging import Staging
from sb_api.learning.undo.hindsight import score_when_learned
from sb_api.learning.undo.restoration import discard, discard_unknown
from sb_api.learning.undo.withdrawal import shares_of
from sb_api.models.classifiers import Classifier, find_classifier
from sb_api.models.engine import check_engine
from sb_api.models.weights_file import Weights
from sb_api.models.weights_store import WeightsStore
from sb_api.telemetry.experiments import Recorder
from sb_api.text.tokenizers import Vocabularies
from sb_api.train import Candidate, retrain_model
from sb_api.verdicts.log_schema import Event, LoggedVerdict
from sb_api.verdicts.verdict_log import open_verdict_log
from sb_api.versions import EventKind

logger = logging.getLogger(__name__)

NOT_BEGUN = (
    "Nothing was learned or kept: the examples of the new class may not be learned now, because they are over the cap "
    "of their reporter, or it is set aside."
)

Check = Callable[[], None]


class Trainer:
    """What changes a classifier's weights: trainings and rollbacks."""

    def __init__(self, broker: Broker, classifier: Classifier) -> None:
        settings = broker.settings
        self.settings = settings
        self.store = WeightsStore.of(settings, classifier.name)
        self.store.clean()
        self.classifier = classifier = find_classifier(self.store.chain().find("original"))
        self.vocabularies: Vocabularies = classifier.load_vocabularies(settings)
        log = open_verdict_log(settings, classifier.name)
        self.intake = Intake(settings, classifier, log, hindsight=partial(score_when_learned, self))
        self.runs = Recorder(settings.mlflow_url)
        self.publication = Publication(broker.registry, self.store, self.vocabularies, log)
        self.staging = Staging(broker.redis, self.store)
        if log and (missing := find_missing_event(self.store.chain(), log.events(quality.EVENTS))):
            logger.warning("the log did not know that %s is current, which it now does", missing.version)
            log.note(missing)

    @cached_property
    def original(self) -> Weights:
        return self.store.load("original")

    @cached_property
    def fitting(self) -> Fitting:
        return Fitting(self.classifier, self.publication.labels, self.vocabularies)

    def fit_to(self, labels: Sequence[str]) -> None:
        """Have `fitting` and `reference` be of these labels. The original's are the first of them."""
        # One that is not there yet is made of these at once, and not of the current weights' first.
        if not self.warm or list(self.fitting.labels) != list(labels):
            self.__dict__.pop("reference", None)
            self.fitting = Fitting(self.classifier, labels, self.vocabularies)

    @cached_property
    def reference(self) -> Reference:
        path = self.settings.find(f"reference/{self.classifier.name}.npz")
        return with_scores(load_reference(path, self.classifier, self.fitting.labels), self.fitting, self.original)

    @property
    def warm(self) -> bool:
        """Whether TensorFlow is loaded for it."""
        return "fitting" in self.__dict__

    def warm_up(self) -> None:
        """Load TensorFlow and trace the training loop, which takes seconds, before the first verdicts wait for it."""
        guard = self.reference.guard
        first = Examples({name: array[:1] for name, array in guard.arrays.items()}, guard.targets[:1])
        # What fits its few rows by steps is traced; what settles them besides takes as long, and is needed seldom.
        by_steps = replace(RETRAININGS[self.classifier.name], own_rows=0, settle_steps=0)
        self.fitting.fit(first, 0, self.reference.replay, recipe=by_steps)
        try:
            # Those that were made here were compared before they were promoted.
            original = self.fitting.widen(self.original)
            self.fitting.load(original)
            self.check_engine(original, self.fitting.predict(guard.arrays))
        except EngineDisagrees as error:
            logger.error("the original weights of %s: %s", self.classifier.name, error.detail)

    def promote(
        self, kind: EventKind, version: str, previous: str, learned: int = 0, start: float | None = None
    ) -> None:
        """Make a version current, and log that it took the place of `previous`."""
        self.publication.promote(version)
        seconds = 0.0 if start is None else monotonic() - start
        if self.settings.mlflow_url:
            self.runs.record(describe_run(kind, self.store.load_current(), previous, learned, seconds))
        if self.intake.log and version != previous:
            now = datetime.now(UTC).replace(tzinfo=None)
            self.intake.log.note(
                Event(kind=kind, moment=now, version=version, previous=previous, learned=learned, seconds=seconds)
            )

    def parents(self) -> dict[str, str | None]:
        """What each of the kept versions was made from."""
        return {about.version: about.parent for about in self.store.chain().versions}

    def follow(self) -> None:
        """Make the states of the verdicts in the log true of the current weights."""
        if self.intake.log:
            self.intake.log.follow(self.publication.version, self.parents())

    def ancestry(self, version: str = "") -> frozenset[str]:
        """A version, by default the current one, and all that it came from, as far as the log or the chain knows."""
        log, version = self.intake.log, version or self.publication.version
        return log.ancestry(version, self.parents()) if log else frozenset((version,))

    def train(
        self,
        task: str,
        verdicts: Sequence[Any],
        check: Check,
        force: bool = False,
        logged: Callable[[], None] = lambda: None,
        new_classes: bool = False,
    ) -> dict[str, Any]:
        """Learn from verdicts and promote what came of it. `check` raises when this process may no longer; `logged` is
        called once the verdicts are in the log. With `new_classes`, those of messages that are of classes unknown so
        far make them known.

        Those that the guard refused before, or that were over a cap, are tried along. A task that was learned before
        its process died is not learned twice. Raises TrainingRefused when the guard finds that the candidate would lose
        what the weights know, unless `force`; then the weights are as before, and the verdicts are kept.
        """
        start = monotonic()
        current = self.begin(task, verdicts if new_classes else ())
        ancestry = self.ancestry()
        batch = self.intake.take(task, verdicts, current, self.fitting.predict, self.vocabularies, ancestry)
        known = len(self.publication.labels)
        grows = len(current.about.labels) > known
        if grows and not any(row.label >= known for row in batch.learn):
            discard(self.intake, task, batch, self.store.load_current().about, self.ancestry)
            raise TrainingRefused(NOT_BEGUN)
        logged()
        judge_verdicts(self, verdicts, find_sent(self, task, verdicts, batch))
        if self._roll_back_on_drift(task, check):
            current = self.store.load_current()
            if len(current.about.labels) > len(self.fitting.labels):
                self.fit_to(current.about.labels)
            current = self.fitting.widen(current)
            batch = self.intake.take_undone(task, batch)
        learned = self.made_by(task)
        rows = [*batch.learn, *batch.retried]
        if learned is None and batch.learn:
            try:
                learned, rows = self._learn_all_or_new(task, current, batch, check, force)
            except TrainingRefused as refused:
                if grows:
                    discard(self.intake, task, batch, self.store.load_current().about, self.ancestry)
                    raise TrainingRefused(f"{refused.detail} Nothing was kept.", **refused.members) from refused
                told = describe_training(self, task, verdicts, batch, None, 0) if self.intake.log else {}
                kept = {name: told[name] for name in ("kept", "records") if name in told}
                also = " The verdicts are kept, and tried again with those that follow." if kept else ""
                raise TrainingRefused(refused.detail + also, **refused.members, **kept) from refused
        elif learned is None:
            self.intake.settle_refused(batch.retried)
        else:
            self.fitting.load(learned)  # it was made before this process began
        if learned is not None:
            self.settle(current, learned, rows, check, start)
        self.publication.publish_quality()
        about = current.about if learned is None else learned.about
        return {
            **describe_training(self, task, verdicts, batch, learned, len(rows)),
            "weights": {"version": about.version, "previous": about.parent},
            **(about.told if learned is not None else {}),
        }

    def begin(self, task: str, messages: Sequence[Any] = ()) -> Weights:
        """The current weights, loaded, with room for the classes that come with `messages`; and the log in order.
        Raises InvalidRecords when such a class cannot come."""
        current, log = self.store.load_current(), self.intake.log
        known = current.about
        if messages:
            least = 1 + (log.highest_label(known.features) if log else -1)
            self.fit_to(name_new_classes(messages, known.labels, self.store.chain().versions, least))
        else:
            self.fit_to(known.labels)
        current = self.fitting.widen(current)
        self.fitting.load(current)
        self.follow()
        self.intake.settle_abandoned(task, self._learned_from)
        discard_unknown(self.intake, task, known, self.ancestry)
        return current

    def _learn_all_or_new(
        self, task: str, current: Weights, batch: Batch, check: Check, force: bool
    ) -> tuple[Weights, list[LoggedVerdict]]:
        """What came of new verdicts with the kept ones, or of the new ones alone where the guard refuses that; and the
        verdicts that it has learned. Raises TrainingRefused."""
        if batch.retried:
            rows = [*batch.retried, *batch.learn]
            try:
                return self.learn(task, current, rows, check, force=False), rows
            except (TrainingRefused, EngineDisagrees) as refused:
                logger.info("%d kept verdicts cannot be learned yet: %s", len(batch.retried), refused.detail)
                self.intake.settle_refused(batch.retried)
        try:
            return self.learn(task, current, batch.learn, check, force), batch.learn
        except (TrainingRefused, EngineDisagrees) as refused:
            self.intake.settle_refused_training(batch.learn, refused)
            self.publication.publish_quality()
            raise

    def settle(
        self, current: Weights, learned: Weights, rows: Sequence[LoggedVerdict], check: Check, start: float
    ) -> None:
        """Promote what a training made of the current weights, unless that was done before, and log what it learned."""
        version, before = learned.about.version, current.about.version
        if learned.about.parent == before:
            check()
            self.promote("training", version, before, len(rows), start)
            logger.info("learned %d verdicts; the current weights are %s", len(rows), version)
        try:
            self.intake.settle_learned(rows, version)
            self.follow()
        except Unavailable as error:
            # They are learned; the next training tells the log so.
            logger.error("the log does not know yet what %s has learned: %s", version, error.detail)

    def _version_made_by(self, task: str) -> str | None:
        return next((about.version for about in self.store.chain().versions if about.task == task), None)

    def _learned_from(self, task: str) -> str | None:
        """The version that a training made, if the current weights came from it."""
        version = self._version_made_by(task)
        return version if version in self.ancestry() else None

    def made_by(self, task: str) -> Weights | None:
        version = self._version_made_by(task)
        return self.store.load_version(version) if version else None

    def learn(
        self,
        task: str,
        current: Weights,
        rows: Sequence[LoggedVerdict],
        check: Check,
        force: bool,
        lesson: Examples | None = None,
    ) -> Weights:
        """What came of verdicts, or of a `lesson` in their place, kept as a version. Raises TrainingRefused or
        EngineDisagrees; then nothing is."""
        number = 1 + max(about.number for about in self.store.chain().versions)
        log = self.intake.log
        earlier = log.learned_numbers(current.about.features) if log else []
        if lesson is not None:  # what it takes back is not to be rehearsed against it
            own = {row.number for row in rows}
            earlier = [(place, label) for place, label in earlier if place not in own]
        candidate = self.make(current, rows, earlier, number, task, force, lesson)
        self.check_engine(candidate.weights, candidate.on_guard)
        check()
        self.save(candidate.weights)
        return candidate.weights

    def save(self, weights: Weights) -> None:
        try:
            self.store.save(weights)
        except OSError as error:
            raise Unavailable(f"The weights cannot be written ({error.strerror}); nothing changed.") from error

    def check_engine(self, weights: Weights, on_guard: Scores) -> None:
        """Raises EngineDisagrees when those who predict would not say of the guard's n records what Keras says of them,
        `on_guard` (n, labels)."""
        if self.settings.engine == "keras":
            return
        labels = weights.about.labels
        check = check_engine(self.settings.engine, self.classifier, labels, self.vocabularies, weights.arrays)
        check(self.reference.guard.arrays, on_guard)

    def make(
        self,
        current: Weights,
        rows: Sequence[LoggedVerdict],
        earlier: Sequence[tuple[int, int]],
        number: int,
        task: str,
        force: bool,
        lesson: Examples | None = None,
    ) -> Candidate:
        """What a training makes of `current`, of verdicts, or a `lesson` in their place, and draws from `earlier` ones.
        Raises TrainingRefused."""
        like = self.reference.guard.arrays
        candidate = retrain_model(
            self.fitting,
            self.classifier,
            self.original,
            current,
            self.intake.examples(rows, like, current.about.labels) if lesson is None else lesson,
            self.reference,
            self.intake.draw_log(earlier, current.about, number, like),
            budget=self.settings.fp_budget,
            tolerance=self.settings.guard_tolerance,
            number=number,
            recipe=replace(
                RETRAININGS[self.classifier.name],
                replay_rows=self.settings.replay_rows,
                log_share=share_of_log(len(earlier), self.settings.log_share),
            ),
            task=task,
            force=force,
            floors=self.intake.floors(rows, current.about) if lesson is None else shares_of(lesson, current.about),
            observed=self.intake.observe(),
        )
        if candidate.losses and not force:
            told = candidate.weights.about.told
            raise TrainingRefused(f"Nothing was changed: {'; '.join(candidate.losses)}.", **told)
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
        self.promote("rollback", version, previous)
        self.follow()
        self.publication.publish_quality()
        logger.info("rolled back from %s to %s", previous, version)
        return {"weights": {"version": version, "previous": previous}}

    def let_back(self, account: str) -> dict[str, Any]:
        """Let a credential back that is set aside. Raises NotSetAside where it is not."""
        kept = self.intake.let_back(account)
        self.publication.publish_quality()
        chain = self.store.chain()
        return {
            "response": f"{account} is let back: {kept} of its verdicts may be learned with the trainings that follow",
            "kept": kept,
            "weights": {"version": self.publication.version, "previous": chain.slots["previous"]},
        }

    def keep(self, weights: Weights) -> None:
        """Keep weights as a version, if they are not one. Raises Unavailable."""
        if weights.about.version not in {about.version for about in self.store.chain().versions}:
            self.save(weights)
