"""Current and staged weights on records whose labels are known: which of the two is right."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sb_api.arrays import Targets
from sb_api.judgements import Labelled, Sides
from sb_api.learning import quality
from sb_api.learning.ingest import OBSERVED
from sb_api.learning.recipe import merge_targets
from sb_api.learning.reference_set import Reference, load_reference, read_reference
from sb_api.learning.staging.staging import REFERENCE
from sb_api.models.calibration import calibrated
from sb_api.models.classifiers import find_classifier
from sb_api.models.engine import load_engine
from sb_api.models.measures import best_labels
from sb_api.models.predictor import Predictor
from sb_api.models.weights_file import Weights
from sb_api.text.tokenizers import Vocabularies

if TYPE_CHECKING:
    from sb_api.learning.trainer import Trainer

MOST_VERDICTS = 5_000  # of the log, the latest
REFERENCE_SET = "reference set"
OWN_REFERENCE_SETS = "each on its own reference set: they take other numbers of a record"
VERDICTS = "verdicts of the log, as judged before they were learned"


def compare_labelled(trainer: Trainer, staged: Predictor, weights: Weights) -> list[Labelled]:
    """What the current and the staged weights are worth on the reference set and on the verdicts of the log. Raises
    InvalidWeights or Unavailable."""
    current = trainer.store.load_current()
    both = (current.about.version, weights.about.version)
    if both not in trainer.staging.measured:
        # Reading the reference set takes longer than a page waits.
        trainer.staging.measured = {both: _on_reference(trainer, current, staged, weights)}
    found = [trainer.staging.measured[both]]
    if trainer.intake.log is not None and weights.about.takes_the_same(current.about):
        found += _on_log(trainer, staged)
    return found


def _on_reference(trainer: Trainer, current: Weights, staged: Predictor, weights: Weights) -> Labelled:
    classifier = find_classifier(current.about)
    path = trainer.settings.find(f"reference/{trainer.classifier.name}.npz")
    here = load_reference(path, classifier, current.about.labels)
    vocabularies = trainer.vocabularies
    said = _predict_guard(here, current, vocabularies)
    if weights.about.takes_the_same(current.about):
        other = _predict_guard(here, weights, vocabularies)
        return _compare(REFERENCE_SET, current.about.labels, here.guard.targets, said, other)
    _, files = trainer.store.load_staged()
    own = read_reference(
        io.BytesIO(files[REFERENCE]), "the staged reference set", staged.classifier, weights.about.labels
    )
    return Labelled(
        source=OWN_REFERENCE_SETS,
        current=_figures(current.about.labels, here.guard.targets, said),
        staged=_figures(weights.about.labels, own.guard.targets, _predict_guard(own, weights, staged.vocabularies)),
    )


def _predict_guard(reference: Reference, weights: Weights, vocabularies: Vocabularies) -> Targets:
    """The numbers of the labels (n,) that weights give the guard's records, as if they had not learned them."""
    about = weights.about
    engine = load_engine("onnx", find_classifier(about), about.labels, vocabularies)
    scores = reference.unlearn(engine(weights.arrays)(reference.guard.arrays))
    return best_labels(calibrated(scores.astype(np.float32), about.temperature), about.threshold)


def _on_log(trainer: Trainer, staged: Predictor) -> list[Labelled]:
    """On the latest verdicts that the staged weights have not learned, by what the weights of their time had said
    before they learned them."""
    log = trainer.intake.log
    rows = [row for row in log.latest(MOST_VERDICTS) if row.status in OBSERVED] if log else []
    count = len(staged.about.labels)
    rows = [row for row in rows if row.tokenizers == staged.about.features and max(row.label, row.predicted) < count]
    known = log.learned_by(trainer.ancestry(staged.version), (row.number for row in rows)) if log else ()
    rows = [row for row in rows if row.number not in known]
    if not rows:
        return []
    # One row of made-up arrays says what stored rows look like.
    like = staged.classifier.name_inputs(np.zeros((1, staged.classifier.vector_length), np.float32))
    scores = staged.score(staged.classifier.unpack([row.vector for row in rows], like))
    other = best_labels(scores, staged.about.threshold)
    labels = staged.about.labels
    said, targets = (
        merge_targets(np.array([getattr(row, name) for row in rows]), labels) for name in ("predicted", "label")
    )
    return [_compare(VERDICTS, staged.about.labels, targets, said, other)]


def _compare(source: str, labels: Sequence[str], targets: Targets, said: Targets, other: Targets) -> Labelled:
    return Labelled(
        source=source,
        right=count_right(targets, said, other),
        current=_figures(labels, targets, said),
        staged=_figures(labels, targets, other),
    )


def count_right(targets: Targets, current: Targets, staged: Targets) -> Sides:
    """Which side was right on n records, of which the number of the label and those that each side gave are known."""
    of_current, of_staged = current == targets, staged == targets
    return Sides(
        both=int((of_current & of_staged).sum()),
        current=int((of_current & ~of_staged).sum()),
        staged=int((~of_current & of_staged).sum()),
        neither=int((~of_current & ~of_staged).sum()),
    )


def _figures(labels: Sequence[str], targets: Targets, predicted: Targets) -> dict[str, Any]:
    """Figures of n predictions; where there are more than two labels, no class counts as the last one, -1."""
    size = len(labels)
    if predicted.min(initial=0) < 0 or targets.min(initial=0) < 0:
        size += 1
    confusion = np.zeros((size, size), np.int64)
    np.add.at(confusion, (targets, predicted), 1)
    return {name: value for name, value in quality.score_confusion(confusion).items() if name != "confusion"}
