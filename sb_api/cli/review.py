"""The commands of the review queue: put accounts in, empty it."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from sb_api.cli.audit import write_down
from sb_api.cli.terminal import exit_codes
from sb_api.cli.terminal.options import (
    FILE_OR_DATABASE,
    QUERY,
    asked_of,
    client_of,
    open_input,
    open_record_file,
    with_format,
    with_service,
)
from sb_api.cli.terminal.output import JSON, count, show_line, tell, wants_json, with_notes
from sb_api.client.http import Client
from sb_api.client.rows import Fault
from sb_api.config import load_settings
from sb_api.errors import InvalidParameter, MalformedBody
from sb_api.readers.batches import NOTHING_ASKED
from sb_api.readers.database import Mark, find_editors, open_database
from sb_api.readers.rows import Batch, Fields
from sb_api.review.entries import Band
from sb_api.versions import BANDS

ROWS = 500  # accounts of one request or look-up
RESULT_FIELDS = Fields(frozenset({"id", "band"}), ("id", "band"), strict=False)


class _Result(msgspec.Struct):
    """What a line of a scan's results says that matters here."""

    id: int | str
    band: str | None = None


class _Identified(msgspec.Struct):
    id: Any = None


@click.group()
def review() -> None:
    """The accounts that wait for moderators (SB_API_REVIEW=on)."""


@review.command("add")
@click.argument("file", type=FILE_OR_DATABASE, required=False)
@with_format
@QUERY
@click.option(
    "--results",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Only accounts that the results of this scan (JSON Lines or CSV) put in BAND or above.",
)
@click.option("--band", type=click.Choice(get_args(Band)), default="unsure", show_default=True, help="With --results.")
@with_service
def add_accounts(file: Path | str | None, query: str | None, results: Path | None, band: str, **options: Any) -> None:
    """Have the accounts of FILE, or of a database, judged by a running service; those of its band and above wait.

    FILE is as for `sb-api predict`, a file or postgresql://...; without it, accounts are read from the database that
    SB_API_EDITORS_URL names: those of --results by their numbers, else all, or those of --query.
    """
    source = load_settings().editors_url if file is None else file
    if not source:
        raise click.UsageError("Name a FILE; without one, SB_API_EDITORS_URL must name a database of editors.")
    is_database = isinstance(source, str)
    if not is_database and query is not None:
        raise click.UsageError("--query: only of a database.")
    if is_database and (asked_of(options) != NOTHING_ASKED or (results and query is not None)):
        raise click.UsageError("--format, --columns and --encoding: not of a database; --query: not with --results.")
    wanted = read_results(results, band) if results else None
    with ExitStack() as stack:
        client = stack.enter_context(client_of(options))
        if isinstance(source, Path):
            records = open_record_file(open_input(stack, source), source, asked_of(options))
            batches = with_notes(records.batches(ROWS))
        elif wanted is not None:
            batches = _look_up(source, wanted)
        else:
            database = stack.enter_context(open_database(source, query or ""))
            batches = with_notes(database.read(Mark(database.source, database.now)).batches(ROWS))
        bands, faults = _judge(client, batches, wanted)
        waiting = client.waiting(limit="1").waiting
    report = {"judged": bands.total(), "bands": {name: bands[name] for name in BANDS}, "wrong": faults}
    told = ", ".join(f"{bands[name]:,} {name}" for name in BANDS)
    tell({"success": True, **report, "waiting": waiting}, f"{bands.total():,} judged: {told}. {waiting:,} wait now.")
    if faults:
        sys.exit(exit_codes.SOME_WRONG)


def _judge(client: Client, batches: Iterator[Batch], wanted: set[str] | None) -> tuple[Counter[str], int]:
    """Have the accounts of batches judged, those that are wanted; how many came to each band, how many are wrong."""
    identify = msgspec.json.Decoder(_Identified).decode
    bands: Counter[str] = Counter()
    faults = 0
    for batch in batches:
        wrong = [f"line {row.line}: {row.detail}" for row in batch.wrong]
        rows = [row for row in batch.rows if wanted is None or str(identify(row).id) in wanted]
        for outcome in client.judge_rows(rows, review=True) if rows else []:
            if isinstance(outcome, Fault):
                wrong.append(f"{outcome.field} {outcome.detail}".strip())
            else:
                bands[outcome.band or ""] += 1
        if wrong and not faults and not wants_json():
            show_line(f"Not judged: {wrong[0]}", err=True)
        faults += len(wrong)
    return bands, faults


def _look_up(url: str, wanted: set[str]) -> Iterator[Batch]:
    """The accounts of a database with these numbers. Raises InvalidParameter for an id that is none."""
    if odd := next((one for one in wanted if not (one.isascii() and one.isdigit() and int(one) < 2**31)), None):
        raise InvalidParameter(f"{odd[:40]!r} is no number of an editor in a database.")
    ids = iter(sorted(map(int, wanted)))
    while some := list(islice(ids, ROWS)):
        yield Batch(rows=find_editors(url, some, []))


def read_results(path: Path, band: str) -> set[str]:
    """The ids of the accounts that the results of a scan put in a band or above. Raises MalformedBody."""
    wanted = BANDS[: BANDS.index(band) + 1]
    with path.open("rb") as file:
        is_json = file.read(1) == b"{"
    found: Iterator[_Result] = _read_lines(path) if is_json else _read_table(path)
    return {str(result.id) for result in found if result.band in wanted}


def _read_lines(path: Path) -> Iterator[_Result]:
    decode = msgspec.json.Decoder(_Result).decode
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise MalformedBody(f"{path}, line {number}, is no result of `sb-api predict`: {error}.") from None


def _read_table(path: Path) -> Iterator[_Result]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.reader(file)
        columns = RESULT_FIELDS.resolve(next(rows, []))
        if RESULT_FIELDS.describe_missing(columns):
            raise MalformedBody(f"{path} has no columns `id` and `band`, which results of `sb-api predict` have.")
        for row in rows:
            named = dict(zip(columns, row, strict=False))
            yield _Result(named.get("id", ""), named.get("band"))


@review.command("purge")
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
def purge_accounts(yes: bool) -> None:
    """Delete all that waits, claims and what is known of links, from the Redis of this machine's settings.

    What Redis has on disk is sealed; without `review.key` in the state directory nothing of it can be read.
    """
    from sb_api.broker.connection import connect, unavailable_when_lost
    from sb_api.review.store import ReviewStore

    settings = load_settings()
    if not yes:
        click.confirm("Delete all accounts that wait for review?", abort=True, err=True)
    with unavailable_when_lost(), connect(settings) as client:
        purged = ReviewStore(client, settings).purge()
    write_down(settings, "purge", "the review queue", count=purged)
    tell({"purged": purged}, f"{count(purged, 'account')} deleted.")
