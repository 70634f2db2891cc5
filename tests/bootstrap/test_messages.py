"""Messages as they are learned: with the names of their classes among them."""

from __future__ import annotations

from collections import Counter

import pytest

from sb_api.bootstrap.messages import EPOCHS, MANY_MESSAGES, NAMES, epochs_for, fit_messages, spell_out
from sb_api.errors import InvalidRecords
from sb_api.records import LabelledMessage


def test_the_name_of_a_class_is_a_message_of_it() -> None:
    labels = ["book_flight", "payments/fee", "हिन्दी_भाषा", "Zeit 2", "???", "_"]
    learned = Counter((message.text, message.label) for message in spell_out(labels))
    texts = {
        "book flight": "book_flight",
        "payments/fee": "payments/fee",
        "हिन्दी भाषा": "हिन्दी_भाषा",
        "Zeit 2": "Zeit 2",
    }
    assert learned == dict.fromkeys(texts.items(), NAMES), "and what is no word says nothing"


def test_many_messages_of_few_classes_are_learned_twice_as_often() -> None:
    def made(count: int, classes: int) -> list[LabelledMessage]:
        return [LabelledMessage(id=n, text="a", label=str(n % classes)) for n in range(count)]

    assert epochs_for(made(MANY_MESSAGES, 15)) == 2 * EPOCHS
    assert epochs_for(made(MANY_MESSAGES - 1, 15)) == EPOCHS
    assert epochs_for(made(MANY_MESSAGES, 150)) == EPOCHS
    of_none = [LabelledMessage(id=n, text="a", label=None) for n in range(10)]
    assert epochs_for([*made(MANY_MESSAGES - 1, 15), *of_none]) == EPOCHS


def test_one_class_alone_is_named() -> None:
    messages = [LabelledMessage(id=n, text=f"a {n}", label="refund" if n else None) for n in range(3)]
    with pytest.raises(InvalidRecords, match="All messages to learn are of 'refund'; at least 2 classes"):
        fit_messages(messages, 1)
    with pytest.raises(InvalidRecords, match="are of no class; at least 2"):
        fit_messages(messages[:1], 1)
