"""Weights made again from the original and the verdict log, training by training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from sb_api.models.weights_file import Weights
from sb_api.train import Candidate
from sb_api.verdicts.log_schema import LoggedVerdict

Progress = Callable[[dict[str, Any]], None]
# A training's number, the weights it starts from, its verdicts, and the number and the label of each one before them.
Make = Callable[[int, Weights, Sequence[LoggedVerdict], Sequence[tuple[int, int]]], Candidate]


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
