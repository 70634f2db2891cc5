"""What scans of files and of databases share: who judges, how they are ended, what is said at their end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from sb_api.cli.terminal import exit_codes
from sb_api.cli.terminal.options import client_of
from sb_api.cli.terminal.output import count, show, show_line, wants_json
from sb_api.cli.terminal.progress import Share, progress
from sb_api.client.bulk import Sink, scan
from sb_api.client.rows import Fault, Judgement
from sb_api.readers.rows import Batch

JudgeRows = Callable[[Sequence[bytes]], list[Judgement | Fault]]
SCAN_PATIENCE = 600.0  # seconds that a scan waits for a service that is away


def choose_judge(stack: ExitStack, model: str, options: dict[str, Any]) -> tuple[JudgeRows, int, Callable[[], None]]:
    """Who judges rows, how many batches at a time, and what leaves at once what is under way."""
    explain: bool = options["explain"]
    if options["local"]:
        from sb_api.local.judge import load
        from sb_api.local.scan import judging_processes

        reference = load(model, options["source"]).reference
        processes: int = options["processes"] or len(os.sched_getaffinity(0))
        noun = "process" if processes == 1 else "processes"
        click.echo(f"Judged here, by {processes} {noun}, with the weights {reference.version}.", err=True)
        return (
            stack.enter_context(judging_processes(reference, processes, explain=explain)),
            2 * processes,
            lambda: None,
        )
    client = stack.enter_context(client_of(options, patience=SCAN_PATIENCE))
    return partial(client.judge_rows, model=model, explain=explain), options["in_flight"], client.close


def go_through(
    stack: ExitStack,
    judge: JudgeRows,
    batches: Iterator[Batch],
    output: Sink,
    share: Share,
    at_a_time: int,
    leave: Callable[[], None] | None,
) -> bool:
    """Scan, with progress; whether all was done, or a signal came first. Without `leave`, signals just end it."""
    stopping = stack.enter_context(stopping_by_signals(leave)) if leave else None
    advance = stack.enter_context(progress(share, output.committed))
    try:
        return scan(judge, batches, output, in_flight=at_a_time, stopping=stopping, on_batch=advance)
    except OSError as error:  # no room left, or a file that cannot be read on
        if isinstance(error, BrokenPipeError) or leave is None:  # the latter: nothing to go on from
            raise
        raise click.ClickException(f"{error}; the same command goes on from here.") from None


def report(output: Sink, done: bool, wrong: Path | None, *, goes_on: bool, to_stdout: bool) -> None:
    """Say what was judged, and end with the exit code of a scan that was broken off or found rows wrong."""
    committed = output.committed
    document = {"success": done, "judged": committed.judged, "wrong": committed.faults, "done": done}
    if wants_json():
        show(document, err=to_stdout)
    else:
        faults = f", {count(committed.faults, 'row')} wrong" if committed.faults else ""
        if committed.faults:
            faults += f" (see {wrong})" if wrong else f" ({output.first_fault}; --wrong FILE stores them all)"
        show_line(f"{committed.judged} judged{faults}.", err=True)
    if not done:
        click.echo("Broken off; the same command goes on from here." if goes_on else "Broken off.", err=True)
        sys.exit(exit_codes.BROKEN_OFF)
    if committed.faults:
        sys.exit(exit_codes.SOME_WRONG)


@contextmanager
def stopping_by_signals(leave: Callable[[], None]) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets, so that what is under way is stored; the second one kills."""
    event = threading.Event()

    def stop(number: int, _: Any) -> None:
        event.set()
        click.echo("\nWhat is under way is stored first; once more ends it at once.", err=True)
        leave()
        signal.signal(number, signal.SIG_DFL)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield event
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
