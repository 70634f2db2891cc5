"""Current and staged weights side by side: bands, differences and agreement are those of the scores."""

from __future__ import annotations

import numpy as np
import pytest

from sb_api.broker.staging import _correlate, cell
from sb_api.judgements import Judged
from sb_api.records import NO_CLASS_NAME
from sb_api.shadow.comparison import Side, differ, group, tally

BOTH = ["fine", "spam"]


def side(spam: list[float], groups: list[str]) -> Side:
    scores = np.array([[1 - one, one] for one in spam], np.float32)
    return Side(BOTH, groups, scores)


def test_counts_are_by_the_band_of_each() -> None:
    current = side([0.1, 0.9, 0.5], ["likely fine", "certain spam", "unsure"])
    staged = side([0.1, 0.5, 0.6], ["likely fine", "unsure", "unsure"])
    counts, largest = tally(["a", "b", "c"], current, staged, of_spam=True)
    assert counts["judged"] == 3
    assert counts[cell("certain spam", "unsure")] == 1
    assert counts[cell("unsure", "unsure")] == counts[cell("likely fine", "likely fine")] == 1
    assert counts["difference"] == pytest.approx(0.5, abs=1e-6)
    assert [(one.id, one.current, one.staged) for one in largest] == [
        ("b", "certain spam", "unsure"),
        ("c", "unsure", "unsure"),
    ]
    assert (largest[0].difference, largest[0].current_score, largest[0].staged_score) == pytest.approx((0.4, 0.9, 0.5))


def test_the_sums_give_the_correlation_of_the_scores() -> None:
    random = np.random.default_rng(3)
    x = random.random(500)
    y = np.clip(x + random.normal(0, 0.1, 500), 0, 1)
    groups = ["unsure"] * 500
    sides = side(x.tolist(), groups), side(y.tolist(), groups)
    counts, _ = tally([str(n) for n in range(500)], *sides, of_spam=True)
    found = _correlate(500, *(counts[name] for name in ("x", "y", "xx", "yy", "xy")))
    assert found == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-5)


def test_what_one_of_them_cannot_judge_is_failed() -> None:
    current, staged = side([0.5, 0.5], ["unsure", "unsure"]), side([0.5, float("nan")], ["unsure", "likely fine"])
    counts, largest = tally(["a", "b"], current, staged, of_spam=True)
    assert (counts["judged"], counts["failed"], largest) == (1, 1, [])
    assert cell("unsure", "likely fine") not in counts


def test_classes_that_one_side_lacks_have_no_probability_there() -> None:
    current = Side(["bug", "praise"], ["bug"], np.array([[0.75, 0.25]], np.float32))
    staged = Side(["praise", "question", "bug"], ["question"], np.array([[0.25, 0.5, 0.25]], np.float32))
    difference, x, y = differ(current, staged, of_spam=False)
    assert (difference.tolist(), x.tolist(), y.tolist()) == ([0.5], [0.75], [0.25])


def test_of_two_classes_the_scores_are_those_of_the_likeliest() -> None:
    """Two classes of messages are no verdicts: the second is not what everything is about."""
    current, staged = (Side(["bug", "praise"], ["bug"], np.array([[p, 1 - p]], np.float32)) for p in (0.75, 0.5))
    difference, x, y = differ(current, staged, of_spam=False)
    assert (difference.tolist(), x.tolist(), y.tolist()) == ([0.25], [0.75], [0.5])


def test_without_bands_the_class_is_what_counts() -> None:
    assert group(Judged("1", ["bug", None], [{}, {}])) == ["bug", NO_CLASS_NAME]
    assert group(Judged("1", ["fine", "spam"], [0.1, 0.9], bands=["likely fine", "certain spam"])) == [
        "likely fine",
        "certain spam",
    ]
