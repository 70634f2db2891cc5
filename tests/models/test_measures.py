"""Figures against figures worked out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from sb_api.models.measures import best_f1, measure_bands, recall_at_budget, score_balanced, score_binary
from sb_api.versions import BANDS

# Of five editors and five spammers: 4 true negatives, 1 false positive, 2 false negatives, 3 true positives.
TARGETS = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
SPAM = np.array([0.1, 0.2, 0.3, 0.4, 0.8, 0.05, 0.35, 0.6, 0.7, 0.9])
SCORES = np.stack([1 - SPAM, SPAM], axis=1)


def test_the_figures_are_those_worked_out_by_hand() -> None:
    figures = score_binary(TARGETS, SCORES)
    assert figures == {
        "count": 10,
        "accuracy": 0.7,
        "precision": 0.75,
        "recall": 0.6,
        "f1": 0.666667,
        # Pairs of (editor, spammer) with the spammer above: 0 + 3 + 4 + 4 + 5 of 25.
        "roc_auc": 0.64,
        "false_positives_per_thousand": 200.0,
        "confusion": [[4, 1], [2, 3]],
    }


@pytest.mark.parametrize("seed", range(5))
def test_the_figures_are_those_of_scikit_learn(seed: int) -> None:
    """Also where many scores are equal."""
    from sklearn import metrics

    random = np.random.default_rng(seed)
    targets, spam = random.integers(0, 2, 300), random.integers(0, 3 + 20 * seed, 300) / (2 + 20 * seed)
    figures, said = score_binary(targets, np.stack([1 - spam, spam], axis=1)), spam > 0.5
    theirs = {
        name: getattr(metrics, f"{name}_score")(targets, said) for name in ("accuracy", "precision", "recall", "f1")
    }
    theirs["roc_auc"] = metrics.roc_auc_score(targets, spam)
    assert {name: figures[name] for name in theirs} == pytest.approx(theirs, abs=1e-6)
    assert figures["confusion"] == metrics.confusion_matrix(targets, said).tolist()


def test_figures_can_be_sent_as_json() -> None:
    assert json.loads(json.dumps(score_binary(TARGETS, SCORES))) == score_binary(TARGETS, SCORES)


def test_perfect_scores_give_perfect_figures() -> None:
    figures = score_binary(TARGETS, np.eye(2)[TARGETS])
    assert [figures[name] for name in ("accuracy", "precision", "recall", "f1", "roc_auc")] == [1.0] * 5
    assert figures["false_positives_per_thousand"] == 0.0


@pytest.mark.parametrize("target", [0, 1])
def test_one_label_alone_gives_figures_without_warnings(target: int) -> None:
    """A training may hold verdicts of one kind only; what cannot be told is None, never NaN."""
    figures = score_binary(np.full(4, target), SCORES[:4])
    assert figures["roc_auc"] is None
    assert (figures["false_positives_per_thousand"] is None) == (target == 1)
    assert all(math.isfinite(value) for value in figures.values() if isinstance(value, float))
    assert np.sum(figures["confusion"]) == 4


def test_a_single_record_gives_figures() -> None:
    figures = score_binary(np.array([1]), np.array([[0.3, 0.7]]))
    assert (figures["count"], figures["accuracy"], figures["confusion"]) == (1, 1.0, [[0, 0], [0, 1]])


def test_even_scores_go_to_not_spam() -> None:
    """On the side of caution."""
    assert score_binary(np.array([0]), np.array([[0.5, 0.5]]))["confusion"] == [[1, 0], [0, 0]]


def test_figures_do_not_depend_on_the_order_of_the_records() -> None:
    order = np.random.default_rng(1).permutation(len(TARGETS))
    assert score_binary(TARGETS[order], SCORES[order]) == score_binary(TARGETS, SCORES)


def test_balanced_accuracy_is_the_mean_of_the_recalls() -> None:
    # 4 of 5 editors and 3 of 5 spammers; with one editor more, 5 of 6.
    assert score_balanced(TARGETS, SCORES) == 0.7
    more = np.concatenate([SCORES[:1], SCORES])
    assert score_balanced(np.concatenate([[0], TARGETS]), more) == round((5 / 6 + 3 / 5) / 2, 6)


def test_balanced_accuracy_takes_any_number_of_labels() -> None:
    scores = np.eye(3)[[0, 1, 2, 2]]
    assert score_balanced(np.array([0, 1, 1, 2]), scores) == round((1 + 1 / 2 + 1) / 3, 6)


def test_recall_at_a_budget_counts_spam_above_the_threshold_that_the_budget_allows() -> None:
    # No false positive allowed: only 0.9 is above every editor. One of five allowed: 0.6, 0.7 and 0.9 are above 0.4.
    assert recall_at_budget(TARGETS, SPAM, 0.0) == 0.2
    assert recall_at_budget(TARGETS, SPAM, 0.19) == 0.2
    assert recall_at_budget(TARGETS, SPAM, 0.2) == 0.6
    assert recall_at_budget(TARGETS, SPAM, 0.4) == 0.8


@pytest.mark.parametrize("budget", [0.0, 0.0025, 0.1, 0.5, 0.9])
def test_recall_at_a_budget_never_exceeds_the_budget(budget: float) -> None:
    """Ties between editors count against it: scores that many share must not let all of them through."""
    random = np.random.default_rng(3)
    targets = random.integers(0, 2, 500)
    scores = random.integers(0, 12, 500) / 12
    recall = recall_at_budget(targets, scores, budget)
    thresholds = [-1.0, *np.unique(scores)]
    within = [t for t in thresholds if (scores[targets == 0] > t).mean() <= budget]
    assert recall == round(float((scores[targets == 1] > min(within)).mean()), 6)


def test_recall_at_a_budget_without_spam_is_nothing_and_without_editors_everything() -> None:
    assert recall_at_budget(np.zeros(3, np.int64), SPAM[:3], 0.1) == 0.0
    assert recall_at_budget(np.ones(3, np.int64), SPAM[:3], 0.1) == 1.0


def test_the_best_f1_is_that_of_the_best_threshold() -> None:
    from sklearn.metrics import f1_score

    random = np.random.default_rng(2)
    targets = random.integers(0, 2, 200)
    spam = random.random(200) * 0.4 + targets * 0.3
    assert best_f1(targets, spam) == pytest.approx(max(f1_score(targets, spam >= one) for one in spam), abs=1e-6)


def test_bands_are_counted_and_the_curve_says_what_more_false_alarms_would_catch() -> None:
    innocent, spam = np.linspace(0, 0.999, 1000), np.array([0.05, 0.4, 0.7, 0.96, 0.9999])
    scores = np.concatenate([innocent, spam])
    targets = np.repeat([0, 1], [1000, 5])
    found = measure_bands(targets, scores, [0.95, 0.6, 0.1])
    assert sum(found["innocent"].values()) == 1000
    assert found["spam"] == {"certain spam": 2, "likely spam": 1, "unsure": 1, "likely fine": 1}
    assert list(found["spam"]) == list(BANDS)
    for wanted, threshold, caught in found["curve"]:
        assert (innocent > threshold).sum() <= wanted
        assert caught == pytest.approx((spam > threshold).mean(), abs=1e-6)
    assert [row[2] for row in found["curve"]] == sorted(row[2] for row in found["curve"])
    # One of so few innocents is more than some of the shares: those are left out.
    assert measure_bands(targets[900:], scores[900:], [0.95, 0.6, 0.1])["curve"][0][0] == 10
    assert measure_bands(targets, scores, []) == {}
    assert measure_bands(targets[:10], scores[:10], [0.95, 0.6, 0.1]) == {}
