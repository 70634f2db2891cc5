"""Figures of any number of classes, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sb_api.models.measures import best_labels, describe_classes, score_classes

TARGETS = np.array([0, 0, 0, 1, 1, 2])
# Right but for the third (0 taken for 1) and the last (2 taken for 0).
SCORES = np.array(
    [[0.9, 0.1, 0.0], [0.6, 0.2, 0.2], [0.3, 0.7, 0.0], [0.1, 0.8, 0.1], [0.0, 1.0, 0.0], [0.5, 0.2, 0.3]]
)


def test_macro_and_weighted_means() -> None:
    figures = score_classes(TARGETS, SCORES)
    assert figures["count"] == 6
    assert figures["accuracy"] == pytest.approx(4 / 6, abs=1e-6)
    # Recalls 2/3, 1, 0; precisions 2/3, 2/3, 0.
    assert figures["macro_recall"] == pytest.approx((2 / 3 + 1) / 3, abs=1e-6)
    assert figures["macro_precision"] == pytest.approx((2 / 3 + 2 / 3) / 3, abs=1e-6)
    assert figures["weighted_recall"] == pytest.approx(4 / 6, abs=1e-6)
    assert figures["weighted_precision"] == pytest.approx((3 * 2 / 3 + 2 * 2 / 3) / 6, abs=1e-6)


def test_a_class_that_does_not_occur_is_not_in_the_means() -> None:
    targets = np.array([0, 1])
    scores = np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]])
    assert score_classes(targets, scores)["macro_f1"] == 1.0


def test_of_no_class_is_right_where_no_probability_reaches_the_threshold() -> None:
    scores = np.array([[0.4, 0.3, 0.3], [0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.2, 0.5, 0.3]], np.float32)
    assert best_labels(scores, 0.6).tolist() == [-1, 0, 0, -1]
    assert best_labels(scores).tolist() == [0, 0, 0, 1]
    assert score_classes(np.array([-1, -1, 0, 1]), scores, 0.6)["accuracy"] == 0.5
    assert score_classes(np.array([-1, -1, 0, 1]), scores)["accuracy"] == 0.5


def test_confusion_and_the_most_confused_pairs() -> None:
    figures = describe_classes(TARGETS, SCORES, ["a", "b", "c"])
    assert figures["confusion"] == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert figures["confused"] == [
        {"true": "a", "predicted": "b", "count": 1, "examples": [2]},
        {"true": "c", "predicted": "a", "count": 1, "examples": [5]},
    ]
    assert figures["classes"]["b"] == {
        "precision": pytest.approx(2 / 3, abs=1e-6),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
        "count": 2.0,
    }


def test_areas_under_the_curves() -> None:
    figures = describe_classes(TARGETS, SCORES, ["a", "b", "c"])
    assert figures["roc"]["b"]["area"] == 1.0
    # Of the nine pairs of an "a" and another, 0.3 and 0.6 and 0.9 against 0.1, 0.0 and 0.5: one is the wrong way round.
    assert figures["roc"]["a"]["area"] == pytest.approx(8 / 9, abs=1e-6)
    assert figures["precision_recall"]["b"]["area"] == 1.0
    for curve in [*figures["roc"].values(), *figures["precision_recall"].values()]:
        assert len(curve["x"]) == len(curve["y"])


def test_reliability() -> None:
    reliability = describe_classes(TARGETS, SCORES, ["a", "b", "c"])["reliability"]
    assert [row["count"] for row in reliability["bins"]] == [1, 1, 1, 1, 2]
    gaps = [0.5, 0.4, 0.7, 0.2]
    assert reliability["expected_calibration_error"] == pytest.approx((sum(gaps) + 2 * 0.05) / 6, abs=1e-6)
