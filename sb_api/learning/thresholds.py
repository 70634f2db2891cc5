"""What a moderator decides by: at so many innocents in a thousand, how much of the spam is caught."""

from __future__ import annotations

import msgspec
import numpy as np

from sb_api.arrays import Scores, Targets
from sb_api.config import Settings
from sb_api.errors import InvalidParameter
from sb_api.learning.ingest import observed_rows
from sb_api.learning.reference_set import load_reference
from sb_api.models.classifiers import Classifier, find_classifier
from sb_api.models.measures import recall_at_budget, threshold_at_budget
from sb_api.models.predictor import Predictor
from sb_api.models.weights_store import WeightsStore
from sb_api.records import EDITORS
from sb_api.verdicts.verdict_log import open_verdict_log

INNOCENTS_PER_THOUSAND = (0.5, 1, 2, 5, 10, 20, 50)


class Threshold(msgspec.Struct, frozen=True):
    """Above the score `threshold` lie at most so many of a thousand innocents, and the share `caught` of the spam.
    Neither is known (None) where one innocent is more than that: so few cannot show it."""

    innocents_per_thousand: float
    threshold: float | None
    caught: float | None


class Measured(msgspec.Struct, frozen=True):
    """The thresholds on one set of records whose labels are known; `source` says whose they are."""

    source: str
    innocent: int
    spam: int
    thresholds: list[Threshold]


def find_thresholds(targets: Targets, scores: Scores) -> list[Threshold]:
    """The thresholds of n targets (1 is spam) with probabilities of spam (n,)."""
    innocent = int((targets == 0).sum())
    spam = len(targets) - innocent
    found = []
    for wanted in INNOCENTS_PER_THOUSAND:
        if innocent * wanted < 1000 or not spam:
            found.append(Threshold(wanted, None, None))
            continue
        budget = wanted / 1000
        threshold = threshold_at_budget(targets, scores, budget)
        found.append(Threshold(wanted, threshold, recall_at_budget(targets, scores, budget)))
    return found


def measure_thresholds(settings: Settings, classifier: Classifier) -> tuple[str, list[Measured]]:
    """The current weights of this host, and their thresholds on the reference set and on the verdicts of the log, each
    by the score that it had before it was learned. Raises InvalidParameter for a classifier of no spam, InvalidWeights,
    Unavailable."""
    if classifier.record_type is not EDITORS:
        raise InvalidParameter(f"{classifier.name} judges no spam; only {EDITORS.name} has thresholds.")
    weights = WeightsStore.of(settings, classifier.name).load_current()
    predictor = Predictor(find_classifier(weights.about), weights, classifier.load_vocabularies(settings))
    path = settings.find(f"reference/{classifier.name}.npz")
    guard = load_reference(path, predictor.classifier).guard
    scores = predictor.score(guard.arrays)[:, 1]
    source = "made-up accounts, which came with the weights"
    if path.is_relative_to(settings.state):
        source = "the reference set of this installation"
    found = [_measure(source, guard.targets, scores)]
    log = open_verdict_log(settings, classifier.name)
    rows = observed_rows(log, settings.calibration_verdicts) if log and settings.calibration_verdicts else []
    if rows:
        labels = np.array([row.label for row, _ in rows], np.int64)
        before = np.array([said.spam for _, said in rows], np.float32)
        found.append(_measure("verdicts, by what was said before they were learned", labels, before))
    return weights.about.version, found


def _measure(source: str, targets: Targets, scores: Scores) -> Measured:
    innocent = int((targets == 0).sum())
    return Measured(source, innocent, len(targets) - innocent, find_thresholds(targets, scores))
