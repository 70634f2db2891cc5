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


def version(*labels: str, number: int = 1, parent: int | None = None) -> Version:
    named, came_from = (None if one is None else f"{one:06}-00000000" for one in (number, parent))
    about = {"classifier": "intent", "version": named, "parent": came_from, "created": "", "tokenizers": ""}
    return Version(**about, labels=list(labels))


def versions(*labels: list[str]) -> list[Version]:
    """Versions with these labels, each made from the one before; newest first, as the chain has them."""
    return [version(*some, number=n, parent=n - 1 or None) for n, some in enumerate(labels, start=1)][::-1]


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


def test_a_class_that_was_rolled_back_keeps_its_name_though_others_were_renamed_before() -> None:
    kept = versions(OLD, ["praise", "adverts"], ["praise", "adverts", "billing"])
    assert name_new_classes(examples("billing"), OLD, kept, 3) == [*OLD, "billing"]
    assert name_new_classes(examples("warranty"), OLD, kept, 3) == [*OLD, "billing", "warranty"]
    with pytest.raises(InvalidRecords, match="'Billing!' looks like 'billing', which was rolled back"):
        name_new_classes(examples("Billing!"), OLD, kept, 3)


def test_a_class_that_was_renamed_and_rolled_back_comes_again_by_any_of_its_names() -> None:
    kept = versions(OLD, [*OLD, "billing"], [*OLD, "invoices"])
    for name in ("billing", "invoices"):
        assert name_new_classes(examples(name), OLD, kept, 3) == [*OLD, name]
    assert name_new_classes(examples("warranty"), OLD, kept, 3) == [*OLD, "invoices", "warranty"], "the latest"
    with pytest.raises(InvalidRecords, match="'Billing!' looks like 'billing', which was rolled back"):
        name_new_classes(examples("Billing!"), OLD, kept, 3)


def test_a_class_that_was_merged_and_rolled_back_goes_by_the_name_that_was_its_own() -> None:
    kept = versions(OLD, [*OLD, "billing"], ["money", "spam", "money"], ["money", "spam", "money", "lyrics"])
    assert name_new_classes(examples("warranty"), OLD, kept, 4) == [*OLD, "billing", "lyrics", "warranty"]
    assert name_new_classes(examples("warranty"), ["money", "spam"], kept, 4)[2:] == ["billing", "lyrics", "warranty"]


def test_a_name_that_another_class_has_since_is_that_ones() -> None:
    kept = versions(OLD, [*OLD, "billing"], [*OLD, "invoices"], [*OLD, "invoices", "billing"])
    assert name_new_classes(examples("billing"), OLD, kept, 4) == [*OLD, "invoices", "billing"]


def test_a_number_whose_verdicts_were_purged_and_that_another_class_took_is_that_ones() -> None:
    kept = [version(*OLD, "lyrics", number=3, parent=1), version(*OLD, "billing", number=2, parent=1), version(*OLD)]
    assert name_new_classes(examples("billing"), OLD, kept, 3) == [*OLD, "lyrics", "billing"]
