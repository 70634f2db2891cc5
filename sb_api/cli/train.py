"""`sb-api train`: the labelled records of a file are learned; what is wrong with some of them is kept beside it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from sb_api.cli.terminal import exit_codes
from sb_api.cli.terminal.options import asked_of, client_of, open_input, open_record_file, with_input, with_service
from sb_api.cli.terminal.output import count, show, show_line, show_note, tell, wants_json, with_notes
from sb_api.client.answers import Trained
from sb_api.client.http import Client
from sb_api.errors import InvalidParameter, InvalidRecords
from sb_api.readers.rows import Batch, WrongRow

COUNTED = ("learned", "known", "superseded", "kept")  # what is added up over the trainings of a file


class _Named(msgspec.Struct):
    id: int | str


class _Wrong:
    """The rows that are not learned, in a file of their own that is made with the first of them."""

    def __init__(self, stack: ExitStack, path: Path) -> None:
        self.path = path
        self.count = 0
        self._stack = stack
        self._file: BinaryIO | None = None

    def add(self, row: WrongRow) -> None:
        if self._file is None:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._file = self._stack.enter_context(os.fdopen(descriptor, "wb", buffering=0))
        self._file.write(msgspec.json.encode(row.as_document()) + b"\n")
        self.count += 1


@click.command()
@with_input
@click.option("--rows", default=1000, show_default=True, type=click.IntRange(1, 10_000), help="Records in a training.")
@click.option("--wrong", type=click.Path(dir_okay=False, path_type=Path), help="[default: FILE.wrong]")
@click.option("--force", is_flag=True, help="Promote what is learned against the guard's word.")
@click.option(
    "--new-classes", is_flag=True, help="Messages may bring classes not known yet, 5 examples each in one training."
)
@with_service
def train(
    file: Path,
    model: str,
    rows: int,
    wrong: Path | None,
    force: bool,
    new_classes: bool,
    **options: Any,
) -> None:
    """Have the labelled records of FILE learned, in one training after the other.

    Verdicts on one record are learned one after the other, each in a training of its own.

    None is ever sent twice blindly. To send a file again does no harm while the verdict log is on: what is known is not
    learned again. Rows that are wrong go to a file of their own, each with what is wrong with it.
    """
    path = wrong or Path("wrong.jsonl" if str(file) == "-" else f"{file}.wrong")
    if path.resolve() == file.resolve():
        raise InvalidParameter(f"{path} is the file to learn from; choose another one for the wrong rows.")
    trainings, unheeded, totals = 0, 0, dict.fromkeys(COUNTED, 0)
    with ExitStack() as stack:
        client = stack.enter_context(client_of(options))
        records = open_record_file(open_input(stack, file), file, asked_of(options))
        faults = _Wrong(stack, path)
        for batch in with_notes(records.batches(rows)):
            for row in batch.wrong:
                faults.add(row)
            for trained in _train_batch(client, batch, model, faults, force=force, new_classes=new_classes):
                trainings += 1
                unheeded += sum(outcome.still != "" for outcome in trained.records.values())
                totals = {name: total + getattr(trained, name) for name, total in totals.items()}
                now, was = trained.weights.version, trained.weights.previous
                told = _count({name: getattr(trained, name) for name in COUNTED})
                tell(trained, f"{told}; current is {now}, was {was}.")
    if wants_json():
        show({"success": True, "trainings": trainings, **totals, "wrong": faults.count})
    elif trainings != 1:
        click.echo(f"In all {_count(totals)}, in {count(trainings, 'training')}.")
    if unheeded and not wants_json():
        verbs = "is learned, but the weights still say" if unheeded == 1 else "are learned, but the weights still say"
        click.echo(
            f"{count(unheeded, 'verdict')} {verbs} otherwise: one training moves them a part of the way.", err=True
        )
    if totals["kept"] and not wants_json():
        click.echo("What is kept is learned later: `sb-api verdicts list --kept` says why.", err=True)
    if faults.count and not wants_json():
        verbs = "is wrong and was" if faults.count == 1 else "are wrong and were"
        show_line(f"{count(faults.count, 'row')} {verbs} not learned; see {path}.", err=True)
    if faults.count:
        sys.exit(exit_codes.SOME_WRONG)


def _count(numbers: Mapping[str, int]) -> str:
    """What became of verdicts, in words."""
    told = f"{numbers['learned']} learned, {numbers['known']} known before"
    if numbers["superseded"]:
        told += f", {numbers['superseded']} earlier ones replaced"
    return f"{told}, {numbers['kept']} kept" if numbers["kept"] else told


def _train_batch(client: Client, batch: Batch, model: str, faults: _Wrong, **flags: bool) -> Iterator[Trained]:
    """Trainings of the rows that are sound: one, and another for those on a record of which an earlier row is."""
    rows, lines, texts = batch.rows, batch.lines, batch.texts or batch.rows
    sound = []
    for place, row in enumerate(rows):
        try:
            row.decode()
            msgspec.json.decode(row, type=msgspec.Raw)
            sound.append(place)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            faults.add(WrongRow(lines[place], f"is not JSON: {error}", texts[place]))
    for part in _divide(batch, sound):
        trained = _train_part(client, batch, part, model, faults, **flags)
        if trained is not None:
            yield trained


def _divide(batch: Batch, sound: Sequence[int]) -> list[list[int]]:
    """The places of sound rows such that no two of one list are on one record; says which are learned later."""
    first: dict[str, int] = {}
    parts: list[list[int]] = []
    met: Counter[str] = Counter()
    for place in sound:
        record = _record_of(batch.rows[place])
        number = 0 if record is None else met[record]
        if record is not None:
            met[record] += 1
            earlier = first.setdefault(record, place)
            if number:
                show_note(
                    f"line {batch.lines[place]} is on the same record as line {batch.lines[earlier]}, so it is learned "
                    "in a training of its own"
                )
        parts += [[]] if number == len(parts) else []
        parts[number].append(place)
    return parts


def _record_of(row: bytes) -> str | None:
    """What the record of a row is called; None where the service says what is wrong with that."""
    try:
        return str(msgspec.json.decode(row, type=_Named).id)
    except msgspec.ValidationError:
        return None


def _train_part(
    client: Client, batch: Batch, part: Sequence[int], model: str, faults: _Wrong, **flags: bool
) -> Trained | None:
    """One training of some rows; none when none is sound."""
    texts, sound = batch.texts or batch.rows, list(part)
    while sound:
        # By their ids: faults that are found in training are told by these.
        named = {_record_of(batch.rows[place]) or f"line {batch.lines[place]}, without an id": place for place in sound}
        body = b"{%b}" % b",".join(
            msgspec.json.encode(name) + b":" + batch.rows[place] for name, place in named.items()
        )
        try:
            return client.train(body, model=model, **flags)
        except InvalidRecords as error:
            told = error.members.get("errors", {})
            if not told or not told.keys() <= named.keys():
                raise
            for key, fault in told.items():
                place = named[key]
                faults.add(WrongRow(batch.lines[place], fault["detail"], texts[place], fault["field"]))
            sound = [place for name, place in named.items() if name not in told]
    return None
