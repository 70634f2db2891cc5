"""The commands for people with data: ingest, split, evaluate, export and import, and judging a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sb_api.cli.bootstrap import make_intent
from sb_api.cli.options import MODEL
from sb_api.cli.output import JSON, progress_bar, show, tell, tell_exported, wants_json
from sb_api.config import Settings, load_settings
from sb_api.errors import InvalidParameter

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
SHARE = click.FloatRange(0.01, 0.5)
_COLUMNS = (
    click.option("--intent-column", default="intent", show_default=True, help="Column of the class."),
    click.option("--text-column", default="query", show_default=True, help="Column of the text."),
)
_SEED = click.option("--seed", default=42, show_default=True, help="Same seed, same parts.")


def _columns(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_COLUMNS):
        command = option(command)
    return command


@click.group("data")
def data() -> None:
    """Labelled messages: from raw files to parts that a classifier learns from."""


@data.command("ingest")
@click.argument("file", type=EXISTING_FILE)
@_columns
@JSON
def data_ingest(file: Path, intent_column: str, text_column: str) -> None:
    """Clean the messages of a CSV FILE, mask personal data, and store them. Lines that are not used are told."""
    ingest(load_settings(), file, intent_column, text_column)


def ingest(settings: Settings, file: Path, intent_column: str, text_column: str) -> None:
    from sb_api.bootstrap.csv_messages import read_messages
    from sb_api.bootstrap.datasets import open_messages

    table = open_messages(settings)
    with progress_bar(2, f"reading {file.name}") as advance:
        reading = read_messages(file, intent_column, text_column)
        advance()
        stored, faults = table.add(reading.messages)
        advance()
    table.close()
    faults = sorted([*reading.faults, *faults], key=lambda fault: fault.line)
    for fault in faults:
        if not wants_json():
            click.echo(f"{file}:{fault.line}: {fault.reason}; not used", err=True)
    tell(
        {
            "success": True,
            "stored": stored,
            "encoding": reading.encoding,
            "unused": [{"line": fault.line, "reason": fault.reason} for fault in faults],
            "near_duplicates": reading.near,
        },
        f"{stored} messages stored from {file} ({reading.encoding}), {len(faults)} lines not used (named above), "
        f"{reading.near} near duplicates kept, which will stay in one part.",
    )


@data.command("split")
@_SEED
@click.option(
    "--validation", default=SHARES["validation"], show_default=True, type=SHARE, help="Share to choose the weights by."
)
@click.option("--test", default=SHARES["test"], show_default=True, type=SHARE, help="Share to measure the weights on.")
@JSON
def data_split(seed: int, validation: float, test: float) -> None:
    """Divide the stored messages into train, validation and test, every class by the same shares."""
    if validation + test >= 1:
        raise click.BadParameter("validation and test leave nothing to train on")
    split(load_settings(), seed, validation, test)


def split(settings: Settings, seed: int, validation: float, test: float) -> None:
    from sb_api.bootstrap.datasets import PARTS, Part, load_split, open_messages, split_messages

    table = open_messages(settings)
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
@click.argument("file", type=EXISTING_FILE)
@_columns
@_SEED
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Where the artefact goes.")
@JSON
def data_run_all(file: Path, intent_column: str, text_column: str, seed: int, output: Path | None) -> None:
    """All in one: ingest FILE, split, bootstrap the intent classifier, evaluate it, export it."""
    from sb_api.bootstrap.artefacts import export_artefact
    from sb_api.models.classifiers import CLASSIFIERS
    from sb_api.processes.serve import hold_state

    settings = load_settings()
    with hold_state(settings):
        ingest(settings, file, intent_column, text_column)
        split(settings, seed, SHARES["validation"], SHARES["test"])
        make_intent(settings, seed, count=0)
        evaluate_current(settings, "intent", None, Path("-") if wants_json() else None, None)
        tell_exported(export_artefact(settings, CLASSIFIERS["intent"], output or settings.state / "export"))


@click.command("evaluate")
@click.argument("file", required=False, type=EXISTING_FILE)
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
def evaluate(file: Path | None, model: str, json_file: Path | None, html_file: Path | None) -> None:
    """Measure the current weights on labelled records: a FILE with one JSON object a line, as for training.

    Without FILE: the test part of the stored messages, or else the reference set.
    """
    # `evaluate --json labelled.jsonl` takes the labelled records for the place of the figures.
    for target in (json_file, html_file):
        if target is not None and str(target) != "-" and target.exists() and not _is_made_here(target):
            raise InvalidParameter(f"{target} is there already and was not made by `evaluate`; choose another file.")
    evaluate_current(load_settings(), model, file, json_file, html_file)


def _is_made_here(path: Path) -> bool:
    """Whether a file is empty, or figures or a page that `evaluate` wrote."""
    start = path.read_bytes()[:200].lstrip()
    return not start or (b'"model"' in start and b'"source"' in start) or start.lower().startswith(b"<!doctype html")


def evaluate_current(
    settings: Settings, model: str, file: Path | None, json_file: Path | None, html_file: Path | None
) -> None:
    import msgspec

    from sb_api.bootstrap.evaluation import evaluate_weights
    from sb_api.bootstrap.report import print_report, render_html
    from sb_api.models.classifiers import CLASSIFIERS

    with progress_bar(1, f"judging with {model}") as advance:
        document = evaluate_weights(settings, CLASSIFIERS[model], file)
        advance()
    if str(json_file) == "-":
        show(document)
    else:
        print_report(document)
        if json_file:
            json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))
    if html_file:
        with progress_bar(1, "drawing") as advance:
            html_file.write_text(render_html(document), "utf-8")
            advance()
