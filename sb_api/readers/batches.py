"""Files of records, read in batches of rows that are ready to be sent, in bounded memory: JSON Lines, JSON, CSV in its
kinds and PostgreSQL `COPY` text, packed or not, in any encoding; Parquet and Arrow.

Each command reads through `open_records`. What a file is, is told by its name, by how it begins, or by the options.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO, Literal, get_args

import msgspec

from sb_api.errors import InvalidParameter, MalformedBody
from sb_api.readers.columnar import ColumnarFormat, Columns, open_arrow, open_parquet, read_columns, tell_columnar
from sb_api.readers.compression import SUFFIXES, read_blocks
from sb_api.readers.delimited import Table, find_copy, find_table, lacks_columns, names_columns, read_copy, read_table
from sb_api.readers.encodings import check_encoding, find_encoding, first_example, to_utf8, with_line_feeds
from sb_api.readers.json_rows import read_document, read_json_lines
from sb_api.readers.rows import RECORD_FIELDS, Batch, Fields, Position, collect, skip, split_lines

Format = Literal["jsonl", "json", "csv", "copy", "parquet", "arrow"]
FORMATS: tuple[Format, ...] = get_args(Format)
SAMPLE = 2**20  # bytes by which a file is told
ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Asked:
    """What whoever names a file says of it: the format, the columns of CSV or COPY text, the encoding; each may be left
    out."""

    format: Format | None = None
    columns: tuple[str, ...] = ()
    encoding: str | None = None


NOTHING_ASKED = Asked()


@dataclass
class RecordFile:
    """A file of records, open. `notes` are to be said to whoever reads it; `unpacked` counts the bytes of its text
    that were read so far; `rest` is what is left of it."""

    name: str
    format: Format
    encoding: str
    fields: Fields
    rest: Iterator[bytes]
    table: Table | None = None
    columns: Columns | None = None
    notes: list[str] = field(default_factory=list)
    unpacked: int = 0

    def batches(self, size: int, start: Position | None = None) -> Iterator[Batch]:
        """The rows from `start` on, in batches of at most `size`; they can be read once.

        Raises MalformedBody when the file as a whole cannot be read on.
        """
        start = start or Position()
        if self.columns is not None:
            return collect(read_columns(self.columns, size, start.line), size)
        blocks = self._counted()
        if self.format == "jsonl":
            return read_json_lines(split_lines(skip(blocks, start.offset), start), size, self.fields)
        if self.table is None:
            return self._document(blocks, size, start)
        begin = start if start.offset else self.table.begin
        read = read_copy if self.format == "copy" else read_table
        return collect(read(blocks, self.table, self.fields, begin), size)

    def _document(self, blocks: Iterator[bytes], size: int, start: Position) -> Iterator[Batch]:
        notes: list[str] = []
        for batch in collect(read_document(blocks, self.fields, start.line, notes), size):
            batch.notes = notes.copy()
            notes.clear()
            yield batch

    def _counted(self) -> Iterator[bytes]:
        for block in self.rest:
            self.unpacked += len(block)
            yield block


def open_records(
    stream: BinaryIO,
    name: str,
    asked: Asked = NOTHING_ASKED,
    fields: Fields = RECORD_FIELDS,
) -> RecordFile:
    """A file of records, from a stream of its bytes. Raises as `open_blocks`, and MalformedBody when it is damaged,
    InvalidSettings when what reads it is not installed."""
    begin, blocks = _take(read_blocks(stream), 1)
    columnar = _choose_columnar(asked, name, begin)
    if begin.startswith(ZIP):
        raise MalformedBody(
            f"{name} is a ZIP archive, as workbooks of spreadsheets are too (.xlsx): unpack it, or save it as CSV."
        )
    if columnar is None:
        return open_blocks(blocks, name, asked, fields)
    if asked.columns or asked.encoding:
        raise InvalidParameter(f"{name} is read as {columnar}, which names its columns and has no encoding of its own.")
    found = open_parquet(stream, name, fields) if columnar == "parquet" else open_arrow(blocks, name, fields)
    notes = fields.describe_unknown(found.names)
    return RecordFile(name, columnar, "utf-8", fields, blocks, columns=found, notes=notes)


def open_blocks(blocks: Iterable[bytes], name: str, asked: Asked, fields: Fields) -> RecordFile:
    """A file of records, from its unpacked bytes.

    Raises InvalidParameter for options that do not fit the file, MalformedBody when it lacks required columns.
    """
    notes: list[str] = []
    rest = iter(blocks)
    begin, rest = _take(rest, SAMPLE)
    encoding = _choose_encoding(begin, name, asked, notes)
    rest = to_utf8(rest, encoding)
    sample, rest = _take(rest, SAMPLE)
    if b"\r" in sample and b"\n" not in sample:
        sample, rest = sample.replace(b"\r", b"\n"), with_line_feeds(rest)
    found = _choose_format(asked, name, sample, fields)
    file = RecordFile(name, found, encoding, fields, rest, notes=notes)
    if found in ("csv", "copy"):
        file.table = (
            find_copy(sample, asked.columns, fields) if found == "copy" else _find_table(sample, asked, fields, name)
        )
        if found == "csv" and asked.format is None and file.table.is_copy(sample):
            file.format = "copy"
        if file.format == "csv":
            notes += file.table.describe_nothings(sample)
        notes += fields.describe_unknown(file.table.columns)
    return file


def _find_table(sample: bytes, asked: Asked, fields: Fields, name: str) -> Table:
    # The last line of a sample may be cut.
    whole = sample[: sample.rfind(b"\n") + 1] if len(sample) >= SAMPLE else sample
    return find_table(whole or sample, fields, asked.columns, name)


def _take(blocks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, at least `size` if there are so many, and all blocks again."""
    taken: list[bytes] = []
    while sum(map(len, taken)) < size and (block := next(blocks, None)) is not None:
        taken.append(block)
    return b"".join(taken), chain(taken, blocks)


def _choose_encoding(begin: bytes, name: str, asked: Asked, notes: list[str]) -> str:
    if asked.encoding:
        return check_encoding(asked.encoding)
    found = find_encoding(begin)
    if found is None:
        notes.append(
            f"{name} is not UTF-8, and nothing speaks for another encoding; rows that are not UTF-8 are not used. Name "
            "the encoding with --encoding"
        )
        return "utf-8"
    if found.guessed_by:
        number, example = first_example(begin, found.name)
        notes.append(
            f"{name} is not UTF-8; it is read as {found.name}, a guess: {found.guessed_by}. Line {number} is then "
            f"{example!r}. If that is wrong, name the encoding with --encoding"
        )
    return found.name


def _choose_columnar(asked: Asked, name: str, begin: bytes) -> ColumnarFormat | None:
    """The format with columns that is asked for, else the one that the file's first bytes or its name tell."""
    if asked.format is not None:
        return asked.format if asked.format == "parquet" or asked.format == "arrow" else None
    return tell_columnar(begin) or ("parquet" if name.lower().endswith(".parquet") else None)


def _choose_format(asked: Asked, name: str, sample: bytes, fields: Fields) -> Format:
    """The format that is asked for, else the one that is guessed. Raises InvalidParameter when it has no columns but
    some are named."""
    chosen = asked.format or guess_format(name, sample, fields)
    if asked.columns and chosen not in ("csv", "copy"):
        raise InvalidParameter(
            f"Columns are named, but {name} is read as {chosen}, which has none; see --format and --columns."
        )
    return chosen


def guess_format(name: str, start: bytes, fields: Fields = RECORD_FIELDS) -> Format:
    """The format, by the name of the file where that says it, else by how its text begins."""
    stem = name.lower()
    for suffix in SUFFIXES:
        stem = stem.removesuffix(suffix)
    if stem.endswith((".jsonl", ".ndjson")):
        return "jsonl"
    if stem.endswith(".csv"):
        return "csv"
    if stem.endswith(".copy"):
        return "copy"
    text = start.lstrip()
    line = text.partition(b"\n")[0]
    if text.startswith(b"[") and not stem.endswith(".tsv"):
        return "json"
    if text.startswith(b"{") and not stem.endswith(".tsv"):
        try:
            alone: Mapping[str, Any] = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return "json"
        return "json" if all(isinstance(value, Mapping) for value in alone.values()) else "jsonl"
    named = line.decode("utf-8", "replace")
    if names_columns(named, fields) or lacks_columns(named, fields):
        return "csv"
    return "copy" if b"\t" in line or stem.endswith(".tsv") or line.startswith(b"COPY ") else "csv"
