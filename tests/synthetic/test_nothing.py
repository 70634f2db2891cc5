"""Messages that belong to no class: seeded, of many kinds and languages, and none that a class has."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest

from sb_api.synthetic.messages import generate_messages
from sb_api.synthetic.nothing import generate_nothing


def test_the_same_seed_gives_the_same_messages() -> None:
    assert list(generate_nothing(300, 3)) == list(generate_nothing(300, 3))
    assert list(generate_nothing(300, 3)) != list(generate_nothing(300, 4))


def test_they_differ_and_are_of_several_kinds_and_scripts() -> None:
    made = list(generate_nothing(3000, 1))
    assert len(made) == 3000
    assert all(message.text.strip() and not set("[]{}") & set(message.text) for message in made)
    assert len({message.text for message in made}) > 0.85 * len(made)
    kinds = Counter(message.kind for message in made)
    assert len(kinds) >= 5
    assert min(kinds.values()) > 100
    scripts = Counter(
        unicodedata.name(letter, "?").split()[0] for m in made for letter in set(m.text) if letter.isalpha()
    )
    assert sum(count >= 5 for count in scripts.values()) >= 8


def test_none_is_a_message_of_a_class() -> None:
    classes = {message.text.lower().strip(" .!?") for message in generate_messages(3000, 1)}
    assert not classes & {message.text.lower().strip(" .!?") for message in generate_nothing(3000, 1)}


def test_impossible_counts_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        generate_nothing(-1, 1)
    assert list(generate_nothing(0, 1)) == []
