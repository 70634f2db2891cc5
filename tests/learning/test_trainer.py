"""Training: reproducible to the last bit, carried on from where the last one stopped, and never done twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from sb_api import train
from sb_api.broker.connection import PREFIX
from sb_api.broker.jobs import TRAIN, Claim, Job, Training
from sb_api.broker.shared_state import Broker, Published
from sb_api.config import load_settings
from sb_api.errors import InvalidWeights, LeaseLost, TrainingRefused, Unavailable, UnknownVersion
from sb_api.learning import trainer as learning_trainer
from sb_api.learning.fitting.adam import make_adam
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.guard import measure
from sb_api.learning.recipe import RETRAINING, Examples, Recipe, mix, weigh_labels
from sb_api.learning.train_jobs import do_job
from sb_api.learning.trainer import Trainer
from sb_api.models import networks
from sb_api.models.weights_file import Weights, dump_weights, named, parse_weights
from sb_api.processes.claiming import OneAtATime
from sb_api.processes.worker import Worker
from sb_api.records import encode_payload
from sb_api.train import retrain_model
from sb_api.verdicts.audit import AuditLog
from sb_api.verdicts.log_schema import Event
from sb_api.versions import Chain
from tests.support.jobs import Jobs
from tests.support.service import BUDGET, RECIPE, SHIPPED, Bare, as_editors, as_verdicts, make_editors, make_verdicts


def make_rows(bare: Bare, count: int, start: int = 0) -> Examples:
    verdicts = as_verdicts(make_verdicts(count, start))
    targets = np.array([verdict.verdict for verdict in verdicts], np.int64)
    return Examples(SHIPPED.preprocess(verdicts, bare.model.vocabularies), targets)


LODBROKS = replace(RECIPE, label_weights=weigh_labels(SHIPPED.caution))
BY_STEPS = replace(LODBROKS, own_rows=0)  # what is learned by its accounts' own features takes none


def fitted(fitting: Fitting, bare: Bare, rows: Examples, seed: int, recipe: Recipe = LODBROKS) -> Weights:
    """The original weights after one training."""
    fitting.load(bare.original)
    fitting.fit(rows, seed, bare.reference.replay, recipe=recipe)
    return fitting.snapshot(bare.original.about)


def assert_equal(one: Weights, other: Weights) -> None:
    """Fail unless both are the same to the last bit, the optimizer state too."""
    for own, others in ((one.arrays, other.arrays), (one.optimizer, other.optimizer)):
        assert own.keys() == others.keys()
        for path in own:
            np.testing.assert_array_equal(own[path], others[path], err_msg=path)


def differ(one: Weights, other: Weights) -> bool:
    return any((one.arrays[path] != other.arrays[path]).any() for path in one.arrays)


@pytest.fixture(scope="module")
def second(bare_session: Bare) -> Fitting:
    """Another network with another optimizer, as in another process."""
    return Fitting(SHIPPED, bare_session.original.about.labels, bare_session.model.vocabularies)


# One fitting


def test_the_recipe_is_the_specified_one(bare: Bare) -> None:
    assert (RETRAINING.batch_size, RETRAINING.epochs) == (1, 2)
    assert type(bare.fitting.optimizer).__name__ == "Adam"
    weights = fitted(bare.fitting, bare, make_rows(bare, 5), 1, BY_STEPS)
    assert weights.optimizer["adam/learning_rate"] == np.float32(0.001)
    assert weights.optimizer["adam/iteration"] - bare.original.optimizer["adam/iteration"] == 2 * 5


def test_our_adam_is_the_one_of_keras_in_its_numbers_and_in_the_names_of_its_state(bare: Bare) -> None:
    keras = networks.import_keras()
    random = np.random.default_rng(3)
    ends = []
    gradients = [[random.normal(0, size, (4, 3)).astype(np.float32) for size in (1, 1e-4)] for _ in range(20)]
    for optimizer in (make_adam(0.01), keras.optimizers.Adam(0.01, name="adam")):
        variables = [keras.Variable(np.ones((4, 3), np.float32), name=name) for name in ("kernel", "bias")]
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(part) for part in gradient], variables)
        ends.append({variable.path: variable.numpy() for variable in [*variables, *optimizer.variables]})
    ours, theirs = ends
    assert ours.keys() == theirs.keys()
    assert ours["adam/iteration"] == theirs["adam/iteration"] == 20
    for path in theirs:
        np.testing.assert_allclose(ours[path], theirs[path], rtol=2e-5, atol=1e-9, err_msg=path)
    assert (ours["kernel"] != 1).all()


def test_the_same_seed_gives_the_same_weights_to_the_last_bit(bare: Bare, second: Fitting) -> None:
    rows = make_rows(bare, 8)
    own = fitted(bare.fitting, bare, rows, seed=7)
    assert_equal(fitted(second, bare, rows, seed=7), own)
    first = fitted(bare.fitting, bare, rows, 7, BY_STEPS)
    assert differ(first, bare.original)
    assert_equal(fitted(bare.fitting, bare, rows, 7, BY_STEPS), first)
    assert_equal(fitted(second, bare, rows, 7, BY_STEPS), first)
    assert differ(fitted(second, bare, rows, 8, BY_STEPS), first)


def test_what_was_loaded_is_what_is_saved(bare: Bare) -> None:
    assert_equal(bare.fitting.snapshot(bare.original.about), bare.original)
    moments = [path for path in bare.original.optimizer if "momentum" in path or "velocity" in path]
    assert len(moments) == 2 * len(bare.fitting.network.trainable_variables)
    assert any(bare.original.optimizer[path].any() for path in moments)


def test_saved_and_loaded_in_between_a_training_goes_on_as_if_it_had_not_been(bare: Bare, second: Fitting) -> None:
    earlier, later = make_rows(bare, 6), make_rows(bare, 6, start=6)
    between = fitted(bare.fitting, bare, earlier, 1, BY_STEPS)
    bare.fitting.fit(later, 2, recipe=BY_STEPS)
    second.load(parse_weights(dump_weights(between), "memory"))
    second.fit(later, 2, recipe=BY_STEPS)
    assert_equal(second.snapshot(between.about), bare.fitting.snapshot(between.about))


def test_what_is_learned_by_what_is_its_own_leaves_the_state_of_the_optimizer_as_it_was(bare: Bare) -> None:
    rows = make_rows(bare, 1)
    rows.targets[:] = 1 - bare.fitting.predict(rows.arrays).argmax(axis=1)
    learned = fitted(bare.fitting, bare, rows, 1)
    assert differ(learned, bare.original)
    for path, state in bare.original.optimizer.items():
        np.testing.assert_array_equal(learned.optimizer[path], state, err_msg=path)


def test_the_optimizer_state_matters(bare: Bare) -> None:
    rows = make_rows(bare, 6)
    carried_on = fitted(bare.fitting, bare, rows, 1, BY_STEPS)
    fresh = {path: np.zeros_like(array) for path, array in bare.original.optimizer.items()}
    bare.fitting.load(replace(bare.original, optimizer=fresh))
    bare.fitting.fit(rows, 1, bare.reference.replay, recipe=BY_STEPS)
    assert differ(bare.fitting.snapshot(bare.original.about), carried_on)


@pytest.mark.parametrize("part", ["target", "input"])
def test_every_row_of_a_batch_is_learned_from(part: str, bare: Bare) -> None:
    """The original left half of every batch as uninitialised memory. Here no row may be changed without effect."""
    recipe = Recipe(batch_size=4, epochs=1)
    rows = make_rows(bare, 6)
    unchanged = fitted(bare.fitting, bare, rows, 1, recipe)
    for row in range(6):
        targets, main = rows.targets.copy(), rows.arrays["main_input"].copy()
        if part == "target":
            targets[row] = 1 - targets[row]
        else:
            main[row] += 1
        changed = fitted(bare.fitting, bare, Examples({**rows.arrays, "main_input": main}, targets), 1, recipe)
        assert differ(changed, unchanged), f"row {row} is not learned from"


def test_weights_of_another_network_or_optimizer_are_refused(bare: Bare) -> None:
    with pytest.raises(InvalidWeights, match="the network"):
        bare.fitting.load(replace(bare.original, arrays={}))
    with pytest.raises(InvalidWeights, match="the optimizer"):
        bare.fitting.load(replace(bare.original, optimizer={}))


def test_progress_is_told_after_every_epoch(bare: Bare) -> None:
    told: list[int] = []
    bare.fitting.fit(make_rows(bare, 3), 1, progress=told.append)
    assert told == [3, 3]


def test_learning_verdicts_brings_the_scores_towards_them(bare: Bare) -> None:
    """Scored before and after, against moderators who say the contrary of what the model says."""
    rows = make_rows(bare, 12)
    contrary = 1 - bare.fitting.predict(rows.arrays).argmax(axis=1)
    candidate = retrain(bare, Examples(rows.arrays, contrary), number=1)
    before, after = candidate.about.figures["before"], candidate.about.figures["after"]
    assert before["accuracy"] == 0
    assert after["accuracy"] > 0
    assert before["count"] == after["count"] == 12


def retrain(bare: Bare, rows: Examples, number: int) -> Weights:
    candidate = retrain_model(
        *(bare.fitting, SHIPPED, bare.original, bare.original, rows, bare.reference),
        budget=BUDGET,
        tolerance=1.0,
        number=number,
        recipe=RECIPE,
    )
    return candidate.weights


def test_a_candidate_says_where_it_comes_from_and_how_good_it_is(bare: Bare) -> None:
    rows = make_rows(bare, 4)
    candidate = retrain(bare, rows, number=41)
    about = candidate.about
    assert about == named(candidate, 41).about
    assert about.version.startswith("000041-")
    assert (about.parent, about.tokenizers) == (bare.original.about.version, bare.original.about.tokenizers)
    assert (about.learned, about.labels) == (4, bare.original.about.labels)
    guard, scores = bare.reference.guard, bare.fitting.predict(bare.reference.guard.arrays)
    measured = measure(guard.targets, scores, BUDGET)
    assert about.figures["reference"] == SHIPPED.score(guard.targets, scores) | measured
    assert bare.fitting.snapshot(about).arrays.keys() == candidate.arrays.keys()
    assert retrain(bare, rows, number=41).about.version == about.version
    assert retrain(bare, rows, number=42).about.version != about.version


@pytest.fixture(scope="module")
def in_a_row(bare_session: Bare) -> tuple[Weights, Examples, Weights]:
    """The weights after a training, the rows of the next one, and what these make of them."""
    bare = bare_session
    current = retrain(bare, make_rows(bare, 4), number=1)
    rows = make_rows(bare, 4, start=4)
    bare.fitting.load(current)
    bare.fitting.fit(rows, 2, bare.reference.replay, recipe=LODBROKS)
    return current, rows, bare.fitting.snapshot(current.about)


@pytest.mark.parametrize(
    ("refusals", "start", "share", "lowered"),
    [
        (0, "original", 1.0, False),
        (1, "original", 0.9, False),
        (2, "original", 0.75, False),
        (3, "original", 0.75, True),
        (4, "current", 0.5, True),
        (3, "current", 0.5, False),
        (4, "current", 0.25, False),
    ],
)
def test_what_the_guard_refuses_is_pulled_back_and_then_made_smaller(
    refusals: int,
    start: str,
    share: float,
    lowered: bool,
    in_a_row: tuple[Weights, Examples, Weights],
    bare: Bare,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """First toward the original, then lower besides where it spares innocent accounts, then toward the weights before;
    the optimizer goes on from where it came to."""
    current, rows, tuned = in_a_row
    came_to = tuned.arrays
    if lowered:
        came_to = {path: array - 0.1 if path == "output/bias" else array for path, array in tuned.arrays.items()}
    monkeypatch.setattr(train, "spare_innocent", lambda *given: came_to if lowered else given[3])
    answers = iter([["worse"]] * refusals + [[]])
    monkeypatch.setattr(train, "find_losses", lambda *_: next(answers))
    candidate = retrain_model(
        *(bare.fitting, SHIPPED, bare.original, current, rows, bare.reference),
        budget=BUDGET,
        tolerance=0.01,
        number=2,
        recipe=RECIPE,
    )
    base = {"original": bare.original, "current": current}[start]
    expected = came_to if share == 1.0 else mix(base.arrays, came_to, share)
    assert candidate.losses == []
    assert_equal(candidate.weights, replace(tuned, arrays=expected))


def test_with_every_way_refused_the_losses_are_told_and_with_force_all_of_it_is_taken(bare: Bare) -> None:
    rows = make_rows(bare, 4)
    bare.fitting.load(bare.original)
    bare.fitting.fit(rows, 1, bare.reference.replay, recipe=LODBROKS)
    tuned = bare.fitting.snapshot(bare.original.about)
    for force in (False, True):
        # No candidate can be better than the standard by more than everything.
        candidate = retrain_model(
            *(bare.fitting, SHIPPED, bare.original, bare.original, rows, bare.reference),
            budget=BUDGET,
            tolerance=-1.0,
            number=1,
            recipe=RECIPE,
            force=force,
        )
        assert any("would fall to" in loss for loss in candidate.losses)
        assert differ(candidate.weights, tuned) != force


# One host's trainer


@pytest.fixture
def make_trainer(jobs: Jobs, bare: Bare, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trainer]:
    """Makes trainers, each on a host of its own. They share a network, which none keeps anything in, and the reference
    set."""
    monkeypatch.setattr(learning_trainer, "Fitting", lambda *_: bare.fitting)
    monkeypatch.setattr(Trainer, "reference", bare.reference)

    def make(host: str = "one", **changes: Any) -> Trainer:
        # What the tests teach is nonsense; the guard would refuse it.
        settings = msgspec.structs.replace(
            jobs.settings,
            **{
                "state_dir": f"{jobs.settings.state_dir}/{host}",
                "guard_tolerance": 1.0,
                "fp_budget": BUDGET,
                "replay_rows": RECIPE.replay_rows,
                **changes,
            },
        )
        return Trainer(Broker.of(jobs.redis, settings), SHIPPED)

    return make


def start_of(task: str) -> int:
    """Where the records of a task begin: no verdict is learned twice, so each task has its own."""
    return 1000 * sum(task.encode())


def learn(trainer: Trainer, task: str, check: Callable[[], None] = lambda: None, count: int = 4) -> dict[str, Any]:
    return trainer.train(task, as_verdicts(make_verdicts(count, start_of(task))), check)


def slots(trainer: Trainer) -> tuple[str | None, str | None, str | None]:
    chain = trainer.store.chain()
    return chain.slots["original"], chain.slots["previous"], chain.slots["current"]


def published(jobs: Jobs) -> str | None:
    return jobs.registry.published_versions(["lodbrok"]).get("lodbrok")


def lose_lease() -> None:
    raise LeaseLost("gone")


def test_a_training_moves_the_slots_on_and_publishes(make_trainer: Callable[..., Trainer], jobs: Jobs) -> None:
    trainer = make_trainer()
    original = trainer.publication.version
    assert slots(trainer) == (original, None, original)
    first = learn(trainer, "1")["weights"]
    assert slots(trainer) == (original, original, first["version"])
    second = learn(trainer, "2")["weights"]
    assert (first["previous"], second["previous"]) == (original, first["version"])
    assert slots(trainer) == (original, first["version"], second["version"])
    assert published(jobs) == second["version"] == trainer.publication.version
    assert trainer.store.load("current").about.version == second["version"]


def test_a_training_is_the_bare_model_retrained(make_trainer: Callable[..., Trainer], bare: Bare) -> None:
    learned = learn(make_trainer(), "1")
    candidate = retrain(bare, make_rows(bare, 4, start_of("1")), number=1)
    assert learned["weights"]["version"] == candidate.about.version
    assert {name: learned[name] for name in ("before", "after", "reference")} == candidate.about.told
    assert "bands" not in learned
    bands = candidate.about.figures["bands"]
    assert sum(bands["innocent"].values()) + sum(bands["spam"].values()) == len(bare.reference.guard)


def test_as_many_known_records_stand_beside_each_verdict_as_the_recipe_was_measured_with() -> None:
    assert load_settings({}).replay_rows == RETRAINING.replay_rows


@pytest.mark.parametrize("rows", [0, 10])
def test_so_many_known_records_stand_beside_each_verdict_as_are_set(
    rows: int, make_trainer: Callable[..., Trainer], bare: Bare
) -> None:
    """With none, nothing is replayed."""
    trainer = make_trainer(replay_rows=rows)
    learn(trainer, "1")
    recipe = replace(LODBROKS, replay_rows=rows)
    expected = fitted(bare.fitting, bare, make_rows(bare, 4, start_of("1")), 1, recipe)
    learned = trainer.store.load_current()
    for path, array in expected.arrays.items():
        np.testing.assert_array_equal(learned.arrays[path], array, err_msg=path)


def test_a_task_is_learned_once_however_often_it_comes(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    first = learn(trainer, "task")
    assert learn(trainer, "task") == first
    assert len(trainer.store.chain().versions) == 2
    # A process that takes over after a kill finds it on disk.
    assert learn(make_trainer(), "task") == first
    learn(trainer, "another")
    assert learn(trainer, "task") == first
    assert len(trainer.store.chain().versions) == 3


def test_what_was_saved_before_a_kill_is_promoted_not_learned_again(make_trainer: Callable[..., Trainer]) -> None:
    calls: list[int] = []

    def killed_before_promotion() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    trainer = make_trainer()
    original = trainer.publication.version
    with pytest.raises(KeyboardInterrupt):
        learn(trainer, "task", check=killed_before_promotion)
    assert slots(trainer) == (original, None, original)
    saved = trainer.store.chain().versions[0].version
    assert saved != original
    again = make_trainer()
    assert learn(again, "task")["weights"]["version"] == saved
    assert slots(again) == (original, original, saved)


def test_a_process_that_lost_its_lease_stores_nothing(make_trainer: Callable[..., Trainer], jobs: Jobs) -> None:
    trainer = make_trainer()
    original = trainer.publication.version
    with pytest.raises(LeaseLost):
        learn(trainer, "task", check=lose_lease)
    with pytest.raises(LeaseLost):
        trainer.roll_back("original", lose_lease)
    assert slots(trainer) == (original, None, original)
    assert len(trainer.store.chain().versions) == 1
    assert published(jobs) == original


def test_staged_weights_that_cannot_be_read_keep_nobody_from_learning(
    make_trainer: Callable[..., Trainer], jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make_trainer()
    jobs.redis.hset("{sb_api}:staged:lodbrok", mapping={"version": "x", "since": 1.0, "all": b"\xc1"})
    assert learn(trainer, "first")["weights"]["version"] == trainer.publication.version == published(jobs)
    assert "the staged weights have not judged 4 verdicts" in caplog.text


def test_any_training_can_be_rolled_back_and_the_rollback_too(make_trainer: Callable[..., Trainer], jobs: Jobs) -> None:
    trainer = make_trainer()
    original = trainer.publication.version
    first, second = (learn(trainer, task)["weights"]["version"] for task in ("1", "2"))
    for to, expected in (("previous", first), ("previous", second), ("original", original), (first, first)):
        before = trainer.publication.version
        assert trainer.roll_back(to, lambda: None) == {"weights": {"version": expected, "previous": before}}
        assert published(jobs) == trainer.publication.version == trainer.store.load("current").about.version == expected


def test_what_a_kill_kept_from_the_log_is_in_it_at_the_next_start(make_trainer: Callable[..., Trainer]) -> None:
    """Between weights becoming current and the event of that; a training that was answered after it had none."""

    def note(event: Event) -> None:
        raise KeyboardInterrupt

    def killed(trainer: Trainer, do: Callable[[], object]) -> Trainer:
        assert trainer.intake.log is not None
        trainer.intake.log.note = note  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            do()
        return make_trainer()

    trainer = make_trainer()
    original = trainer.publication.version
    trainer = killed(trainer, lambda: learn(trainer, "1"))
    first = trainer.publication.version
    second = learn(trainer, "2")["weights"]["version"]
    trainer = killed(trainer, lambda: trainer.roll_back(first, lambda: None))
    trainer = make_trainer()
    assert trainer.intake.log is not None
    events = trainer.intake.log.events(10)
    moves = [("training", original, first), ("training", first, second), ("rollback", second, first)]
    assert [(event.kind, event.previous, event.version) for event in events] == moves
    assert [event.learned for event in events] == [events[1].learned, events[1].learned, 0]


def test_rolled_back_the_weights_are_those_of_before_to_the_last_bit(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    before = trainer.store.load_current()
    learn(trainer, "1")
    assert differ(trainer.store.load_current(), before)
    trainer.roll_back("previous", lambda: None)
    assert_equal(trainer.store.load_current(), before)


def test_a_version_that_is_not_there_changes_nothing(make_trainer: Callable[..., Trainer], jobs: Jobs) -> None:
    trainer = make_trainer()
    with pytest.raises(UnknownVersion, match="previous"):
        trainer.roll_back("previous", lambda: None)
    with pytest.raises(UnknownVersion, match="000099-00000000"):
        trainer.roll_back("000099-00000000", lambda: None)
    assert published(jobs) == slots(trainer)[2] == trainer.publication.version


# Several hosts, and a Redis that forgets


def test_the_weights_of_this_host_are_published_while_none_are(
    make_trainer: Callable[..., Trainer], jobs: Jobs
) -> None:
    trainer = make_trainer()
    stored = jobs.registry.published("lodbrok")
    assert stored is not None
    assert stored.version == trainer.publication.version
    current = trainer.store.load_current()
    assert_equal(parse_weights(stored.file, "Redis"), replace(current, optimizer={}))
    whole = jobs.registry.published_with_state("lodbrok")
    assert whole is not None
    assert whole[1] is not None
    assert_equal(replace(current, optimizer=parse_weights(whole[1], "Redis").optimizer), current)
    assert {name: vocabulary.to_json() for name, vocabulary in trainer.vocabularies.by_name.items()} == (
        stored.vocabularies
    )
    assert msgspec.json.decode(stored.chain) == msgspec.to_builtins(trainer.store.chain())


def test_after_redis_lost_everything_they_are_published_again(make_trainer: Callable[..., Trainer], jobs: Jobs) -> None:
    trainer = make_trainer()
    learn(trainer, "1")
    jobs.redis.flushall()
    trainer.publication.synchronize()
    assert published(jobs) == trainer.publication.version != slots(trainer)[0]


def test_the_state_of_the_optimizer_is_published_when_it_has_changed(
    make_trainer: Callable[..., Trainer], jobs: Jobs
) -> None:
    """It is more than all that those who judge need, and a training of few verdicts leaves it as it was."""
    trainer, key = make_trainer(), f"{PREFIX}weights:lodbrok"
    file = jobs.redis.hget(key, "state_file")
    jobs.redis.hset(key, "state_file", b"as it was")
    learn(trainer, "1")
    assert jobs.redis.hget(key, "state_file") == b"as it was"
    assert trainer.publication.version == published(jobs) != slots(trainer)[0]
    learn(trainer, "2", count=20)
    assert jobs.redis.hget(key, "state_file") not in (b"as it was", file)


def test_weights_whose_optimizers_state_is_gone_are_not_taken_for_whole(
    make_trainer: Callable[..., Trainer], jobs: Jobs
) -> None:
    learn(make_trainer("one"), "1")
    jobs.redis.hdel(f"{PREFIX}weights:lodbrok", "state_file")
    with pytest.raises(InvalidWeights, match="optimizer's state"):
        make_trainer("new")


@pytest.mark.parametrize("count", [2, 20], ids=["by what is their own", "by steps"])
def test_newer_weights_of_another_host_are_adopted(
    count: int, make_trainer: Callable[..., Trainer], jobs: Jobs
) -> None:
    one, other = make_trainer("one"), make_trainer("other")
    learned = learn(one, "1", count=count)["weights"]["version"]
    assert other.publication.version != learned
    other.publication.synchronize()
    assert slots(other) == slots(one)
    assert other.publication.version == published(jobs) == learned
    assert_equal(other.store.load_current(), one.store.load_current())
    # And so the chain goes on there.
    assert learn(other, "2")["weights"]["previous"] == learned


def test_a_rollback_on_another_host_is_followed_and_not_undone(
    make_trainer: Callable[..., Trainer], jobs: Jobs
) -> None:
    one, other = make_trainer("one"), make_trainer("other")
    learned = learn(one, "1")["weights"]["version"]
    other.publication.synchronize()
    for to, expected in (("original", slots(one)[0]), ("previous", learned)):
        one.roll_back(to, lambda: None)
        for trainer in (other, one, other):
            trainer.publication.synchronize()
            assert slots(trainer)[2] == trainer.publication.version == published(jobs) == expected


def test_a_rollback_to_weights_that_another_host_never_had_is_followed(
    make_trainer: Callable[..., Trainer], jobs: Jobs
) -> None:
    one = make_trainer("one")
    first, second = (learn(one, task)["weights"]["version"] for task in ("1", "2"))
    other = make_trainer("other")
    assert other.publication.version == second
    one.roll_back(first, lambda: None)
    other.publication.synchronize()
    assert slots(other)[2] == other.publication.version == published(jobs) == first


def test_older_weights_that_are_published_do_not_undo_a_training(
    make_trainer: Callable[..., Trainer], jobs: Jobs, bare: Bare
) -> None:
    trainer = make_trainer()
    learned = learn(trainer, "1")["weights"]["version"]
    stale = named(replace(bare.original, arrays={path: array * 0.5 for path, array in bare.original.arrays.items()}), 0)
    stale = replace(stale, about=msgspec.structs.replace(stale.about, created="2001-01-01T00:00:00+00:00"))
    chain = msgspec.json.encode(Chain({}, [stale.about]))
    jobs.registry.publish("lodbrok", Published(stale.about.version, dump_weights(stale), {}, chain, b"{}"))
    trainer.publication.synchronize()
    assert published(jobs) == trainer.publication.version == slots(trainer)[2] == learned


def test_weights_that_were_promoted_and_not_yet_published_are_published(
    make_trainer: Callable[..., Trainer], jobs: Jobs
) -> None:
    """A kill, or a Redis that lost its last second, must not undo what a moderator was told is learned."""
    trainer = make_trainer()
    before = jobs.registry.published("lodbrok")
    learned = learn(trainer, "1")["weights"]["version"]
    assert before is not None
    jobs.registry.publish("lodbrok", before)
    trainer.publication.synchronize()
    assert published(jobs) == trainer.publication.version == slots(trainer)[2] == learned


def test_a_host_whose_files_are_gone_takes_what_is_published(make_trainer: Callable[..., Trainer], jobs: Jobs) -> None:
    learned = learn(make_trainer("one"), "1")["weights"]["version"]
    assert make_trainer("new").publication.version == learned == published(jobs)


# Jobs


def test_a_job_trains_or_rolls_back_under_the_lock_of_its_classifier(
    make_trainer: Callable[..., Trainer], jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    # No beat renews this worker's lock, and a training takes a while.
    patient = Jobs(jobs.redis, msgspec.structs.replace(jobs.settings, lease=600.0))
    worker = Worker(patient, "train", OneAtATime(TRAIN), lambda _: [], dict)
    locked: list[bool] = []
    synchronize = trainer.publication.synchronize
    monkeypatch.setattr(
        trainer.publication,
        "synchronize",
        lambda: locked.append(patient.lock("train:lodbrok").locked()) or synchronize(),
    )
    original = trainer.publication.version
    body = encode_payload({"verdicts": encode_payload(as_verdicts(make_verdicts(3)))})
    trained = do_job({"lodbrok": trainer}, worker, make_claim("train", body), AuditLog(None))
    assert trained.data["learned"] == 3
    assert trained.data["weights"] == {"version": trainer.publication.version, "previous": original}
    back = do_job({"lodbrok": trainer}, worker, make_claim("rollback", encode_payload("original")), AuditLog(None))
    assert back.data["weights"]["version"] == trainer.publication.version == original
    assert locked == [True, True]
    assert not jobs.lock("train:lodbrok").locked()


def test_a_name_that_does_not_count_is_told_in_the_result_and_with_a_refusal(
    make_trainer: Callable[..., Trainer], jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer of a request that waited said it alone, and only where the training was not refused."""
    trainer = make_trainer()
    patient = Jobs(jobs.redis, msgspec.structs.replace(jobs.settings, lease=600.0))
    worker = Worker(patient, "train", OneAtATime(TRAIN), lambda _: [], dict)
    verdicts = encode_payload(as_verdicts(make_verdicts(3)))
    claim = make_claim("train", encode_payload(Training(verdicts, overruled=1)))
    said = "1 named a reporter, which this credential may not"
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "learn", refuse)
        with pytest.raises(TrainingRefused) as refused:
            do_job({"lodbrok": trainer}, worker, claim, AuditLog(None))
        assert said in refused.value.detail
    done = do_job({"lodbrok": trainer}, worker, claim, AuditLog(None))
    assert said in done.data["response"]
    claim = make_claim("train", encode_payload(Training(verdicts)))
    assert "reporter" not in do_job({"lodbrok": trainer}, worker, claim, AuditLog(None)).data["response"]


def refuse(*_: Any, **__: Any) -> Weights:
    raise TrainingRefused("It would be worse.")


def test_a_rollback_that_is_done_twice_goes_back_once(make_trainer: Callable[..., Trainer], jobs: Jobs) -> None:
    """Its process may die before it is acknowledged."""
    trainer = make_trainer()
    patient = Jobs(jobs.redis, msgspec.structs.replace(jobs.settings, lease=600.0))
    worker = Worker(patient, "train", OneAtATime(TRAIN), lambda _: [], dict)
    versions = [trainer.publication.version]
    for number in range(2):
        trainer.train(f"task {number}", as_verdicts(make_verdicts(2, 10 * number)), lambda: None)
        versions.append(trainer.publication.version)
    for _ in range(2):
        claim = make_claim("rollback", encode_payload("previous"))
        assert do_job({"lodbrok": trainer}, worker, claim, AuditLog(None)).data["weights"]["version"] == versions[1]
    assert trainer.publication.version == versions[1]


def test_a_job_of_an_unknown_classifier_fails(jobs: Jobs) -> None:
    worker = Worker(jobs, "train", OneAtATime(TRAIN), lambda _: [], dict)
    with pytest.raises(Unavailable, match="does not know the classifier 'nobody'"):
        do_job({}, worker, make_claim("train", b"", classifier="nobody"), AuditLog(None))


def make_claim(operation: Any, body: bytes, classifier: str = "lodbrok") -> Claim:
    return Claim(TRAIN, b"1-1", Job(task=operation, operation=operation, classifier=classifier, body=body))


def test_a_training_that_cannot_be_stored_changes_nothing(
    make_trainer: Callable[..., Trainer], jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    original = trainer.publication.version

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sb_api.models.weights_store.write_private", full)
        with pytest.raises(Unavailable, match="No space left"):
            learn(trainer, "1")
    assert slots(trainer) == (original, None, original)
    assert published(jobs) == original
    assert learn(trainer, "1")["weights"]["previous"] == original


def test_what_is_learned_is_what_is_judged_by(make_trainer: Callable[..., Trainer], bare: Bare) -> None:
    """From verdicts to scores: the classify process's model with the trained weights gives the trainer's figures."""
    trainer = make_trainer()
    learned = learn(trainer, "1")
    bare.model.swap(trainer.store.load_current(), bare.model.vocabularies)
    scores, _ = bare.model.judge(as_editors(make_editors(4, start_of("1"))))
    targets = np.array([number % 2 for number in range(4)])
    assert SHIPPED.score(targets, scores) == learned["after"]
