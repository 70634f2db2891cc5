"""Classes under other names: what is merged has what its parts had, learning goes on by the new name, and a rollback
brings back what there was."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from sb_api.broker.jobs import Renaming, Withdrawal
from sb_api.broker.shared_state import Broker
from sb_api.errors import InvalidParameter, InvalidRecords, TrainingRefused
from sb_api.learning.classes.renaming import rename_classes, rename_labels
from sb_api.learning.trainer import Trainer
from sb_api.learning.undo.withdrawal import withdraw
from sb_api.models.classifiers import CLASSIFIERS
from sb_api.models.predictor import Predictor
from sb_api.records import LabelledMessage
from sb_api.versions import find_merged
from tests.support.jobs import Jobs
from tests.support.service import RECIPE, thin_reference

TEXTS = ("the search page crashes", "this is ridiculous, nobody answers", "thank you so much", "buy cheap watches")
LABELS = ["a", "b", "c", "d"]


def messages(*texts: str, label: str | None = None) -> list[LabelledMessage]:
    return [LabelledMessage(id=n, text=text, label=label) for n, text in enumerate(texts)]


def test_a_class_keeps_its_number_and_several_of_one_name_are_one() -> None:
    assert rename_labels(LABELS, ["b"], " new  name") == ["a", "new name", "c", "d"]
    merged = rename_labels(LABELS, ["a", "c"], "ac")
    assert (merged, find_merged(merged)) == (["ac", "b", "ac", "d"], [2, 1, 2, 3])
    assert find_merged(rename_labels(merged, ["ac"], "d")) == [3, 1, 3, 3], "a class that there is takes it in"
    assert find_merged(LABELS) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (["x"], "y", "'x' is no class"),
        (["a"], " ", "has 1 to 255"),
        (["a"], "B", "looks like 'b'"),
        (["a"], "no class", "is what it is called that a message fits none"),
        (["a"], "NULL", "is what it is called that a message fits none"),
        (["a"], "a", "Nothing would change"),
        (LABELS, "all", "One class would be left"),
    ],
)
def test_a_name_that_cannot_be_is_refused(old: list[str], new: str, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        rename_labels(LABELS, old, new)


def test_what_is_merged_has_what_its_parts_had_and_is_learned_by_its_name(jobs: Jobs) -> None:
    thin_reference(jobs.settings.state)
    trainer = Trainer(Broker.of(jobs.redis, jobs.settings), CLASSIFIERS["intent"])
    old = trainer.original.about.labels
    parts, rows = [old.index("bug report"), old.index("complaint")], messages(*TEXTS)
    original = Predictor(trainer.classifier, trainer.original, trainer.vocabularies)
    before, _ = original.judge(rows)

    # A guard that refuses whatever it is leaves all as it was.
    wanted = Renaming(["bug report", "complaint"], "problem")
    trainer.settings = msgspec.structs.replace(jobs.settings, guard_tolerance=-1.0)
    with pytest.raises(TrainingRefused, match="classes apart"):
        rename_classes(trainer, "refused", wanted, lambda: None)
    assert trainer.publication.labels == old
    trainer.settings = jobs.settings

    done = rename_classes(trainer, "merge", wanted, lambda: None)
    assert rename_classes(trainer, "merge", wanted, lambda: None)["weights"] == done["weights"], "not done twice"
    assert done["labels"] == list(dict.fromkeys("problem" if name in wanted.old else name for name in old))
    known = trainer.original.about.figures["reference"]["balanced_accuracy"]
    assert done["reference"]["balanced_accuracy"] >= known - 0.01
    current = trainer.store.load_current()
    after, _ = Predictor(trainer.classifier, current, trainer.vocabularies).judge(rows)
    np.testing.assert_allclose(after[:, parts[1]], before[:, parts].sum(axis=1), atol=1e-6)
    assert after[:, parts[0]].max() == 0.0
    others = [number for number in range(len(old)) if number not in parts]
    np.testing.assert_allclose(after[:, others], before[:, others], atol=1e-6)
    judged = original.classifier.answer(after, current.about.labels, 0.0)
    assert (judged[0][0], list(judged[1][0])) == ("problem", done["labels"])

    learned = trainer.train("later", messages("my frobnicator is wrong", label="problem"), lambda: None)
    assert learned["records"]["0"].get("state") == "learned"
    assert trainer.intake.log is not None
    assert [row.label for row in trainer.intake.log.of_task("later")] == [parts[1]]
    assert trainer.publication.labels.count("problem") == 2
    with pytest.raises(InvalidRecords, match="is no class"):
        trainer.train("by its old name", messages("x", label="complaint"), lambda: None)
    assert trainer.intake.log.events(1)[0].kind == "training"
    assert [event.kind for event in trainer.intake.log.events(2)] == ["renaming", "training"]

    # Once more, from weights that have learned.
    learned_last, labels = trainer.store.load_current(), trainer.publication.labels
    parts = [labels.index("praise"), labels.index("spam")]
    before_merging, _ = Predictor(trainer.classifier, learned_last, trainer.vocabularies).judge(rows)
    rename_classes(trainer, "merge more", Renaming(["praise", "spam"], "else"), lambda: None, force=True)
    after, _ = Predictor(trainer.classifier, trainer.store.load_current(), trainer.vocabularies).judge(rows)
    np.testing.assert_allclose(after[:, max(parts)], before_merging[:, parts].sum(axis=1), atol=1e-6)

    trainer.roll_back(done["weights"]["previous"], lambda: None)
    assert trainer.publication.labels == old
    again, _ = Predictor(trainer.classifier, trainer.store.load_current(), trainer.vocabularies).judge(rows)
    np.testing.assert_array_equal(again, before)


def test_what_was_said_of_a_part_is_what_is_said_of_the_class_that_it_is_merged_into(jobs: Jobs) -> None:
    thin_reference(jobs.settings.state)
    trainer = Trainer(Broker.of(jobs.redis, jobs.settings), CLASSIFIERS["intent"])
    log = trainer.intake.log
    assert log is not None
    trainer.train("part", messages("my frobnicator is wrong", label="bug report"), lambda: None)
    rename_classes(trainer, "merge", Renaming(["bug report", "complaint"], "problem"), lambda: None)
    again = trainer.train("again", messages("my frobnicator is wrong", label="problem"), lambda: None)
    assert (again["known"], again["learned"]) == (1, 0)
    about = trainer.store.load_current().about
    said = {"number": 0, "weights": about.version}
    now = msgspec.structs.replace(log.find()[0], label=about.labels.index("praise"), **said)
    assert log.taken_back([now], about.labels)[0] is not None
    merged = msgspec.structs.replace(now, label=about.labels.index("problem"))
    assert log.taken_back([merged], about.labels) == [None]


@pytest.mark.parametrize("versions_kept", [10, 2], ids=["scores_are_known", "scores_are_lost"])
def test_an_undo_after_a_merge_leaves_the_text_in_the_class_of_which_it_was_in_a_part(
    jobs: Jobs, versions_kept: int
) -> None:
    thin_reference(jobs.settings.state)
    settings = msgspec.structs.replace(jobs.settings, replay_rows=RECIPE.replay_rows, versions_kept=versions_kept)
    trainer = Trainer(Broker.of(jobs.redis, settings), CLASSIFIERS["intent"])
    parts = ["account question", "data question"]
    text = LabelledMessage(id="g", text="how do I merge two artists?", label="account question")

    def judge() -> dict[str, float]:
        current = trainer.store.load_current()
        (scores,), _ = Predictor(trainer.classifier, current, trainer.vocabularies).judge([text])
        return {name: sum(scores[[label == name for label in current.about.labels]]) for name in current.about.labels}

    # Of the versions, the one that scores the text is not the original, which is always kept.
    trainer.train("first", messages("buy cheap watches", label="spam"), lambda: None)
    before = judge()
    assert max(before, key=lambda name: before[name]) == "data question"
    trainer.train("wrong", [text], lambda: None)
    assert max(judge().values()) == judge()["account question"]
    rename_classes(trainer, "merge", Renaming(parts, "question"), lambda: None, force=True)
    assert trainer.intake.log is not None
    (logged,) = trainer.intake.log.find(record="g")
    assert (logged.weights in trainer.parents()) == (versions_kept == 10)
    done = withdraw(trainer, "undo", Withdrawal("", "g", ""), lambda: None)
    assert (done["withdrawn"], done["unlearned"]) == (1, True)
    assert judge()["question"] == pytest.approx(sum(before[name] for name in parts), abs=0.01)
