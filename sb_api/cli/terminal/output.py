"""What the commands print: a text for people, or after `--json` a document a line for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from sb_api.config import Settings, load_settings
from sb_api.readers.rows import Batch
from sb_api.telemetry.logs import configure_logging

_KEY = "sb_api.json"

# Control characters, what turns the direction of writing, other ends of lines, and halves of characters.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

JSON = click.option("--json", is_flag=True, expose_value=False, help="Print JSON, errors too.")


def note_json(context: click.Context, arguments: Sequence[str]) -> None:
    """See whether JSON is asked for before anything can go wrong: wrong usage is told in JSON too."""
    context.meta[_KEY] = "--json" in arguments


def wants_json() -> bool:
    """Whether the command that runs was asked for JSON."""
    return bool(click.get_current_context().meta.get(_KEY))


def escape_controls(data: object) -> str:
    r"""`data` as text that is safe on a terminal: what would move its cursor, fill its clipboard or begin a new line is
    shown as an escape such as `\x1b`. For whatever others wrote: ids, names, texts, answers of a service."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(data))


def count(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def show(document: Any, *, err: bool = False, indented: bool = False) -> None:
    """Print a document as one line of JSON, or indented for people."""
    # JSON leaves DEL and the control characters above it as they are.
    content = _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", msgspec.json.encode(document).decode())
    click.echo(msgspec.json.format(content) if indented else content, err=err)


def show_line(text: str, *, err: bool = False) -> None:
    """Print one line for people; whatever is in it, it is one line and does nothing to a terminal."""
    click.echo(escape_controls(text), err=err)


def tell(document: Any, text: str, *, err: bool = False) -> None:
    """Print what came of a command: the document where JSON is asked for, else the text, one line."""
    if wants_json():
        show(document, err=err)
    else:
        show_line(text, err=err)


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


class Screen:
    """Standard output that is a terminal, for lines of results: whatever ids are in them do nothing to it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, content: bytes) -> None:
        text = content.decode("utf-8", "replace").replace("\r\n", "\n")
        self._stream.write("\n".join(map(escape_controls, text.split("\n"))).encode())

    def flush(self) -> None:
        self._stream.flush()


def show_note(text: str, *, as_json: bool | None = None) -> None:
    """Say on stderr what is to be known, though nothing has failed. `as_json` is for threads, which do not know what
    their command was asked for."""
    if wants_json() if as_json is None else as_json:
        show({"note": text}, err=True)
    else:
        show_line(f"Note: {text}{'' if text.endswith('?') else '.'}", err=True)


def with_notes(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches; what is to be said of the file is said as they go by."""
    for batch in batches:
        for text in batch.notes:
            show_note(text)
        yield batch
