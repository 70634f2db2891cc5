"""`sb-api predict`: a whole file is judged, whatever its format, and a scan that was broken off goes on."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from sb_api import exits
from sb_api.blocks import read_blocks
from sb_api.client import IN_FLIGHT, ROWS, Client
from sb_api.client_cli import client_of, open_input, split_columns, with_input, with_service
from sb_api.errors import InvalidSettings
from sb_api.readers import Format, guess_format, read_batches
from sb_api.scan import Committed, Identity, Output, ResultFormat, fingerprint, finish, open_output, scan, start_of

LINE_EVERY = 10.0  # seconds between two lines of progress where there is no terminal
SCAN_PATIENCE = 600.0  # seconds that a scan waits for a service that is away


@click.command()
@with_input
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="[default: standard output]")
@click.option("--results", type=click.Choice(["jsonl", "csv"]), help="Format of results. [default: by the name, JSON]")
@click.option("--wrong", type=click.Path(dir_okay=False, path_type=Path), help="[default: OUTPUT.wrong]")
@click.option("--explain", is_flag=True, help="With the reasons of each score; slow.")
@click.option("--restart", is_flag=True, help="Begin anew, whatever is in OUTPUT.")
@click.option("--rows", default=ROWS, show_default=True, type=click.IntRange(1, 10_000), help="Rows in a request.")
@click.option(
    "--in-flight", default=IN_FLIGHT, show_default=True, type=click.IntRange(1, 64), help="Requests at a time."
)
@click.option("--wait/--no-wait", default=None, help="As one task of all records: print its result, or its id alone.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds that --wait takes at most.")
@with_service
def predict(
    file: Path, kind: Format | None, columns: str | None, model: str, wait: bool | None, timeout: float, **options: Any
) -> None:
    """Have the records of FILE (default: standard input) judged: JSON Lines, JSON, CSV or PostgreSQL COPY text of
    MusicBrainz's `editor` table, plain or packed (.gz, .zst).

    Results are written as they come. Broken off by Ctrl-C or a crash, the same command goes on where it was, if FILE is
    a file and there is an OUTPUT. Rows that are wrong go to a file of their own, each with what is wrong with it.
    """
    if wait is not None:
        _predict_task(file, model, wait, timeout, options)
        return
    output: Path | None = options["output"]
    results: ResultFormat = options["results"] or ("csv" if output and output.suffix == ".csv" else "jsonl")
    named = split_columns(columns)
    with ExitStack() as stack:
        client = stack.enter_context(client_of(options, patience=SCAN_PATIENCE))
        source = open_input(stack, file)
        size = file.stat().st_size if str(file) != "-" else None
        digest = fingerprint(source) if size is not None and source.seekable() else ""
        blocks = read_blocks(source)
        start = next(blocks, b"")
        kind = kind or guess_format(str(file), start)
        identity = Identity(digest, kind, named, model, options["explain"], results)
        wrong = options["wrong"] or (output.with_name(f"{output.name}.wrong") if output else None)
        if output and wrong and digest:
            opened = stack.enter_context(open_output(output, wrong, identity, restart=options["restart"]))
            if opened.committed.line:
                click.echo(f"Going on after line {opened.committed.line}.", err=True)
        else:
            opened = _plain_output(stack, output, wrong, results, restart=options["restart"])
        batches = read_batches(
            chain([start], blocks), kind, size=options["rows"], columns=named, start=start_of(opened.committed)
        )
        begun = opened.committed
        # Who reads from a pipe may be stuck in it, and could not go on later: there Ctrl-C just ends it.
        stopping = stack.enter_context(_stopping(client)) if opened.journal else None
        advance = stack.enter_context(progress(size, source, begun))
        try:
            done = scan(
                client,
                batches,
                opened,
                model=model,
                explain=options["explain"],
                in_flight=options["in_flight"],
                stopping=stopping,
                on_batch=advance,
            )
        except BrokenPipeError:
            raise
        except OSError as error:  # no room left, or a file that cannot be read on
            raise click.ClickException(f"{error}; the same command goes on from here.") from None
        if done and output and wrong and opened.journal is not None:
            finish(output, wrong)
    _tell(opened, done, output, wrong, options["as_json"])


def _predict_task(file: Path, model: str, wait: bool, timeout: float, options: dict[str, Any]) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(client_of(options, patience=timeout))
        task = client.classify(open_input(stack, file).read(), model=model)
        if wait:
            answer = client.wait(task, dict[str, Any], timeout=timeout)
            click.echo(msgspec.json.format(msgspec.json.encode(answer)))
        else:
            click.echo(task)


def _plain_output(stack: ExitStack, output: Path | None, wrong: Path | None, results: Any, *, restart: bool) -> Output:
    """Files of a scan that cannot go on later, because its input cannot be read again."""

    def create(path: Path) -> BinaryIO:
        if path.exists() and path.stat().st_size and not restart:
            raise InvalidSettings(f"{path} is there already; choose another file, or --restart.")
        path.touch(0o600)
        return stack.enter_context(path.open("wb"))

    target = create(output) if output else sys.stdout.buffer
    return Output(target, create(wrong) if wrong else None, results, Committed())


def _tell(opened: Output, done: bool, output: Path | None, wrong: Path | None, as_json: bool) -> None:
    committed = opened.committed
    if as_json:
        told = {"success": done, "judged": committed.judged, "wrong": committed.faults, "done": done}
        click.echo(msgspec.json.encode(told), err=output is None)
    else:
        faults = f", {committed.faults} rows wrong" + (f" (see {wrong})" if wrong else "") if committed.faults else ""
        click.echo(f"{committed.judged} judged{faults}.", err=True)
    if not done:
        click.echo("Broken off; the same command goes on from here." if opened.journal else "Broken off.", err=True)
        sys.exit(exits.BROKEN_OFF)
    if committed.faults:
        sys.exit(exits.SOME_WRONG)


@contextmanager
def _stopping(client: Client) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets, so that what is under way is stored; the second one kills."""
    event = threading.Event()

    def stop(number: int, _: Any) -> None:
        event.set()
        client.close()
        signal.signal(number, signal.SIG_DFL)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield event
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def progress(size: int | None, source: BinaryIO, begun: Committed) -> Iterator[Callable[[Committed], None]]:
    """A bar with rate and time left on a terminal, else a line now and then; on stderr."""
    start = last = time.monotonic()

    def rate(committed: Committed) -> float:
        done = committed.judged + committed.faults - begun.judged - begun.faults
        return done / max(1e-9, time.monotonic() - start)

    def line(committed: Committed) -> None:
        nonlocal last
        if time.monotonic() - last < LINE_EVERY:
            return
        last = time.monotonic()
        share = source.tell() / size if size else 0.0
        left = f", {(last - start) * (1 - share) / share:.0f} s left" if share else ""
        click.echo(f"{committed.judged} judged, {committed.faults} wrong, {rate(committed):.0f}/s{left}", err=True)

    if not sys.stderr.isatty():
        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=size)

        def draw(committed: Committed) -> None:
            told = f"{committed.judged:,} judged, {committed.faults:,} wrong, {rate(committed):,.0f}/s"
            bar.update(task, completed=source.tell() if size else 0, description=told)

        yield draw
