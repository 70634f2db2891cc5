"""The commands for people with data: ingest, split, evaluate, export and import, and judging a file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from sb_api.cli.bootstrap import Target, make_from_messages
from sb_api.cli.terminal.options import (
    ENCODING,
    FORMAT,
    MODEL,
    MODEL_OF_MESSAGES,
    asked_of,
    open_input,
    open_record_file,
    read_labelled_file,
    with_format,
    with_options,
)
from sb_api.cli.terminal.output import (
    JSON,
    count,
    progress_bar,
    show,
    show_line,
    tell,
    tell_exported,
    wants_json,
    with_notes,
)
from sb_api.config import Settings, load_settings
from sb_api.errors import InvalidParameter
from sb_api.files import for_owner
from sb_api.readers.batches import Asked, Format
from sb_api.records import NO_CLASS_NAME, RecordType, field_of_label, find_record_type

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
SHARE = click.FloatRange(0.01, 0.5)
_SEED = click.option("--seed", default=42, show_default=True, help="Same seed, same parts.")
_with_messages = with_options(
    click.argument("file", type=EXISTING_FILE),
    MODEL_OF_MESSAGES,
    click.option("--class-column", help="Column of the class. [default: what clients call it: intent]"),
    click.option("--text-column", default="query", show_default=True, help="Column of the text."),
    FORMAT,
    ENCODING,
    click.option(
        "--join", is_flag=True, help="Take classes whose names look alike for one, under the most common name."
    ),
    click.option("--no-class", metavar="NAME", help="What FILE calls the class of messages that fit none."),
)


@dataclass(frozen=True)
class Source:
    """A file of messages, of which classifier they are, and its columns of the class and of the text; whether classes
    whose names look alike are one, and what it calls that a message fits none."""

    file: Path
    record_type: RecordType
    class_column: str
    text_column: str
    asked: Asked
    join: bool
    no_class: str | None

    @classmethod
    def of(
        cls,
        file: Path,
        model: str,
        class_column: str | None,
        text_column: str,
        kind: Format | None,
        encoding: str | None,
        join: bool,
        no_class: str | None,
    ) -> Source:
        """What the options of `_with_messages` name."""
        record_type = find_record_type(model)
        column = class_column or field_of_label(record_type.verdict)
        if column == text_column:
            raise click.UsageError(f"--class-column and --text-column are both `{text_column}`.")
        return cls(file, record_type, column, text_column, Asked(kind, (), encoding), join, no_class)


@click.group("data")
def data() -> None:
    """Labelled messages: from raw files to parts that a classifier learns from."""


@data.command("ingest")
@_with_messages
@JSON
def data_ingest(**options: Any) -> None:
    """Clean the messages of FILE, mask personal data, and store them. Lines that are not used are named, and classes
    whose names look alike.

    FILE is CSV (with , ; | or tabs), JSON Lines or JSON, plain or packed, in any encoding; Parquet or Arrow.
    """
    ingest(load_settings(), Source.of(**options))


def ingest(settings: Settings, source: Source) -> None:
    from sb_api.bootstrap.csv_messages import find_alike, message_fields, read_messages
    from sb_api.bootstrap.datasets import open_messages

    file, columns = source.file, (source.class_column, source.text_column)
    table = open_messages(settings, source.record_type)
    with ExitStack() as stack:
        advance = stack.enter_context(progress_bar(2, f"reading {file.name}"))
        records = open_record_file(open_input(stack, file), file, source.asked, message_fields(*columns))
        there = table.classes() if source.join else None
        reading = read_messages(with_notes(records.batches(1000)), *columns, there, source.no_class)
        advance()
        stored, faults = table.add(reading.messages)
        advance()
    alike = find_alike(table.classes())
    table.close()
    known = {fault.line for fault in faults}
    used = sum(message.lines for message in reading.messages if message.line not in known)
    faults = sorted([*reading.faults, *faults], key=lambda fault: fault.line)
    unused = sum(fault.lines for fault in faults)
    for fault in faults:
        if not wants_json():
            show_line(f"{file}:{fault.line}: {fault.reason}; not used", err=True)
    tell(
        {
            "success": True,
            "stored": stored,
            "encoding": records.encoding,
            "lines": used + unused,
            "used": used,
            "unused": [{"line": fault.line, "reason": fault.reason} for fault in faults],
            "near_duplicates": reading.near,
            "alike": alike,
        },
        f"{count(stored, 'message')} stored from {file} ({records.encoding}): of "
        f"{count(used + unused, 'line')} {used} used, {count(unused, 'line')} not used"
        f"{' (named above)' if faults else ''}; {count(reading.near, 'near duplicate')} kept, which will stay in one "
        "part.",
    )

    if not wants_json():
        for first, *others in alike:
            names = " and ".join(map(repr, others))
            show_line(f"the class {first!r} looks like {names}; `sb-api data rename` makes them one", err=True)


@data.command("rename")
@click.argument("old", nargs=-1, required=True)
@click.argument("new")
@MODEL_OF_MESSAGES
@JSON
def data_rename(old: Sequence[str], new: str, model: str) -> None:
    """Give the class OLD of the stored messages the name NEW; several OLD are one from then on, and so is a class that
    has that name already. Messages of *no class* fit none. `sb-api bootstrap` learns them so."""
    from sb_api.bootstrap.csv_messages import LONGEST_CLASS
    from sb_api.bootstrap.datasets import open_messages
    from sb_api.text.normalization import clean_class

    name = clean_class(new)
    if not 0 < len(name) <= LONGEST_CLASS:
        raise InvalidParameter(f"The name of a class has 1 to {LONGEST_CLASS} characters.")
    table = open_messages(load_settings(), find_record_type(model))
    renamed = table.rename(old, "" if name == NO_CLASS_NAME else name)
    table.close()
    told = f"{count(renamed, 'message')} of {' and '.join(map(repr, old))} are of the class {name!r} now"
    tell({"success": True, "renamed": renamed, "class": name}, f"{told}; `sb-api bootstrap --model {model}` learns it.")


@data.command("split")
@_SEED
@click.option(
    "--validation", default=SHARES["validation"], show_default=True, type=SHARE, help="Share to choose the weights by."
)
@click.option("--test", default=SHARES["test"], show_default=True, type=SHARE, help="Share to measure the weights on.")
@MODEL_OF_MESSAGES
@JSON
def data_split(seed: int, validation: float, test: float, model: str) -> None:
    """Divide the stored messages into train, validation and test, every class by the same shares."""
    if validation + test >= 1:
        raise click.BadParameter("validation and test leave nothing to train on")
    split(load_settings(), find_record_type(model), seed, validation, test)


def split(settings: Settings, record_type: RecordType, seed: int, validation: float, test: float) -> None:
    from sb_api.bootstrap.datasets import PARTS, Part, load_split, open_messages, split_messages

    table = open_messages(settings, record_type)
    shares: dict[Part, float] = {"train": 1 - validation - test, "validation": validation, "test": test}
    with progress_bar(2, "splitting") as advance:
        parts = split_messages(table.all(), shares, seed)
        advance()
        table.assign(parts)
        advance()
    divided = load_split(table)
    table.close()
    sizes = {part: len(getattr(divided, part)) for part in PARTS}
    tell(
        {"success": True, **sizes, "fingerprint": divided.fingerprint},
        f"{sizes['train']} to train on, {sizes['validation']} for validation, {sizes['test']} for the test; "
        f"fingerprint {divided.fingerprint}.",
    )


@data.command("run-all")
@_with_messages
@_SEED
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Where the artefact goes.")
@click.option("--encoder", is_flag=True, help="As of `sb-api bootstrap`.")
@JSON
def data_run_all(seed: int, output: Path | None, encoder: bool, **options: Any) -> None:
    """All in one: ingest FILE, split, bootstrap the classifier, evaluate it, export it."""
    from sb_api.bootstrap.artefacts import export_artefact
    from sb_api.models.classifiers import CLASSIFIERS
    from sb_api.processes.serve import hold_state

    settings, source = load_settings(), Source.of(**options)
    record_type = source.record_type
    with hold_state(settings):
        ingest(settings, source)
        split(settings, record_type, seed, SHARES["validation"], SHARES["test"])
        make_from_messages(Target(settings), record_type, seed, synthetic=False, encoded=encoder)
        evaluate_current(settings, record_type.name, (), "", Path("-") if wants_json() else None, None)
        tell_exported(export_artefact(settings, CLASSIFIERS[record_type.name], output or settings.state / "export"))


@click.command("evaluate")
@click.argument("file", required=False, type=EXISTING_FILE)
@with_format
@MODEL
@click.option(
    "--json",
    "json_file",
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Print JSON, errors too; or write the figures to FILE.",
)
@click.option("--html", "html_file", type=click.Path(dir_okay=False, path_type=Path), help="Write a page here.")
@click.option("--no-texts", is_flag=True, help="Leave out what people wrote: of the worst errors only ids and scores.")
def evaluate(
    file: Path | None, model: str, json_file: Path | None, html_file: Path | None, no_texts: bool, **options: Any
) -> None:
    """Measure the current weights on labelled records: a FILE in any format that `train` takes.

    Without FILE: the test part of the stored messages, or else the reference set. The page and the JSON show the worst
    errors with what the records say.
    """
    # `evaluate --json labelled.jsonl` takes the labelled records for the place of the figures.
    for target in (json_file, html_file):
        # What is no regular file, such as /dev/stdout, holds nothing that could be written over.
        if target is not None and target.is_file() and not _is_made_here(target):
            raise InvalidParameter(f"{target} is there already and was not made by `evaluate`; choose another file.")
    settings, records = load_settings(), []
    if file is not None:
        records = read_labelled_file(file, asked_of(options), find_record_type(model).verdict)
    evaluate_current(settings, model, records, str(file or ""), json_file, html_file, texts=not no_texts)


def _is_made_here(path: Path) -> bool:
    """Whether a file is empty, or figures or a page that `evaluate` wrote."""
    with path.open("rb") as file:
        start = file.read(200).lstrip()
    return not start or (b'"model"' in start and b'"source"' in start) or start.lower().startswith(b"<!doctype html")


def evaluate_current(
    settings: Settings,
    model: str,
    records: Sequence[Any],
    source: str,
    json_file: Path | None,
    html_file: Path | None,
    *,
    texts: bool = True,
) -> None:
    from importlib.resources import files

    import msgspec

    from sb_api.bootstrap.evaluation import evaluate_weights
    from sb_api.bootstrap.reports.report import render_html
    from sb_api.cli.terminal.evaluation import print_report
    from sb_api.models.classifiers import CLASSIFIERS

    with progress_bar(1, f"judging with {model}") as advance:
        document = evaluate_weights(settings, CLASSIFIERS[model], records, source, texts=texts)
        advance()
    if settings.mlflow_url:
        from sb_api.telemetry.experiments import Run, record_run

        parameters = {"source": source or document["source"], "records": len(records) or None}
        run = Run("evaluation", model, str(document["weights"]), parameters, document["figures"])
        record_run(settings.mlflow_url, run)
    if str(json_file) == "-":
        show(document)
    else:
        print_report(document)
        if json_file:
            with open(json_file, "wb", opener=for_owner) as written:
                written.write(msgspec.json.format(msgspec.json.encode(document), indent=1))
    if html_file:
        with progress_bar(1, "drawing") as advance:
            with open(html_file, "wb", opener=for_owner) as written:
                # Of the page, which what makes reports does not know.
                palette = (files("sb_api.pages") / "assets" / "palette.css").read_text("utf-8")
                written.write(render_html(document, palette, datetime.now(UTC)).encode())
            advance()
