"""The generator of messages: seeded, balanced, and split so that no core sentence is learned and measured."""

from __future__ import annotations

from collections import Counter

from sb_api.synthetic.messages import INTENTS, generate_messages, split_by_core


def test_the_same_seed_gives_the_same_messages() -> None:
    assert list(generate_messages(200, 3)) == list(generate_messages(200, 3))
    assert list(generate_messages(200, 3)) != list(generate_messages(200, 4))


def test_every_class_is_as_common_as_the_others() -> None:
    counts = Counter(message.label for message in generate_messages(70 * len(INTENTS.labels), 1))
    assert counts == dict.fromkeys(INTENTS.labels, 70)


def test_no_slot_is_left_open() -> None:
    assert not [message for message in generate_messages(3000, 1) if "{" in message.text or "}" in message.text]


def test_messages_of_a_core_differ() -> None:
    texts = [message.text for message in generate_messages(3000, 1)]
    assert len(set(texts)) > 0.9 * len(texts)


def test_no_core_is_on_both_sides_and_every_class_on_each() -> None:
    messages = list(generate_messages(3000, 1))
    learned, held_out = split_by_core(messages, 0.25, 1)
    assert len(learned) + len(held_out) == len(messages)
    assert not {message.core for message in learned} & {message.core for message in held_out}
    assert {m.label for m in learned} == {m.label for m in held_out} == set(INTENTS.labels)
