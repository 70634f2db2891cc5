"""A verdict taken back: its training is left behind if nothing has come since, else what it taught is taught away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sb_api.arrays import Arrays, RowWeights, Scores
from sb_api.broker.jobs import Withdrawal
from sb_api.errors import EngineDisagrees, JobFailed, TrainingRefused
from sb_api.judgements import NO_CLASS
from sb_api.learning.ingest import BESIDE_THRESHOLD
from sb_api.learning.recipe import RETRAINING, Examples, merge_targets
from sb_api.learning.undo.hindsight import judge, score_when_learned
from sb_api.learning.undo.restoration import states_again
from sb_api.models.calibration import calibrated, undo_temperature
from sb_api.models.measures import best_labels
from sb_api.models.weights_file import Weights
from sb_api.verdicts.log_schema import LoggedVerdict
from sb_api.verdicts.outcomes import KEPT, name_label
from sb_api.verdicts.verdict_log import VerdictLog
from sb_api.versions import Version

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer

logger = logging.getLogger(__name__)


def withdraw(trainer: Trainer, task: str, wanted: Withdrawal, check: Callable[[], None]) -> dict[str, Any]:
    """Take back what a reporter says of a record now: it counts no longer, and what the current weights have learned of
    it is undone, as far as no other verdict on the record says the same; `unlearned` is False where the guard refuses
    that, and where there is nothing to take back; asked for once more, it is tried again. `standing` is what the newest
    verdict on it says that counts still, `digest` is of what the verdict was on. `check` raises when this process may
    no longer.

    A task that was done before its process died is not done twice. Raises JobFailed without a log.
    """
    log = trainer.intake.log
    if log is None:
        raise JobFailed("The verdict log is off, so there is no verdict to take back.")
    current = trainer.begin(task)
    done, made = log.of_task(task), trainer.made_by(task)
    verdict = done[0] if done else _find_refused(trainer, log, current, wanted, made is not None)
    if verdict is None:
        verdict = log.newest(wanted.record, wanted.digest, wanted.reporter)
    known = _find_known(log, verdict, trainer.ancestry()) if verdict else []
    heir = _find_heir(known, verdict) if verdict else None
    unlearned = verdict is not None
    if verdict is not None and not done:
        if made is None and any(row.number == verdict.number for row in known):
            unlearned = _undo(trainer, log, task, current, Retraction(verdict, known, heir), check)
        elif made is not None and made.about.parent == current.about.version:
            trainer.promote("training", made.about.version, current.about.version)
        taught = trainer.made_by(task)
        taught_away = [row.number for row in known] if taught is not None and heir is None else []
        again = states_again(trainer.intake, [verdict], current.about, trainer.ancestry())
        made_version = taught.about.version if taught else ""
        log.withdraw([verdict.number], again, task, taught_away, made_version, not unlearned)
        trainer.follow()
        trainer.publication.publish_quality()
    weights = {"version": trainer.publication.version, "previous": current.about.version}
    said = "Nothing was there to take back" if verdict is None else "Took the verdict back"
    standing = None if heir is None else name_label(heir.label, current.about.labels)
    if standing is not None:
        said += f"; the newest verdict on it that still counts says {standing!r}"
    if verdict is not None and not unlearned:
        said += ", but the weights still know it: the guard refused the training without it. Undo it again to try again"
    digest = "" if verdict is None else verdict.digest
    left = log.newest(wanted.record, digest, wanted.reporter) if verdict else None
    if left is not None and left.status in KEPT:
        said += f"; what it had replaced, {name_label(left.label, current.about.labels)!r}, is kept again"
    done_with = {"response": said, "withdrawn": int(verdict is not None), "digest": digest, "standing": standing}
    return {**done_with, "unlearned": unlearned, "weights": weights}


@dataclass(frozen=True)
class Retraction:
    """A verdict that is taken back, with those `known` that the current weights have learned of the same record and
    have not been taught away, oldest first, it among them; and the newest other one of those that counts then, its
    `heir`, if any does."""

    verdict: LoggedVerdict
    known: Sequence[LoggedVerdict]
    heir: LoggedVerdict | None


def _find_known(log: VerdictLog, verdict: LoggedVerdict, ancestry: Collection[str]) -> list[LoggedVerdict]:
    same = [row for row in log.find(record=verdict.record) if row.is_about_the_same(verdict)]
    known = log.learned_by(ancestry, [row.number for row in same])
    return sorted((row for row in same if row.number in known), key=lambda row: row.number)


def _find_heir(known: Sequence[LoggedVerdict], verdict: LoggedVerdict) -> LoggedVerdict | None:
    """The newest of the verdicts on a record that counts once one is taken back: what that had replaced does again."""
    counting = [
        row
        for row in known
        if (row.status == "learned" and row.number != verdict.number)
        or (row.number == verdict.supersedes and row.status != "withdrawn")
    ]
    return counting[-1] if counting else None


def _find_refused(
    trainer: Trainer, log: VerdictLog, current: Weights, wanted: Withdrawal, begun: bool
) -> LoggedVerdict | None:
    """The last verdict of a reporter on a record if it was taken back and the guard refused to undo it: the current
    weights have learned it, and do not follow what counts in its place; if that was `begun` again, they may."""
    said = log.find(record=wanted.record, reporter=wanted.reporter)
    last = next((row for row in said if not wanted.digest or row.digest in ("", wanted.digest)), None)
    if last is None or last.status != "withdrawn":
        return None
    known = _find_known(log, last, trainer.ancestry())
    if last.number not in {row.number for row in known}:
        return None
    heir = _find_heir(known, last)
    followed = not begun and heir is not None and follows(judge(trainer, current, [last])[0], heir, current.about)
    return None if followed else last


def _undo(
    trainer: Trainer, log: VerdictLog, task: str, current: Weights, taken: Retraction, check: Callable[[], None]
) -> bool:
    """Undo what the current weights have learned of one verdict, so that its record stands where the heir says, or,
    with none, where it stood before anything was learned of it; False where the guard refuses that."""
    verdict, heir = taken.verdict, taken.heir
    version, before = current.about.version, current.about.parent
    kept = {about.version for about in trainer.store.chain().versions}
    alone = verdict.version == version and before in kept and log.learned_with(verdict) == 1
    arrays = trainer.classifier.unpack([verdict.vector], trainer.reference.guard.arrays)

    def go_back() -> bool:
        check()
        trainer.promote("rollback", str(before), version)
        return True

    if alone:
        earlier = trainer.fitting.widen(trainer.store.load_version(str(before)))
        if follows(judge(trainer, earlier, [verdict])[0], heir, earlier.about) if heir else len(taken.known) == 1:
            return go_back()
    (said,) = judge(trainer, current, [verdict])
    if heir and follows(said, heir, current.about):
        return True
    try:
        known = score_when_learned(trainer, taken.known, current.about, said)
        lesson = unlearn(replace(taken, known=known), current.about, said, arrays)
        made = trainer.learn(task, current, [verdict], check, False, lesson)
    except (TrainingRefused, EngineDisagrees) as refused:
        logger.info("a verdict that was taken back is not unlearned: %s", refused.detail)
        return go_back() if alone else False
    check()
    trainer.promote("training", made.about.version, version)
    return True


def follows(said: Scores, verdict: LoggedVerdict, about: Version) -> bool:
    """Whether what weights say of a record (labels,) is what a verdict says."""
    (best,) = best_labels(said[None], about.threshold).tolist()
    return name_label(best, about.labels) == name_label(verdict.label, about.labels)


def unlearn(taken: Retraction, about: Version, said: Scores, arrays: Arrays) -> Examples:
    """The one row that takes weights, which say `said` (labels,) of a record, back to what was said of it before
    anything was learned of it; or, where its heir says otherwise, to the side of that.

    The probabilities of the labels that its verdicts gave are what they were, each before the first of them, and those
    of the other labels share the rest as they do now. Of a verdict of no class, the label is what had been predicted,
    or else what is likeliest now. The label of the row is the one that gains most.
    """
    shares: dict[int, float] = {}
    for row in taken.known:
        share = row.score
        label, predicted = merge_targets(np.array([row.label, row.predicted]), about.labels).tolist()
        if label == NO_CLASS:
            label = predicted if 0 <= predicted < len(said) else int(said.argmax())
            share = 1 - share
        if len(shares) < len(said) - 1:
            shares.setdefault(label, min(share, 1 - sum(shares.values())))
    wanted = _with_shares(said, shares)
    if taken.heir and not follows(wanted, taken.heir, about):
        (label,) = merge_targets(np.array([taken.heir.label]), about.labels).tolist()
        if label == NO_CLASS:
            wanted = _flatten(wanted, about.threshold - BESIDE_THRESHOLD, about.labels)
        else:
            wanted = _with_shares(said, {label: RETRAINING.margin})
    raw = undo_temperature(wanted[None], about.temperature).astype(np.float32)
    return Examples(arrays, np.array([(wanted - said).argmax()], np.int64), raw)


def _flatten(said: Scores, most: float, labels: Sequence[str]) -> Scores:
    """Probabilities (labels,) of which none is above `most`, or as far that way as may be, mixed with equal ones. What
    is merged into another label has none."""
    own = merge_targets(np.arange(len(said)), labels) == np.arange(len(said))
    equal, highest = 1 / own.sum(), float(said.max())
    share = min(1.0, max(0.0, highest - most) / (highest - equal)) if highest > equal else 0.0
    return np.asarray((1 - share) * said + share * equal * own, np.float64)


def _with_shares(said: Scores, shares: Mapping[int, float]) -> Scores:
    """Probabilities (labels,) of which some are given, and the others share the rest as they do in `said`."""
    wanted = np.array(said, np.float64)
    others = np.array([label not in shares for label in range(len(said))])
    rest = wanted[others].sum()
    wanted[others] = (1 - sum(shares.values())) * (wanted[others] / rest if rest > 0 else 1 / others.sum())
    for label, share in shares.items():
        wanted[label] = share
    return wanted


def shares_of(lesson: Examples, about: Version) -> RowWeights | None:
    """The probabilities of their labels (n,), as clients are told them, that the rows of a lesson are to have; None
    where it says nothing of them."""
    if lesson.scores is None:
        return None
    told = calibrated(lesson.scores, about.temperature)
    return np.asarray(told[np.arange(len(lesson)), lesson.targets], np.float32)
