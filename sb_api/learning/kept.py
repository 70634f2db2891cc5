"""Verdicts that the guard refused, or that were over a cap: tried again when no request is there to wait for it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from sb_api.errors import EngineDisagrees, TrainingRefused

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer
    from sb_api.verdicts.log_schema import LoggedVerdict

logger = logging.getLogger(__name__)

MOST_TRIES = 8  # trainings in a row that kept verdicts are tried again with


def has_kept(trainer: Trainer) -> bool:
    """Whether there are verdicts that may be learned later without anybody saying more, those among them that a
    training has left unsettled."""
    return trainer.intake.log is not None and trainer.intake.log.has_kept()


def try_kept(
    trainer: Trainer,
    check: Callable[[], None],
    note: Callable[[Sequence[LoggedVerdict]], None] = lambda _: None,
) -> int:
    """Learn those of the kept verdicts that may be tried again by now, all at once; where the guard refuses that,
    one half after the other, and so on for a while. Returns how many are learned; `note` is called with those of each
    training."""
    task = uuid.uuid4().hex
    current = trainer.begin(task)
    waiting = [trainer.intake.take_kept(task, current)]
    learned, tries = 0, 0
    while waiting and (rows := waiting.pop()):
        tries += 1
        if tries > MOST_TRIES:
            trainer.intake.settle_refused(rows)
            continue
        start, task = monotonic(), uuid.uuid4().hex
        trainer.intake.adopt(rows, task)
        try:
            made = trainer.learn(task, current, rows, check, force=False)
        except (TrainingRefused, EngineDisagrees):
            if len(rows) == 1:
                trainer.intake.settle_refused(rows)
            else:
                middle = len(rows) // 2
                waiting += [rows[:middle], rows[middle:]]
        else:
            trainer.settle(current, made, rows, check, start)
            note(rows)
            current, learned = made, learned + len(rows)
    if tries:
        logger.info("%d kept verdicts are learned now", learned)
        trainer.publication.publish_quality()
    return learned
