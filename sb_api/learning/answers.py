"""What whoever sent verdicts is told of their training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from sb_api.learning.fitting.following import find_unheeded
from sb_api.learning.ingest import Batch
from sb_api.models.weights_file import Weights
from sb_api.records import content_digest
from sb_api.verdicts.log_schema import LoggedVerdict
from sb_api.verdicts.outcomes import describe_outcomes, say

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer


def describe_training(
    trainer: Trainer, task: str, verdicts: Sequence[Any], batch: Batch, learned: Weights | None, count: int
) -> dict[str, Any]:
    """What became of the verdicts of a request, in numbers and one by one; `learned` are the weights that came of it,
    if any did, and `count` is of all that they have learned then, with what was kept before."""
    sent = [(str(verdict.id), verdict.reporter or "") for verdict in verdicts]
    mine = find_sent(trainer, task, verdicts, batch)
    outcomes = describe_outcomes(sent, mine, find_unheeded(trainer, learned, mine))
    states = Counter(outcome.state for outcome in outcomes.values())
    unfollowed = sum(one.still != "" and one.state == "learned" for one in outcomes.values())
    along = 0 if learned is None else max(0, count - states["learned"])
    return {
        "response": say(states, unfollowed, along),
        "learned": states["learned"],
        "along": along,
        "known": batch.known,
        "superseded": sum(outcome.superseded for outcome in outcomes.values()),
        "kept": states["kept"],
        "held": batch.held,
        "waiting": batch.waiting,
        "records": msgspec.to_builtins(outcomes),
    }


def find_sent(trainer: Trainer, task: str, verdicts: Sequence[Any], batch: Batch) -> list[LoggedVerdict]:
    """Of what a training has in the log, what came with its request: also what was kept before may be of one of these
    reporters on one of these ids, with other content."""
    if trainer.intake.log is None:
        return batch.learn
    sent = {(str(verdict.id), verdict.reporter or ""): content_digest(verdict) for verdict in verdicts}
    rows = trainer.intake.log.of_task(task)
    return [row for row in rows if row.digest in ("", sent.get((row.record, row.reporter)))]
