"""Learning that a human can trust and undo: guarded, replayed, rebuilt, and rolled back when errors rise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from sb_api.broker.jobs import Jobs
from sb_api.config import load_settings
from sb_api.errors import JobFailed, TrainingRefused
from sb_api.learning import trainer as learning_trainer
from sb_api.learning.reference_set import Reference, load_reference, with_scores
from sb_api.learning.trainer import Trainer
from sb_api.learning.verdict_log import LoggedVerdict
from sb_api.records import Verdict
from sb_api.synthetic.editors import generate_campaign, generate_editors
from tests.support.service import LODBROK, Bare


@pytest.fixture(scope="module")
def shipped(bare_session: Bare) -> Reference:
    """The whole reference set, with what the original says of it."""
    bare_session.reset()
    reference = load_reference(load_settings({}).static / "reference" / "lodbrok.npz", LODBROK)
    return with_scores(reference, bare_session.fitting, bare_session.original)


@pytest.fixture
def make_trainer(jobs: Jobs, bare: Bare, shipped: Reference, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trainer]:
    """Makes trainers of one state directory, with the guard as it ships. They share a network, and what they only
    read."""
    monkeypatch.setattr(learning_trainer, "Fitting", lambda *_: bare.fitting)
    monkeypatch.setattr(Trainer, "reference", shipped)

    def make(**settings: Any) -> Trainer:
        return Trainer(Jobs(jobs.redis, msgspec.structs.replace(jobs.settings, **settings)), LODBROK)

    return make


def proceed() -> None:
    """A lease that is never lost."""


def campaign(count: int, start: int = 0, reporter: str = "ann") -> list[Verdict]:
    """Verdicts on a campaign's accounts and as many ordinary ones, all of them right."""
    spam = list(generate_campaign(0, start + count, seed=3))[start:]
    fine = list(generate_editors(start + count, seed=9, spam_share=0.0))[start:]
    return [
        msgspec.convert({**editor.record, "verdict": editor.verdict, "reporter": reporter}, Verdict)
        for editor in [*spam, *fine]
    ]


def everyone(count: int) -> list[Verdict]:
    """Right verdicts on editors like those that the weights were made from."""
    return [
        msgspec.convert({**editor.record, "verdict": editor.verdict, "reporter": "ann"}, Verdict)
        for editor in generate_editors(count, seed=17)
    ]


def flipped(verdicts: list[Verdict]) -> list[Verdict]:
    return [msgspec.structs.replace(verdict, verdict=1 - verdict.verdict, reporter="mallory") for verdict in verdicts]


def statuses(trainer: Trainer) -> list[str]:
    assert trainer.intake.log is not None
    return [row.status for row in trainer.intake.log.find()][::-1]


def test_right_verdicts_are_learned_and_the_guard_lets_them_pass(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    answer = trainer.train("one", campaign(10), proceed)
    assert answer["learned"] == 20
    assert answer["weights"]["version"] == trainer.publication.version
    assert answer["after"]["accuracy"] >= answer["before"]["accuracy"]
    assert statuses(trainer) == ["learned"] * 20


def test_the_same_verdicts_sent_again_change_nothing(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    version = trainer.train("one", campaign(5), proceed)["weights"]["version"]
    again = trainer.train("two", campaign(5), proceed)
    assert (again["learned"], again["known"]) == (0, 10)
    assert again["weights"]["version"] == trainer.publication.version == version
    assert len(trainer.store.chain().versions) == 2


def test_a_training_that_would_ruin_the_weights_is_refused_with_its_figures(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer(guard_tolerance=0.0)
    before = trainer.publication.version
    with pytest.raises(TrainingRefused, match="would fall to") as refused:
        trainer.train("bad", flipped(everyone(200)), proceed)
    problem = refused.value.problem()
    assert problem["status"] == 409
    assert {"before", "after", "reference"} <= problem.keys()
    assert trainer.publication.version == before == trainer.store.chain().slots["current"]
    assert len(trainer.store.chain().versions) == 1
    assert statuses(trainer) == ["refused"] * 200


def test_force_learns_against_the_guards_word(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(guard_tolerance=0.0)
    answer = trainer.train("bad", flipped(everyone(200)), proceed, force=True)
    assert answer["weights"]["version"] == trainer.publication.version
    assert statuses(trainer) == ["learned"] * 200


def test_replaying_the_untouched_log_gives_the_same_bits_each_time(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    trainer.train("one", campaign(5), proceed)
    trainer.train("two", campaign(5, start=5), proceed)
    told: list[dict[str, Any]] = []
    first = trainer.replay("three", proceed, False, told.append)
    second = make_trainer().replay("four", proceed, False, told.append)
    assert first["learned"] == second["learned"] == 20
    digests = [answer["weights"]["version"].partition("-")[2] for answer in (first, second)]
    assert digests[0] == digests[1]
    assert [(step["done"], step["total"]) for step in told] == [(0, 20), (10, 20), (20, 20)] * 2
    assert all(step["seconds_left"] >= 0 for step in told)
    assert told[0]["seconds_left"] > 0, "as long as its trainings took the first time"


def test_what_was_purged_is_not_in_the_rebuilt_weights(make_trainer: Callable[..., Trainer]) -> None:
    """The weights are those that would have come of the other verdicts alone."""
    trainer = make_trainer()
    trainer.train("one", campaign(5), proceed)
    wanted = trainer.replay("rebuilt", proceed, False, lambda _: None)["weights"]["version"]
    trainer.train("bad", flipped(campaign(5, start=5)), proceed, force=True)
    assert trainer.intake.log is not None
    assert trainer.intake.log.purge(reporter="mallory") == 10
    rebuilt = trainer.replay("again", proceed, False, lambda _: None)
    assert rebuilt["weights"]["version"].partition("-")[2] == wanted.partition("-")[2]
    assert trainer.publication.version == rebuilt["weights"]["version"]


def test_with_everything_purged_the_original_is_current_again(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    original = trainer.publication.version
    trainer.train("one", campaign(5), proceed)
    assert trainer.intake.log is not None
    trainer.intake.log.purge()
    assert trainer.replay("rebuilt", proceed, False, lambda _: None)["weights"]["version"] == original


def test_without_a_log_trainings_are_learned_and_nothing_can_be_replayed(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(verdict_log="off")
    assert trainer.train("one", campaign(5), proceed)["learned"] == 10
    with pytest.raises(JobFailed, match="verdict log is off"):
        trainer.replay("two", proceed, False, lambda _: None)


def test_when_errors_rise_the_last_sound_weights_come_back(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(auto_rollback="on", guard_tolerance=1.0)
    sound = trainer.publication.version
    ruined = trainer.train("ruin", flipped(campaign(60)), proceed, force=True)["weights"]["version"]
    log = trainer.intake.log
    assert log is not None
    log.purge()
    log.add(history(sound, 200, wrong=0.03) + history(ruined, 4, wrong=1.0))
    answer = trainer.train("next", campaign(40, start=100), proceed)
    assert answer["weights"]["previous"] == sound


def test_the_state_of_things_is_published_with_the_weights(make_trainer: Callable[..., Trainer], jobs: Jobs) -> None:
    trainer = make_trainer()
    trainer.train("one", campaign(5), proceed)
    published = jobs.registry.published_about("lodbrok", "quality")
    assert published is not None
    assert msgspec.json.decode(published)["all_time"]["count"] == 10


def history(weights: str, count: int, wrong: float) -> list[LoggedVerdict]:
    errors = np.random.default_rng(1).random(count) < wrong
    return [
        LoggedVerdict(
            classifier="lodbrok",
            task=f"{weights}-{place // 20}",
            record=f"{weights}/{place}",
            reporter="ann",
            label=1,
            predicted=0 if error else 1,
            score=0.5,
            weights=weights,
            received=datetime(2026, 1, 1),
            tokenizers="others",
            vector=b"",
            status="learned",
        )
        for place, error in enumerate(errors)
    ]
