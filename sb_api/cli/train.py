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
from sb_api.errors import InvalidParameter, InvalidRecords, TrainingRefused
from sb_api.readers.labelled import with_whole_verdicts
from sb_api.readers.rows import Batch, WrongRow, labelled_fields
from sb_api.records import find_record_type

COUNTED = ("learned", "along", "known", "superseded", "kept")  # what is added up over the trainings of a file


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


class _Tally:
    """What became of the trainings of a file."""

    def __init__(self, faults: _Wrong) -> None:
        self.faults = faults
        self.last_refusal: TrainingRefused | None = None
        self._trainings, self._refused, self._unheeded = 0, 0, 0
        self._totals = dict.fromkeys((*COUNTED, "lost"), 0)

    def add(self, sent: int, came: Trained | TrainingRefused) -> None:
        """Count what came of a training of so many verdicts, and say it."""
        self._trainings += 1
        if isinstance(came, TrainingRefused):
            self._refused += 1
            self.last_refusal = came
            numbers = _count_refused(sent, came.members)
            tell(came.problem(), f"{_count(numbers)}; the guard refused it, so the weights are as before.")
        else:
            self._unheeded += sum(outcome.still != "" for outcome in came.records.values())
            numbers = {"lost": 0, **{name: getattr(came, name) for name in COUNTED}}
            tell(came, f"{_count(numbers)}; current is {came.weights.version}, was {came.weights.previous}.")
        self._totals = {name: total + numbers[name] for name, total in self._totals.items()}

    def explain(self, last: TrainingRefused) -> TrainingRefused:
        """The error that the file ends in: the last refusal, which says of its own training alone what it changed."""
        told = f"The guard refused {self._refused} of {self._trainings} trainings. Of the last: {last.detail}"
        return last if self._trainings == 1 else TrainingRefused(told, **last.members)

    def tell(self, whole: bool) -> None:
        """Say what became of all. Where that is not of the `whole` file, an error comes next, which says why."""
        if wants_json():
            about = {"trainings": self._trainings, **self._totals, "refused": self._refused, "wrong": self.faults.count}
            show({"success": whole and not self._refused, **about, "whole": whole})
            return
        if self._trainings != 1 or not whole:
            refused = f", of which {self._refused} {'was' if self._refused == 1 else 'were'} refused"
            trainings = f"{count(self._trainings, 'training')}{refused if self._refused else ''}"
            click.echo(f"In all {_count(self._totals)}, in {trainings}.")
        if not whole:
            click.echo("The rest of the file was not sent, or it is not known what became of it.", err=True)
        if self._unheeded:
            verbs = f"{'is' if self._unheeded == 1 else 'are'} learned, but the weights still say"
            text = f"{count(self._unheeded, 'verdict')} {verbs} otherwise: one training moves them a part of the way."
            click.echo(text, err=True)
        if self._totals["kept"]:
            click.echo("What is kept is learned later: `sb-api verdicts list --kept` says why.", err=True)
        if self.faults.count:
            verbs = "is wrong and was" if self.faults.count == 1 else "are wrong and were"
            show_line(f"{count(self.faults.count, 'row')} {verbs} not learned; see {self.faults.path}.", err=True)


def _count_refused(sent: int, told: Mapping[str, Any]) -> dict[str, int]:
    """What became of so many verdicts of a training that was refused, by the members of its problem. They are kept,
    but for those that name new classes, or without a verdict log."""
    outcomes, kept = told.get("records", {}).values(), told.get("kept", 0)
    known = sum(outcome["state"] == "known" for outcome in outcomes)
    superseded = sum(outcome.get("superseded", 0) for outcome in outcomes)
    return {
        "learned": 0,
        "along": 0,
        "known": known,
        "superseded": superseded,
        "kept": kept,
        "lost": sent - known - kept,
    }


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

    Verdicts on one record are learned one after the other, each in a training of its own. Where the guard refuses a
    training, the others are sent all the same, and the exit code is 6.

    None is ever sent twice blindly. To send a file again does no harm while the verdict log is on: what is known is not
    learned again. Rows that are wrong go to a file of their own, each with what is wrong with it.
    """
    path = wrong or Path("wrong.jsonl" if str(file) == "-" else f"{file}.wrong")
    if path.resolve() == file.resolve():
        raise InvalidParameter(f"{path} is the file to learn from; choose another one for the wrong rows.")
    with ExitStack() as stack:
        client = stack.enter_context(client_of(options))
        fields = labelled_fields(find_record_type(model).verdict)
        records = open_record_file(open_input(stack, file), file, asked_of(options), fields)
        tally = _Tally(_Wrong(stack, path))
        whole = False
        try:
            for batch in with_whole_verdicts(with_notes(records.batches(rows))):
                for row in batch.wrong:
                    tally.faults.add(row)
                for sent, came in _train_batch(
                    client, batch, model, tally.faults, force=force, new_classes=new_classes
                ):
                    tally.add(sent, came)
            whole = True
        finally:
            tally.tell(whole)
    if tally.last_refusal is not None:
        raise tally.explain(tally.last_refusal)
    if tally.faults.count:
        sys.exit(exit_codes.SOME_WRONG)


def _count(numbers: Mapping[str, int]) -> str:
    """What became of verdicts, in words."""
    told = f"{numbers['learned']} learned, {numbers['known']} known before"
    if numbers["superseded"]:
        told += f", {numbers['superseded']} earlier ones replaced"
    if numbers["along"]:
        told += f", {numbers['along']} kept before and learned now"
    told = f"{told}, {numbers['kept']} kept" if numbers["kept"] else told
    return f"{told}, {numbers['lost']} refused and not kept" if numbers["lost"] else told


def _train_batch(
    client: Client, batch: Batch, model: str, faults: _Wrong, **flags: bool
) -> Iterator[tuple[int, Trained | TrainingRefused]]:
    """Trainings of the rows that are sound: one, and another for those on a record of which an earlier row is. How many
    rows each has, and what came of it."""
    rows, lines, texts = batch.rows, batch.lines, batch.texts or batch.rows
    sound = []
    for place, row in enumerate(rows):
        try:
            row.decode()
            msgspec.json.decode(row, type=msgspec.Raw)
            sound.append(place)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
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
) -> tuple[int, Trained | TrainingRefused] | None:
    """One training of some rows, how many they were, and what came of it; none when none is sound."""
    texts, sound = batch.texts or batch.rows, list(part)
    while sound:
        # By their ids: faults that are found in training are told by these.
        named = {_record_of(batch.rows[place]) or f"line {batch.lines[place]}, without an id": place for place in sound}
        body = b"{%b}" % b",".join(
            msgspec.json.encode(name) + b":" + batch.rows[place] for name, place in named.items()
        )
        try:
            return len(sound), client.train(body, model=model, **flags)
        except TrainingRefused as error:
            return len(sound), error
        except InvalidRecords as error:
            told = error.members.get("errors", {})
            if not told or not told.keys() <= named.keys():
                raise
            for key, fault in told.items():
                place = named[key]
                faults.add(WrongRow(batch.lines[place], fault["detail"], texts[place], fault["field"]))
            sound = [place for name, place in named.items() if name not in told]
    return None
