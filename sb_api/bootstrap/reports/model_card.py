"""Model cards: what weights were made of, how good they are on records not learned, and what they are for."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from sb_api.config import Settings

WIDTH = 120  # characters in a line of text


@dataclass(frozen=True)
class Table:
    """A header, and rows of as many cells."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class ModelCard:
    """What a card says. `command` is the one that wrote it, `facts` are names and values; all else is paragraphs and
    tables, in order."""

    title: str
    command: str
    facts: Sequence[tuple[str, str]]
    data: Sequence[str]
    figures: Sequence[Table]
    use: str
    notes: Sequence[str] = ()


def render_card(card: ModelCard) -> str:
    """The card in Markdown."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # nosec B701
        loader=PackageLoader("sb_api.bootstrap.reports"),
        autoescape=False,  # noqa: S701  Markdown, of our own words and numbers
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["fill"] = _fill
    return environment.get_template("model-card.md").render(card=card)


def _fill(paragraph: str) -> str:
    return textwrap.fill(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False)


def card_name(classifier: str) -> str:
    """The path of the card of a classifier in the state directory, or in a checkout."""
    return f"docs/model-card-{classifier}.md"


def card_of(settings: Settings, classifier: str, version: str) -> bytes | None:
    """The card in the state directory, if it is one of this version."""
    try:
        card = (settings.state / card_name(classifier)).read_bytes()
    except FileNotFoundError:
        return None
    return card if f"`{version}`".encode() in card else None
