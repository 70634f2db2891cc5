"""What the commands print: a text for people, or after `--json` a document a line for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import msgspec

_KEY = "sb_api.json"

JSON = click.option("--json", is_flag=True, expose_value=False, help="Print JSON, errors too.")


def note_json(context: click.Context, arguments: Sequence[str]) -> None:
    """See whether JSON is asked for before anything can go wrong: wrong usage is told in JSON too."""
    context.meta[_KEY] = "--json" in arguments


def wants_json() -> bool:
    """Whether the command that runs was asked for JSON."""
    return bool(click.get_current_context().meta.get(_KEY))


def show(document: Any, *, err: bool = False) -> None:
    """Print a document as one line of JSON."""
    click.echo(msgspec.json.encode(document), err=err)


def tell(document: Any, text: str, *, err: bool = False) -> None:
    """Print what came of a command: the document where JSON is asked for, else the text."""
    if wants_json():
        show(document, err=err)
    else:
        click.echo(text, err=err)
