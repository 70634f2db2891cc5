"""How good scores are: numpy arrays in, numbers out. The formulas are scikit-learn's, imported on first use."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating[Any]]
Targets = npt.NDArray[np.integer[Any]]

_MEASURES = ("precision", "recall", "f1")


def score_binary(targets: Targets, scores: Scores) -> dict[str, Any]:
    """Figures of n scores (n, 2), the probabilities of labels 0 and 1, against n targets of 0 or 1.

    accuracy, precision, recall and F1 of label 1 by the larger probability, false positives per thousand of label 0,
    ROC AUC (None unless both labels occur), and the confusion matrix [[TN, FP], [FN, TP]].
    """
    from sklearn import metrics

    predicted = scores.argmax(axis=1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        targets, predicted, labels=[1], average="binary", zero_division=0.0
    )
    confusion = metrics.confusion_matrix(targets, predicted, labels=[0, 1])
    innocent = int(confusion[0].sum())
    both = len(np.unique(targets)) == 2
    return {
        "count": len(targets),
        "accuracy": _rounded(metrics.accuracy_score(targets, predicted)),
        "precision": _rounded(precision),
        "recall": _rounded(recall),
        "f1": _rounded(f1),
        "roc_auc": _rounded(metrics.roc_auc_score(targets, scores[:, 1])) if both else None,
        "false_positives_per_thousand": _rounded(1000 * confusion[0, 1] / innocent) if innocent else None,
        "confusion": confusion.tolist(),
    }


def score_classes(targets: Targets, scores: Scores, size: int) -> dict[str, Any]:
    """Figures of n scores (n, size), the probabilities of any number of labels, against n targets.

    accuracy, and macro and weighted means over the labels that occur of precision, recall and F1.
    """
    from sklearn import metrics

    predicted = scores.argmax(axis=1)
    figures = {"count": len(targets), "accuracy": _rounded(metrics.accuracy_score(targets, predicted))}
    for average in ("macro", "weighted"):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            targets, predicted, labels=np.unique(targets), average=average, zero_division=0.0
        )
        figures |= {f"{average}_{name}": _rounded(v) for name, v in zip(_MEASURES, (precision, recall, f1), strict=True)}
    return {**figures, "labels": size}


def calibrate_threshold(targets: Targets, scores: Scores, share: float) -> float:
    """The probability that all but a share `share` of the right answers among n scores (n, labels) reach; 0 when no
    answer is right. Held against messages that were not learned, it is the price in accuracy of telling what is out of
    scope."""
    right = np.sort(scores.max(axis=1)[scores.argmax(axis=1) == targets])
    return float(right[int(share * len(right))]) if len(right) else 0.0


def score_balanced(targets: Targets, scores: Scores) -> float:
    """The mean of the recalls of the labels that occur among n targets; scores are (n, labels)."""
    from sklearn import metrics

    return _rounded(metrics.balanced_accuracy_score(targets, scores.argmax(axis=1)))


def recall_at_budget(targets: Targets, scores: Scores, budget: float) -> float:
    """The share of label 1 that scores (n,) above the lowest threshold which at most a share `budget` of label 0
    exceeds."""
    innocent = np.sort(scores[targets == 0])
    allowed = int(budget * len(innocent))
    threshold = innocent[len(innocent) - 1 - allowed] if len(innocent) > allowed else -np.inf
    guilty = scores[targets == 1]
    return _rounded((guilty > threshold).mean()) if len(guilty) else 0.0


def _rounded(value: float) -> float:
    return round(float(value), 6)
