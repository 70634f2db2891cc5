"""Calibration: temperatures are recovered, thresholds keep their budget on rows that were not looked at, bands nest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_api.models.calibration import (
    STAYS_BETWEEN,
    allowed_false_positives,
    apply_temperature,
    budget_to_keep,
    choose_borders,
    choose_threshold,
    correct_log_odds,
    find_correction,
    fit_shift,
    fit_temperature,
    hold_border,
    log_odds,
    move_borders,
    name_band,
    name_bands,
    negative_log_likelihood,
    raise_border,
    undo_temperature,
)
from sb_api.versions import BANDS


def overconfident(temperature: float, count: int = 20_000) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Targets drawn from honest probabilities, and those probabilities made too sharp by `temperature`."""
    random = np.random.default_rng(1)
    logits = np.stack([np.zeros(count), random.normal(0, 2, count)], axis=1)
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (random.random(count) < honest[:, 1]).astype(np.int64)
    return targets, apply_temperature(honest, 1 / temperature)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_scores_too_sure_is_found_again(temperature: float) -> None:
    targets, scores = overconfident(temperature)
    assert fit_temperature(targets, scores) == pytest.approx(temperature, rel=0.06)


def test_the_likelihood_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import log_loss

    targets, scores = overconfident(2.0, 500)
    weights = np.where(targets == 0, 4.0, 1.0)
    for given_weights in (None, weights):
        expected = log_loss(targets, scores, sample_weight=given_weights)
        assert negative_log_likelihood(targets, scores, given_weights) == pytest.approx(expected)


@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.7])
def test_what_was_taken_from_all_log_odds_is_found_again(shift: float) -> None:
    targets, scores = overconfident(1.5)
    less = correct_log_odds(scores, np.full(len(scores), -shift))
    assert fit_shift(targets, less) == pytest.approx(shift, abs=0.05)
    useless = np.full((20, 2), 0.5)
    assert fit_shift(np.arange(20) // 10, useless) == 0.0


def test_no_rows_and_scores_of_exactly_zero_and_one_are_borne() -> None:
    assert fit_temperature(np.zeros(0, np.int64), np.zeros((0, 2))) == 1.0
    sure = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], np.float32)
    temperature = fit_temperature(np.array([0, 1, 1]), sure)
    assert np.isfinite(apply_temperature(sure, temperature)).all()
    assert temperature > 1, "one of three sure scores was wrong"


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.floats(0.05, 20))
def test_a_temperature_never_changes_the_label_nor_the_order(scores: list[float], temperature: float) -> None:
    spam = np.array(scores)
    changed = apply_temperature(np.stack([1 - spam, spam], axis=1), temperature)
    assert changed.sum(axis=1) == pytest.approx(1)
    assert (np.diff(changed[np.argsort(spam), 1]) >= -1e-12).all()
    clear = np.abs(spam - 0.5) > 1e-9
    assert ((changed[:, 1] > 0.5) == (spam > 0.5))[clear].all()


@pytest.mark.parametrize(("innocent", "budget"), [(1000, 0.0025), (4000, 0.0025), (500, 0.05), (921, 0.0025)])
def test_so_many_false_positives_are_allowed_as_clopper_and_pearson_allow(innocent: int, budget: float) -> None:
    from scipy.stats import beta

    allowed = allowed_false_positives(innocent, budget)
    bounds = [beta.ppf(0.9, count + 1, innocent - count) for count in (allowed, allowed + 1)]
    assert bounds[0] <= budget < bounds[1]


@pytest.mark.parametrize("budget", [0.0001, 0.0025, 0.02, 0.5, 0.99])
def test_so_many_are_allowed_as_scipy_says_of_the_binomial_distribution(budget: float) -> None:
    from scipy.stats import binom

    for innocent in (1, 2, 45, 230, 460, 920, 921, 3000, 10_000):
        for confidence in (0.75, 0.9, 0.99):
            allowed = allowed_false_positives(innocent, budget, confidence)
            assert allowed < 0 or binom.cdf(allowed, innocent, budget) <= 1 - confidence
            assert allowed == innocent or binom.cdf(allowed + 1, innocent, budget) > 1 - confidence


def test_too_few_rows_allow_no_threshold_at_all() -> None:
    assert allowed_false_positives(900, 0.0025) == -1
    assert allowed_false_positives(0, 0.5) == -1
    assert allowed_false_positives(100, 0.0) == -1
    assert choose_threshold(np.linspace(0, 1, 900), 0.0025) == 1.0
    assert choose_threshold(np.zeros(0), 0.0025) == 1.0
    assert choose_threshold(np.linspace(0, 1, 9), 1.0) == 0.0


@pytest.mark.parametrize(
    ("innocent", "kept"),
    [(4000, 0.0025), (920, 0.0025), (919, 0.005), (460, 0.005), (459, 0.01), (300, 0.01), (228, 0.02), (113, None)],
)
def test_the_budget_that_so_many_innocent_rows_can_keep(innocent: int, kept: float | None) -> None:
    """The least one with which no false positive among them, at 90%, is not just luck."""
    assert budget_to_keep(innocent, 0.0025) == kept
    if kept is not None:
        assert (1 - kept) ** innocent <= 0.1
    assert budget_to_keep(innocent, 0.5) == 0.5


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=20), st.floats(-5, 5))
def test_a_correction_is_added_to_the_logarithms_of_the_odds(spam: list[float], correction: float) -> None:
    scores = np.stack([1 - np.array(spam), np.array(spam)], axis=1)
    corrected = correct_log_odds(scores, np.full(len(spam), correction))
    assert corrected.sum(axis=1) == pytest.approx(1)
    np.testing.assert_allclose(log_odds(corrected), log_odds(scores) + correction, atol=1e-3)


def test_a_temperature_is_never_below_the_lowest() -> None:
    targets, scores = overconfident(0.2)
    assert fit_temperature(targets, scores) == pytest.approx(0.2, rel=0.06)
    assert fit_temperature(targets, scores, lowest=0.5) == pytest.approx(0.5, rel=0.001)


def test_the_threshold_keeps_its_budget_on_unseen_rows_as_often_as_promised() -> None:
    random = np.random.default_rng(3)
    shares = [1 - choose_threshold(random.random(4000), 0.0025) for _ in range(400)]
    kept = np.mean(np.array(shares) <= 0.0025)
    assert kept >= 0.88, "confidence 0.9, less the sampling error of 400 draws"
    assert np.mean(shares) > 0.0008, "but it does not play safe beyond reason"


@pytest.fixture
def held_out() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    random = np.random.default_rng(5)
    targets = np.repeat([0, 1], (4000, 1000))
    logits = np.concatenate([random.normal(-5, 2, 4000), random.normal(4, 2, 1000)])
    return targets, 1 / (1 + np.exp(-logits))


def test_bands_nest_and_each_border_is_the_measured_one(
    held_out: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]],
) -> None:
    targets, scores = held_out
    certain, probable, fine = borders = choose_borders(targets, scores, 0.0025)
    assert 1 > certain >= probable >= 0.5 > fine > 0
    assert (scores[targets == 0] > certain).mean() <= 0.0025
    assert (scores[targets == 0] > probable).mean() <= 0.01
    assert (scores[targets == 1] < fine).mean() <= 0.01
    middles = [(1 + certain) / 2, (certain + probable) / 2, (probable + fine) / 2, fine / 2]
    assert [name_band(score, borders) for score in middles] == list(BANDS)
    assert [name_band(border, borders) for border in borders] == ["likely spam", "unsure", "unsure"]


def test_without_evidence_nothing_is_certain() -> None:
    borders = choose_borders(np.array([0, 1]), np.array([0.1, 0.9]), 0.0025)
    assert name_band(1.0, borders) != "certain spam"
    assert name_band(0.0, borders) == "unsure"


@given(st.floats(0, 0.4), st.integers(0, 2**16))
def test_a_score_above_half_is_never_likely_fine(budget: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    targets, scores = random.integers(0, 2, 300), random.random(300)
    certain, probable, fine = choose_borders(targets, scores, budget)
    assert certain >= probable >= 0.5 >= fine
    assert name_band(0.5001, (certain, probable, fine)) != "likely fine"


@given(st.integers(0, 30), st.sampled_from((500, 3500)), st.sampled_from((0.0025, 0.01)), st.integers(0, 2**16))
def test_a_threshold_stays_while_the_rows_above_it_are_as_many_as_chance_brings(
    above: int, rows: int, budget: float, seed: int
) -> None:
    innocent = np.random.default_rng(seed).random(rows)
    ordered = np.sort(innocent)[::-1]
    before = float(ordered[above])
    anew, now = choose_threshold(innocent, budget), choose_threshold(innocent, budget, before=before)
    fewest, most = (allowed_false_positives(rows, budget, each) for each in STAYS_BETWEEN)
    enough = allowed_false_positives(rows, budget) >= 0
    assert now == (before if enough and max(fewest, 0) <= above <= most else anew)
    assert (innocent > now).sum() <= max(most, 0) <= budget * rows


def test_too_few_rows_keep_no_threshold_either() -> None:
    assert choose_threshold(np.linspace(0, 1, 900), 0.0025, before=0.9) == 1.0


def test_one_account_that_rises_takes_no_border_along(
    held_out: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]],
) -> None:
    """A wrong verdict lifted one innocent account of 3,500 above the border once, and 74 of 2,000 others changed their
    band, because the border followed."""
    targets, scores = held_out
    before = choose_borders(targets, scores, 0.0025)
    risen = scores.copy()
    risen[np.argsort(-scores * (targets == 0))[100]] = 0.9999
    assert choose_borders(targets, risen, 0.0025)[0] > before[0]
    assert choose_borders(targets, risen, 0.0025, before=before) == before
    many = np.where(targets == 0, scores**0.2, scores)  # and where all rise, they do follow
    assert choose_borders(targets, many, 0.0025, before=before) == choose_borders(targets, many, 0.0025) > before


@given(st.floats(0.3, 3), st.floats(0.3, 3), st.lists(st.floats(0.0001, 0.9999), min_size=1, max_size=20))
def test_borders_divide_the_same_scores_at_every_temperature(before: float, after: float, spam: list[float]) -> None:
    borders = (0.97, 0.63, 0.07)
    pairs = np.array([[1 - each, each] for each in spam if all(abs(each - border) > 1e-3 for border in borders)])
    if len(pairs):
        moved = apply_temperature(undo_temperature(pairs, before), after)[:, 1]
        assert name_bands(moved, move_borders(borders, before, after)) == name_bands(pairs[:, 1], borders)


def test_a_border_that_another_set_breaks_is_raised_until_it_holds_there_too() -> None:
    borders, innocent = (0.9, 0.7, 0.1), np.linspace(0, 1, 1001)
    raised = raise_border(borders, innocent, 0.0025)
    assert raised[1:] == borders[1:]
    assert (innocent > raised[0]).mean() <= 0.0025 < (innocent >= raised[0]).mean()
    assert raise_border(borders, innocent * 0.5, 0.0025) == borders
    assert raise_border(borders, innocent[:0], 0.0025) == borders


def test_the_bands_of_many_scores_are_those_of_each() -> None:
    """Also of single-precision scores next to a border, and of one that is no number."""
    borders = (0.9, 0.5, 0.1)
    scores = np.array([0.0, 0.1, 0.1000001, 0.5, 0.9, 0.9000001, 1.0, np.nan], np.float32)
    assert name_bands(scores, borders) == [name_band(float(score), borders) for score in scores]
    assert name_bands(scores[:0], borders) == []
    assert name_bands(np.array([0.95, 0.6, 0.3, 0.05]), borders) == list(BANDS)


@pytest.mark.parametrize(
    ("innocent", "above", "raised"),
    [
        (100, 1, False),  # what chance explains at a budget of 0.25%
        (100, 2, True),
        (400, 1, False),  # the budget itself
        (400, 2, True),
        (2000, 5, False),
        (2000, 6, True),
    ],
)
def test_a_border_is_raised_when_verdicts_say_that_it_does_not_hold(innocent: int, above: int, raised: bool) -> None:
    scores = np.concatenate([np.linspace(0.95, 0.97, above), np.linspace(0.0, 0.5, innocent - above)])
    held = hold_border(0.9, scores, 0.0025)
    assert (held > 0.9) == raised
    assert (scores > held).sum() <= max(above - 1, 0) if raised else held == 0.9
    assert hold_border(0.9, scores[:0], 0.0025) == 0.9


def test_what_temperatures_made_of_scores_can_be_undone_row_by_row() -> None:
    raw = np.array([[0.9, 0.1], [0.3, 0.7], [0.002, 0.998]])
    temperatures = np.array([0.7, 1.0, 2.5])
    made = np.concatenate([apply_temperature(raw[n : n + 1], temperatures[n]) for n in range(3)])
    np.testing.assert_allclose(undo_temperature(made, temperatures), raw, rtol=1e-6)


def test_scores_of_any_number_of_labels_become_those_that_are_wanted() -> None:
    random = np.random.default_rng(5)
    scores, wanted = random.dirichlet(np.ones(4), (2, 50))
    correction = find_correction(wanted, scores)
    np.testing.assert_allclose(correct_log_odds(scores, correction), wanted, atol=1e-6)
    np.testing.assert_allclose(correct_log_odds(scores, np.zeros((50, 4))), scores, atol=1e-6)
