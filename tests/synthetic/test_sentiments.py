"""The made-up messages of the sentiment classifier: balanced, whole, and of several languages on both sides."""

from __future__ import annotations

from collections import Counter

import pytest

from sb_api.synthetic.messages import generate_messages, split_by_core
from sb_api.synthetic.sentiments import MARKS, read_sentiments


def test_every_class_and_language_has_sentences_of_its_own() -> None:
    phrases = read_sentiments()
    counts = Counter((label, language) for label, cores in phrases.cores.items() for language, _ in cores)
    assert counts.keys() == {(label, language) for label in MARKS for language in phrases.tongues}
    assert min(counts.values()) >= 15
    sentences = [core for cores in phrases.cores.values() for core in cores]
    assert len(set(sentences)) == len(sentences) >= 500


@pytest.mark.parametrize("slots", [("nice", "well"), ("nasty", "ill"), ("joy",), ("anger",), ("works",), ("fails",)])
def test_a_word_alone_decides_nothing_where_a_negation_may_stand(slots: tuple[str, ...]) -> None:
    """Words of praise and of blame stand in sentences of either class, in every language."""
    phrases = read_sentiments()
    counts = Counter(
        (language, label)
        for label, cores in phrases.cores.items()
        for language, core in cores
        if any(f"{{{slot}}}" in core for slot in slots)
    )
    for language in phrases.tongues:
        assert counts[language, "positive"] > 0
        assert counts[language, "negative"] > 0


def test_messages_are_whole_and_differ() -> None:
    messages = list(generate_messages(3000, 1, read_sentiments()))
    assert Counter(message.label for message in messages) == dict.fromkeys(MARKS, 1000)
    assert not [message.text for message in messages if set("{}[]|*=") & set(message.text)]
    assert len({message.text for message in messages}) > 0.95 * len(messages)


def test_no_sentence_is_on_both_sides_and_every_class_on_each() -> None:
    learned, held_out = split_by_core(list(generate_messages(3000, 1, read_sentiments())), 0.25, 1)
    assert not {message.core for message in learned} & {message.core for message in held_out}
    assert {message.label for message in learned} == {message.label for message in held_out} == set(MARKS)
