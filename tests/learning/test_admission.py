"""A verdict is learned once, no reporter moves the model alone, and certain scores need two."""

from __future__ import annotations

from sb_api.learning.admission import Rules, admit
from tests.learning.test_verdict_log import verdict

OPEN = Rules(training_cap=100, day_cap=100, two_reporters=False)
NOTHING_KNOWN = {"known": {}, "waiting": [], "learned_today": {}}


def statuses(admission: object) -> list[str]:
    return [row.status for row in admission.logged]  # type: ignore[attr-defined]


def test_new_verdicts_are_learned() -> None:
    admission = admit([verdict("1"), verdict("2")], (), OPEN, known={}, waiting=[], learned_today={})
    assert statuses(admission) == ["learning", "learning"]
    assert admission.known == 0


def test_the_same_verdict_is_learned_once_within_a_request_and_across() -> None:
    sent = [verdict("1"), verdict("1"), verdict("2")]
    admission = admit(sent, (), OPEN, known={("2", 1, "ann"): "learned"}, waiting=[], learned_today={})
    assert [row.record for row in admission.logged] == ["1"]
    assert admission.known == 2


def test_a_changed_mind_and_another_reporter_are_new_verdicts() -> None:
    sent = [verdict("1", label=0), verdict("1", reporter="bob")]
    admission = admit(sent, (), OPEN, known={("1", 1, "ann"): "learned"}, waiting=[], learned_today={})
    assert statuses(admission) == ["learning", "learning"]


def test_what_is_over_a_reporters_cap_for_one_training_is_held() -> None:
    sent = [verdict(str(n)) for n in range(5)] + [verdict("9", reporter="bob")]
    rules = Rules(training_cap=3, day_cap=100, two_reporters=False)
    admission = admit(sent, (), rules, known={}, waiting=[], learned_today={})
    assert statuses(admission) == ["learning"] * 3 + ["held"] * 2 + ["learning"]
    assert admission.count("held") == 2


def test_what_is_over_a_reporters_cap_for_the_day_is_held() -> None:
    rules = Rules(training_cap=100, day_cap=10, two_reporters=False)
    sent = [verdict(str(n)) for n in range(4)]
    admission = admit(sent, (), rules, known={}, waiting=[], learned_today={"ann": 8})
    assert statuses(admission) == ["learning"] * 2 + ["held"] * 2


def test_a_verdict_against_a_certain_score_waits_and_a_second_reporter_releases_it() -> None:
    rules = Rules(training_cap=100, day_cap=100, two_reporters=True)
    first = admit([verdict("1"), verdict("2")], {0}, rules, known={}, waiting=[], learned_today={})
    assert statuses(first) == ["waiting", "learning"]
    waiting = [first.logged[0]]
    second = admit([verdict("1", reporter="bob")], {0}, rules, known={}, waiting=waiting, learned_today={})
    assert statuses(second) == ["learning"]
    assert second.released == waiting


def test_the_same_reporter_and_the_opposite_verdict_release_nothing() -> None:
    rules = Rules(training_cap=100, day_cap=100, two_reporters=True)
    waiting = [verdict("1", status="waiting")]
    sent = [verdict("1", label=0, reporter="bob")]
    assert admit(sent, {0}, rules, known={}, waiting=waiting, learned_today={}).released == []
    again = admit([verdict("1")], {0}, rules, known={("1", 1, "ann"): "waiting"}, waiting=waiting, learned_today={})
    assert again.released == []
    assert again.known == 1


def test_without_the_rule_nothing_waits() -> None:
    assert statuses(admit([verdict("1")], {0}, OPEN, **NOTHING_KNOWN)) == ["learning"]  # type: ignore[arg-type]
