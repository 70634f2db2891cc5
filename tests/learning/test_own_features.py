"""A verdict is learned by what is its account's own, and by no more than is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.learning.learning import of_one_day
from sb_api.bootstrap.originals import to_examples, to_verdicts
from sb_api.config import load_settings
from sb_api.learning.fitting.own_features import (
    MOST_PACE,
    SPARING,
    TABLE,
    OwnFeatures,
    PairPrices,
    count_features,
    count_pairs,
    line_slopes,
    pace_features,
)
from sb_api.learning.recipe import Examples, join
from sb_api.learning.reference_set import load_reference
from sb_api.models import networks
from sb_api.models.calibration import log_odds
from sb_api.records import Verdict
from sb_api.synthetic.editors import SyntheticEditor, generate_campaign, generate_editors
from sb_api.synthetic.people import generate_people
from tests.support.service import RECIPE, SHIPPED, Bare, as_verdicts, make_verdicts


@pytest.fixture
def own(bare: Bare) -> OwnFeatures:
    bare.fitting.load(bare.original)
    found = OwnFeatures.of(bare.fitting.network, bare.fitting.predict)
    assert found is not None
    return found


def rows(bare: Bare, count: int) -> Examples:
    verdicts = as_verdicts(make_verdicts(count))
    arrays = SHIPPED.preprocess(verdicts, bare.model.vocabularies)
    # Against what the weights say.
    return Examples(arrays, 1 - bare.fitting.predict(arrays).argmax(axis=1))


def as_rows(bare: Bare, editors: list[SyntheticEditor]) -> Examples:
    return as_examples(bare, to_verdicts(editors))


def as_examples(bare: Bare, verdicts: Sequence[Verdict]) -> Examples:
    return to_examples(SHIPPED, SHIPPED.vectors(verdicts, bare.model.vocabularies))  # type: ignore[misc]


def test_slopes_are_those_of_the_network(bare: Bare, own: OwnFeatures) -> None:
    new = rows(bare, 1)
    layer = bare.fitting.network.get_layer(TABLE)
    table = np.array(layer.embeddings.value.numpy())
    features = new.arrays["feature_input"][0]
    slopes = line_slopes(table[:, 0], features, new.arrays["weight_input"][0])
    place = int(np.abs(slopes).argmax())
    before = log_odds(bare.fitting.predict(new.arrays))[0]
    moved = table.copy()
    moved[features[place]] += 0.05
    layer.embeddings.assign(moved)
    change = log_odds(bare.fitting.predict(new.arrays))[0] - before
    assert change == pytest.approx(0.05 * slopes[features == features[place]].sum(), rel=0.05)


def test_each_row_ends_where_it_should_and_known_ones_stay(bare: Bare, own: OwnFeatures) -> None:
    known = as_rows(bare, list(generate_editors(600, seed=5)))
    spam = as_rows(bare, list(generate_campaign(0, 3, seed=3)))
    new = Examples(spam.arrays, np.array([0, 0, 1], np.int64))
    before = log_odds(bare.fitting.predict(known.arrays))
    sides = np.where(new.targets == 1, 1.0, -1.0)
    assert own.approach(new, 0.85 * sides, False, known)
    assert (log_odds(bare.fitting.predict(new.arrays)) * sides >= 0.85).all()
    moved = np.abs(log_odds(bare.fitting.predict(known.arrays)) - before)
    assert (moved > 0.001).mean() < 0.2, "most have no part in it at all"
    assert np.quantile(moved, 0.95) < 0.1
    again = np.array(bare.fitting.network.get_layer(TABLE).embeddings.value.numpy())
    assert own.approach(new, 0.5 * sides, False, known), "who is past it already stays"
    np.testing.assert_array_equal(bare.fitting.network.get_layer(TABLE).embeddings.value.numpy(), again)
    assert own.approach(new, 0.5 * sides, True, known)
    np.testing.assert_allclose(log_odds(bare.fitting.predict(new.arrays)), 0.5 * sides, atol=0.021)


def test_a_bio_that_a_few_in_ten_thousand_have_is_not_what_a_verdict_is_about(bare: Bare, own: OwnFeatures) -> None:
    """Half of the known accounts were looked at, and by chance none of that half had it."""
    known = load_reference(load_settings({}).find("reference/lodbrok.npz"), SHIPPED).replay
    about = {"bio": "hallo", "privs": 0, "member_since": "2023-11-05T08:42:22"}
    spam = msgspec.convert(
        {**about, "id": 1, "name": "Nubul922", "website": "http://outlet-common.vn/", "verdict": 1}, Verdict
    )
    other = msgspec.convert(
        {**about, "id": 2, "name": "ssirru", "website": "https://transferthe.com", "verdict": 0}, Verdict
    )
    new, unrelated = as_examples(bare, [spam]), as_examples(bare, [other])
    greeting = new.arrays["feature_input"][0, 0]
    assert greeting == unrelated.arrays["feature_input"][0, 0]
    assert 0 < (known.arrays["feature_input"] == greeting).any(axis=1).mean() < 0.001
    before = log_odds(bare.fitting.predict(unrelated.arrays))[0]
    wanted = log_odds(bare.fitting.predict(new.arrays)) + 2.5
    assert own.approach(new, wanted, False, known)
    assert abs(log_odds(bare.fitting.predict(unrelated.arrays))[0] - before) < 0.5


def test_few_that_contradict_each_other_are_learned_by_steps_as_if_nothing_had_been_tried(bare: Bare) -> None:
    both = Examples({name: array[[0, 0]] for name, array in rows(bare, 1).arrays.items()}, np.array([0, 1], np.int64))
    learned = []
    for own_rows in (RECIPE.own_rows, 0):
        bare.fitting.load(bare.original)
        bare.fitting.fit(both, 1, bare.reference.replay, recipe=replace(RECIPE, own_rows=own_rows))
        learned.append(networks.get_arrays(bare.fitting.network))
    for path, array in learned[0].items():
        np.testing.assert_array_equal(array, learned[1][path])


def test_rows_that_contradict_each_other_hold_up_no_other(bare: Bare, own: OwnFeatures) -> None:
    three = rows(bare, 3)
    new = Examples({name: array[[0, 0, 1, 2]] for name, array in three.arrays.items()}, three.targets[[0, 0, 1, 2]])
    new.targets[1] = 1 - new.targets[0]
    sides = np.where(new.targets == 1, 1.0, -1.0)
    assert not own.approach(new, 0.85 * sides, False, bare.reference.replay)
    assert (log_odds(bare.fitting.predict(new.arrays))[2:] * sides[2:] >= 0.85).all()


def test_what_has_no_features_at_all_is_moved_by_its_account_alone(bare: Bare, own: OwnFeatures) -> None:
    new = rows(bare, 1)
    new.arrays["weight_input"][:] = 0
    wanted = np.where(new.targets == 1, 0.85, -0.85)
    table = own.table.value.numpy().copy()
    assert own.approach(new, wanted, True, bare.reference.replay)
    np.testing.assert_allclose(log_odds(bare.fitting.predict(new.arrays)), wanted, atol=0.021)
    np.testing.assert_array_equal(own.table.value.numpy(), table)
    ((number, mark),) = new.arrays["account_input"].tolist()
    assert np.argwhere(own.accounts.value.numpy()).tolist() == sorted([[number, 0], [mark, 1]])


def test_a_feature_that_many_have_counts_more(bare: Bare) -> None:
    arrays = {"feature_input": np.array([[1, 2], [1, 0]]), "weight_input": np.array([[1.0, 0.5], [1.0, 0.0]])}
    np.testing.assert_allclose(count_features(arrays, 4), networks.LINE_SCALE**2 * np.array([0, 2, 0.25, 0]))


def test_what_pairs_of_features_cost_is_counted_over_known_rows() -> None:
    features = np.array([[7, 3, 3], [7, 5, 0], [3, 5, 0]], np.int32)
    slopes = np.array([[1.0, 0.5, 0.5], [2.0, 1.0, 0.0], [0.0, 4.0, 0.0]])
    priced = count_pairs(features, slopes, np.array([3, 7]), 10)
    np.testing.assert_allclose(priced, [[2.0, 1.0], [1.0, 6.0]])


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_as_few_features_move_as_can_at_so_many_times_the_least_cost(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    effects = random.normal(size=(40, count)) * random.lognormal(0, 2, count) * (random.random((40, count)) < 0.3)
    prices, slopes = effects.T @ effects + np.eye(count), random.normal(size=count)

    def cost(places: np.ndarray[Any, Any]) -> float:
        """Of changing log-odds by one, by some features alone."""
        of_some = slopes[places]
        return float(1 / (of_some @ np.linalg.solve(prices[np.ix_(places, places)], of_some)))

    way = PairPrices.of(prices).find_way(slopes)
    by_price = np.argsort(np.diag(prices), kind="stable")
    moving = by_price[: np.count_nonzero(way)]
    assert not np.delete(way, moving).any(), "those that move are the cheapest"
    of_way = float(way @ prices @ way / (slopes @ way) ** 2)
    assert of_way == pytest.approx(cost(moving)), "and none of their ways is cheaper"
    assert of_way <= SPARING * cost(by_price) * (1 + 1e-9)
    assert len(moving) == 1 or cost(moving[:-1]) > SPARING * cost(by_price) * (1 - 1e-9)


def test_a_network_without_a_wide_member_has_none(bare: Bare) -> None:
    assert OwnFeatures.of(networks.build_lodbrok(), bare.fitting.predict) is None


def test_a_message_network_of_two_labels_has_none() -> None:
    network = networks.build_intent(2, 10, 10)
    assert OwnFeatures.of(network, lambda arrays: np.zeros((1, 2), np.float32)) is None


def test_what_weighs_little_is_learned_the_faster() -> None:
    """A word that shares the weight of its text with a hundred others is as much of a sign as a website is."""
    arrays = {
        "feature_input": np.array([[1, 2, 3, 0], [1, 4, 0, 0]], np.int32),
        "weight_input": np.array([[1.0, 0.1, 0.001, 0.0], [0.5, 0.25, 0.0, 0.0]], np.float32),
    }
    spam = Examples(arrays, np.ones(2, np.int64))
    paces = pace_features(spam, 6, 2.0)
    assert paces.shape == (6, 1)
    np.testing.assert_allclose(paces[:, 0], [1, 2 / 0.75, 20, MOST_PACE, 8, 1], rtol=1e-5)
    assert (pace_features(spam, 6, 0.0) == 1).all()


def test_what_both_labels_have_alike_is_not_learned_and_what_one_has_is_at_full_pace() -> None:
    """Of four accounts of one day, feature 1 is the day's, 2 has one of two of either label, 3 two of one and one of
    the other, 4 and 5 are of one label alone; 6 has none of them."""
    features = np.array([[1, 2, 3, 4], [1, 0, 3, 4], [1, 2, 3, 5], [1, 0, 0, 0]], np.int32)
    arrays = {"feature_input": features, "weight_input": (features > 0).astype(np.float32)}
    mixed = Examples(arrays, np.array([1, 1, 0, 0], np.int64))
    np.testing.assert_allclose(pace_features(mixed, 7, 1.0)[1:, 0], [0, 0, 1 / 3, 1, 1, 1], rtol=1e-5)
    other = Examples(arrays, 1 - mixed.targets)
    np.testing.assert_array_equal(pace_features(other, 7, 1.0), pace_features(mixed, 7, 1.0))
    assert (pace_features(mixed, 7, 0.0) == 1).all()


def test_a_word_moves_an_account_as_far_as_what_has_a_slot_of_its_own(bare: Bare) -> None:
    """Of two features that the same spam has, one weighs a tenth of the other: at one pace it would be learned as
    little."""
    size = bare.fitting.network.get_layer(TABLE).embeddings.shape[0]
    heavy, light = size - 1, size - 2
    arrays = {name: array.copy() for name, array in rows(bare, 24).arrays.items()}
    arrays["feature_input"][:, :2] = (heavy, light)
    arrays["weight_input"][:, :2] = (1.0, 0.1)
    spam = Examples(arrays, np.ones(24, np.int64))
    moved = {}
    for pace in (0.0, 1.0):
        bare.reset()
        before = bare.fitting.network.get_layer(TABLE).embeddings.value.numpy().copy()
        bare.fitting.load(bare.original)
        bare.fitting.fit(spam, 1, bare.reference.replay, recipe=replace(RECIPE, pace=pace, own_rows=0))
        change = bare.fitting.network.get_layer(TABLE).embeddings.value.numpy() - before
        moved[pace] = 0.1 * change[light, 0] / change[heavy, 0]
    assert moved[0.0] < 0.3
    assert moved[1.0] > 0.7


@pytest.fixture(scope="module")
def replay() -> Examples:
    """All known rows that ship: what the features of new ones cost goes by how many known ones have them."""
    path = load_settings({}, state_dir="/nonexistent").find("reference/lodbrok.npz")
    return load_reference(path, SHIPPED).replay


def find_called(bare: Bare, examples: Examples, label: int, count: int, least: float = 0.5) -> Examples:
    """The first rows that the original weights give so much probability of a label."""
    bare.fitting.load(bare.original)
    return examples.take(np.flatnonzero(bare.fitting.predict(examples.arrays)[:, label] > least)[:count])


@pytest.mark.parametrize("others", [0, 1], ids=["of one label", "with one of the other"])
@pytest.mark.parametrize("kind", ["campaign", "people"])
def test_many_of_one_label_are_learned_and_people_who_are_others_stay(
    kind: str, others: int, bare: Bare, replay: Examples
) -> None:
    """By fifteen verdicts of spam alone, 36 of 508 people with a text of their own had another label where these were
    a campaign's, and 480 where they were people."""
    people = as_rows(bare, list(generate_people(1, seed=3)))
    missed = as_rows(bare, list(generate_campaign(7, 400, seed=11))) if kind == "campaign" else people
    missed = find_called(bare, missed, 0, 15)
    new = join(missed, find_called(bare, as_rows(bare, list(generate_editors(200, 5, 1.0))), 1, others))
    new.targets[:] = [1] * 15 + [0] * others
    taught = np.isin(people.arrays["account_input"], new.arrays["account_input"])[:, 0]
    before = bare.fitting.predict(people.arrays)[~taught, 1]
    bare.fitting.fit(new, 1, replay, recipe=RECIPE)
    own = bare.fitting.predict(new.arrays)[np.arange(len(new)), new.targets]
    assert (own > RECIPE.one_sided_margin - 0.001).all()
    after = bare.fitting.predict(people.arrays)[~taught, 1]
    assert ((after > 0.5) != (before > 0.5)).mean() <= 0.02, "those at the very edge, and no other"
    assert np.quantile(np.abs(after - before), 0.95) < 0.05


def test_verdicts_on_accounts_of_one_day_leave_others_of_that_day_where_they_were(bare: Bare) -> None:
    """The day alone tells nothing: by twenty verdicts of either label, 12%, 15% and 39% of 508 people who had
    registered on it had another label."""
    people = as_examples(bare, of_one_day(to_verdicts(list(generate_people(1, seed=3)))))
    before = bare.fitting.predict(people.arrays)[:, 1] > 0.5
    moved = []
    for seed in (3, 4, 5):
        bare.reset()
        spam = [*generate_campaign(seed, 10, seed), *generate_editors(10, 50 + seed, 1.0)]
        new = as_examples(bare, of_one_day(to_verdicts([*spam, *generate_editors(20, 90 + seed, 0.0)])))
        bare.fitting.fit(new, seed, bare.reference.replay, recipe=RECIPE)
        assert (bare.fitting.predict(new.arrays).argmax(axis=1) == new.targets).all()
        moved.append(((bare.fitting.predict(people.arrays)[:, 1] > 0.5) != before).mean())
    assert np.mean(moved) < 0.2


@pytest.mark.parametrize("label", [0, 1])
def test_right_verdicts_of_one_label_move_nothing(label: int, bare: Bare) -> None:
    """A day of right verdicts on innocent accounts took two points of recall from spam that has nothing to do with it:
    each of their features moved by as much as if it had something to say."""
    accounts = as_rows(bare, list(generate_editors(120, seed=31, spam_share=float(label))))
    right = find_called(bare, accounts, label, 40, RECIPE.one_sided_margin)
    right.targets[:] = label
    assert len(right) == 40
    before = networks.get_arrays(bare.fitting.network)
    bare.fitting.fit(right, 1, bare.reference.replay, recipe=RECIPE)
    for path, array in networks.get_arrays(bare.fitting.network).items():
        np.testing.assert_array_equal(array, before[path])
