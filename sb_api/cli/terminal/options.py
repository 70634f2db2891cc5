"""The commands that ask a running service."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import click

from sb_api.cli.terminal.output import JSON, show_note, wants_json, with_notes
from sb_api.client.http import DEFAULT_PATIENCE, Client
from sb_api.client.protocol import PATHS
from sb_api.config import load_settings
from sb_api.errors import InvalidSettings
from sb_api.files import is_open_to_others
from sb_api.readers.batches import FORMATS, Asked, RecordFile, open_records
from sb_api.readers.database import SCHEMES
from sb_api.readers.labelled import read_labelled
from sb_api.readers.rows import RECORD_FIELDS, Fields, labelled_fields
from sb_api.records import INTENTS, RECORD_TYPES


class FileOrDatabase(click.Path):
    """A file that is there, or the URL of a PostgreSQL database."""

    name = "file or url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if str(value).startswith(SCHEMES) else super().convert(value, param, ctx)


FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
FILE_OR_DATABASE = FileOrDatabase(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
MODELS = click.Choice(list(PATHS))
MODEL = click.option("--model", type=MODELS, default="lodbrok", show_default=True, help="Which classifier.")
OF_MESSAGES = [name for name, each in RECORD_TYPES.items() if each.of_messages]
MODEL_OF_MESSAGES = click.option(
    "--model", type=click.Choice(OF_MESSAGES), default=INTENTS.name, show_default=True, help="Which classifier's."
)
Command = Callable[..., Any]


def _split_columns(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    names = RECORD_FIELDS.resolve(value.split(",")) if value else ()
    if names and "id" not in names:
        raise click.BadParameter("names no column `id`")
    if len(set(names)) < len(names):
        raise click.BadParameter("names a column twice")
    return names


_SERVICE = (
    click.option("--url", envvar="SB_API_URL", help="Address of the service. [env: SB_API_URL; default: that of run]"),
    click.option("--token", envvar="SB_API_TOKEN", help="Others see it in the list of processes; rather SB_API_TOKEN."),
    click.option(
        "--token-file",
        envvar="SB_API_TOKEN_FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File with the token, readable by its owner alone. [env: SB_API_TOKEN_FILE]",
    ),
)
FORMAT = click.option(
    "--format", "kind", type=click.Choice(FORMATS), help="Of FILE. [default: told by its name or start]"
)
_COLUMNS = click.option(
    "--columns", callback=_split_columns, help="Names of the columns of CSV or COPY text, with commas; id is one."
)
ENCODING = click.option("--encoding", help="Of FILE, such as cp1252. [default: UTF-8, or what its letters speak for]")
QUERY = click.option(
    "--query", help="Of a database: a query with columns named as fields. [default: MusicBrainz's editors]"
)


def with_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """A decorator that gives a command some options; its help lists them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


with_service = with_options(*_SERVICE, JSON)
with_format = with_options(FORMAT, _COLUMNS, ENCODING)
with_input = with_options(
    click.argument("file", type=FILE, default="-"),
    with_format,
    MODEL,
)


@dataclass(slots=True)
class _Away:
    """Says that a service is away, and for how long it is asked again: once, not for each of several requests."""

    patience: float
    as_json: bool
    said: set[str] = field(default_factory=set)

    def report(self, reason: str) -> None:
        """Called in several threads: twice the same would be no harm."""
        if reason not in self.said:
            self.said.add(reason)
            show_note(f"{reason}; asking again, for {self.patience:g} s at most", as_json=self.as_json)


def open_client(url: str | None, token: str | None, token_file: Path | None, **options: Any) -> Client:
    """A client of the service that the options name. Raises InvalidSettings when others may read the token."""
    if url is None:
        settings = load_settings()
        url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    if token is None and token_file is not None:
        if is_open_to_others(token_file.stat()):
            raise InvalidSettings(f"{token_file} can be read by others; `chmod 600 {token_file}` first.")
        token = token_file.read_text("utf-8", "replace").strip()
    return Client(url, token, **options)


def client_of(options: dict[str, Any], **more: Any) -> Client:
    """The client that a command's options name; while its service is away, it says so."""
    away = _Away(more.get("patience", DEFAULT_PATIENCE), wants_json())
    return open_client(options["url"], options["token"], options["token_file"], on_wait=away.report, **more)


def open_input(stack: ExitStack, file: Path) -> BinaryIO:
    """A file, or standard input for `-`."""
    return stack.enter_context(cast(BinaryIO, click.open_file(str(file), "rb")))


def asked_of(options: dict[str, Any]) -> Asked:
    """What the options of `with_format` say of a file."""
    return Asked(options["kind"], options["columns"], options["encoding"])


def open_record_file(stream: BinaryIO, file: Path, asked: Asked, fields: Fields = RECORD_FIELDS) -> RecordFile:
    """A file of records; what is to be said of it is said."""
    found = open_records(stream, "the input" if str(file) == "-" else file.name, asked, fields)
    for note in found.notes:
        show_note(note)
    return found


def read_labelled_file(file: Path, asked: Asked, record: type[Any]) -> list[Any]:
    """The labelled records of a file, all of them. Raises InvalidRecords, naming lines, and MalformedBody when it has
    no column of labels."""
    with ExitStack() as stack:
        records = open_record_file(open_input(stack, file), file, asked, labelled_fields(record))
        return read_labelled(with_notes(records.batches(1000)), record, str(file))
