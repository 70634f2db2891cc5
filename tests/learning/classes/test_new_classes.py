"""Classes that come with trainings: each has its own number, a replay learns them again, a refusal leaves nothing."""

from __future__ import annotations

import msgspec
import pytest

from sb_api.broker.jobs import Renaming
from sb_api.broker.shared_state import Broker
from sb_api.errors import TrainingRefused
from sb_api.learning import trainer as learning_trainer
from sb_api.learning.classes.renaming import rename_classes
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.kept import has_kept
from sb_api.learning.replay import replay
from sb_api.learning.trainer import Trainer
from sb_api.models.classifiers import CLASSIFIERS, Classifier
from sb_api.records import LabelledMessage
from sb_api.text.tokenizers import Vocabularies
from tests.support.jobs import Jobs
from tests.support.service import RECIPE, thin_reference

ORDERS = (
    "where is the order that I placed",
    "has my order been shipped?",
    "the order is late again",
    "when will my order come",
    "my order has not come",
)
LYRICS = (
    "the lyrics of this song are wrong",
    "where do I add lyrics?",
    "who wrote these lyrics",
    "a line of the lyrics is missing",
    "lyrics in another language please",
)


def examples(intent: str, texts: tuple[str, ...]) -> list[LabelledMessage]:
    return [LabelledMessage(id=f"{intent} {n}", text=text, label=intent) for n, text in enumerate(texts)]


def judge(trainer: Trainer, text: str) -> tuple[list[str], str, float]:
    """The labels of the current weights, what they say of a text, and how likely orders are to them."""
    current = trainer.begin("look")
    rows = trainer.classifier.preprocess([LabelledMessage(id=1, text=text, label=None)], trainer.vocabularies)
    labels, (scores,) = current.about.labels, trainer.fitting.predict(rows)
    orders = labels.index("orders") if "orders" in labels else None
    return labels, labels[scores.argmax()], 0.0 if orders is None else float(scores[orders])


def test_numbers_are_never_given_twice_and_a_replay_learns_the_classes_again(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []

    def make(classifier: Classifier, labels: list[str], vocabularies: Vocabularies) -> Fitting:
        made.append(labels)
        return Fitting(classifier, labels, vocabularies)

    monkeypatch.setattr(learning_trainer, "Fitting", make)
    thin_reference(jobs.settings.state)
    settings = msgspec.structs.replace(jobs.settings, replay_rows=RECIPE.replay_rows)
    trainer = Trainer(Broker.of(jobs.redis, settings), CLASSIFIERS["intent"])
    old = trainer.original.about.labels
    trainer.train("first", examples("orders", ORDERS), lambda: None, new_classes=True)
    assert made == [[*old, "orders"]], "no network is made that nothing is learned with"
    assert judge(trainer, "is my order late?")[:2] == ([*old, "orders"], "orders")

    trainer.roll_back("original", lambda: None)
    with pytest.raises(KeyError):  # as if the process had died, its verdicts being logged
        trainer.train("second", examples("lyrics", LYRICS), lambda: None, logged=lambda: {}["dies"], new_classes=True)
    trainer.train("second", examples("lyrics", LYRICS), lambda: None, new_classes=True)
    labels, said, orders = judge(trainer, "these lyrics are wrong")
    assert (labels, said) == ([*old, "orders", "lyrics"], "lyrics")
    assert orders < 1e-6, "rolled back, it has its number and nothing else"

    replay(trainer, "again", lambda: None, False, lambda _: None)
    assert judge(trainer, "these lyrics are wrong")[:2] == (labels, "lyrics")
    assert judge(trainer, "is my order late?")[2] < 1e-6

    # A guard that refuses whatever it is: neither the class nor its examples are there afterwards.
    trainer.settings = msgspec.structs.replace(settings, guard_tolerance=-1.0)
    before = trainer.publication.version
    with pytest.raises(TrainingRefused, match="Nothing was kept"):
        trainer.train("third", examples("weather", LYRICS), lambda: None, new_classes=True)
    assert (trainer.publication.version, judge(trainer, "rain")[0]) == (before, labels)
    assert trainer.intake.log is not None
    assert {row.status for row in trainer.intake.log.of_task("third")} == {"withdrawn"}
    assert not has_kept(trainer)


def test_a_class_that_was_rolled_back_past_a_renaming_has_its_number_again(jobs: Jobs) -> None:
    thin_reference(jobs.settings.state)
    settings = msgspec.structs.replace(jobs.settings, replay_rows=RECIPE.replay_rows)
    trainer = Trainer(Broker.of(jobs.redis, settings), CLASSIFIERS["intent"])
    old = trainer.original.about.labels
    rename_classes(trainer, "renaming", Renaming(["complaint"], "grumble"), lambda: None)
    trainer.train("first", examples("orders", ORDERS), lambda: None, new_classes=True)
    trainer.roll_back("original", lambda: None)
    trainer.train("second", examples("orders", ORDERS), lambda: None, new_classes=True)
    assert judge(trainer, "is my order late?")[:2] == ([*old, "orders"], "orders")
    assert trainer.intake.log is not None
    assert {row.label for row in trainer.intake.log.find()} == {len(old)}
