"""Verdicts are scored before they are learned, logged in numbers only, and drawn on again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from sb_api.arrays import Arrays
from sb_api.config import load_settings
from sb_api.errors import TooManyKept
from sb_api.learning.admission import choose_retried
from sb_api.learning.ingest import Intake
from sb_api.learning.recipe import RETRAININGS
from sb_api.learning.undo.restoration import purge
from sb_api.models.classifiers import CLASSIFIERS
from sb_api.models.weights_file import Weights
from sb_api.records import Verdict
from sb_api.text.tokenizers import Vocabularies
from sb_api.verdicts.log_schema import Kept
from sb_api.verdicts.verdict_log import open_verdict_log
from sb_api.versions import Version
from tests.verdicts.test_verdict_log import verdict as logged

LODBROK = CLASSIFIERS["lodbrok"]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEARNED = "000008-abcdef01"  # a version that the current weights came from
SECRETS = ("secret.person@hidden-domain.example", "http://hidden-site.example/me", "a very private biography")


def weights(borders: list[float] | None = None) -> Weights:
    about = Version(
        classifier="lodbrok",
        version="000007-abcdef01",
        parent=None,
        created="",
        tokenizers="t",
        labels=list(LODBROK.labels),
        borders=borders or [],
    )
    return Weights(about, {}, {})


def predict(arrays: Arrays) -> Any:
    """Spam with 0.97 for a bio, with 0.02 without."""
    spam = np.where(arrays["main_input"][:, 4] > 0, 0.97, 0.02).astype(np.float32)
    return np.stack([1 - spam, spam], axis=1)


def certainly_spam(arrays: Arrays) -> Any:
    return np.tile(np.array([0.01, 0.99], np.float32), (len(arrays["main_input"]), 1))


def vocabularies() -> Vocabularies:
    return LODBROK.load_vocabularies(load_settings({}, state_dir="/nonexistent"))


def intake(folder: Path, **settings: Any) -> Intake:
    loaded = load_settings({}, state_dir=str(folder), **settings)
    return Intake(loaded, LODBROK, open_verdict_log(loaded, "lodbrok"), clock=lambda: NOON)


def take(own: Intake, task: str, verdicts: list[Verdict], current: Weights | None = None) -> Any:
    return own.take(task, verdicts, current or weights(), predict, vocabularies(), {LEARNED})


def verdict(number: int, label: int = 1, reporter: str | None = "ann", bio: str | None = None) -> Verdict:
    return Verdict(id=number, verdict=label, reporter=reporter, bio=bio)


def test_a_verdict_is_logged_with_what_the_weights_said_before(tmp_path: Path) -> None:
    own = intake(tmp_path)
    batch = take(own, "task", [verdict(1, 1, bio="words"), verdict(2, 1), verdict(3, 0)])
    assert [(row.label, row.predicted) for row in batch.learn] == [(1, 1), (1, 0), (0, 0)]
    assert [row.score for row in batch.learn] == pytest.approx([0.97, 0.02, 0.98])
    assert {row.weights for row in batch.learn} == {"000007-abcdef01"}
    assert {row.received for row in batch.learn} == {NOON.replace(tzinfo=None)}


def test_the_database_holds_no_editor_details(tmp_path: Path) -> None:
    own = intake(tmp_path)
    email, website, bio = SECRETS
    take(own, "task", [Verdict(id=1, verdict=1, email=email, website=website, bio=bio, reporter="ann")])
    with sqlite3.connect(tmp_path / "verdicts.sqlite") as database:
        assert database.execute("select count(*) from verdicts").fetchone() == (1,)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in SECRETS:
        for part in (secret, secret.split("@")[-1], secret.split("//")[-1]):
            assert part.encode() not in content
    assert b"ann" in content


def test_a_task_done_again_gives_the_same_batch_and_logs_nothing_twice(tmp_path: Path) -> None:
    own = intake(tmp_path)
    first = take(own, "task", [verdict(1), verdict(2)])
    again = take(intake(tmp_path), "task", [verdict(1), verdict(2)])
    assert again.learn == first.learn
    assert own.log is not None
    assert len(own.log.find()) == 2


def test_what_is_known_and_not_followed_is_learned_again(tmp_path: Path) -> None:
    own = intake(tmp_path, two_reporters="on")
    first = take(own, "one", [verdict(1), verdict(1, reporter="bob"), verdict(2, bio="words")])
    own.settle_learned(first.learn, LEARNED)
    batch = take(own, "two", [verdict(1), verdict(2, bio="words")])
    assert [(row.record, row.reporter) for row in batch.learn] == [("1", "ann")]
    assert (batch.known, batch.waiting) == (1, 0)


def test_the_same_verdict_is_learned_once_across_trainings(tmp_path: Path) -> None:
    own = intake(tmp_path)
    own.settle_learned(take(own, "one", [verdict(1, bio="words"), verdict(2)]).learn, LEARNED)
    batch = take(own, "two", [verdict(1, bio="words"), verdict(3), verdict(2, reporter="bob")])
    assert [(row.record, row.reporter) for row in batch.learn] == [("3", "ann"), ("2", "bob")]
    assert batch.known == 1


def test_a_reporter_over_a_cap_is_held(tmp_path: Path) -> None:
    own = intake(tmp_path, reporter_training_cap=2, reporter_day_cap=3)
    assert take(own, "one", [verdict(n) for n in range(3)]).held == 1
    second = take(own, "two", [verdict(n) for n in range(10, 13)])
    assert (len(second.learn), second.held) == (1, 2)


def test_so_many_verdicts_of_one_credential_are_kept_and_no_more(tmp_path: Path) -> None:
    """Whomever it speaks for. What is learned makes room."""
    own = intake(tmp_path, kept_cap=3)
    first = take(own, "one", [verdict(n, reporter=f"tool/{n}") for n in range(3)])
    assert len(first.learn) == 3
    own.settle_refused(first.learn)
    assert own.log is not None
    with pytest.raises(TooManyKept, match="3 verdicts of tool wait"):
        take(own, "two", [verdict(10, reporter="tool/ann")])
    assert len(own.log.find()) == 3
    assert len(take(own, "three", [verdict(20, reporter="tools"), verdict(21, reporter="tool_")]).learn) == 2
    own.settle_learned(first.learn[:1], LEARNED)
    assert len(take(own, "four", [verdict(10, reporter="tool/ann")]).learn) == 1


def test_what_replaces_itself_over_and_over_counts_each_time_for_a_day(tmp_path: Path) -> None:
    clock = [NOON]
    loaded = load_settings({}, state_dir=str(tmp_path), reporter_day_cap=1, kept_cap=5)
    own = Intake(loaded, LODBROK, open_verdict_log(loaded, "lodbrok"), clock=lambda: clock[0])
    for number in range(6):
        own.settle_learned(take(own, str(number), [verdict(1, number % 2)]).learn, LEARNED)
    with pytest.raises(TooManyKept):
        take(own, "more", [verdict(1, 0)])
    clock[0] += timedelta(days=2)
    assert len(take(own, "more", [verdict(1, 0)]).learn) == 1


def test_of_many_reporters_few_are_looked_at_for_a_training_of_one_verdict(tmp_path: Path) -> None:
    """Those learned in 24 hours that are near their cap, and kept verdicts until there are enough to try."""
    own = intake(tmp_path, reporter_training_cap=2, reporter_day_cap=4)
    assert own.log is not None
    day = NOON.replace(tzinfo=None)
    own.log.add(logged(str(n), reporter=f"r{n}", received=day, tokenizers="t") for n in range(2000))
    own.log.add(logged(f"a{n}", reporter="ann", received=day) for n in range(3))
    assert own.caps().learned_today == {"ann": 3}
    own.log.add(logged(f"k{n}", reporter=f"r{n}", status="held", tokenizers="t") for n in range(5000))
    read = []

    def look_at(row: Kept) -> Kept:
        read.append(row.number)
        return row

    with closing(own.log.kept()) as kept:
        choose_retried(map(look_at, kept), day, own.caps(), 200)
    assert len(read) == 201
    assert len(take(own, "one", [verdict(1, reporter="bob")]).retried) == 200


def test_against_a_certain_score_two_reporters_are_needed(tmp_path: Path) -> None:
    own = intake(tmp_path, two_reporters="on")
    sure = weights(borders=[0.9, 0.8, 0.1])
    first = take(own, "one", [verdict(1, 0, "ann", bio="words"), verdict(2, 0, "ann")], sure)
    assert [row.record for row in first.learn] == ["2"]
    assert first.waiting == 1
    second = take(own, "two", [verdict(1, 0, "bob", bio="words")], sure)
    assert {(row.record, row.reporter) for row in second.learn} == {("1", "ann"), ("1", "bob")}
    assert take(own, "two", [verdict(1, 0, "bob", bio="words")], sure).learn == second.learn


def test_who_takes_back_a_verdict_that_made_a_score_certain_needs_no_second_reporter(tmp_path: Path) -> None:
    """What counts is the score before it; or the one who erred could never mend it alone."""
    own = intake(tmp_path, two_reporters="on")
    sure = weights(borders=[0.9, 0.8, 0.1])
    unsure = weights(borders=[0.99, 0.98, 0.01])
    wrong = take(own, "one", [verdict(1, 1, bio="words")], unsure).learn
    own.settle_learned(wrong, LEARNED)
    assert [row.score for row in wrong] == pytest.approx([0.97])
    certain = take(own, "two", [verdict(1, 0, bio="words")], sure)
    assert (len(certain.learn), certain.waiting) == (0, 1), "it was certain before the verdict, too"
    innocent = take(own, "three", [verdict(2, 1)], unsure).learn
    own.settle_learned(innocent, LEARNED)
    mended = own.take("four", [verdict(2, 0)], sure, certainly_spam, vocabularies(), {LEARNED})
    assert [row.supersedes for row in mended.learn] == [innocent[0].number]


@pytest.mark.parametrize(("before", "waiting"), [(0.97, 1), (0.02, 0)])
def test_a_correction_waits_for_nobody_where_the_weights_that_learned_the_error_were_not_certain(
    before: float, waiting: int, tmp_path: Path
) -> None:
    """They were when it came, by others who were purged before those weights were made."""
    own = intake(tmp_path, two_reporters="on")
    sure = weights(borders=[0.9, 0.8, 0.1])
    first = own.take("one", [verdict(1, 1)], sure, certainly_spam, vocabularies(), {LEARNED})
    own.settle_learned(first.learn, LEARNED)
    own = Intake(
        own.settings,
        LODBROK,
        own.log,
        hindsight=lambda verdicts, _: [msgspec.structs.replace(one, score=before) for one in verdicts],
    )
    correction = own.take("two", [verdict(1, 0)], sure, certainly_spam, vocabularies(), {LEARNED})
    assert correction.waiting == waiting


@pytest.mark.parametrize(
    ("before", "again"),
    [
        ({"version": "000001-a", "status": "learned"}, "learned"),
        ({"version": "000002-a", "status": "learned"}, "undone"),  # a rollback has left that version
        ({"status": "held", "score": 0.5}, "held"),
        ({"status": "held"}, "waiting"),
        ({"status": "refused", "attempts": 2}, "refused"),
    ],
)
def test_what_a_purged_verdict_had_replaced_counts_again(before: dict[str, Any], again: str, tmp_path: Path) -> None:
    """Of a reporter whose later ones are all purged; the one before that has been replaced by it stays so."""
    own = intake(tmp_path, two_reporters="on")
    log = own.log
    assert log is not None
    log.add([logged("1", label=0), logged("1", **{"score": 0.01, **before})], superseded=[1])
    log.settle_learned([2], before["version"]) if "version" in before else None
    log.follow("000001-a", {"000000-a": None, "000001-a": "000000-a", "000002-a": "000000-a"})
    log.add([logged("1", label=0, supersedes=2), logged("1", supersedes=3)], superseded=[2, 3])
    assert purge(own, log.numbered([3, 4]), weights(borders=[0.9, 0.8, 0.1]).about) == 1
    assert [row.status for row in log.find()] == [again, "superseded"]


def test_of_a_correction_what_had_been_said_before_the_error_is_observed(tmp_path: Path) -> None:
    """What the weights say then is what its own reporter has taught them."""
    own = intake(tmp_path)
    own.settle_learned(take(own, "one", [verdict(1, 1)]).learn, LEARNED)
    own.take("two", [verdict(1, 0)], weights(), certainly_spam, vocabularies(), {LEARNED})
    observed = own.observe()
    assert observed is not None
    assert observed.targets.tolist() == [0]
    assert observed.scores[:, 1] == pytest.approx([0.02])


def test_scores_are_calibrated_by_nothing_that_is_not_learned(tmp_path: Path) -> None:
    """Who is refused, or over a cap, would else move every score all the same."""
    own = intake(tmp_path, reporter_training_cap=2)
    batch = take(own, "one", [verdict(n) for n in range(3)])
    assert batch.held == 1
    observed = own.observe()
    assert observed is not None
    assert len(observed.targets) == 2
    own.settle_refused(batch.learn)
    assert own.observe() is None


def test_of_no_class_it_is_asked_that_the_likeliest_one_is_below_the_threshold(tmp_path: Path) -> None:
    own = intake(tmp_path)
    (row,) = take(own, "one", [verdict(1, 1)]).learn
    rows = [msgspec.structs.replace(row, label=-1), row]
    about = msgspec.structs.replace(weights().about, labels=list("abcde"))
    assert own.floors(rows, about) is None, "there is no threshold"
    asked = own.floors(rows, msgspec.structs.replace(about, figures={"threshold": 0.3}))
    assert asked is not None
    assert asked.tolist() == pytest.approx([0.71, 0.0])
    assert own.floors(rows, msgspec.structs.replace(about, figures={"threshold": 0.2})) is None, "of five, one has that"


def test_of_a_correction_of_a_message_it_is_asked_that_no_other_class_is_as_likely(tmp_path: Path) -> None:
    own = intake(tmp_path)
    (row,) = take(own, "one", [verdict(1, 1)]).learn
    own = Intake(own.settings, CLASSIFIERS["intent"], None)
    about = msgspec.structs.replace(weights().about, labels=list("aabc"), figures={"threshold": 0.3})
    message = msgspec.structs.replace(row, classifier="intent", label=2, predicted=2, score=0.2)
    agreed = msgspec.structs.replace(message, label=0, predicted=1)  # two labels of one class
    corrections = [msgspec.structs.replace(message, predicted=predicted) for predicted in (3, -1)]
    new = msgspec.structs.replace(message, predicted=3, score=0.0)
    asked = own.floors([*corrections, message, agreed, new], about)
    assert asked is not None
    assert asked.tolist() == [0.5, 0.5, 0.0, 0.0, 0.0]
    sure = own.floors(corrections, msgspec.structs.replace(about, figures={"threshold": 0.6}))
    assert sure is not None
    assert sure.tolist() == pytest.approx([0.61, 0.61])
    most = RETRAININGS["intent"].most_settled
    assert own.floors(corrections[:1] * most, about) is not None
    assert own.floors(corrections[:1] * (most + 1), about) is None, "so many are not settled"


def test_kept_verdicts_are_taken_along_with_new_ones_and_by_themselves(tmp_path: Path) -> None:
    own = intake(tmp_path)
    own.settle_refused(take(own, "one", [verdict(1), verdict(2)]).learn)
    batch = take(own, "two", [verdict(3)])
    assert [[row.record for row in rows] for rows in (batch.learn, batch.retried)] == [["3"], ["1", "2"]]
    own.settle_refused([*batch.learn, *batch.retried])
    assert take(own, "three", [verdict(1)]).known == 0
    own.settle_abandoned("four", lambda task: None)
    # The second was refused three times, so it rests for an hour.
    assert [row.record for row in own.take_kept("four", weights())] == ["3", "1"]


def test_nothing_is_tried_along_where_nothing_is_learned(tmp_path: Path) -> None:
    own = intake(tmp_path, reporter_training_cap=1)
    held = take(own, "one", [verdict(1), verdict(2)])
    own.settle_refused(held.learn)
    bobs = verdict(3, reporter="bob", bio="words")
    own.settle_learned(take(own, "two", [bobs]).learn, LEARNED)
    assert take(own, "three", [bobs]).retried == []


def test_a_verdict_that_a_rollback_undoes_meanwhile_is_learned_after_all(tmp_path: Path) -> None:
    own = intake(tmp_path)
    assert own.log is not None
    parents = {"000000-aaaaaaaa": None, LEARNED: "000000-aaaaaaaa"}
    own.settle_learned(take(own, "one", [verdict(1, bio="words")]).learn, LEARNED)
    own.log.follow(LEARNED, parents)
    batch = take(own, "two", [verdict(1, bio="words"), verdict(2)])
    assert batch.known == 1
    own.log.follow("000000-aaaaaaaa", parents)
    after = own.take_undone("two", batch)
    assert (after.known, [row.record for row in after.learn]) == (0, ["2", "1"])


def test_settled_verdicts_are_drawn_and_the_draw_follows_from_the_seed(tmp_path: Path) -> None:
    own = intake(tmp_path, replay_records=3)
    batch = take(own, "one", [verdict(n, n % 2) for n in range(20)])
    arrays = LODBROK.preprocess([verdict(1)], vocabularies())
    assert own.draw_log([], weights().about, 5, arrays) is None
    earlier = [(row.number, row.label) for row in batch.learn]
    drawn, again = (own.draw_log(earlier, weights().about, 5, arrays) for _ in range(2))
    assert drawn is not None
    assert again is not None
    assert sorted(drawn.targets.tolist()) == [0, 0, 0, 1, 1, 1]
    for name, array in drawn.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])


def test_without_a_log_everything_is_learned_and_nothing_is_kept(tmp_path: Path) -> None:
    own = intake(tmp_path, verdict_log="off")
    for task in ("one", "two"):
        assert len(take(own, task, [verdict(1), verdict(1), verdict(2)]).learn) == 2
    assert list(tmp_path.iterdir()) == []
    assert own.draw_log([(1, 1)], weights().about, 5, {}) is None
