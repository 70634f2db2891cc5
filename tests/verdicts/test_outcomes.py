"""What became of the verdicts of a request is told of each, and in one sentence of all."""

from __future__ import annotations

from sb_api.verdicts.outcomes import describe_outcomes, describe_unheeded, say
from tests.verdicts.test_verdict_log import verdict

LABELS = ["praise", "complaint", "complaint"]  # the last two are one class


def test_a_verdict_that_weights_do_not_follow_is_told_with_what_they_say() -> None:
    rows = [verdict("1", label=0), verdict("2", label=1), verdict("3", label=-1), verdict("4", label=0)]
    unheeded = describe_unheeded(rows, [0, 2, 0, -1], LABELS)
    assert unheeded == {("3", "ann"): "praise", ("4", "ann"): "no class"}
    logged = [verdict("1", version="v"), verdict("3", version="v"), verdict("5", status="waiting")]
    sent = [(number, "ann") for number in "12345"]
    outcomes = describe_outcomes(sent, logged, unheeded)
    assert [outcome.state for outcome in outcomes.values()] == ["learned", "known", "learned", "known", "kept"]
    assert [outcome.still for outcome in outcomes.values()] == ["", "", "praise", "", ""]
    assert "For now they still say 'praise'" in outcomes["3"].reason


def test_in_one_sentence_those_not_followed_come_first() -> None:
    assert say({"learned": 3}) == "Successfully retrained the model"
    assert say({"learned": 1}, along=2) == "Successfully retrained the model: 2 kept before and learned now"
    told = say({"learned": 3, "known": 2, "kept": 1}, 1)
    assert told.endswith(": 1 learned but not followed yet, 2 known already, 1 kept, to be learned later")
