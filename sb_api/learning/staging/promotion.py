"""Staged weights looked at with labels known, and promoted by a person."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from sb_api.broker.jobs import Promotion
from sb_api.errors import InvalidWeights, NothingStaged
from sb_api.judgements import NO_CLASS
from sb_api.learning.replay import Progress, teach
from sb_api.learning.staging.labelled import compare_labelled, count_right
from sb_api.models.measures import best_labels
from sb_api.models.weights_file import Weights
from sb_api.records import NO_CLASS_NAME
from sb_api.verdicts.log_schema import LoggedVerdict

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer

logger = logging.getLogger(__name__)


def describe_staged(trainer: Trainer) -> dict[str, Any]:
    """What the staged weights are worth where labels are known, and how many verdicts that the current ones have
    learned they have not: `unlearned` can be taught, `unteachable` were logged as other numbers than theirs. Raises
    NothingStaged, InvalidWeights or Unavailable."""
    weights, predictor = trainer.staging.load(trainer.settings, trainer.vocabularies.encoder)
    missing, unteachable = find_missing(trainer, weights)
    return {
        "version": weights.about.version,
        "current": trainer.publication.version,
        "labelled": msgspec.to_builtins(compare_labelled(trainer, predictor, weights)),
        "unlearned": len(missing),
        "unteachable": unteachable,
    }


def find_missing(trainer: Trainer, weights: Weights) -> tuple[list[int], int]:
    """The numbers of the learned verdicts that weights have not learned, and how many more there are, which were logged
    as other numbers than they take."""
    log = trainer.intake.log
    if log is None:
        return [], 0
    total, _ = log.count_learned()
    taught = [number for number, _ in log.learned_numbers(weights.about.features)]
    if not weights.about.takes_the_same(trainer.store.load_current().about):
        return [], total
    known = log.learned_by(trainer.ancestry(weights.about.version), taught)
    return [number for number in taught if number not in known], total - len(taught)


def promote_staged(
    trainer: Trainer, task: str, wanted: Promotion, check: Callable[[], None], progress: Progress
) -> dict[str, Any]:
    """Make the staged weights current, and stage nothing any more; unless they are taken `as_is`, they first learn the
    verdicts that only the current ones have. What was current is previous: a rollback goes back.

    A task that was done before its process died is not done twice. Raises NothingStaged, also where other weights are
    staged than are `wanted`, TrainingRefused as a training does, or InvalidWeights; then nothing is changed.
    """
    start, previous = monotonic(), trainer.publication.version
    made, rows, unlearned, unteachable = trainer.made_by(task), [], 0, 0
    if made is None and previous != wanted.version:
        weights = _find_wanted(trainer, wanted)
        missing, unteachable = find_missing(trainer, weights)
        trainer.keep(weights)  # its parent is known from then on
        if missing and not wanted.as_is and trainer.intake.log:
            rows = trainer.intake.log.numbered(missing)
            made = teach(trainer, task, weights, rows, check, wanted.force, progress)
        else:
            made, unlearned = weights, len(missing)
    elif made is not None and trainer.intake.log:
        # Made, and then the process died.
        missing, unteachable = find_missing(trainer, trainer.store.load_version(wanted.version))
        rows = trainer.intake.log.numbered(missing)
    version = previous if made is None else made.about.version
    check()
    trainer.promote("promotion", version, previous, len(rows), start)
    if rows:
        trainer.intake.settle_learned(rows, version)
    trainer.follow()
    trainer.staging.drop()
    trainer.publication.publish_quality()
    logger.info("promoted the staged weights %s in the place of %s", version, previous)
    return {
        "response": _say(version, previous, wanted.version, len(rows), unlearned, unteachable),
        "learned": len(rows),
        "unlearned": unlearned,
        "unteachable": unteachable,
        "weights": {"version": version, "previous": trainer.store.chain().slots["previous"]},
    }


def _find_wanted(trainer: Trainer, wanted: Promotion) -> Weights:
    weights, _ = trainer.staging.load(trainer.settings, trainer.vocabularies.encoder)
    if weights.about.version != wanted.version:
        raise NothingStaged(
            f"{wanted.version[:40]!r} is not what is staged: that is {weights.about.version}. Nothing was changed."
        )
    if not weights.about.takes_the_same(trainer.store.load_current().about):
        raise InvalidWeights(
            f"{wanted.version} takes other numbers of a record than the weights in use, or has other labels: the two "
            "cannot take turns while the service runs. Stop it, and `sb-api weights promote --stopped` makes them the "
            "original. Nothing was changed."
        )
    return weights


def _say(version: str, previous: str, staged: str, learned: int, unlearned: int, unteachable: int) -> str:
    """What a promotion did, and what is missing, in words."""
    said = f"Promoted {staged}"
    if learned:
        said += f", which has learned {learned} verdicts that it lacked, as {version}"
    if unlearned:
        said += (
            f". {unlearned} verdicts that {previous} has learned are not in it: to have them learned, go back with "
            f"`sb-api rollback`, stage {staged} again and promote it without --as-is"
        )
    if unteachable:
        said += f". {unteachable} learned verdicts were logged as other numbers and cannot be taught: send them again"
    return said


def judge_verdicts(trainer: Trainer, verdicts: Sequence[Any], rows: Sequence[LoggedVerdict]) -> None:
    """Count how right the staged weights, if any, are on verdicts that have just come, beside the current ones, as
    which `rows` has them. Nothing that goes wrong keeps anybody from learning them."""
    # A class that comes with these verdicts is not there yet.
    known = len(trainer.publication.labels)
    said = {(row.record, row.reporter): row for row in rows if row.label < known}
    pairs = [(one, row) for one in verdicts if (row := said.get((str(one.id), one.reporter or ""))) is not None]
    try:
        if not pairs or trainer.staging.version() == "":
            return
        _, staged = trainer.staging.load(trainer.settings, trainer.vocabularies.encoder)
        scores, errors = staged.judge([one for one, _ in pairs])
        sound = [place for place in range(len(pairs)) if place not in errors]
        if not sound:
            return
        best = best_labels(scores[sound], staged.about.threshold).tolist()
        names = [_names(best, staged.about.labels)]
        for numbers in (
            [pairs[place][1].predicted for place in sound],
            [pairs[place][1].label for place in sound],
        ):
            names.append(_names(numbers, trainer.publication.labels))
        other, current, targets = (np.array(some) for some in names)
        counts = msgspec.structs.asdict(count_right(targets, current, other))
        trainer.staging.weights.add(
            trainer.classifier.name,
            staged.version,
            {f"verdicts {side}": float(count) for side, count in counts.items() if count},
        )
    except Exception:  # whatever they lead the engine to
        logger.exception("the staged weights have not judged %d verdicts", len(pairs))


def _names(numbers: Sequence[int], labels: Sequence[str]) -> list[str]:
    return [NO_CLASS_NAME if number == NO_CLASS else labels[number] for number in numbers]
