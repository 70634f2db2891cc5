"""What is told of verdicts names their classes, whatever weights are current by now."""

from __future__ import annotations

import msgspec
import pytest

from sb_api.verdicts.history import describe_verdicts
from sb_api.versions import Chain, Version
from tests.verdicts.test_verdict_log import verdict

ORIGINAL, GROWN, OTHER = "000000-aaaaaaaa", "000001-bbbbbbbb", "000002-cccccccc"


def version(name: str, *labels: str) -> Version:
    return Version(classifier="intent", version=name, parent=None, created="", tokenizers="t", labels=[*labels])


def name(label: int, *kept: Version, **changes: object) -> tuple[str, str]:
    """What a verdict's label and what was predicted are called, while the original is current."""
    versions = [*kept, version(ORIGINAL, "praise", "spam")]
    slots: dict[str, str | None] = {"original": ORIGINAL, "previous": None, "current": ORIGINAL}
    about = verdict(label=label, status="undone", **{"weights": ORIGINAL, "version": GROWN, **changes})
    (told,) = describe_verdicts([about], Chain(slots, versions))
    return told.label_name, told.predicted_name


@pytest.mark.parametrize(("label", "called"), [(-1, "no class"), (0, "praise"), (1, "spam"), (2, "refund")])
def test_a_class_that_was_rolled_back_is_called_as_by_those_who_learned_it(label: int, called: str) -> None:
    kept = version(OTHER, "praise", "spam", "delivery"), version(GROWN, "thanks", "spam", "refund")
    assert name(label, *kept)[0] == called


def test_what_weights_had_said_that_were_rolled_back_is_called_as_they_called_it() -> None:
    kept = version(OTHER, "praise", "spam", "delivery"), version(GROWN, "praise", "spam", "refund")
    assert name(0, *kept, predicted=2, weights=GROWN) == ("praise", "refund")


@pytest.mark.parametrize("label", [0, 1])
def test_the_score_of_spam_before_a_verdict_is_told_of_editors_alone(label: int) -> None:
    about = verdict(label=label, score=0.25)
    chain = Chain({"current": ORIGINAL}, [version(ORIGINAL, "Non Spam Editor Account", "Spam Editor Account")])
    (editor,) = describe_verdicts([about], chain)
    (message,) = describe_verdicts([msgspec.structs.replace(about, classifier="intent")], chain)
    assert (editor.score, editor.spam) == (0.25, 0.25 if label else 0.75)
    assert (message.score, message.spam) == (0.25, None)


def test_of_weights_that_are_no_longer_kept_the_nearest_name_it() -> None:
    kept = version("000009-dddddddd", "praise", "spam", "parcels"), version(OTHER, "praise", "spam", "delivery")
    assert name(2, *kept)[0] == "delivery", "the verdict was learned by number 1"
    assert name(2, *kept, version="000008-eeeeeeee")[0] == "parcels"


def test_a_class_that_no_kept_weights_know_is_said_to_be_rolled_back() -> None:
    assert name(2)[0] == "class 2, rolled back"
