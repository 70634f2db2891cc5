"""Calibrated scores and the bands they fall into: pure functions of scores and targets.

All of it is measured on held-out rows that neither training nor replay has seen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Scores, Targets
from sb_api.versions import BANDS

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
# Shares of innocent accounts that a border may let through where there are too few rows for the wanted one.
BUDGETS = (0.0025, 0.005, 0.01, 0.02)
# A border that was chosen at a confidence of 0.9 stays while the rows above it are as many as these would allow: at the
# most those that are as likely within the budget as not.
STAYS_BETWEEN = (0.99, 0.5)
_MOST_SHIFT = 3.0  # of log odds
_LEAST_PROBABILITY = 1e-7  # what float32 scores tell apart from 0 and 1


def apply_temperature(scores: Scores, temperature: float) -> npt.NDArray[np.float64]:
    """Probabilities (n, labels) of the same order, made flatter by a temperature above 1 and sharper by one below.

    softmax(ln(p) / temperature), as in Guo et al., On Calibration of Modern Neural Networks, 2017; the logarithm of a
    softmax is its logits up to a constant. The larger of two stays the larger.
    """
    logits = np.log(np.clip(np.asarray(scores, np.float64), _LEAST_PROBABILITY, 1.0)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def undo_temperature(scores: Scores, temperature: float | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The probabilities (n, labels) that `apply_temperature` made these of, at one temperature or one of each row."""
    logits = np.log(np.clip(np.asarray(scores, np.float64), _LEAST_PROBABILITY, 1.0))
    logits *= np.reshape(temperature, (-1, 1))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def calibrated(scores: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float32]:
    """What clients are told: float32 probabilities (n, labels) at a version's temperature, as they are at 1."""
    return scores if temperature == 1.0 else apply_temperature(scores, temperature).astype(np.float32)


def negative_log_likelihood(targets: Targets, scores: Scores, weights: Scores | None = None) -> float:
    """The mean of -ln P(target) of n scores (n, labels), weighted if `weights` (n,) are given."""
    likelihoods = np.asarray(scores, np.float64)[np.arange(len(targets)), targets]
    return float(np.average(-np.log(np.clip(likelihoods, _LEAST_PROBABILITY, 1.0)), weights=weights))


def fit_temperature(
    targets: Targets, scores: Scores, weights: Scores | None = None, lowest: float = LOWEST_TEMPERATURE
) -> float:
    """The temperature under which n held-out scores (n, labels) have the least negative log-likelihood.

    Brent's bounded search over the logarithm of the temperature, between `lowest` and 20; the likelihood has one
    minimum in 1 / temperature, because it is convex there. 1 when there are no rows. `weights` (n,) say how common each
    row's like is among the accounts to be judged, where the held-out rows have other shares.
    """
    if len(targets) == 0:
        return 1.0
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(targets, apply_temperature(scores, float(np.exp(logarithm))), weights)

    bounds = (float(np.log(lowest)), float(np.log(HIGHEST_TEMPERATURE)))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x))


def fit_shift(targets: Targets, scores: Scores, weights: Scores | None = None) -> float:
    """What to add to the log odds of n held-out scores (n, 2), so that they are neither too low nor too high on the
    whole.

    The intercept of Platt scaling (Probabilistic Outputs for Support Vector Machines, 1999) over its slope, for which
    the temperature stands. 0 where scores say nothing of the targets. `weights` as for `fit_temperature`.
    """
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(log_odds(scores)[:, None], targets, sample_weight=weights)
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return float(np.clip(intercept / slope, -_MOST_SHIFT, _MOST_SHIFT)) if slope > 1 / HIGHEST_TEMPERATURE else 0.0


def move_borders(borders: tuple[float, float, float], before: float, temperature: float) -> tuple[float, float, float]:
    """Borders of scores at the temperature `before`, as those of the same scores at another one."""
    pairs = np.array([[1 - border, border] for border in borders])
    certain, probable, fine = apply_temperature(undo_temperature(pairs, before), temperature)[:, 1].tolist()
    return certain, probable, fine


def allowed_false_positives(innocent: int, budget: float, confidence: float = 0.9) -> int:
    """How many of so many innocent rows may exceed a threshold, if the true share is to lie within `budget`.

    The largest m whose one-sided Clopper-Pearson bound, P(at most m of n | share = budget) <= 1 - confidence, lies
    within the budget (Clopper and Pearson, 1934). -1 when not even none among so few would show it.
    """
    if budget >= 1:
        return innocent
    if budget <= 0 or innocent == 0:
        return -1
    return _largest_count(innocent, budget, 1 - confidence)


def _largest_count(n: int, share: float, chance: float) -> int:
    """The largest m for which P(at most m of n | share) is within `chance` (binomial); -1 where that of none is not."""
    from scipy.special import bdtr, bdtrik  # scipy.stats takes half a second to load

    count = int(np.nan_to_num(bdtrik(chance, n, share)))
    while count >= 0 and bdtr(count, n, share) > chance:
        count -= 1
    while count < n and bdtr(count + 1, n, share) <= chance:
        count += 1
    return count


def budget_to_keep(innocent: int, wanted: float, confidence: float = 0.9) -> float | None:
    """The share of innocent accounts that a border chosen on so many innocent rows is known to keep: `wanted`, or the
    next of `BUDGETS` that they are enough for; None when they are too few for any."""
    budgets = (wanted, *(budget for budget in BUDGETS if budget > wanted))
    return next((budget for budget in budgets if allowed_false_positives(innocent, budget, confidence) >= 0), None)


def correct_log_odds(scores: Scores, correction: Scores) -> npt.NDArray[np.float64]:
    """Scores (n, 2) with `correction` (n,) added to the logarithms of their odds of label 1; or scores (n, labels) with
    `correction` (n, labels) added to their logarithms."""
    if correction.ndim == 2:
        logarithms = _logarithms(scores) + correction
        powers = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)
    spam = 1 / (1 + np.exp(-log_odds(scores) - correction))
    return np.stack([1 - spam, spam], axis=1)


def find_correction(wanted: Scores, scores: Scores) -> npt.NDArray[np.float64]:
    """The correction (n, labels) that makes of n rows of scores those that are wanted."""
    return _logarithms(wanted) - _logarithms(scores)


def _logarithms(scores: Scores) -> npt.NDArray[np.float64]:
    return np.asarray(np.log(np.clip(np.asarray(scores, np.float64), _LEAST_PROBABILITY, 1.0)), np.float64)


def log_odds(scores: Scores) -> npt.NDArray[np.float64]:
    """The logarithms (n,) of the odds of label 1 that scores (n, 2) stand for."""
    logarithms = np.log(np.clip(np.asarray(scores, np.float64), _LEAST_PROBABILITY, 1.0))
    return np.asarray(logarithms[:, 1] - logarithms[:, 0], np.float64)


def choose_threshold(innocent: Scores, budget: float, confidence: float = 0.9, before: float | None = None) -> float:
    """The lowest score that n innocent held-out scores (n,) show to be safe: the share of innocent accounts that
    exceeds it lies within `budget`, with the given confidence.

    Scores above the threshold are in the band. It is the score of an innocent row, the one after the
    `allowed_false_positives` highest; 1, which no score exceeds, when the rows are too few to show anything.

    A threshold of `before` stays where it is while the rows that exceed it are as many as `STAYS_BETWEEN` would allow:
    else it would follow a single row, and with it everybody whose score lies in between.
    """
    ordered = np.sort(np.asarray(innocent, np.float64))[::-1]
    allowed = allowed_false_positives(len(ordered), budget, confidence)
    if allowed < 0 or len(ordered) == 0:
        return 1.0
    if allowed >= len(ordered):
        return 0.0
    if before is not None:
        fewest, most = (allowed_false_positives(len(ordered), budget, each) for each in STAYS_BETWEEN)
        if ordered[min(most, len(ordered) - 1)] <= before <= ordered[max(fewest, 0)]:
            return before
    return float(ordered[allowed])


def choose_borders(
    targets: Targets,
    scores: Scores,
    budget: float,
    likely: float = 4.0,
    confidence: float = 0.9,
    before: tuple[float, float, float] | None = None,
) -> tuple[float, float, float]:
    """The borders (certain, likely, unsure) of calibrated held-out scores (n,) of label 1; each at most the one before.
    Those of `before` stay where they still do (`choose_threshold`).

    `certain spam` lies above the threshold of the budget. `likely spam` lies above that of `likely` times the budget,
    and never below 0.5, so that what the plain label calls not spam is at most `unsure`. `likely fine` lies below the
    score that all but such a share of the spam reaches: as likely the one way as the other, by the same rule with the
    labels swapped; and never above 0.5. Between the two lies `unsure`.
    """
    innocent, spam = scores[targets == 0], scores[targets == 1]
    share = min(likely * budget, 1.0)
    were = (None, None, None) if before is None else before
    certain = max(choose_threshold(innocent, budget, confidence, were[0]), 0.5)
    probable = min(max(choose_threshold(innocent, share, confidence, were[1]), 0.5), certain)
    fine = 1.0 - choose_threshold(1.0 - spam, share, confidence, None if were[2] is None else 1.0 - were[2])
    return certain, probable, min(fine, 0.5)


def raise_border(borders: tuple[float, float, float], innocent: Scores, budget: float) -> tuple[float, float, float]:
    """The borders with that of `certain spam` so high that at most a share `budget` of n more innocent scores (n,)
    exceeds it: chosen on one set of rows, it must hold on another."""
    certain, probable, fine = borders
    if len(innocent):
        ordered = np.sort(np.asarray(innocent, np.float64))[::-1]
        certain = max(certain, float(ordered[min(int(budget * len(ordered)), len(ordered) - 1)]))
    return certain, probable, fine


def hold_border(certain: float, innocent: Scores, budget: float, confidence: float = 0.95) -> float:
    """The border of `certain spam`, raised until n scores (n,) of accounts that people called innocent no longer say
    that more than a share `budget` exceeds it.

    Where n are enough to tell, no more than the budget may exceed it; before that, no more than chance explains: as
    many as occur in more than 1 - confidence of such sets at the budget (binomial test).
    """
    n = len(innocent)
    allowed = int(budget * n) or 1 + _largest_count(n, budget, confidence)
    if allowed >= n:
        return certain
    return max(certain, float(np.sort(np.asarray(innocent, np.float64))[n - 1 - allowed]))


def name_bands(scores: Scores, borders: tuple[float, float, float]) -> list[str]:
    """The bands of n calibrated scores (n,) of label 1."""
    certain, probable, fine = borders
    exact = np.asarray(scores, np.float64)
    # Each border is at most the one before, so whoever is above one is above all that follow.
    below = 3 - (exact > certain) - (exact > probable) - (exact >= fine)
    return [BANDS[number] for number in below.tolist()]


def name_band(score: float, borders: tuple[float, float, float]) -> str:
    """The band of one calibrated score of label 1."""
    return name_bands(np.array([score]), borders)[0]
