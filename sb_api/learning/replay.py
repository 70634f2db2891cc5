"""Weights made again from the original and the verdict log, training by training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from sb_api.errors import JobFailed
from sb_api.learning import quality
from sb_api.models.weights_file import Weights, named
from sb_api.train import Candidate
from sb_api.verdicts.log_schema import LoggedVerdict

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer

Progress = Callable[[dict[str, Any]], None]
# A training's number, the weights it starts from, its verdicts, and the number and the label of each one before them.
Make = Callable[[int, Weights, Sequence[LoggedVerdict], Sequence[tuple[int, int]]], Candidate]


def replay(
    trainer: Trainer, task: str, check: Callable[[], None], force: bool, progress: Progress, with_undone: bool = False
) -> dict[str, Any]:
    """Rebuild the current weights from the original and every learned verdict in the log, training by training; with
    those that rollbacks have undone, if asked for. `check` raises when this process may no longer.

    The same log gives the same bits. Raises TrainingRefused as `Trainer.train` does, and JobFailed without a log.
    """
    log = trainer.intake.log
    if log is None:
        raise JobFailed("The verdict log is off, so there is nothing to replay.")
    start, previous = monotonic(), trainer.publication.version
    found = log.learned(trainer.original.about.features, with_undone)
    rows = [row for row in found if row.label < len(trainer.publication.labels)]
    lost = len(found) - len(rows)
    made = trainer.made_by(task) or teach(trainer, task, trainer.original, rows, check, force, progress)
    trainer.promote("replay", made.about.version, previous, len(rows), start)
    trainer.intake.settle_learned(rows, made.about.version)
    trainer.follow()
    trainer.publication.publish_quality()
    return {
        "response": f"Rebuilt the weights from {len(rows)} verdicts"
        + (f"; {lost} of classes that were rolled back were left out: teach those classes again" if lost else ""),
        "learned": len(rows),
        "weights": {"version": made.about.version, "previous": previous},
        **made.about.told,
    }


def teach(
    trainer: Trainer,
    task: str,
    start: Weights,
    rows: Sequence[LoggedVerdict],
    check: Callable[[], None],
    force: bool,
    progress: Progress,
) -> Weights:
    """What weights become by logged verdicts, training by training, kept as a version. Raises TrainingRefused or
    EngineDisagrees."""
    trainer.fit_to(trainer.publication.labels)
    # Classes that were rolled back are not there to be taught.
    trainings = group_by_training([row for row in rows if row.label < len(trainer.fitting.labels)])
    log = trainer.intake.log
    if not trainings or log is None:
        return start
    estimate = quality.estimate_replay(len(rows), len(trainings), log.events(quality.EVENTS))["seconds"]
    learned = log.learned_numbers(start.about.features)
    mine = log.learned_by(trainer.ancestry(start.about.version), (number for number, _ in learned))
    known = [(number, label) for number, label in learned if number in mine]

    def make(
        number: int, weights: Weights, training: Sequence[LoggedVerdict], earlier: Sequence[tuple[int, int]]
    ) -> Candidate:
        return trainer.make(weights, training, earlier, number, task, force)

    candidate = rebuild(start, trainings, make, check, progress, estimate, known)
    number = 1 + max(about.number for about in trainer.store.chain().versions)
    about = msgspec.structs.replace(candidate.weights.about, parent=start.about.version, learned=len(rows))
    trainer.check_engine(candidate.weights, candidate.on_guard)
    check()
    made = named(replace(candidate.weights, about=about), number)
    trainer.save(made)
    return made


def group_by_training(rows: Sequence[LoggedVerdict]) -> list[list[LoggedVerdict]]:
    """Logged verdicts by the training that learned them, in the order of the trainings."""
    trainings: dict[str, list[LoggedVerdict]] = {}
    for row in rows:
        trainings.setdefault(row.task, []).append(row)
    # A verdict that was kept for a while is older than the training that learned it.
    return sorted(trainings.values(), key=lambda training: training[-1].number)


def rebuild(
    original: Weights,
    trainings: Sequence[Sequence[LoggedVerdict]],
    make: Make,
    check: Callable[[], None],
    progress: Progress,
    estimate: float | None,
    known: Sequence[tuple[int, int]] = (),
) -> Candidate:
    """What all of at least one training make of the original, one after the other; `estimate` is about how many seconds
    that takes. `check` raises when this process may no longer. Where they begin with other weights than the original,
    `known` are the number and the label of each verdict that these have learned."""
    total, done, start = sum(map(len, trainings)), 0, monotonic()
    progress({"done": 0, "total": total, "seconds_left": estimate})
    weights = original
    earlier = list(known)
    for number, training in enumerate(trainings, start=1):
        check()
        candidate = make(number, weights, training, earlier)
        weights = candidate.weights
        earlier += [(row.number, row.label) for row in training]
        done += len(training)
        left = (monotonic() - start) / done * (total - done)
        progress({"done": done, "total": total, "seconds_left": round(left, 1)})
    return candidate
