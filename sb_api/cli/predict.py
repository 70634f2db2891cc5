"""`sb-api predict`: a whole file is judged, whatever its format, and a scan that was broken off goes on."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import click

from sb_api.cli.terminal.options import (
    FILE_OR_DATABASE,
    MODEL,
    QUERY,
    asked_of,
    client_of,
    open_input,
    open_record_file,
    with_format,
    with_service,
)
from sb_api.cli.terminal.output import Screen, show, tell, wants_json, with_notes
from sb_api.cli.terminal.progress import Share
from sb_api.cli.terminal.scanning import choose_judge, go_through, report
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
    start_of,
)
from sb_api.client.result_database import TableOutput, choose_mark, keep_mark, open_table
from sb_api.errors import InvalidParameter, InvalidSettings, MalformedBody
from sb_api.files import for_owner
from sb_api.readers.batches import NOTHING_ASKED, Asked, RecordFile
from sb_api.readers.columnar import import_pyarrow
from sb_api.readers.compression import SUFFIXES
from sb_api.readers.database import open_database, with_ids

Results = Literal["jsonl", "csv", "parquet", "arrow"]


@click.command()
@click.argument("file", type=FILE_OR_DATABASE, default="-")
@with_format
@MODEL
@QUERY
@click.option(
    "--since",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of a database: only rows new or changed since the scan with these results.",
)
@click.option("--table", help="Of a database: write the results to this table of it, one row an id.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    callback=lambda _, __, path: None if str(path) == "-" else path,
    help="[default: -, standard output]",
)
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
    file: Path | str,
    model: str,
    wait: bool | None,
    timeout: float,
    **options: Any,
) -> None:
    """Have the records of FILE (default: standard input) judged: JSON Lines, JSON, CSV (with , ; | or tabs) or
    PostgreSQL COPY text of MusicBrainz's `editor` table, plain or packed (.gz, .zst, .bz2, .xz), in any encoding;
    Parquet or Arrow; or of a database, postgresql://USER@HOST/musicbrainz_db, which is only read.

    Results are written as they come. Broken off by Ctrl-C or a crash, the same command goes on where it was, if FILE is
    a file and there is an OUTPUT. Rows that are wrong go to a file of their own, each with what is wrong with it.
    """
    asked = asked_of(options)
    if not options["local"] and (options["source"] or options["processes"]):
        raise click.UsageError("--source and --processes: only with --local.")
    if isinstance(file, str):
        if wait is not None or asked != NOTHING_ASKED:
            raise click.UsageError("--wait, --no-wait, --format, --columns and --encoding: not of a database.")
        _predict_database(file, model, options)
        return
    if unfit := [name for name in ("query", "since", "table") if options[name]]:
        raise click.UsageError(f"--{', --'.join(unfit)}: only of a database, postgresql://...")
    if wait is not None:
        _predict_task(file, asked, model, wait, timeout, options)
        return
    output: Path | None = options["output"]
    wrong: Path | None = options["wrong"] or (output.with_name(f"{output.name}.wrong") if output else None)
    results = _choose_results(options["results"], output)
    written = _written(output, results, restart=options["restart"])
    _keep_apart(file, output, written, wrong)
    rows = _as_rows(results)
    with ExitStack() as stack:
        judge, at_a_time, leave = choose_judge(stack, model, options)
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
        batches = with_notes(records.batches(options["rows"], start_of(opened.committed)))
        # Who reads from a pipe may be stuck in it, and could not go on later: there Ctrl-C just ends it.
        leave_at = leave if opened.journal else None
        done = go_through(stack, judge, batches, opened, Share(source, size, records), at_a_time, leave_at)
        if done and output and written:
            _finish(opened, output, written, wrong, results, explain=options["explain"])
    report(opened, done, wrong, goes_on=opened.journal is not None, to_stdout=output is None)


def _choose_results(asked: Results | None, output: Path | None) -> Results:
    """The format of the results: that which is asked for, or else is that of files of such a name."""
    by_name: dict[str, Results] = {".csv": "csv", ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow"}
    if output and output.suffix in SUFFIXES:
        plain = output.with_suffix("").name
        raise click.UsageError(
            f"-o {output.name}: results are not packed while they come; write to {plain}, and pack it."
        )
    results = asked or by_name.get(output.suffix if output else "", "jsonl")
    if results in ("parquet", "arrow"):
        if output is None:
            raise click.UsageError(f"--results {results}: has its table of contents at its end; name a file with -o.")
        import_pyarrow()  # now, and not after an hour
    return results


def _as_rows(results: Results) -> ResultFormat:
    """The format that results have while a scan runs."""
    return "csv" if results == "csv" else "jsonl"


def _written(output: Path | None, results: Results, *, restart: bool) -> Path | None:
    """Where a scan writes while it runs: what cannot be gone on with, a Parquet or Arrow file, is made at the end."""
    if output is None or results in ("jsonl", "csv"):
        return output
    written = output.with_name(f"{output.name}.rows")
    if output.exists() and not restart and not journal_of(written).exists():
        raise InvalidParameter(f"{output} is there already and of no scan that was broken off; see --restart.")
    return written


def _finish(
    opened: Output, output: Path, written: Path, wrong: Path | None, results: Results, *, explain: bool
) -> None:
    """Make the table that the results are to be, if they are, and take away what only a scan under way needs."""
    if results == "parquet" or results == "arrow":
        from sb_api.client.result_tables import write_table

        write_table(written, output, results, explain=explain)
    if wrong and opened.journal is not None:
        finish(written, wrong)
    if written != output:
        written.unlink()


def _predict_database(url: str, model: str, options: dict[str, Any]) -> None:
    """Rows of a database, to a file, a table, or standard output."""
    output, wrong, table = options["output"], options["wrong"], options["table"]
    if table and (output or options["since"] or options["results"] or options["explain"] or model != "lodbrok"):
        raise click.UsageError("--table: not with --output, --results, --since, --explain and --model.")
    if output and not wrong:
        wrong = output.with_name(f"{output.name}.wrong")
    results = _choose_results(options["results"], output)
    written = _written(output, results, restart=options["restart"])
    _keep_apart(Path("-"), output, written, wrong)
    with ExitStack() as stack:
        judge, at_a_time, leave = choose_judge(stack, model, options)
        database = stack.enter_context(open_database(url, options["query"] or ""))
        opened: Output | TableOutput
        if table:
            faults = stack.enter_context(open(wrong, "ab", opener=for_owner)) if wrong else None
            opened = stack.enter_context(
                open_table(url, table, database.source, database.now, faults, restart=options["restart"])
            )
            mark = opened.mark
        else:
            mark = choose_mark(database, written, options["since"], restart=options["restart"])
            identity = Identity(
                mark.encode(), "database", database.columns, model, options["explain"], _as_rows(results)
            )
            if written and wrong:
                opened = stack.enter_context(open_output(written, wrong, identity, restart=options["restart"]))
            else:
                opened = _plain_output(stack, written, wrong, identity.results, restart=options["restart"])
        begun = opened.committed
        if begun.line:
            click.echo(f"Going on after the id {begun.offset}.", err=True)
        records = database.read(mark, begun.offset if begun.line else None)
        batches = with_ids(records.batches(options["rows"]), begun.line, begun.offset)
        done = go_through(stack, judge, batches, opened, Share(None, None, records), at_a_time, leave)
        if done and isinstance(opened, TableOutput):
            opened.finish()
        elif done and output and written and isinstance(opened, Output):
            keep_mark(output, mark)
            _finish(opened, output, written, wrong, results, explain=options["explain"])
    report(opened, done, wrong, goes_on=bool(table or output), to_stdout=not (table or output))


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
