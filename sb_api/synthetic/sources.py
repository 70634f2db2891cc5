"""What each classifier of messages is made of while nobody has data: a row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sb_api.synthetic.messages import INTENTS, Phrases


@dataclass(frozen=True)
class Source:
    """What messages are made up of, how many unless somebody says so, and what the model card tells of them. Messages
    of those kinds of `synthetic.nothing` belong to none of the classes; empty: of all kinds."""

    phrases: Callable[[], Phrases]
    count: int
    described: str
    nothing: tuple[str, ...] = ()


SOURCES = {
    "intent": Source(
        lambda: INTENTS,
        3_500,
        "the seeded generator `sb_api/synthetic/messages.py`, made of some hundred core sentences with slots, "
        "openings, endings, slang and typing errors",
    ),
}
