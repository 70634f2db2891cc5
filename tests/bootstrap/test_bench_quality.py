"""What `make bench-quality` concludes is sound: intervals, thresholds, the stream, and the rows it writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.figures import figure, replace_rows
from bench.learning.prequential import BATCH, EVERY, INNOCENT, dense_features, make_stream, sparse_features
from bench.quality import quality_text
from bench.quality.quality import OWN, REAL, part_of
from bench.quality.quality_lodbrok import Judge, Matrix, fit_gradient_boosting, fit_logistic_regression
from bench.quality.quality_own import halve, make_accounts
from bench.speed.comparison import Judged, best_threshold, compare, f1, lead_intervals, roc_auc
from sb_api.bootstrap.originals import to_verdicts

TARGETS = np.arange(200) % 2
SINGLY = np.arange(200)[:, None]


def noisy(noise: float, seed: int) -> Judged:
    return Judged(TARGETS + noise * np.random.default_rng(seed).normal(size=200))


def test_the_interval_of_a_clear_lead_is_above_zero() -> None:
    intervals = lead_intervals(TARGETS, {"mine": noisy(0.3, 1), "worse": noisy(3, 2)}, roc_auc, SINGLY, 100)
    assert intervals["worse"][0] > 0


def test_two_that_say_the_same_are_level() -> None:
    """Paired: both are measured on the same resamples, so that not even chance tells them apart."""
    intervals = lead_intervals(TARGETS, {"mine": noisy(1, 1), "same": noisy(1, 1)}, roc_auc, SINGLY, 20)
    assert intervals == {"same": (0.0, 0.0)}


def test_messages_are_fitted_and_told_apart_without_a_command_around_the_bench() -> None:
    pairs = [(f"{words} {n}", words) for n in range(20) for words in ("money back please", "hello dear friend")]
    fitted = quality_text.fit(quality_text.label(pairs))
    asked = quality_text.label([("money back", "money back please"), ("hello friend", "hello dear friend")])
    assert fitted.judge(asked).argmax(axis=1).tolist() == quality_text.number(asked, fitted.labels).tolist()


def test_rows_that_are_drawn_together_widen_the_interval() -> None:
    """Twenty rows that are copies of one tell no more than it does."""
    scores = {name: Judged(np.repeat(noisy(1, seed).scores[:20], 20)) for seed, name in enumerate("ab")}
    targets = np.repeat(TARGETS[:20], 20)

    def width(blocks: np.ndarray) -> float:
        low, high = lead_intervals(targets, scores, roc_auc, blocks, 60)["b"]
        return high - low

    assert width(np.arange(200).reshape(10, 20)) > 2 * width(SINGLY)


def test_the_goal_is_missed_only_when_another_is_surely_better() -> None:
    measures = {"ROC AUC": roc_auc}
    behind = compare(
        "x", TARGETS, {"mine": noisy(3, 1), "better": noisy(0.3, 2), "worse": noisy(9, 3)}, measures, SINGLY, 60
    )
    level = compare("x", TARGETS, {"mine": noisy(1, 1), "other": noisy(1, 2)}, measures, SINGLY, 60)
    assert [row["reached"] for row in behind] == [True, False]
    assert behind[1]["against"].startswith("better: -")
    assert all(row["reached"] for row in level)


@pytest.mark.parametrize("seed", range(3))
def test_no_other_threshold_has_a_higher_f1(seed: int) -> None:
    scores = noisy(1, seed).scores
    best = f1(TARGETS, Judged(scores, best_threshold(TARGETS, scores)))
    assert best == max(f1(TARGETS, Judged(scores, threshold)) for threshold in scores)


def made_up_vectors(rows: int) -> Matrix:
    """Vectors that tell nothing of their verdicts, which stand in column 0."""
    random = np.random.default_rng(3)
    vectors = random.random((rows, 524)).astype(np.float32)
    vectors[:, 10:12] = random.integers(1025, size=(rows, 2))
    vectors[:, 0] = random.integers(2, size=rows)
    return vectors


@pytest.mark.parametrize("fit", [fit_logistic_regression, fit_gradient_boosting])
def test_no_rival_sees_the_verdict_that_it_is_asked_for(fit: Callable[[Matrix], Judge]) -> None:
    training, held_out = np.split(made_up_vectors(300), 2)
    judge = fit(training)
    opposite = held_out.copy()
    opposite[:, 0] = 1 - held_out[:, 0]
    assert (judge(held_out) == judge(opposite)).all()
    assert 0.2 < roc_auc(held_out[:, 0].astype(int), Judged(judge(held_out))) < 0.8


@pytest.mark.parametrize("features", [sparse_features, dense_features])
def test_nor_does_one_of_river(features: Callable[[Matrix], Iterator[dict[str, float]]]) -> None:
    vectors = made_up_vectors(3)
    opposite = vectors.copy()
    opposite[:, 0] = 1 - vectors[:, 0]
    assert list(features(vectors)) == list(features(opposite))


def test_a_stream_is_balanced_and_drifts_and_is_the_same_for_the_same_seed() -> None:
    batches = list(make_stream(1, 2 * EVERY))
    verdicts = [verdict for batch in batches for verdict in batch]
    assert all(Counter(verdict.verdict for verdict in batch) == {0: INNOCENT, 1: BATCH - INNOCENT} for batch in batches)
    assert len({verdict.id for verdict in verdicts}) == len(verdicts)
    assert verdicts == [verdict for batch in make_stream(1, 2 * EVERY) for verdict in batch]
    assert [batch[0].email for batch in batches] != [batch[0].email for batch in make_stream(2, 2 * EVERY)]


def test_figures_of_the_other_part_stay(tmp_path: Path) -> None:
    path = tmp_path / "results" / "quality.json"
    replace_rows(
        path, [figure("Lodbrok: a", 0.5, "share", ""), figure("CLINC150: b", 0.5, "share", "")], lambda _: True
    )
    replace_rows(path, [figure("Lodbrok: a", 0.7, "share", "", 0.8)], lambda name: name.startswith("Lodbrok"))
    rows = {row["figure"]: (row["value"], row["reached"]) for row in json.loads(path.read_text("utf-8"))}
    assert rows == {"CLINC150: b": (0.5, True), "Lodbrok: a": (0.7, False)}


def test_messages_dressed_up_as_accounts_are_sound_accounts_in_two_halves() -> None:
    """All spam and so much else that they are as many as asked for; the same each time."""
    messages = [(f"win a prize number {n} today", 1) for n in range(60)] + [(f"see you at {n}", 0) for n in range(500)]
    accounts = make_accounts(messages, 200)
    assert accounts == make_accounts(messages, 200)
    assert sum(account.verdict for account in accounts) == 60
    assert len(to_verdicts(accounts)) == len(accounts) == 200
    first, second = halve(accounts, 1)
    ids = [account.record["id"] for account in [*first, *second]]
    assert (len(first), sorted(ids)) == (100, list(range(1, 201)))
    assert halve(accounts, 2)[0] != first


def test_each_part_owns_its_figures() -> None:
    assert part_of("Own accounts, other half: ROC AUC") == OWN
    assert part_of("Shipped weights, bios of SMS") == REAL
