"""What the commands print: a text for people, or after `--json` a document a line for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from sb_api.config import Settings, load_settings
from sb_api.telemetry.logs import configure_logging

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


@contextmanager
def progress_bar(total: int, label: str) -> Iterator[Callable[[], None]]:
    """A bar on the terminal, on stderr; none beside JSON. Yields what moves it on by one of `total`."""
    with click.progressbar(length=total, label=label, file=sys.stderr, hidden=wants_json()) as bar:
        yield lambda: bar.update(1)


def tell_exported(folder: Path) -> None:
    """Say where an artefact is."""
    tell({"success": True, "folder": str(folder)}, f"exported to {folder}")


def read_settings(**overrides: Any) -> Settings:
    """The settings of a command that works on this machine, with its logging set up. Raises as `load_settings`."""
    settings = load_settings(**overrides)
    configure_logging(settings)
    return settings
