"""What each classifier of messages is made of while nobody has data: a row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sb_api.preprocessing import FEATURES
from sb_api.synthetic.messages import INTENTS, Phrases
from sb_api.synthetic.sentiments import read_sentiments


@dataclass(frozen=True)
class Source:
    """What messages are made up of, how many unless somebody says so, and what the model card tells of them; of their
    words and parts of words, the most common ones are known. Messages of those kinds of `synthetic.nothing` belong to
    none of the classes; empty: of all kinds."""

    phrases: Callable[[], Phrases]
    count: int
    described: str
    features: int = FEATURES
    nothing: tuple[str, ...] = ()


SOURCES = {
    "intent": Source(
        lambda: INTENTS,
        6_000,
        "the seeded generator `sb_api/synthetic/messages.py`, made of 336 sentences with slots, openings, "
        "endings, slang and typing errors",
        features=20_000,
    ),
    "sentiment": Source(
        read_sentiments,
        20_000,
        "the seeded generator `sb_api/synthetic/sentiments.py`: messages to a help desk in seven languages, made of "
        "1,300 sentences with slots, openings, endings and typing errors; some with and without a negation",
        features=12_000,
        nothing=("words", "signs"),  # of what can be read, something that has no sentiment is neutral
    ),
}
