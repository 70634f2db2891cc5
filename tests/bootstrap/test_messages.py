"""Messages as they are learned: with the names of their classes among them."""

from __future__ import annotations

from collections import Counter

from sb_api.bootstrap.messages import NAMES, spell_out


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
