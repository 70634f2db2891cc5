"""The newest verdict of a reporter is learned once, no reporter moves the model alone, and certain scores need two."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

import pytest

from sb_api.learning.admission import (
    BACKOFF,
    FREE_TRIES,
    LONGEST_BACKOFF,
    Admission,
    Caps,
    Rules,
    admit,
    choose_retried,
    is_due,
)
from sb_api.verdicts.log_schema import LoggedVerdict
from tests.verdicts.test_verdict_log import NOON, verdict

OPEN = Rules(training_cap=100, day_cap=100, two_reporters=False)
TWO = Rules(training_cap=100, day_cap=100, two_reporters=True)


def decide(
    sent: Sequence[LoggedVerdict],
    rules: Rules = OPEN,
    contradicting: Collection[int] = (),
    standing: Sequence[LoggedVerdict] = (),
    learned_today: Mapping[str, int] | None = None,
) -> Admission:
    """Where all learned verdicts of the log are learned by the current weights."""
    learned = {row.number for row in standing if row.status == "learned"}
    return admit(sent, contradicting, Caps(rules, learned_today or {}), standing=standing, learned=learned)


def statuses(admission: Admission) -> list[str]:
    return [row.status for row in admission.logged]


def test_new_verdicts_are_learned() -> None:
    admission = decide([verdict("1"), verdict("2")])
    assert statuses(admission) == ["learning", "learning"]
    assert (admission.known, admission.superseded) == (0, [])


def test_the_same_verdict_is_learned_once_within_a_request_and_across() -> None:
    admission = decide([verdict("1"), verdict("1"), verdict("2")], standing=[verdict("2", number=7)])
    assert [row.record for row in admission.logged] == ["1"]
    assert (admission.known, admission.known_numbers) == (2, [7])


def test_another_reporter_says_something_new() -> None:
    admission = decide([verdict("1", reporter="bob")], standing=[verdict("1", number=7)])
    assert statuses(admission) == ["learning"]
    assert admission.superseded == []


def test_a_changed_mind_supersedes_what_was_said_before() -> None:
    admission = decide([verdict("1", label=0)], standing=[verdict("1", number=7)])
    assert statuses(admission) == ["learning"]
    assert admission.superseded == [7]
    assert admission.logged[0].supersedes == 7


def test_a_mind_changed_back_is_learned_too() -> None:
    """1, 0, 1: the third is not what was known, because the second has replaced the first."""
    standing = [verdict("1", label=0, number=8, supersedes=7)]
    admission = decide([verdict("1", label=1)], standing=standing)
    assert statuses(admission) == ["learning"]
    assert admission.superseded == [8]


def test_the_later_of_two_in_a_request_counts() -> None:
    admission = decide([verdict("1", label=1), verdict("1", label=0)])
    assert [(row.label, row.status) for row in admission.logged] == [(1, "superseded"), (0, "learning")]


def test_the_same_id_with_other_content_is_another_record() -> None:
    standing = [verdict("1", digest="one", number=7)]
    admission = decide([verdict("1", digest="other")], standing=standing)
    assert statuses(admission) == ["learning"]
    assert admission.superseded == []


def test_where_an_older_release_kept_no_digest_the_numbers_tell() -> None:
    standing = [verdict("1", vector=b"same", number=7)]
    assert decide([verdict("1", digest="d", vector=b"same")], standing=standing).known == 1
    assert decide([verdict("1", digest="d", vector=b"other")], standing=standing).known == 0


@pytest.mark.parametrize("status", ["refused", "held", "undone"])
def test_what_the_weights_have_not_learned_is_decided_on_again(status: str) -> None:
    admission = decide([verdict("1")], standing=[verdict("1", status=status, number=7)])
    assert statuses(admission) == ["learning"]
    assert (admission.known, admission.superseded) == (0, [7])


def test_what_other_weights_have_learned_is_not_known() -> None:
    """After a new original the log says learned, and the current weights know nothing of it."""
    standing = [verdict("1", number=7)]
    admission = admit([verdict("1")], (), Caps(OPEN, {}), standing=standing, learned=())
    assert statuses(admission) == ["learning"]


def test_what_is_over_a_reporters_cap_for_one_training_is_held() -> None:
    sent = [verdict(str(n)) for n in range(5)] + [verdict("9", reporter="bob")]
    rules = Rules(training_cap=3, day_cap=100, two_reporters=False)
    admission = decide(sent, rules)
    assert statuses(admission) == ["learning"] * 3 + ["held"] * 2 + ["learning"]
    assert admission.count("held") == 2


def test_what_is_over_a_reporters_cap_for_the_day_is_held() -> None:
    rules = Rules(training_cap=100, day_cap=10, two_reporters=False)
    admission = decide([verdict(str(n)) for n in range(4)], rules, learned_today={"ann": 8})
    assert statuses(admission) == ["learning"] * 2 + ["held"] * 2


def test_a_verdict_against_a_certain_score_waits_and_a_second_reporter_releases_it() -> None:
    first = decide([verdict("1"), verdict("2")], TWO, {0})
    assert statuses(first) == ["waiting", "learning"]
    waiting = [first.logged[0]]
    second = decide([verdict("1", reporter="bob")], TWO, {0}, standing=waiting)
    assert statuses(second) == ["learning"]
    assert second.released == waiting


def test_who_said_the_same_and_was_learned_is_a_second_reporter() -> None:
    admission = decide([verdict("1", reporter="bob")], TWO, {0}, standing=[verdict("1", number=7)])
    assert statuses(admission) == ["learning"]
    assert admission.released == []


def test_the_same_reporter_and_the_opposite_verdict_release_nothing() -> None:
    waiting = [verdict("1", status="waiting", number=7)]
    opposite = decide([verdict("1", label=0, reporter="bob")], TWO, {0}, standing=waiting)
    assert (opposite.released, statuses(opposite)) == ([], ["waiting"])
    again = decide([verdict("1")], TWO, {0}, standing=waiting)
    assert (again.released, statuses(again)) == ([], ["waiting"])


def test_who_says_it_of_other_content_is_no_second_reporter() -> None:
    waiting = [verdict("1", status="waiting", digest="one", number=7)]
    admission = decide([verdict("1", reporter="bob", digest="other")], TWO, {0}, standing=waiting)
    assert (admission.released, statuses(admission)) == ([], ["waiting"])


def test_without_the_rule_nothing_waits() -> None:
    assert statuses(decide([verdict("1")], OPEN, {0})) == ["learning"]


def test_a_refused_verdict_is_due_at_once_a_few_times_and_then_after_longer_and_longer_pauses() -> None:
    def due_after(attempts: int) -> timedelta:
        refused = verdict("1", status="refused", attempts=attempts, tried=NOON)
        hours = (timedelta(hours=n) for n in range(1000))
        return next(pause for pause in hours if is_due(refused, NOON + pause))

    assert [due_after(n) for n in range(FREE_TRIES)] == [timedelta(0)] * FREE_TRIES
    pauses = [due_after(FREE_TRIES + n) for n in range(20)]
    assert pauses[:3] == [BACKOFF, 2 * BACKOFF, 4 * BACKOFF]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_BACKOFF


def test_kept_verdicts_are_tried_within_the_caps_and_the_number() -> None:
    kept = [verdict(str(n), status="held") for n in range(4)] + [verdict("9", status="refused", reporter="bob")]
    rules = Rules(training_cap=2, day_cap=100, two_reporters=False)
    assert [row.record for row in choose_retried(kept, NOON, Caps(rules, {}), 10)] == ["0", "1", "9"]
    assert [row.record for row in choose_retried(kept, NOON, Caps(rules, {}), 1)] == ["0"]
    assert choose_retried(kept[:4], NOON, Caps(rules, {"ann": 100}), 10) == []
