"""`sb-api predict`: a whole file is judged, whatever its format, and a scan that was broken off goes on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import click

from sb_api.cli.terminal import exit_codes
from sb_api.cli.terminal.options import asked_of, client_of, open_input, open_record_file, with_input, with_service
from sb_api.cli.terminal.output import Screen, count, show, show_line, tell, wants_json, with_notes
from sb_api.cli.terminal.progress import Share, progress
from sb_api.client.batching import IN_FLIGHT, ROWS
from sb_api.client.bulk import (
    Committed,
    Identity,
    Output,
    ResultFormat,
    fingerprint,
    finish,
    journal_of,
    open_output,
    scan,
    start_of,
)
from sb_api.client.rows import Fault, Judgement
from sb_api.errors import InvalidParameter, InvalidSettings, MalformedBody
from sb_api.readers.batches import Asked, RecordFile
from sb_api.readers.columnar import import_pyarrow

Results = Literal["jsonl", "csv", "parquet", "arrow"]
JudgeRows = Callable[[Sequence[bytes]], list[Judgement | Fault]]
SCAN_PATIENCE = 600.0  # seconds that a scan waits for a service that is away


@click.command()
@with_input
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="[default: standard output]")
@click.option("--results", type=click.Choice(get_args(Results)), help="Format of results. [default: by the name, JSON]")
@click.option("--wrong", type=click.Path(dir_okay=False, path_type=Path), help="[default: OUTPUT.wrong]")
@click.option("--explain", is_flag=True, help="With the reasons of each score; slow.")
@click.option("--restart", is_flag=True, help="Begin anew, whatever is in OUTPUT.")
@click.option("--rows", default=ROWS, show_default=True, type=click.IntRange(1, 10_000), help="Rows in a request.")
@click.option(
    "--in-flight", default=IN_FLIGHT, show_default=True, type=click.IntRange(1, 64), help="Requests at a time."
)
@click.option("--local", is_flag=True, help="Without a service, by processes of this machine.")
@click.option("--source", help="With --local: a state directory, an artefact, or a Redis URL. [default: this host's]")
@click.option("--processes", type=click.IntRange(1, 256), help="With --local. [default: one a processor]")
@click.option("--wait/--no-wait", default=None, help="As one task of all records: print its result, or its id alone.")
@click.option(
    "--timeout", default=300.0, show_default=True, type=click.FloatRange(0), help="Seconds that --wait takes at most."
)
@with_service
def predict(
    file: Path,
    model: str,
    wait: bool | None,
    timeout: float,
    **options: Any,
) -> None:
    """Have the records of FILE (default: standard input) judged: JSON Lines, JSON, CSV (with , ; | or tabs) or
    PostgreSQL COPY text of MusicBrainz's `editor` table, plain or packed (.gz, .zst, .bz2, .xz), in any encoding;
    Parquet or Arrow.

    Results are written as they come. Broken off by Ctrl-C or a crash, the same command goes on where it was, if FILE is
    a file and there is an OUTPUT. Rows that are wrong go to a file of their own, each with what is wrong with it.
    """
    asked = asked_of(options)
    if wait is not None:
        _predict_task(file, asked, model, wait, timeout, options)
        return
    output: Path | None = options["output"]
    wrong: Path | None = options["wrong"] or (output.with_name(f"{output.name}.wrong") if output else None)
    results = _choose_results(options["results"], output)
    written = _written(output, results, restart=options["restart"])
    _keep_apart(file, output, written, wrong)
    if not options["local"] and (options["source"] or options["processes"]):
        raise click.UsageError("--source and --processes: only with --local.")
    rows: ResultFormat = "csv" if results == "csv" else "jsonl"
    with ExitStack() as stack:
        judge, at_a_time, leave = _choose_judge(stack, model, options)
        source = open_input(stack, file)
        size = file.stat().st_size if str(file) != "-" else None
        digest = fingerprint(source) if size is not None and source.seekable() else ""
        records = open_record_file(source, file, asked)
        identity = Identity(
            digest, records.format, asked.columns, model, options["explain"], rows, asked.encoding or ""
        )
        if written and wrong and digest:
            opened = stack.enter_context(open_output(written, wrong, identity, restart=options["restart"]))
            if opened.committed.line:
                click.echo(f"Going on after line {opened.committed.line}.", err=True)
        else:
            opened = _plain_output(stack, written, wrong, rows, restart=options["restart"])
        begun = opened.committed
        batches = with_notes(records.batches(options["rows"], start_of(begun)))
        # Who reads from a pipe may be stuck in it, and could not go on later: there Ctrl-C just ends it.
        stopping = stack.enter_context(_stopping(leave)) if opened.journal else None
        advance = stack.enter_context(progress(Share(source, size, records), begun))
        try:
            done = scan(judge, batches, opened, in_flight=at_a_time, stopping=stopping, on_batch=advance)
        except BrokenPipeError:
            raise
        except OSError as error:  # no room left, or a file that cannot be read on
            raise click.ClickException(f"{error}; the same command goes on from here.") from None
        if done and output and written and written != output:
            _make_table(written, output, results, explain=options["explain"])
        if done and written and wrong and opened.journal is not None:
            finish(written, wrong)
    if done and written and written != output:
        written.unlink()
    _report(opened, done, output, wrong)


def _choose_judge(stack: ExitStack, model: str, options: dict[str, Any]) -> tuple[JudgeRows, int, Callable[[], None]]:
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


def _choose_results(asked: Results | None, output: Path | None) -> Results:
    """The format of the results: that which is asked for, or else is that of files of such a name."""
    by_name: dict[str, Results] = {".csv": "csv", ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow"}
    results = asked or by_name.get(output.suffix if output else "", "jsonl")
    if results in ("parquet", "arrow"):
        if output is None:
            raise click.UsageError(f"--results {results}: has its table of contents at its end; name a file with -o.")
        import_pyarrow()  # now, and not after an hour
    return results


def _written(output: Path | None, results: Results, *, restart: bool) -> Path | None:
    """Where a scan writes while it runs: what cannot be gone on with, a Parquet or Arrow file, is made at the end."""
    if output is None or results in ("jsonl", "csv"):
        return output
    written = output.with_name(f"{output.name}.rows")
    if output.exists() and not restart and not journal_of(written).exists():
        raise InvalidParameter(f"{output} is there already and of no scan that was broken off; see --restart.")
    return written


def _make_table(written: Path, output: Path, results: Results, *, explain: bool) -> None:
    from sb_api.client.result_tables import write_table

    write_table(written, output, "parquet" if results == "parquet" else "arrow", explain=explain)


def _keep_apart(file: Path, output: Path | None, written: Path | None, wrong: Path | None) -> None:
    """Raises InvalidParameter when what is written would go over what is read, or over something else written."""
    files = [file] if str(file) != "-" else []
    files += [path for path in (output, wrong, journal_of(written) if written else None) if path is not None]
    files += [written] if written and written != output else []
    if len({path.resolve() for path in files}) < len(files):
        raise InvalidParameter(f"{' '.join(map(str, files))}: one of these would be written over another.")


def _predict_task(file: Path, asked: Asked, model: str, wait: bool, timeout: float, options: dict[str, Any]) -> None:
    """All records as one task; the answer is the service's own."""
    unused = [name for name in ("output", "results", "wrong", "explain", "restart", "local") if options[name]]
    if unused:
        raise click.UsageError(f"--{', --'.join(unused)}: not with --wait and --no-wait, which give one answer.")
    with ExitStack() as stack:
        client = stack.enter_context(client_of(options, patience=timeout))
        records = open_record_file(open_input(stack, file), file, asked)
        # A document may have records under keys, which are part of the answer.
        body = b"".join(records.rest) if records.format == "json" else _join(records)
        task = client.classify(body, model=model)
        if not wait:
            tell({"task_id": task}, task)
            return
        answer = client.wait(task, dict[str, Any], timeout=timeout)
        show(answer, indented=not wants_json())


def _join(records: RecordFile) -> bytes:
    """One JSON array of all rows. Raises MalformedBody for the first row that cannot be read."""
    rows: list[bytes] = []
    for batch in with_notes(records.batches(ROWS)):
        for wrong in batch.wrong:
            raise MalformedBody(f"Line {wrong.line} {wrong.detail}.")
        rows += batch.rows
    return b"[%b]" % b",".join(rows)


def _plain_output(stack: ExitStack, output: Path | None, wrong: Path | None, results: Any, *, restart: bool) -> Output:
    """Files of a scan that cannot go on later, because its input cannot be read again."""

    def create(path: Path) -> BinaryIO:
        if path.exists() and path.stat().st_size and not restart:
            raise InvalidSettings(f"{path} is there already; choose another file, or --restart.")
        path.touch(0o600)
        return stack.enter_context(path.open("wb"))

    target: Any = create(output) if output else sys.stdout.buffer
    if output is None and sys.stdout.isatty():
        target = Screen(target)
    return Output(target, create(wrong) if wrong else None, results, Committed())


def _report(opened: Output, done: bool, output: Path | None, wrong: Path | None) -> None:
    committed = opened.committed
    document = {"success": done, "judged": committed.judged, "wrong": committed.faults, "done": done}
    if wants_json():
        show(document, err=output is None)
    else:
        faults = f", {count(committed.faults, 'row')} wrong" if committed.faults else ""
        if committed.faults:
            faults += f" (see {wrong})" if wrong else f" ({opened.first_fault}; --wrong FILE stores them all)"
        show_line(f"{committed.judged} judged{faults}.", err=True)
    if not done:
        click.echo("Broken off; the same command goes on from here." if opened.journal else "Broken off.", err=True)
        sys.exit(exit_codes.BROKEN_OFF)
    if committed.faults:
        sys.exit(exit_codes.SOME_WRONG)


@contextmanager
def _stopping(leave: Callable[[], None]) -> Iterator[threading.Event]:
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
