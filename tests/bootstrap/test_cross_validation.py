"""Folds keep apart what belongs together, and every editor is judged by a network that has not learned it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from sb_api.bootstrap.cross_validation import (
    FOLDS,
    LEAST_STEPS,
    MANY_ROWS,
    calibrated_losses,
    fine_tuning_recipes,
    make_folds,
    recipes_for,
)
from sb_api.bootstrap.editors import MASKED_COPIES, choose_recipe
from sb_api.errors import InvalidRecords
from sb_api.models.classifiers import LODBROK, WIDE_DEEP
from sb_api.synthetic.editors import SyntheticEditor, generate_editors

FREQUENT = ["t.co", "x.com", "youtu.be", "bit.ly"]
FREQUENT_MAIL = ["proton.me", "qq.com", "163.com", "naver.com", "libero.it"]


def editor(number: int, verdict: int, **fields: Any) -> SyntheticEditor:
    return SyntheticEditor({"id": number, **fields}, verdict, "given", "")


def fold_of(editors: Sequence[SyntheticEditor], seed: int = 1) -> list[int]:
    numbers = np.zeros(len(editors), int)
    for number, (_, judged) in enumerate(make_folds(editors, seed)):
        numbers[judged] = number
    return numbers.tolist()


def test_every_editor_is_judged_once_by_what_learned_all_other_folds() -> None:
    editors = list(generate_editors(500, seed=3))
    folds = make_folds(editors, seed=1)
    assert len(folds) == FOLDS
    assert sorted(np.concatenate([judged for _, judged in folds]).tolist()) == list(range(500))
    verdicts = np.array([one.verdict for one in editors])
    for learned, judged in folds:
        assert sorted([*learned, *judged]) == list(range(500))
        assert abs(verdicts[judged].mean() - verdicts.mean()) < 0.06
    assert fold_of(editors) == fold_of(editors) != fold_of(editors, seed=2)


def test_accounts_of_one_host_or_of_one_content_are_in_one_fold() -> None:
    editors = list(generate_editors(300, seed=3))
    sites = [editor(1000 + n, 1, website=f"https://www.one-operator.example/{n}", bio=f"bio {n}") for n in range(12)]
    mail = [editor(2000 + n, 0, email=f"a{n}@family.example", bio=f"bio {n}") for n in range(12)]
    copies = [editor(3000 + n, 1, bio="Buy now!") for n in range(12)]
    folds = fold_of([*editors, *sites, *mail, *copies])[300:]
    assert [len(set(folds[start : start + 12])) for start in (0, 12, 24)] == [1, 1, 1]


@pytest.mark.parametrize("host", FREQUENT)
def test_hosts_of_everybody_are_nobody_s_own(host: str) -> None:
    editors = [editor(n, 1 if n < 40 else 0, website=f"https://{host}/{n}", bio=f"bio {n}") for n in range(80)]
    assert len(set(fold_of(editors)[:40])) == FOLDS


@pytest.mark.parametrize("domain", FREQUENT_MAIL)
def test_mail_providers_are_nobody_s_own(domain: str) -> None:
    editors = [editor(n, 1 if n < 40 else 0, email=f"a{n}@{domain}", bio=f"bio {n}") for n in range(80)]
    assert len(set(fold_of(editors)[:40])) == FOLDS


def test_spam_of_one_operator_alone_is_refused() -> None:
    """There is none to measure on that was not learned."""
    spam = [editor(n, 1, website=f"https://one-operator.example/{n}", bio=f"bio {n}") for n in range(60)]
    innocent = [editor(100 + n, 0, bio=f"something {n}") for n in range(60)]
    with pytest.raises(InvalidRecords, match=r"The accounts of spam share websites.* are 1 apart from each other"):
        make_folds([*spam, *innocent], seed=1)


@pytest.mark.parametrize("classifier", [LODBROK, WIDE_DEEP], ids=["lodbrok", "wide-deep-3"])
@pytest.mark.parametrize("rows", [80, 130, 400, 1116, 5000])
def test_few_rows_are_learned_in_enough_steps(classifier: Any, rows: int) -> None:
    """24 steps for 200 rows found none of 528 spammers."""
    for recipe in recipes_for(classifier, rows, None):
        batches = -(-rows * (1 + MASKED_COPIES[classifier.architecture]) // recipe.batch_size)
        # What the last epoch adds counts too: batches of a fold's four fifths are a few less.
        assert recipe.epochs * batches >= 0.7 * LEAST_STEPS
        assert recipe.label_weights == choose_recipe(classifier, rows, None).label_weights


def test_many_rows_are_learned_as_the_architecture_has_it() -> None:
    assert recipes_for(WIDE_DEEP, MANY_ROWS, 1.0) == [choose_recipe(WIDE_DEEP, MANY_ROWS, 1.0)]
    few, more = (recipe.epochs for recipe in fine_tuning_recipes(WIDE_DEEP, 640, None))
    assert 1 <= few < more


def test_the_loss_is_that_of_calibrated_scores_and_weighs_as_the_training_does() -> None:
    targets, sure = np.array([0, 0, 0, 1]), np.array([[0.99, 0.01]] * 3 + [[0.99, 0.01]])
    base = np.array([[0.75, 0.25]] * 4)
    assert calibrated_losses(targets, base).mean() == pytest.approx(0.5623, abs=1e-3)
    assert calibrated_losses(targets, sure).mean() == pytest.approx(0.5623, abs=1e-3)
    weighed = calibrated_losses(targets, base, (16 / 9, 2 / 9))
    np.testing.assert_allclose(weighed[:3], weighed[0])
    assert weighed.mean() < calibrated_losses(targets, base).mean()
