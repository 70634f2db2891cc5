"""Running figures are those of the confusion matrix, and a rise of errors is noticed."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from sb_api.learning.quality import (
    FRESH,
    MOST_TOLD,
    WINDOW,
    describe_history,
    detect_drift,
    estimate_replay,
    measure,
    score_confusion,
)
from sb_api.verdicts.log_schema import Event, LoggedVerdict, Stretch
from tests.verdicts.test_verdict_log import NOON, verdict


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


def test_figures_of_their_own_have_the_reporters_with_the_most_verdicts_and_the_latest_weights() -> None:
    """However many names clients send, what is published stays small."""
    counts = [(f"{n:06d}-aaaaaaaa", f"made up {n}", 1, n % 2, 1) for n in range(20_000)]
    counts += [("000001-aaaaaaaa", "ann", 1, 1, 5)]
    measured = measure(counts, [], ["fine", "spam"])
    assert measured["all_time"]["count"] == 20_005
    assert measured["told_of"] == {"weights": 20_000, "reporters": 20_001}
    assert len(measured["reporters"]) == len(measured["weights"]) == MOST_TOLD
    assert measured["reporters"]["ann"]["count"] == 5
    assert max(measured["weights"]) == "019999-aaaaaaaa"
    assert len(msgspec.json.encode(measured)) < 64 * 1024


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


def test_figures_over_time_are_those_of_each_stretch() -> None:
    first, second = describe_history([Stretch(NOON, {(1, 1): 3, (1, 0): 1}), Stretch(NOON, {(0, 1): 2})], 2)
    assert (first["until"], first["count"], first["recall"]) == ("2026-01-01T12:00:00Z", 4, 0.75)
    assert (second["precision"], second["recall"]) == (0.0, None)


def test_calibration_is_the_share_of_spam_by_score() -> None:
    """A verdict's score is the probability of its own label; half of those scored 0.9 being spam is no good."""
    rows = [verdict("1", label=1, score=0.9), verdict("2", label=0, score=0.1), verdict("3", label=0, score=1.0)]
    calibration = measure([], rows, ["fine", "spam"])["calibration"]
    assert calibration["bins"] == [
        {"sure": 0.0, "right": 0.0, "count": 1},
        {"sure": pytest.approx(0.9), "right": 0.5, "count": 2},
    ]
    assert measure([], rows, ["a", "b", "c"])["calibration"] is None
    assert measure([], [], ["fine", "spam"])["calibration"] is None


def test_a_replay_takes_as_long_as_its_trainings_at_the_median() -> None:
    def event(kind: str, seconds: float) -> Event:
        return Event(kind=kind, moment=NOON, version="v", previous="u", seconds=seconds)  # type: ignore[arg-type]

    taken = [event("training", 1.0), event("training", 3.0), event("training", 2.0), event("replay", 90.0)]
    assert estimate_replay(50, 10, taken) == {"verdicts": 50, "trainings": 10, "seconds": 20.0}
    assert estimate_replay(0, 0, [])["seconds"] is None
