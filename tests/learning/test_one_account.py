"""What is learned of one account that has nothing else of its own: by a number of its own, and nobody else moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from sb_api.arrays import Arrays
from sb_api.config import load_settings
from sb_api.learning.recipe import Examples
from sb_api.learning.reference_set import load_reference
from sb_api.models.calibration import calibrated, name_bands
from sb_api.models.weights_file import Weights
from sb_api.models.wide_features import ACCOUNT_TABLE
from sb_api.records import Editor
from sb_api.synthetic.editors import generate_editors
from sb_api.train import retrain_model
from sb_api.versions import Version
from tests.support.service import RECIPE, SHIPPED, Bare

# Of whom there is a name and when they came; the weights are sure of them.
PLAIN = Editor(
    id=1,
    name="Vorro1956",
    member_since="2011-05-04T10:11:12",
    email_confirm_date="2011-05-04T10:20:00",
    last_updated="2014-02-03T10:00:00",
    last_login_date="2019-08-07T12:00:00",
)


@pytest.fixture(scope="module")
def known() -> Examples:
    """All known rows that ship: what they share has its price by how many of them do."""
    settings = load_settings({}, state_dir="/nonexistent")
    return load_reference(settings.find("reference/lodbrok.npz"), SHIPPED).replay


def teach(bare: Bare, known: Examples, current: Weights, editors: Sequence[Editor], label: int, **more: Any) -> Weights:
    arrays = SHIPPED.preprocess(editors, bare.model.vocabularies)
    new = Examples(arrays, np.full(len(editors), label, np.int64))
    return retrain_model(
        bare.fitting, SHIPPED, bare.original, current, new, replace(bare.reference, replay=known),
        budget=0.0025, tolerance=1.0, number=1, recipe=RECIPE, **more,
    ).weights  # fmt: skip


def judge(bare: Bare, weights: Weights, arrays: Arrays, about: Version | None = None) -> npt.NDArray[np.float32]:
    """The probabilities (n,) that rows are spam, at the temperature of a version; of the weights' own, if none is
    given."""
    bare.fitting.load(weights)
    return calibrated(bare.fitting.predict(arrays), (about or weights.about).temperature)[:, 1]


@pytest.fixture
def wrong(bare: Bare, known: Examples) -> Weights:
    """That an innocent account is spam."""
    return teach(bare, known, bare.original, [PLAIN], 1)


def test_a_wrong_verdict_moves_its_account_and_nobody_else(bare: Bare, wrong: Weights) -> None:
    made = msgspec.convert([{**one.record, "id": 1} for one in generate_editors(2000, seed=8)], list[Editor])
    others, account = (SHIPPED.preprocess(some, bare.model.vocabularies) for some in (made, [PLAIN]))
    about = bare.original.about  # what few records calibrate is another temperature
    assert judge(bare, bare.original, account) < 0.01
    assert judge(bare, wrong, account) > 0.5
    before, after = (judge(bare, weights, others, about) for weights in (bare.original, wrong))
    bands, bands_after = (name_bands(spam, tuple(about.borders)) for spam in (before, after))
    assert sum(one != other for one, other in zip(bands, bands_after, strict=True)) <= 5
    assert ((before > 0.5) == (after > 0.5)).all()
    number, mark = account["account_input"][0].tolist()
    assert np.argwhere(wrong.arrays[ACCOUNT_TABLE]).tolist() == sorted([[number, 0], [mark, 1]])
    assert wrong.arrays[ACCOUNT_TABLE][mark, 1] == 1


def test_who_shares_one_of_its_two_places_has_the_same_score_to_the_bit(bare: Bare, wrong: Weights) -> None:
    account = SHIPPED.preprocess([PLAIN], bare.model.vocabularies)
    unlearned = replace(wrong, arrays=wrong.arrays | {ACCOUNT_TABLE: bare.original.arrays[ACCOUNT_TABLE]})
    scores = {}
    for moved in ((0, 0), (0, 1), (1, 0)):
        stranger = {**account, "account_input": account["account_input"] + np.array([moved], np.int32)}
        scores[moved] = [float(judge(bare, weights, stranger)[0]) for weights in (wrong, unlearned)]
    assert scores[0, 0][0] != scores[0, 0][1]
    assert scores[0, 1] == scores[1, 0] == [scores[0, 0][1]] * 2


@pytest.mark.parametrize("of_another", [-9.0, -1.0, 9.0])
def test_an_account_whose_number_is_another_ones_too_ends_where_its_verdict_says(
    bare: Bare, known: Examples, of_another: float
) -> None:
    account = SHIPPED.preprocess([PLAIN], bare.model.vocabularies)
    number, mark = account["account_input"][0].tolist()
    table = bare.original.arrays[ACCOUNT_TABLE].copy()
    table[[number, mark + 1], [0, 1]] = of_another, 1.0
    taken = replace(bare.original, arrays=bare.original.arrays | {ACCOUNT_TABLE: table})
    assert judge(bare, taken, account) == judge(bare, bare.original, account)
    taught = teach(bare, known, taken, [PLAIN], 1)
    assert taught.arrays[ACCOUNT_TABLE][mark, 1] == 1
    assert judge(bare, taught, account) > 0.5
    corrected = teach(bare, known, taught, [PLAIN], 0, floors=1 - judge(bare, taken, account))
    assert judge(bare, corrected, account) < 0.02


def test_what_was_learned_of_an_account_is_known_when_it_has_signed_in_since(bare: Bare, wrong: Weights) -> None:
    later = msgspec.structs.replace(PLAIN, last_login_date="2024-01-02T03:04:05", last_updated=None)
    account = SHIPPED.preprocess([later], bare.model.vocabularies)
    assert judge(bare, wrong, account) > 10 * judge(bare, bare.original, account)


def test_a_correction_brings_an_account_without_anything_else_back(bare: Bare, known: Examples, wrong: Weights) -> None:
    account = SHIPPED.preprocess([PLAIN], bare.model.vocabularies)
    before = 1 - judge(bare, bare.original, account)
    corrected = teach(bare, known, wrong, [PLAIN], 0, floors=before)
    assert 1 - judge(bare, corrected, account) >= before - 0.01


def test_steps_of_gradients_move_no_account(bare: Bare, wrong: Weights) -> None:
    arrays = SHIPPED.preprocess([PLAIN] * 12, bare.model.vocabularies)
    bare.fitting.load(wrong)
    by_steps = replace(RECIPE, own_rows=0)
    bare.fitting.fit(Examples(arrays, np.zeros(12, np.int64)), 1, bare.reference.replay, recipe=by_steps)
    learned = bare.fitting.snapshot(wrong.about).arrays
    assert judge(bare, replace(wrong, arrays=learned), arrays)[0] < judge(bare, wrong, arrays)[0]
    np.testing.assert_array_equal(learned[ACCOUNT_TABLE], wrong.arrays[ACCOUNT_TABLE])


def test_one_verdict_on_a_campaign_teaches_of_its_other_accounts(bare: Bare, known: Examples) -> None:
    """By the host and the words that they share: the number of the account costs more."""
    campaign = [
        Editor(id=1, name=name, website="https://blumquist-zolpidorex.example/frabjous", bio="Zolpidorex frabjous 12")
        for name in ("anna", "bertram", "cecilie")
    ]
    arrays = SHIPPED.preprocess(campaign, bare.model.vocabularies)
    taught = teach(bare, known, bare.original, campaign[:1], 1)
    before, after = (judge(bare, weights, arrays, bare.original.about) for weights in (bare.original, taught))
    assert (np.log(after / (1 - after)) > np.log(before / (1 - before)) + 0.8).all()
    assert not taught.arrays[ACCOUNT_TABLE].any()
