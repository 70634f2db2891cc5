"""Files of records, read in batches of rows that are ready to be sent, in bounded memory: JSON Lines, JSON, CSV and
PostgreSQL `COPY` text. They come as blocks of bytes, which `sb_api.client.compression` reads and unpacks.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Literal, get_args

import ijson
import msgspec

from sb_api.errors import InvalidParameter, MalformedBody
from sb_api.text.pg_copy import EDITOR_COLUMNS, END, PRIVATE_COLUMNS, read_number, read_text

Format = Literal["jsonl", "json", "csv", "copy"]
FORMATS: tuple[Format, ...] = get_args(Format)

LONGEST_ROW = 2**20  # bytes
TOO_LONG = f"is longer than {LONGEST_ROW} bytes"
SHOWN = 200  # bytes of a row that is longer
BATCH_BYTES = 4 * 2**20  # a batch is full with so many, whatever the number of its rows

# What a service is told; other columns, such as `password`, are never sent.
SENT = frozenset(
    {
        *("id", "name", "email", "website", "bio", "area", "privs", "gender", "birth_date", "member_since"),
        *("email_confirm_date", "last_updated", "last_login_date", "verdict", "reporter", "text", "intent"),
    }
)


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two rows: how many lines (records, of a JSON document) lie before it, and unpacked bytes."""

    line: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class WrongRow:
    """A row that is not judged or learned: its line, what is wrong, its text as it was read, and the field at fault."""

    line: int
    detail: str
    text: bytes
    field: str = ""

    def told(self) -> dict[str, Any]:
        """A line of the file that such rows are kept in."""
        text = self.text.decode("utf-8", "replace")
        return {"line": self.line, "field": self.field, "detail": self.detail, "row": text}


@dataclass(slots=True)
class Batch:
    """n rows, each the JSON of one record, with their lines and texts; rows that cannot be sent; and where it ends."""

    rows: list[bytes] = field(default_factory=list)
    lines: Sequence[int] = ()
    wrong: list[WrongRow] = field(default_factory=list)
    end: Position = field(default_factory=Position)
    texts: list[bytes] = field(default_factory=list)  # as they were read; empty: the rows themselves


def guess_format(name: str, start: bytes) -> Format:
    """The format, by the name of the file where that says it, else by how its unpacked text begins."""
    stem = re.sub(r"\.(gz|zst)\Z", "", name.lower())
    if stem.endswith((".jsonl", ".ndjson")):
        return "jsonl"
    if stem.endswith(".csv"):
        return "csv"
    if stem.endswith((".copy", ".tsv")):
        return "copy"
    text = start.lstrip()
    if text.startswith(b"{"):
        try:
            alone = msgspec.json.decode(text.partition(b"\n")[0])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return "json"
        return "jsonl" if "id" in alone else "json"
    if text.startswith(b"["):
        return "json"
    return "copy" if b"\t" in text.partition(b"\n")[0] else "csv"


def choose_format(kind: Format | None, name: str, start: bytes, columns: Sequence[str]) -> Format:
    """The format that is asked for, else the one that is guessed. Raises InvalidParameter when it has no columns but
    some are named."""
    chosen = kind or guess_format(name, start)
    if columns and chosen not in ("csv", "copy"):
        raise InvalidParameter(
            f"Columns are named, but {name} is read as {chosen}, which has none; see --format and --columns."
        )
    return chosen


def read_batches(
    blocks: Iterator[bytes],
    kind: Format,
    *,
    size: int,
    columns: Sequence[str] = (),
    start: Position | None = None,
) -> Iterator[Batch]:
    """The rows from `start` on, in batches of at most `size`.

    `columns` are those of CSV or COPY text; without them, a CSV file's are in its first line, and those of COPY text
    are MusicBrainz's `editor` table. Raises MalformedBody when the file as a whole cannot be read on.
    """
    start = start or Position()
    if kind == "json":
        return _collect(_json_records(blocks, start.line), size)
    if kind == "csv":
        return _collect(_csv_records(blocks, tuple(columns), start), size)
    lines = _lines(_skip(blocks, start.offset), start)
    if kind == "jsonl":
        return _json_lines(lines, size)
    return _collect(_copy_records(lines, tuple(columns) or EDITOR_COLUMNS + PRIVATE_COLUMNS), size)


def _skip(blocks: Iterator[bytes], count: int) -> Iterator[bytes]:
    for block in blocks:
        if count < len(block):
            yield block[count:]
        count = max(0, count - len(block))


@dataclass(frozen=True, slots=True)
class _Lines:
    """Whole lines without their ends, from `before` to `after`. `cut`: the one line is but the start of one that is
    too long."""

    lines: list[bytes]
    before: Position
    after: Position
    cut: bool = False


def _lines(blocks: Iterator[bytes], start: Position) -> Iterator[_Lines]:
    """The lines of each block at once: a loop over single lines would cost as much as all the rest."""
    tail, position = b"", start
    long, dropped = b"", 0  # the start of a line that is too long, and how much of it has gone by
    for block in chain(blocks, [b""]):
        *whole, tail = (tail + block).split(b"\n")
        if not block and (tail or long):
            whole, tail = [tail], b""  # a last line without its end
        if long and whole:
            after = Position(position.line + 1, position.offset + dropped + len(whole[0]) + 1)
            yield _Lines([long], position, after, cut=True)
            whole, position, long = whole[1:], after, b""
        if whole:
            size = sum(map(len, whole)) + len(whole)
            after = Position(position.line + len(whole), position.offset + size)
            yield _Lines(whole, position, after)
            position = after
        if len(tail) > LONGEST_ROW or long:
            if not long:
                long, dropped = tail[:SHOWN], 0
            dropped += len(tail)
            tail = b""


def _json_lines(found: Iterator[_Lines], size: int) -> Iterator[Batch]:
    for some in found:
        if some.cut:
            yield Batch(wrong=[_too_long(some)], end=some.after)
            continue
        position = some.before
        for first in range(0, len(some.lines), size):
            rows = some.lines[first : first + size]
            position = Position(position.line + len(rows), position.offset + sum(map(len, rows)) + len(rows))
            numbers: Sequence[int] = range(position.line - len(rows) + 1, position.line + 1)
            if not all(map(bytes.strip, rows)):
                kept = [(row, number) for row, number in zip(rows, numbers, strict=True) if row.strip()]
                rows, numbers = [row for row, _ in kept], [number for _, number in kept]
            yield Batch(rows, numbers, end=position)


def _too_long(some: _Lines) -> WrongRow:
    return WrongRow(some.before.line + 1, TOO_LONG, some.lines[0])


@dataclass(frozen=True, slots=True)
class _Record:
    """A record on its way to JSON, what it was read from, its line and where it ends."""

    fields: Any
    text: bytes
    line: int
    end: Position
    fault: str = ""


def _collect(records: Iterator[_Record], size: int) -> Iterator[Batch]:
    encode = msgspec.json.Encoder().encode
    broken: list[MalformedBody] = []

    def sound() -> Iterator[_Record]:
        try:
            yield from records
        except MalformedBody as error:  # what was read before it is handed on first
            broken.append(error)

    rest = sound()
    while True:
        batch, numbers, volume = Batch(), [], 0
        for record in islice(rest, size):
            batch.end = record.end
            fault = record.fault
            if not fault:
                try:
                    row = encode(record.fields)
                except UnicodeEncodeError:
                    fault = "is not text in UTF-8"
                else:
                    batch.rows.append(row)
                    batch.texts.append(record.text or row)
                    numbers.append(record.line)
                    volume += len(row)
            if fault:
                batch.wrong.append(WrongRow(record.line, fault, record.text))
            if volume > BATCH_BYTES:
                break
        if not batch.rows and not batch.wrong:
            if broken:
                raise broken[0]
            return
        batch.lines = numbers
        yield batch


class _Source:
    """Blocks as the file that ijson reads from."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def read(self, count: int = -1) -> bytes:
        if count == 0:
            return b""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._rest = block
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken


def _json_records(blocks: Iterator[bytes], skipped: int) -> Iterator[_Record]:
    first = next(blocks, b"")
    source = _Source(chain([first], blocks))
    items: Iterator[Any]
    if first.lstrip().startswith(b"{"):
        items = (value for _, value in ijson.kvitems(source, "", use_float=True))
    else:
        items = ijson.items(source, "item", use_float=True)
    number = 0
    try:
        for number, item in enumerate(items, start=1):
            if number > skipped:
                yield _Record(item, b"", number, Position(number))
    except (ijson.JSONError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"The JSON document cannot be read after its record {number}: {error}.") from None


def _csv_records(blocks: Iterator[bytes], columns: tuple[str, ...], start: Position) -> Iterator[_Record]:
    texts: list[bytes] = []
    position = Position()
    cut = False

    def pull(found: Iterator[_Lines]) -> Iterator[str]:
        nonlocal position, cut
        for some in found:
            cut = cut or some.cut
            for line in some.lines:
                text = line + b"\n"
                texts.append(text)
                after = Position(position.line + 1, position.offset + len(text))
                position = some.after if some.cut else after
                yield text.decode("utf-8", "surrogateescape")

    if not columns:
        # The names are in the first record, wherever reading goes on.
        first = next(blocks, b"")
        header = next(csv.reader(pull(_lines(iter([first]), Position()))), [])
        columns = tuple(name.strip() for name in header)
        if "id" not in columns:
            raise MalformedBody(f"The first line of the CSV file names no column `id`: {', '.join(columns)[:200]}.")
        consumed = position.offset
        texts.clear()
        begin = start if start.offset else Position(position.line, consumed)
        blocks = _skip(chain([first], blocks), begin.offset)
    else:
        begin = start
        blocks = _skip(blocks, begin.offset)
    position = begin
    reader = csv.reader(pull(_lines(blocks, begin)))
    while True:
        before, fault, values = position, "", []
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"is not CSV: {error}"
        if cut:
            fault, cut = TOO_LONG, False
        text = b"".join(texts)
        texts.clear()
        if values or fault:
            fault = fault or _count_fault(values, columns)
            fields = {} if fault else _fields(zip(columns, (value or None for value in values), strict=True))
            yield _Record(fields, text.rstrip(b"\r\n"), before.line + 1, position, fault)


def _copy_records(found: Iterator[_Lines], columns: tuple[str, ...]) -> Iterator[_Record]:
    wanted = [name in SENT for name in columns]
    for some in found:
        if some.cut:
            wrong = _too_long(some)
            yield _Record({}, wrong.text, wrong.line, some.after, wrong.detail)
            continue
        position = some.before
        for line in some.lines:
            position = Position(position.line + 1, position.offset + len(line) + 1)
            text = line.removesuffix(b"\r")
            if text == END:
                return
            if not text:
                continue
            fields = text.split(b"\t")
            fault = _count_fault(fields, columns)
            values = {}
            if not fault:
                values = _fields(
                    (name, read_text(value, "surrogateescape"))
                    for name, value, sent in zip(columns, fields, wanted, strict=True)
                    if sent
                )
            yield _Record(values, text, position.line, position, fault)


def _count_fault(values: Sequence[Any], columns: Sequence[str]) -> str:
    return "" if len(values) == len(columns) else f"has {len(values)} columns, not {len(columns)}"


def _fields(values: Iterable[tuple[str, str | None]]) -> dict[str, Any]:
    """The fields that are sent, without nulls."""
    found: dict[str, Any] = {}
    for name, value in values:
        if value is not None and name in SENT:
            found[name] = read_number(name, value)
    return found
