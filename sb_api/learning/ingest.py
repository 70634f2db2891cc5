"""Verdicts on their way into a training: scored before they are learned, logged, admitted, and drawn on again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from sb_api.arrays import Arrays, Predict, pack_rows, unpack_rows
from sb_api.config import Settings
from sb_api.learning.admission import Rules, admit
from sb_api.learning.recipe import Examples
from sb_api.learning.verdict_log import LoggedVerdict, Status, VerdictLog
from sb_api.models.calibration import calibrated, name_band
from sb_api.models.classifiers import Classifier
from sb_api.models.weights_file import Weights
from sb_api.text.tokenizers import Vocabularies
from sb_api.versions import BANDS, Version

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Batch:
    """The verdicts that one training learns, and how many of those sent it does not: `known` were learned before,
    `held` are over their reporter's cap, `waiting` wait for a second reporter."""

    learn: list[LoggedVerdict]
    known: int = 0
    held: int = 0
    waiting: int = 0


class Intake:
    """Takes in the verdicts of one classifier. Without a log, nothing is known of earlier verdicts."""

    def __init__(
        self,
        settings: Settings,
        classifier: Classifier,
        log: VerdictLog | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.classifier = classifier
        self.log = log
        self._clock = clock
        self._rules = Rules(settings.reporter_training_cap, settings.reporter_day_cap, settings.two_reporters == "on")

    def take(
        self, task: str, verdicts: Sequence[Any], current: Weights, predict: Predict, vocabularies: Vocabularies
    ) -> Batch:
        """Score, log and admit the verdicts of a training. Repeated for the same task, it gives the same batch."""
        earlier = self.log.of_task(task) if self.log else []
        if earlier:
            learn = [row for row in earlier if row.status not in ("held", "waiting")]
            known = len(verdicts) - len(earlier)
            counts = [sum(row.status == status for row in earlier) for status in ("held", "waiting")]
            return Batch(learn, known, *counts)
        arrays = self.classifier.preprocess(verdicts, vocabularies)
        scores = calibrated(predict(arrays), current.about.temperature)
        rows = self._rows(task, verdicts, arrays, scores, current)
        contradicting = {
            position for position, row in enumerate(rows) if _contradicts(row.label, scores[position], current.about)
        }
        now = self._clock().astimezone(UTC).replace(tzinfo=None)
        records = [row.record for row in rows]
        admission = admit(
            rows,
            contradicting,
            self._rules,
            known=self.log.known((row.record, row.label, row.reporter) for row in rows) if self.log else {},
            waiting=self.log.waiting_for(records) if self.log else [],
            learned_today=self.log.learned_since(now - DAY) if self.log else {},
        )
        logged = admission.logged
        if self.log:
            self.log.add(logged)
            # Their second reporter makes them part of this training, also when it is done again.
            self.log.adopt([row.number for row in admission.released], task)
            logged = self.log.of_task(task)
        learn = [row for row in logged if row.status == "learning"]
        return Batch(learn, admission.known, admission.count("held"), admission.count("waiting"))

    def settle_abandoned(self, task: str, made_by: Callable[[str], str | None]) -> None:
        """Settle what trainings before `task` have left unsettled, by the version that each of them made, if any.

        Trainings come one at a time, so whatever another one has left ended in an error: the verdicts may come again.
        """
        left = self.log.unsettled(task) if self.log else []
        for other in {row.task for row in left}:
            version = made_by(other)
            batch = Batch([row for row in left if row.task == other])
            self.settle(batch, "learned" if version else "refused", version)

    def settle(self, batch: Batch, status: Status, version: str | None = None) -> None:
        """Say what became of a batch."""
        if self.log:
            self.log.settle([row.number for row in batch.learn], status, version)

    def examples(self, rows: Sequence[LoggedVerdict], like: Arrays) -> Examples:
        """Logged verdicts as rows to learn; `like` has arrays of the network's inputs."""
        targets = np.array([row.label for row in rows], np.int64)
        return Examples(unpack_rows([row.vector for row in rows], like), targets)

    def draw_log(self, about: Version, before: int, seed: int, like: Arrays) -> Examples | None:
        """Up to `replay_records` verdicts of every label, learned earlier than the one numbered `before`, drawn at
        random from `seed`; None when there are none."""
        if self.log is None or not self.settings.replay_records:
            return None
        random = np.random.default_rng(seed)
        rows = [
            row
            for label in range(len(about.labels))
            for row in self.log.sample(label, self.settings.replay_records, about.tokenizers, random, before)
        ]
        return self.examples(rows, like) if rows else None

    def _rows(
        self, task: str, verdicts: Sequence[Any], arrays: Arrays, scores: Any, current: Weights
    ) -> list[LoggedVerdict]:
        received = self._clock().astimezone(UTC).replace(tzinfo=None)
        labels = [self.classifier.target(verdict, current.about.labels) for verdict in verdicts]
        return [
            LoggedVerdict(
                classifier=self.classifier.name,
                task=task,
                record=str(verdict.id),
                reporter=verdict.reporter or "",
                label=label,
                predicted=int(row.argmax()),
                score=float(row[label]),
                weights=current.about.version,
                received=received,
                tokenizers=current.about.tokenizers,
                vector=vector,
                status="learning",
            )
            for verdict, label, row, vector in zip(verdicts, labels, scores, pack_rows(arrays), strict=True)
        ]


def _contradicts(label: int, scores: Any, about: Version) -> bool:
    """Whether a verdict goes against a score in one of the outer bands."""
    if not about.borders:
        return False
    certain, likely, unsure = about.borders
    band = name_band(float(scores[1]), (certain, likely, unsure))
    return (label, band) in ((0, BANDS[0]), (1, BANDS[-1]))
