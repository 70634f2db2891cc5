"""Which verdicts weights have learned and do not follow yet: one among many moves them a part of the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sb_api.models.calibration import calibrated
from sb_api.models.measures import best_labels
from sb_api.models.weights_file import Weights
from sb_api.verdicts.log_schema import LoggedVerdict
from sb_api.verdicts.outcomes import Unheeded, describe_unheeded

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer


def find_unheeded(trainer: Trainer, learned: Weights | None, rows: Sequence[LoggedVerdict]) -> Unheeded:
    """What weights, whose numbers the network has, say of those verdicts that they have learned, where that is
    something else; of none without weights."""
    if learned is None or not rows:
        return {}
    labels = learned.about.labels
    arrays = trainer.intake.examples(rows, trainer.reference.guard.arrays, labels).arrays
    scores = calibrated(trainer.fitting.predict(arrays), learned.about.temperature)
    return describe_unheeded(rows, best_labels(scores, learned.about.threshold).tolist(), labels)
