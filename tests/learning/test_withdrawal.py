"""What weights are taught when a verdict is taken back: what was said before, or what the newest verdict left says."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from sb_api.judgements import NO_CLASS
from sb_api.learning.undo.withdrawal import Retraction, follows, unlearn
from sb_api.models.calibration import calibrated
from sb_api.verdicts.log_schema import LoggedVerdict
from sb_api.versions import Version
from tests.verdicts.test_verdict_log import verdict

ABOUT = Version(
    classifier="intent",
    version="000001-aaaaaaaa",
    parent=None,
    created="",
    tokenizers="t",
    labels=["praise", "complaint", "refund"],
    temperature=1.5,
    figures={"threshold": 0.4},
)


def said_then(label: int, score: float, number: int, predicted: int = 0) -> LoggedVerdict:
    return verdict(label=label, score=score, number=number, predicted=predicted, classifier="intent")


def taught(
    known: Sequence[LoggedVerdict], heir: LoggedVerdict | None, now: Sequence[float], about: Version = ABOUT
) -> tuple[list[float], int]:
    """What the row of a lesson is taught, as clients would be told it, and its label."""
    lesson = unlearn(Retraction(known[-1], known, heir), about, np.array(now), {})
    assert lesson.scores is not None
    told = calibrated(lesson.scores, about.temperature)[0].astype(float)
    assert told.sum() == pytest.approx(1, abs=1e-5)
    return told.tolist(), int(lesson.targets[0])


def test_with_no_verdict_left_each_label_has_what_it_had_before_the_first_verdict_that_gave_it() -> None:
    told, target = taught([said_then(1, 0.2, 1), said_then(2, 0.05, 2), said_then(2, 0.6, 3)], None, [0.2, 0.1, 0.7])
    assert told == pytest.approx([0.75, 0.2, 0.05], abs=1e-4)
    assert target == 0, "which gains most"


def test_verdicts_of_all_labels_leave_the_last_what_the_others_do_not_have() -> None:
    rows = [said_then(label, score, label) for label, score in ((0, 0.8), (1, 0.15), (2, 0.6))]
    assert taught(rows, None, [0.2, 0.1, 0.7])[0] == pytest.approx([0.8, 0.15, 0.05], abs=1e-4)


def test_the_newest_verdict_left_has_the_last_word_against_what_was_said_before() -> None:
    heir = said_then(1, 0.3, 1)
    told, target = taught([heir, said_then(2, 0.1, 2)], heir, [0.2, 0.1, 0.7])
    assert (follows(np.array(told), heir, ABOUT), target) == (True, 1)
    agreeing = said_then(0, 0.5, 1)
    told, target = taught([agreeing, said_then(2, 0.1, 2)], agreeing, [0.2, 0.1, 0.7])
    assert (told, target) == (pytest.approx([0.5, 0.4, 0.1], abs=1e-4), 1), "where it goes of itself, no further"


def test_of_no_class_the_likeliest_label_is_brought_below_the_threshold() -> None:
    heir = said_then(NO_CLASS, 0.4, 1, predicted=0)
    told, _ = taught([heir, said_then(2, 0.1, 2)], heir, [0.2, 0.1, 0.7])
    assert follows(np.array(told), heir, ABOUT)
    assert max(told) == pytest.approx(0.39, abs=1e-4)


def test_of_no_class_a_label_that_became_one_with_another_is_taught_nothing() -> None:
    about = msgspec.structs.replace(ABOUT, labels=["praise", "refund", "refund", "spam"])
    heir = said_then(NO_CLASS, 0.4, 1, predicted=0)
    told, target = taught([heir, said_then(2, 0.1, 2)], heir, [0.2, 0.0, 0.7, 0.1], about)
    assert (max(told), told[1]) == (pytest.approx(0.39, abs=1e-4), pytest.approx(0, abs=1e-4))
    assert target == 3, "which gains most of those that can"


def test_a_label_that_became_one_with_another_is_that() -> None:
    about = msgspec.structs.replace(ABOUT, labels=["praise", "complaint", "complaint"])
    assert follows(np.array([0.3, 0.6, 0.1]), said_then(2, 0.5, 1), about)
