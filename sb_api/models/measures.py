"""How good scores are: numpy arrays in, numbers out. Figures of many labels are scikit-learn's, imported on first use.
Those of two labels, which every training of editors wants, do without: it takes a second to load, 13 ms instead of 0.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Scores, Targets
from sb_api.judgements import NO_CLASS
from sb_api.models.calibration import name_bands
from sb_api.versions import BANDS

_MEASURES = ("precision", "recall", "f1")


def score_binary(targets: Targets, scores: Scores) -> dict[str, Any]:
    """Figures of n scores (n, 2), the probabilities of labels 0 and 1, against n targets of 0 or 1.

    accuracy, precision, recall and F1 of label 1 by the larger probability, false positives per thousand of label 0,
    ROC AUC (None unless both labels occur), and the confusion matrix [[TN, FP], [FN, TP]].
    """
    predicted = scores.argmax(axis=1)
    confusion = np.bincount(2 * targets + predicted, minlength=4).reshape(2, 2)
    (fine, alarms), (missed, caught) = confusion.tolist()
    return {
        "count": len(targets),
        "accuracy": _rounded(_share(fine + caught, len(targets))),
        "precision": _rounded(_share(caught, caught + alarms)),
        "recall": _rounded(_share(caught, caught + missed)),
        "f1": _rounded(_share(2 * caught, 2 * caught + alarms + missed)),
        "roc_auc": _rounded(measure_auc(targets, scores[:, 1])) if fine + alarms and missed + caught else None,
        "false_positives_per_thousand": _rounded(1000 * alarms / (fine + alarms)) if fine + alarms else None,
        "confusion": confusion.tolist(),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def measure_auc(targets: Targets, scores: Scores) -> float:
    """The area under the ROC curve of n scores (n,) of label 1: how likely one of label 1 is above one of label 0,
    where equal ones count half (Mann and Whitney, 1947). Raises ZeroDivisionError unless both labels occur."""
    lower, upper = np.sort(scores[targets == 0]), scores[targets == 1]
    below = np.searchsorted(lower, upper, side="left").sum() + np.searchsorted(lower, upper, side="right").sum()
    return int(below) / (2 * len(lower) * len(upper))


def best_labels(scores: Scores, threshold: float = 0.0) -> Targets:
    """The label of the largest of each of n rows of probabilities (n, labels), `NO_CLASS` where that is less than the
    threshold."""
    return np.where(scores.max(axis=1) >= threshold, scores.argmax(axis=1), NO_CLASS)


def score_classes(targets: Targets, scores: Scores, threshold: float = 0.0) -> dict[str, Any]:
    """Figures of n scores (n, labels), the probabilities of any number of labels, against n targets, of which some may
    be `NO_CLASS`: right where no probability reaches the threshold.

    accuracy, and macro and weighted means over the labels that occur of precision, recall and F1.
    """
    from sklearn import metrics

    predicted = best_labels(scores, threshold)
    figures = {"count": len(targets), "accuracy": _rounded(metrics.accuracy_score(targets, predicted))}
    for average in ("macro", "weighted"):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            targets, predicted, labels=np.unique(targets), average=average, zero_division=0.0
        )
        figures |= {
            f"{average}_{name}": _rounded(v) for name, v in zip(_MEASURES, (precision, recall, f1), strict=True)
        }
    return figures


def describe_classes(targets: Targets, scores: Scores, labels: Sequence[str]) -> dict[str, Any]:
    """All there is to say of n scores (n, labels) against n targets, as plain data.

    `classes`: precision, recall, F1 and support of each label; `confusion`: rows what is true, columns what was
    predicted; `confused`: pairs of labels with the positions of up to five examples, most common first; `roc` and
    `precision_recall`: curves and areas of each label against the others; `reliability`: by tenth of the largest
    probability how sure and how right the answers were, and the expected calibration error (Naeini et al., 2015).
    """
    from sklearn import metrics

    predicted, numbers = scores.argmax(axis=1), np.arange(len(labels))
    rows = metrics.precision_recall_fscore_support(targets, predicted, labels=numbers, zero_division=0.0)
    confusion = metrics.confusion_matrix(targets, predicted, labels=numbers)
    wrong = np.argwhere((confusion > 0) & ~np.eye(len(labels), dtype=bool))
    wrong = wrong[np.argsort(-confusion[wrong[:, 0], wrong[:, 1]], kind="stable")]
    roc, curves = {}, {}
    for number, label in enumerate(labels):
        own = targets == number
        if 0 < own.sum() < len(own):
            false, true, _ = metrics.roc_curve(own, scores[:, number])
            roc[label] = {"area": _rounded(metrics.auc(false, true)), "x": _thinned(false), "y": _thinned(true)}
            precision, recall, _ = metrics.precision_recall_curve(own, scores[:, number])
            area = _rounded(metrics.average_precision_score(own, scores[:, number]))
            curves[label] = {"area": area, "x": _thinned(recall), "y": _thinned(precision)}
    return {
        **score_classes(targets, scores),
        "labels": list(labels),
        "classes": {
            label: dict(zip((*_MEASURES, "count"), (_rounded(value[number]) for value in rows), strict=True))
            for number, label in enumerate(labels)
        },
        "confusion": confusion.tolist(),
        "confused": [
            {
                "true": labels[true],
                "predicted": labels[other],
                "count": int(confusion[true, other]),
                "examples": np.flatnonzero((targets == true) & (predicted == other))[:5].tolist(),
            }
            for true, other in wrong[:20]
        ],
        "roc": roc,
        "precision_recall": curves,
        "reliability": reliability(scores.max(axis=1), predicted == targets),
    }


def reliability(sure: Scores, right: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """By tenth of n probabilities (n,): their mean, the share that came true, and how many; and the expected
    calibration error (Naeini et al., 2015)."""
    tenth = np.minimum((sure * 10).astype(int), 9)
    bins = [
        {"sure": _rounded(sure[own].mean()), "right": _rounded(right[own].mean()), "count": int(own.sum())}
        for own in (tenth == number for number in range(10))
        if own.any()
    ]
    error = sum(row["count"] * abs(row["sure"] - row["right"]) for row in bins) / max(1, len(sure))
    return {"bins": bins, "expected_calibration_error": _rounded(error)}


def _thinned(values: Scores) -> list[float]:
    """At most 200 points of a curve."""
    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), 200)).astype(int))
    return [_rounded(value) for value in values[chosen]]


def score_balanced(targets: Targets, scores: Scores) -> float:
    """The mean of the recalls of the labels that occur among n targets; scores are (n, labels)."""
    hits = scores.argmax(axis=1) == targets
    return _rounded(float(np.mean([hits[targets == label].mean() for label in np.unique(targets)])))


def threshold_at_budget(targets: Targets, scores: Scores, budget: float) -> float:
    """The lowest of the scores (n,) of label 0 that at most a share `budget` of label 0 exceeds; minus infinity when
    all of them may."""
    innocent = np.sort(scores[targets == 0])
    allowed = int(budget * len(innocent))
    return float(innocent[len(innocent) - 1 - allowed]) if len(innocent) > allowed else -np.inf


def recall_at_budget(targets: Targets, scores: Scores, budget: float) -> float:
    """The share of label 1 whose scores (n,) are above `threshold_at_budget`."""
    guilty = scores[targets == 1]
    return _rounded((guilty > threshold_at_budget(targets, scores, budget)).mean()) if len(guilty) else 0.0


# Of a thousand innocent accounts: the places of a curve of how much spam is caught.
INNOCENTS_PER_THOUSAND = (0.5, 1, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 40, 50, 75, 100)


def measure_bands(targets: Targets, spam: Scores, borders: Sequence[float]) -> dict[str, Any]:
    """What the bands of a version with these borders are worth: how many of n targets (1 is spam) with calibrated
    probabilities of spam (n,) lie in each; and the `curve`, rows of at most so many innocents in a thousand, the score
    above which they lie, and the share of the spam that does. Without borders nothing."""
    if not borders or len(np.unique(targets)) < 2:
        return {}
    certain, likely, fine = borders
    names = np.array(name_bands(spam, (certain, likely, fine)))
    counts = {
        label: {band: int((names[targets == number] == band).sum()) for band in BANDS}
        for number, label in enumerate(("innocent", "spam"))
    }
    guilty, curve = spam[targets == 1], []
    for wanted in INNOCENTS_PER_THOUSAND:
        if wanted * (targets == 0).sum() >= 1000:  # else one of so few innocents is more than that
            # Rounded up, so that no more innocents lie above it.
            threshold = math.ceil(threshold_at_budget(targets, spam, wanted / 1000) * 10**6) / 10**6
            curve.append([wanted, threshold, _rounded((guilty > threshold).mean())])
    return {**counts, "curve": curve}


def best_f1(targets: Targets, scores: Scores) -> float:
    """The F1 of label 1 among n targets at the threshold of scores (n,) that is best in hindsight."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(targets, scores)
    return _rounded((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())


def _rounded(value: float) -> float:
    return round(float(value), 6)
