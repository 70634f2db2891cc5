"""The fitting: each step is what the recipe says, the same seed gives the same bits, replay keeps what was known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from sb_api.judgements import NO_CLASS
from sb_api.learning.fitting.rows import Known
from sb_api.learning.fitting.training_loop import TrainingLoop
from sb_api.learning.recipe import (
    RETRAINING,
    RETRAININGS,
    SPECIFIED,
    Examples,
    Recipe,
    draw_replay,
    join,
    mix,
    weigh_labels,
)
from sb_api.models.networks import build_intent, get_arrays, import_keras, set_arrays

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = replace(SPECIFIED, dropout_epochs=0)


class Fitted:
    """A small network with dropout, its optimizer and its fitting; `reset` makes both new again."""

    def __init__(self) -> None:
        keras = import_keras()
        x = entry = keras.Input((3,), name="x")
        for layer in (keras.layers.Dense(8, "tanh"), keras.layers.Dropout(0.5), keras.layers.Dense(2, "softmax")):
            x = layer(x)
        self.network = keras.Model({"x": entry}, x)
        random = np.random.default_rng(0)
        self._made = {
            path: random.normal(0, 0.5, array.shape).astype(np.float32)
            for path, array in get_arrays(self.network).items()
        }
        self.optimizer = keras.optimizers.Adam(0.001)
        self.optimizer.build(self.network.trainable_variables)
        self.fit = TrainingLoop(self.network, self.optimizer).fit

    def reset(self) -> None:
        set_arrays(self.network, self._made)
        for variable in self.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        self.optimizer.learning_rate.assign(0.001)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return get_arrays(self.network)

    def accuracy(self, examples: Examples) -> float:
        scores = np.asarray(self.network(dict(examples.arrays), training=False))
        return float((scores.argmax(axis=1) == examples.targets).mean())

    def step(self, examples: Examples, targets: npt.NDArray[Any], weights: npt.NDArray[Any]) -> None:
        """One step of Adam, by hand."""
        import keras
        import tensorflow

        with tensorflow.GradientTape() as tape:
            scores = self.network(dict(examples.arrays), training=False)
            losses = keras.losses.categorical_crossentropy(targets.astype(np.float32), scores)
            loss = tensorflow.reduce_sum(weights.astype(np.float32) * losses)
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)


@pytest.fixture(scope="module")
def made() -> Fitted:
    return Fitted()


@pytest.fixture
def fitted(made: Fitted) -> Fitted:
    made.reset()
    return made


def rows(count: int, seed: int, column: int = 0) -> Examples:
    """Rows of which one column tells the label."""
    x = np.random.default_rng(seed).normal(0, 1, (count, 3)).astype(np.float32)
    return Examples({"x": x}, (x[:, column] > 0).astype(np.int64))


def some(examples: Examples, places: npt.NDArray[Any]) -> Examples:
    return Examples({name: array[places] for name, array in examples.arrays.items()}, examples.targets[places])


def differs(one: dict[str, npt.NDArray[Any]], other: dict[str, npt.NDArray[Any]]) -> float:
    return max(float(np.abs(one[path] - other[path]).max()) for path in one)


def test_the_specified_recipe_is_adam_row_by_row_twice_over_the_verdicts(fitted: Fitted) -> None:
    assert (SPECIFIED.learning_rate, SPECIFIED.batch_size, SPECIFIED.epochs) == (0.001, 1, 2)
    assert (SPECIFIED.replay_rows, SPECIFIED.averaged, SPECIFIED.label_weights) == (0, False, None)
    new = rows(7, seed=1)
    fitted.fit(PLAIN, new, seed=5)
    learned = fitted.arrays()
    fitted.reset()
    random = np.random.default_rng(5)
    for _ in range(2):
        order = random.permutation(7)
        draw_replay(np.zeros(0, np.int64), new.targets, 7, PLAIN, random)
        for place in order:
            one = some(new, np.array([place]))
            fitted.step(one, np.eye(2)[one.targets], np.ones(1))
    assert differs(learned, fitted.arrays()) < 1e-6
    assert int(fitted.optimizer.iterations) == 14


def test_each_step_adds_known_rows_with_softened_targets_and_the_mean_of_the_second_half_comes_out(
    fitted: Fitted,
) -> None:
    recipe = Recipe(
        dropout_epochs=0,
        replay_rows=4,
        replay_weight=3.0,
        log_share=0.5,
        hard_share=0.5,
        distilled=0.7,
        averaged=True,
        label_weights=weigh_labels(8.0),
    )
    new, log, reference = rows(6, seed=1), rows(10, seed=3), rows(40, seed=2)
    scores = np.random.default_rng(1).dirichlet([1, 1], 40).astype(np.float32)
    reference = replace(reference, scores=scores)
    fitted.fit(recipe, new, 9, reference, log)
    learned = fitted.arrays()
    fitted.reset()
    random, iterates = np.random.default_rng(9), []
    known = join(reference, log, new)
    targets = np.eye(2)[known.targets]
    targets[:40] = 0.3 * np.eye(2)[reference.targets] + 0.7 * scores
    for _ in range(2):
        order = random.permutation(6)
        draws = draw_replay(reference.targets, join(log, new).targets, 6, recipe, random, scores)
        for place, drawn in zip(order, draws, strict=True):
            one = some(new, np.array([place]))
            batch = join(one, some(known, drawn))
            weights = np.array([1.0, *[3.0 / 4] * 4]) * np.array(weigh_labels(8.0))[batch.targets]
            fitted.step(batch, targets[np.concatenate([[50 + place], drawn])], weights)
            iterates.append(fitted.arrays())
    mean = {path: np.mean([iterate[path] for iterate in iterates[6:]], axis=0) for path in iterates[0]}
    assert differs(learned, mean) < 1e-6
    assert differs(learned, iterates[-1]) > 1e-4


@pytest.mark.parametrize(
    ("innocent", "spam", "margin"),
    [(0, 0, None), (5, 5, 0.7), (10, 0, 0.7), (11, 0, 0.9), (1, 10, 0.9), (2, 10, None), (900, 100, 0.9)],
)
def test_few_and_those_of_one_label_are_learned_by_what_is_their_own(
    innocent: int, spam: int, margin: float | None
) -> None:
    new = rows(innocent + spam, seed=1)
    new.targets[:] = [0] * innocent + [1] * spam
    assert RETRAINING.own_margin(new) == margin
    assert SPECIFIED.own_margin(new) is None
    taken_back = replace(new, scores=np.eye(2, dtype=np.float32)[new.targets])
    assert RETRAINING.own_margin(taken_back) == (margin if innocent + spam <= 10 else None)


@pytest.mark.parametrize("recipe", [SPECIFIED, RETRAINING], ids=["specified", "retraining"])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(fitted: Fitted, recipe: Recipe) -> None:
    new, reference = rows(20, seed=1), rows(100, seed=2)
    results = []
    for seed in (3, 3, 4):
        fitted.reset()
        fitted.fit(recipe, new, seed, reference)
        results.append(fitted.arrays())
    assert differs(results[0], results[1]) == 0
    assert differs(results[0], results[2]) > 0


def test_a_second_training_goes_on_from_the_optimizer_state_of_the_first(fitted: Fitted) -> None:
    new = rows(10, seed=1)
    fitted.fit(PLAIN, new, seed=1)
    before, state = fitted.arrays(), [variable.numpy() for variable in fitted.optimizer.variables]
    fitted.fit(PLAIN, new, seed=2)
    continued = fitted.arrays()
    set_arrays(fitted.network, before)
    for variable, value in zip(fitted.optimizer.variables, state, strict=True):
        variable.assign(value)
    fitted.fit(PLAIN, new, seed=2)
    assert differs(continued, fitted.arrays()) == 0
    assert int(fitted.optimizer.iterations) == 40


def test_replay_keeps_what_verdicts_alone_would_overwrite(fitted: Fitted) -> None:
    """The spam of a campaign is like innocent rows but for one column, which had told nothing before."""
    known, unseen, campaign = rows(600, seed=1), rows(400, seed=2), rows(400, seed=3).arrays["x"]
    fitted.fit(replace(PLAIN, learning_rate=0.01, batch_size=8, epochs=10), known, seed=1)
    assert fitted.accuracy(unseen) > 0.95
    taught = fitted.arrays()
    campaign[:, 0] = -np.abs(campaign[:, 0])
    campaign[:, 2] += 4
    spam = Examples({"x": campaign}, np.ones(400, np.int64))
    kept, learned = {}, {}
    for name, recipe in (("alone", PLAIN), ("replay", RETRAINING)):
        set_arrays(fitted.network, taught)
        fitted.fit(replace(recipe, learning_rate=0.01), some(spam, np.arange(300)), 2, known)
        kept[name] = fitted.accuracy(unseen)
        learned[name] = fitted.accuracy(some(spam, np.arange(300, 400)))
    assert learned["replay"] > 0.9
    assert kept["replay"] > 0.94
    assert kept["alone"] < kept["replay"] - 0.05


def test_a_mixture_lies_that_share_of_the_way_to_the_tuned_weights() -> None:
    current, tuned = {"a": np.array([0, 2], np.float32)}, {"a": np.array([4, 2], np.float32)}
    assert mix(current, tuned, 0.25)["a"].tolist() == [1, 2]
    assert differs(mix(current, tuned, 1.0), tuned) == 0
    assert mix(current, tuned, 0.5)["a"].dtype == np.float32


def test_nothing_to_learn_changes_nothing(fitted: Fitted) -> None:
    before = fitted.arrays()
    fitted.fit(RETRAINING, rows(0, seed=1), 1, rows(10, seed=2))
    assert differs(before, fitted.arrays()) == 0


def test_progress_is_told_after_each_epoch_and_the_rate_falls_along_half_a_cosine(fitted: Fitted) -> None:
    told: list[tuple[int, float]] = []
    recipe = Recipe(learning_rate=0.01, batch_size=4, epochs=3, final=0.1)

    def progress(count: int) -> None:
        told.append((count, float(fitted.optimizer.learning_rate)))

    fitted.fit(recipe, rows(10, seed=1), 1, progress=progress)
    assert [count for count, _ in told] == [10, 10, 10]
    assert [rate for _, rate in told] == pytest.approx([recipe.rate(epoch) for epoch in range(3)])
    assert recipe.rate(0) == pytest.approx(0.01)
    assert recipe.rate(3) == pytest.approx(0.001)


@pytest.fixture(scope="module")
def members() -> tuple[Any, TrainingLoop]:
    """A network of members that each learn for themselves, and its fitting."""
    network = build_intent(3, 10, 10)
    optimizer = import_keras().optimizers.Adam(0.01)
    optimizer.build(network.trainable_variables)
    return network, TrainingLoop(network, optimizer)


def told_apart(network: Any, count: int, kinds: int) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.int64]]:
    """Rows of so many kinds, and the number of the kind of each."""
    random = np.random.default_rng(1)
    shapes = {name: (count, *tensor.shape[1:]) for name, tensor in network.input.items()}
    own = np.arange(count) % kinds
    arrays = {name: np.broadcast_to(own[:, None] + 1, shape).astype(np.int32) for name, shape in shapes.items()}
    arrays["weight_input"] = random.random(shapes["weight_input"]).astype(np.float32)
    return arrays, own


def test_members_that_learn_for_themselves_are_fitted_too(members: tuple[Any, TrainingLoop]) -> None:
    network, loop = members
    arrays, targets = told_apart(network, 30, 3)
    loop.fit(replace(RETRAINING, label_weights=None, epochs=8), Examples(arrays, targets), 1)
    assert (np.asarray(network(arrays, training=False)).argmax(axis=1) == targets).all()


def test_what_is_of_no_class_is_taught_to_be_no_more_of_one_than_of_another(members: tuple[Any, TrainingLoop]) -> None:
    network, loop = members
    arrays, targets = told_apart(network, 40, 4)
    rows = Examples(arrays, np.where(targets == 3, NO_CLASS, targets))
    loop.fit(replace(RETRAININGS["intent"], learning_rate=0.005, batch_size=4, epochs=12), rows, 1, rows, rows)
    scores = np.asarray(network(arrays, training=False))
    assert (scores.argmax(axis=1) == targets)[targets < 3].all()
    assert scores[targets == 3].max() < scores[targets < 3].max(axis=1).min()


class TestDraws:
    reference = np.repeat([0, 1], (90, 10))
    log = np.repeat([0, 1], (5, 35))
    recipe = Recipe(replay_rows=16, log_share=0.25)

    @staticmethod
    def draw(reference: npt.NDArray[Any], log: npt.NDArray[Any], recipe: Recipe) -> npt.NDArray[np.int32]:
        return draw_replay(reference, log, 50, recipe, np.random.default_rng(1))

    def test_as_many_of_each_label_and_the_share_of_the_log_in_each(self) -> None:
        draws = self.draw(self.reference, self.log, self.recipe)
        labels = np.concatenate([self.reference, self.log])[draws]
        assert draws.shape == (50, 16)
        for label in (0, 1):
            assert ((labels == label).sum(axis=1) == 8).all()
            assert (((labels == label) & (draws >= 100)).sum(axis=1) == 2).all()
        assert len(np.unique(draws)) > 100, "each step has a draw of its own"

    def test_rows_of_no_class_come_from_the_log_in_its_share(self) -> None:
        log = np.concatenate([self.log, np.full(6, -1)])
        draws = self.draw(self.reference, log, replace(self.recipe, replay_rows=24))
        labels = np.concatenate([self.reference, log])[draws]
        assert ((labels == -1).sum(axis=1) == 2).all(), "a quarter of eight"
        few = draw_replay(self.reference, log, 50, self.recipe, np.random.default_rng(1), most=1)
        assert not (np.concatenate([self.reference, log])[few] == -1).any(), "six are too few for fifty steps"

    def test_no_verdict_is_drawn_more_often_than_the_recipe_has_it(self) -> None:
        """Else a few verdicts, all that there are in the beginning, would be learned by heart."""
        recipe = replace(self.recipe, log_times=3)
        rows = Examples({"number": np.arange(140)}, np.concatenate([self.reference, self.log]))
        reference, log, new = map(rows.take, np.split(np.arange(140), [100, 130]))
        known = Known.of(recipe, new, reference, log, 2)
        for steps in (10, 50):
            draws = known.draw(steps, recipe, np.random.default_rng(1))
            assert draws.shape == (steps, 16)
            times = np.bincount(draws.ravel(), minlength=140)[100:]
            assert times.max() <= 3
            assert times.sum() > 0

    def test_the_share_of_hard_rows_comes_from_the_tenth_that_score_worst_of_either_label(self) -> None:
        right = np.random.default_rng(1).permutation(100) / 100
        scores = np.where(self.reference == 1, [1 - right, right], [right, 1 - right]).T.astype(np.float32)
        recipe = replace(self.recipe, hard_share=0.5)
        draws = draw_replay(self.reference, self.log, 50, recipe, np.random.default_rng(1), scores)
        assert draws.shape == (50, 16)
        for label, count in ((0, 9), (1, 1)):
            mine = np.flatnonzero(self.reference == label)
            worst = mine[np.argsort(right[mine])[:count]]
            assert (np.isin(draws, worst).sum(axis=1) >= 3).all(), "half of the six that are not from the log"
            assert set(worst) <= set(draws.ravel())

    @pytest.mark.parametrize(
        ("reference", "log", "labels"),
        [
            (reference, log[:0], {0, 1}),
            (reference[:0], log, {0, 1}),
            (reference, log[:5], {0, 1}),
            (reference[:90], log[5:], {0, 1}),
            (reference[:0], log[:5], {0}),
        ],
        ids=["no log", "no reference", "one-sided log", "one side each", "one label in all"],
    )
    def test_what_one_has_not_comes_from_the_other(
        self, reference: npt.NDArray[Any], log: npt.NDArray[Any], labels: set[int]
    ) -> None:
        draws = self.draw(reference, log, self.recipe)
        drawn = np.concatenate([reference, log])[draws]
        assert draws.shape == (50, 16)
        for label in labels:
            assert ((drawn == label).sum(axis=1) == 16 // len(labels)).all()

    def test_more_labels_than_rows_still_have_a_row_each(self) -> None:
        """A classifier of 150 classes forgets as others do."""
        many = np.arange(300) % 150
        draws = self.draw(many, self.log[:0], self.recipe)
        assert draws.shape == (50, 150)
        assert (np.sort(many[draws], axis=1) == np.arange(150)).all()

    @pytest.mark.parametrize(
        "call",
        [
            lambda self: self.draw(self.reference[:0], self.log[:0], self.recipe),
            lambda self: self.draw(self.reference, self.log, SPECIFIED),
        ],
    )
    def test_no_rows_or_none_asked_for_are_no_draws(self, call: Callable[[TestDraws], npt.NDArray[np.int32]]) -> None:
        assert call(self).shape == (50, 0)
