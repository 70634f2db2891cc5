"""Which classes come with messages: enough examples of each, under numbers that are nobody else's."""

from __future__ import annotations

import pytest

from sb_api.errors import InvalidRecords
from sb_api.learning.classes.naming import LEAST_EXAMPLES, name_new_classes
from sb_api.records import LabelledMessage
from sb_api.versions import Version

OLD = ["praise", "spam"]


def examples(intent: str, count: int = LEAST_EXAMPLES, start: int = 0) -> list[LabelledMessage]:
    return [LabelledMessage(id=n, text=f"text {n}", label=intent) for n in range(start, start + count)]


def version(*labels: str) -> Version:
    about = {"classifier": "intent", "version": "000001-00000000", "parent": None, "created": "", "tokenizers": ""}
    return Version(**about, labels=list(labels))


def test_new_classes_come_behind_the_others_in_their_order() -> None:
    messages = [*examples("warranty"), *examples("praise", 1, 50), *examples(" a  refund", start=100)]
    assert name_new_classes(messages, OLD, [], 0) == [*OLD, "warranty", "a refund"]
    assert name_new_classes(examples("praise", 1), OLD, [], 0) == OLD
    assert name_new_classes([LabelledMessage(id=1, text="nothing", label=None)], OLD, [], 0) == OLD
    assert name_new_classes(examples("no class"), OLD, [], 0) == OLD


def test_too_few_examples_are_refused_with_how_many_are_missing() -> None:
    messages = [*examples("warranty", 3), LabelledMessage(id=9, text="TEXT  2", label="warranty")]
    with pytest.raises(InvalidRecords, match="new and has 3 of at least 5 different examples: 2 missing") as raised:
        name_new_classes(messages, OLD, [], 0)
    assert set(raised.value.members["errors"]) == {"0", "1", "2", "9"}


@pytest.mark.parametrize(
    "name", ["Praise", "No Class", "null", " ", "SPAM!", "pr\u0430ise", "s\u0440\u0430m", "\u0405pam"]
)
def test_a_name_that_looks_like_another_or_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidRecords):
        name_new_classes(examples(name), OLD, [], 0)


def test_two_new_names_that_look_alike_are_refused() -> None:
    with pytest.raises(InvalidRecords, match=r"'Jokes' is no class .* looks like 'jokes', which comes with it"):
        name_new_classes([*examples("jokes"), *examples("Jokes", start=50)], OLD, [], 0)


@pytest.mark.parametrize("names", [["Billing!"], ["warranty", "Billing!"], ["Billing!", "warranty"]])
def test_a_class_that_was_rolled_back_keeps_its_name(names: list[str]) -> None:
    messages = [message for n, name in enumerate(names) for message in examples(name, start=100 * n)]
    with pytest.raises(InvalidRecords, match="'Billing!' looks like 'billing', which was rolled back") as raised:
        name_new_classes(messages, OLD, [version(*OLD, "billing")], 3)
    start = 100 * names.index("Billing!")
    assert set(raised.value.members["errors"]) == {str(n) for n in range(start, start + LEAST_EXAMPLES)}


def test_numbers_of_classes_that_were_rolled_back_stay_theirs() -> None:
    kept = [version(*OLD, "billing")]
    assert name_new_classes(examples("billing"), OLD, kept, 3) == [*OLD, "billing"]
    assert name_new_classes(examples("warranty"), OLD, kept, 3) == [*OLD, "billing", "warranty"]
    assert name_new_classes(examples("warranty"), OLD, [], 3) == [*OLD, "class 2, rolled back", "warranty"]
