"""Running figures are those of the confusion matrix, and a rise of errors is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from test_verdicts import verdict

from sb_api.quality import FRESH, WINDOW, detect_drift, measure, score_confusion
from sb_api.verdicts import LoggedVerdict


def stream(errors: list[bool], weights: str = "000001-aaaaaaaa") -> list[LoggedVerdict]:
    return [verdict(str(n), label=1, predicted=0 if error else 1, weights=weights) for n, error in enumerate(errors)]


def test_binary_figures_are_those_of_label_one() -> None:
    figures = score_confusion(np.array([[90, 10], [5, 45]]))
    assert figures["count"] == 150
    assert figures["accuracy"] == pytest.approx(135 / 150)
    assert figures["precision"] == pytest.approx(45 / 55)
    assert figures["recall"] == pytest.approx(45 / 50)
    assert figures["f1"] == pytest.approx(2 * 45 / (55 + 50))
    assert figures["false_positives_per_thousand"] == pytest.approx(100)


def test_with_more_labels_the_figures_are_means_over_those_that_occur() -> None:
    figures = score_confusion(np.array([[8, 2, 0], [0, 10, 0], [0, 0, 0]]))
    assert figures["recall"] == pytest.approx((0.8 + 1.0) / 2)
    assert figures["precision"] == pytest.approx((1.0 + 10 / 12) / 2, abs=1e-6)
    assert "false_positives_per_thousand" not in figures


def test_nothing_counted_gives_no_figure() -> None:
    figures = score_confusion(np.zeros((2, 2), np.int64))
    assert figures["count"] == 0
    assert {figures[name] for name in ("accuracy", "precision", "recall", "f1")} == {None}


def test_figures_are_given_for_all_time_for_the_window_per_version_and_per_reporter() -> None:
    counts = [("v1", "ann", 1, 1, 3), ("v1", "bob", 1, 0, 1), ("v2", "ann", 0, 0, 4)]
    measured = measure(counts, stream([True, False]), ["fine", "spam"])
    assert measured["all_time"]["confusion"] == [[4, 0], [1, 3]]
    assert measured["window"]["confusion"] == [[0, 0], [1, 1]]
    assert measured["weights"]["v1"]["recall"] == pytest.approx(0.75)
    assert measured["reporters"]["bob"]["recall"] == 0
    assert measured["labels"] == ["fine", "spam"]


def test_a_rise_of_errors_is_flagged_with_the_weights_in_use_before_it() -> None:
    random = np.random.default_rng(2)
    quiet = stream(list(random.random(300) < 0.05), "000001-aaaaaaaa")
    loud = stream(list(random.random(150) < 0.6), "000002-bbbbbbbb")
    drift = detect_drift((quiet + loud)[-WINDOW:])
    assert drift.detected
    assert drift.sound == "000001-aaaaaaaa"
    assert (drift.error_rate or 0) > (drift.error_rate_before or 0)


def test_steady_errors_and_falling_errors_raise_no_flag() -> None:
    random = np.random.default_rng(2)
    assert not detect_drift(stream(list(random.random(WINDOW) < 0.1))).detected
    fallen = list(random.random(250) < 0.6) + list(random.random(250) < 0.02)
    assert not detect_drift(stream(fallen)).detected


def test_the_flag_goes_when_verdicts_have_been_right_again_for_long() -> None:
    random = np.random.default_rng(2)
    errors = list(random.random(200) < 0.05) + list(random.random(80) < 0.7) + [False] * (FRESH + 1)
    assert not detect_drift(stream(errors)).detected


def test_no_verdicts_are_no_drift() -> None:
    assert not detect_drift([]).detected
