"""What weights said of a record right before they learned a verdict on it.

When the verdict came, its record may have had another score: by others that were taken back or purged since, or because
it was kept first, and learned by later weights than those that it came to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from sb_api.arrays import Scores
from sb_api.errors import InvalidWeights, UnknownVersion
from sb_api.judgements import NO_CLASS
from sb_api.learning.recipe import merge_targets
from sb_api.models.calibration import calibrated
from sb_api.models.measures import best_labels
from sb_api.models.networks import get_arrays, set_arrays
from sb_api.models.weights_file import Weights
from sb_api.verdicts.log_schema import LoggedVerdict
from sb_api.versions import Version, find_merged, number_of

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer


def judge(trainer: Trainer, weights: Weights, verdicts: Sequence[LoggedVerdict]) -> Scores:
    """What weights say of the records of n verdicts (n, labels), as clients are told it. The network has the numbers
    that it had afterwards. Raises InvalidWeights."""
    network, held = trainer.fitting.network, get_arrays(trainer.fitting.network)
    arrays = trainer.classifier.unpack([verdict.vector for verdict in verdicts], trainer.reference.guard.arrays)
    set_arrays(network, trainer.fitting.widen(weights).arrays)
    try:
        scores = trainer.fitting.predict(arrays)
    finally:
        set_arrays(network, held)
    return np.asarray(calibrated(scores, weights.about.temperature), np.float64)


def score_when_learned(
    trainer: Trainer, verdicts: Sequence[LoggedVerdict], about: Version, said: Scores | None = None
) -> list[LoggedVerdict]:
    """Logged verdicts in the order in which the weights of `about`, or those that they came from, first learned them,
    each with the score that its record had right before, as that is logged: had those classes been one then that are by
    now, as a score of one part says nothing of the others.

    No weights are loaded for a verdict that was learned by those that it came to; one of which the weights are not kept
    stays as it is logged, but that `said` (labels,), if given, is what is said now of its record, where it may be of a
    merged class.
    """
    log = trainer.intake.log
    if log is None:
        return list(verdicts)
    learned_by = log.first_learned(trainer.ancestry(about.version), [row.number for row in verdicts])
    parents, merged = trainer.parents(), find_merged(about.labels)
    again: dict[str, list[LoggedVerdict]] = defaultdict(list)
    for row in verdicts:
        version = parents.get(learned_by.get(row.number, "")) or row.weights
        if merged is not None or (version != row.weights and not row.is_of_new_class):
            again[version].append(row)
    scored = {row.number: row for row in verdicts}
    for version, rows in again.items():
        try:
            then = judge(trainer, trainer.store.load_version(version), rows)
        except (UnknownVersion, InvalidWeights):
            scored |= {row.number: _guess(row, about, said) for row in rows}
        else:
            scored |= {row.number: _score(row, about, one) for row, one in zip(rows, then, strict=True)}
    order = sorted(scored, key=lambda number: (number_of(learned_by.get(number, scored[number].weights)), number))
    return [scored[number] for number in order]


def _score(verdict: LoggedVerdict, about: Version, then: Scores) -> LoggedVerdict:
    """A verdict as it would be logged by weights that say `then` (labels,) of its record."""
    (label,) = merge_targets(np.array([verdict.label]), about.labels).tolist()
    (predicted,) = best_labels(then[None], about.threshold).tolist()
    score = float(1 - then.max() if label == NO_CLASS else then[label])
    return msgspec.structs.replace(verdict, label=label, predicted=predicted, score=score)


def _guess(verdict: LoggedVerdict, about: Version, said: Scores | None) -> LoggedVerdict:
    """A verdict of which nobody knows what the weights said that learned it."""
    label, predicted = merge_targets(np.array([verdict.label, verdict.predicted]), about.labels).tolist()
    score = verdict.score
    # Its record was of this class before and after, and what is logged is of one part alone.
    if said is not None and label == predicted != NO_CLASS and about.labels.count(about.labels[label]) > 1:
        score = max(score, float(said[label]))
    return msgspec.structs.replace(verdict, label=label, predicted=predicted, score=score)
