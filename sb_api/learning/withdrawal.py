"""A verdict taken back: its training is left behind if nothing has come since, else what it taught is taught away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sb_api.arrays import Arrays, Predict, RowWeights
from sb_api.broker.jobs import Withdrawal
from sb_api.errors import EngineDisagrees, JobFailed, TrainingRefused
from sb_api.judgements import NO_CLASS
from sb_api.learning.recipe import Examples, merge_targets
from sb_api.models.calibration import calibrated, undo_temperature
from sb_api.models.weights_file import Weights
from sb_api.verdicts.log_schema import LoggedVerdict
from sb_api.verdicts.verdict_log import VerdictLog
from sb_api.versions import Version

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer

logger = logging.getLogger(__name__)


def withdraw(trainer: Trainer, task: str, wanted: Withdrawal, check: Callable[[], None]) -> dict[str, Any]:
    """Take back what a reporter says of a record now: it counts no longer, and what the current weights have learned of
    it is undone; `unlearned` is False where the guard refuses that. `digest` is of what the verdict was on. `check`
    raises when this process may no longer.

    A task that was done before its process died is not done twice. Raises JobFailed without a log.
    """
    log = trainer.intake.log
    if log is None:
        raise JobFailed("The verdict log is off, so there is no verdict to take back.")
    current = trainer.begin(task)
    done, made = log.of_task(task), trainer.made_by(task)
    verdict = done[0] if done else log.newest(wanted.record, wanted.digest, wanted.reporter)
    unlearned = True
    if verdict is not None and not done:
        if made is None and log.learned_by(trainer.ancestry(), [verdict.number]):
            unlearned = _undo(trainer, log, task, current, verdict, check)
        elif made is not None and made.about.parent == current.about.version:
            trainer.promote("training", made.about.version, current.about.version)
        log.withdraw(verdict, task, trainer.ancestry())
        trainer.follow()
        trainer.publication.publish_quality()
    weights = {"version": trainer.publication.version, "previous": current.about.version}
    said = "Nothing was there to take back" if verdict is None else "Took the verdict back"
    if not unlearned:
        said += ", but the weights still know it: the guard refused the training without it"
    digest = "" if verdict is None else verdict.digest
    done_with = {"response": said, "withdrawn": int(verdict is not None), "digest": digest}
    return {**done_with, "unlearned": unlearned, "weights": weights}


def _undo(
    trainer: Trainer, log: VerdictLog, task: str, current: Weights, verdict: LoggedVerdict, check: Callable[[], None]
) -> bool:
    """Undo what the current weights have learned of one verdict; False where the guard refuses that."""
    version, before = current.about.version, current.about.parent
    kept = {about.version for about in trainer.store.chain().versions}
    if verdict.version == version and before in kept and log.learned_with(verdict) == 1:
        check()
        trainer.promote("rollback", str(before), version)
        return True
    arrays = trainer.classifier.unpack([verdict.vector], trainer.reference.guard.arrays)
    lesson = unlearn(verdict, current, trainer.fitting.predict, arrays)
    try:
        made = trainer.learn(task, current, [verdict], check, False, lesson)
    except (TrainingRefused, EngineDisagrees) as refused:
        logger.info("a verdict that was taken back is not unlearned: %s", refused.detail)
        return False
    check()
    trainer.promote("training", made.about.version, version)
    return True


def unlearn(verdict: LoggedVerdict, current: Weights, predict: Predict, arrays: Arrays) -> Examples:
    """The one row that takes weights back to what was said of a record before a verdict on it was learned.

    The probability of its label is what it was, and those of the other labels share the rest as they do now: the best
    of them is the label of the row. Of a verdict of no class, the label is what had been predicted, or else what is
    likeliest now. `predict` is that of the current weights, `arrays` are those of the record.
    """
    wanted = calibrated(predict(arrays), current.about.temperature)[0].astype(np.float64)
    share = verdict.score
    label, predicted = merge_targets(np.array([verdict.label, verdict.predicted]), current.about.labels).tolist()
    if label == NO_CLASS:
        label = predicted if 0 <= predicted < len(wanted) else int(wanted.argmax())
        share = 1 - share
    others = np.arange(len(wanted)) != label
    rest = wanted[others].sum()
    wanted[others] = (1 - share) * (wanted[others] / rest if rest > 0 else 1 / others.sum())
    wanted[label] = share
    raw = undo_temperature(wanted[None], current.about.temperature).astype(np.float32)
    target = label if verdict.label == NO_CLASS else int(np.where(others, wanted, -1.0).argmax())
    return Examples(arrays, np.array([target], np.int64), raw)


def shares_of(lesson: Examples, about: Version) -> RowWeights | None:
    """The probabilities of their labels (n,), as clients are told them, that the rows of a lesson are to have; None
    where it says nothing of them."""
    if lesson.scores is None:
        return None
    told = calibrated(lesson.scores, about.temperature)
    return np.asarray(told[np.arange(len(lesson)), lesson.targets], np.float32)
