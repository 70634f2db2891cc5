"""Rows with a separator between their fields: CSV in its kinds, and PostgreSQL `COPY` text.

CSV is read strictly (RFC 4180), so that a quotation mark that is not closed is found: the row is wrong, and reading
goes on with the next line. A sound file is read as it is meant, line feeds in quoted fields and all. In files with
tabs, quotation marks are text unless the file is seen to quote with them.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from sb_api.errors import MalformedBody
from sb_api.readers.rows import (
    AROUND,
    LONGEST_ROW,
    START,
    TOO_LONG,
    Fields,
    Lines,
    Position,
    Row,
    count_fault,
    skip,
    split_lines,
)
from sb_api.text.pg_copy import (
    COPY_HEADER,
    EDITOR_COLUMNS,
    END,
    INTEGER_COLUMNS,
    PRIVATE_COLUMNS,
    is_shortened,
    read_number,
    read_text,
)

SEPARATORS = (",", ";", "\t", "|")
UNCLOSED = "opens a quotation mark that is not closed; reading goes on with the next line"
NULL = r"\N"  # as PostgreSQL and MySQL write it, with and without a first line that names the columns
NAMES = "holds the names of the columns, as a first line does"
# What else stands for nothing in files. Where it stands in one of so many rows, nobody wrote it of himself.
NOTHINGS = ("NULL", "null", "NaN", "nan", "None", "N/A", "#N/A", "<NA>")
ROWS_OF_A_NOTHING, LEAST_NOTHINGS = 20, 3
_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])\r?\n", re.IGNORECASE)
_HAS_NULL = re.compile(rb"(?:^|\t)\\N(?=\t|\r?$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Table:
    """How the rows of a file are divided: the separator, whether quotation marks quote, the columns, and where the
    first row begins."""

    separator: str
    quoted: bool
    columns: tuple[str, ...]
    begin: Position = START

    def describe_nothings(self, sample: bytes) -> list[str]:
        """A sentence for each text that seems to stand for nothing in the rows that `sample` holds."""
        rows = sample.decode("utf-8", "replace").splitlines()[self.begin.line :]
        counts = Counter(value.strip() for row in rows for value in row.split(self.separator))
        return [
            f"`{text}` stands in {counts[text]:,} fields of the first {len(rows):,} rows and is read as this text; "
            "where nothing is meant, have it written as an empty field"
            for text in NOTHINGS
            if counts[text] >= max(LEAST_NOTHINGS, len(rows) / ROWS_OF_A_NOTHING)
        ]

    def is_copy(self, sample: bytes) -> bool:
        """Whether it is `COPY` text with a header: a null is written as there, and nothing is quoted."""
        return self.separator == "\t" and not self.quoted and _HAS_NULL.search(sample) is not None


def names_columns(line: str, fields: Fields) -> bool:
    """Whether a line names the columns that must be there."""
    return any(set(fields.required) <= set(fields.resolve(line.split(separator))) for separator in SEPARATORS)


def lacks_columns(line: str, fields: Fields) -> bool:
    """Whether a line seems to name columns, at least half of them fields, though not all that must be there."""
    if names_columns(line, fields):
        return False
    found = (fields.resolve(line.split(separator)) for separator in SEPARATORS)
    return any(2 * len(fields.known.intersection(names)) >= len(names) for names in found)


def find_table(sample: bytes, fields: Fields, columns: Sequence[str], name: str) -> Table:
    """The table that begins with `sample`; its columns are in the first line that is not blank, unless they are given.

    Raises MalformedBody when the required columns are not among them, or one is there twice, or when the table is laid
    out for people to read.
    """
    lines = io.StringIO(sample.decode("utf-8", "surrogateescape"), newline="\n").readlines()
    blank = next((place for place, line in enumerate(lines) if line.strip()), len(lines))
    first = lines[blank] if blank < len(lines) else ""
    if told := _SEPARATOR_LINE.fullmatch(first):  # by Excel, for itself
        blank += 1
        first = lines[blank] if blank < len(lines) else ""
    separator = told[1] if told else max(SEPARATORS, key=lambda each: _fitness(_split(first, each), fields, columns))
    quoted = separator != "\t" or _quotes_are_used(lines, separator)
    if columns:
        return Table(separator, quoted, fields.resolve(columns))
    if any(_is_rule(line) for line in lines[blank : blank + 2]):
        raise MalformedBody(
            f"{name} is a table as psql and mysql show it to people, with blanks that are not in the data; have it "
            "written as CSV, with `psql --csv` or `COPY`."
        )
    found = fields.resolve(_split(first, separator, quoted))
    if missing := fields.describe_missing(found):
        nameless = not fields.remedy and fields.known.isdisjoint(found)
        hint = " If the file has no line with the names of its columns, give them with --columns." if nameless else ""
        raise MalformedBody(f"The first line of {name} names {missing}{hint}")
    if twice := [column for column in found if column in fields.known and found.count(column) > 1]:
        raise MalformedBody(f"The first line of {name} names the column `{twice[0]}` twice.")
    size = sum(len(line.encode("utf-8", "surrogateescape")) for line in lines[: blank + 1])
    return Table(separator, quoted, found, Position(blank + 1, size))


def _is_rule(line: str) -> bool:
    """Whether a line is drawn between the names of columns and what is below them, such as `----+-----`."""
    return "--" in line and not line.strip("-+| \r\n")


def _split(line: str, separator: str, quoted: bool = True) -> list[str]:
    line = line.rstrip("\r\n")
    return next(csv.reader([line], delimiter=separator), []) if quoted else line.split(separator)


def _fitness(found: Sequence[str], fields: Fields, columns: Sequence[str]) -> tuple[int, int]:
    """How well a separator divides the first line: by the columns that must be there, then by how many there are."""
    if columns:
        return int(len(found) == len(columns)), len(found)
    return sum(column in fields.resolve(found) for column in fields.required), len(found)


def _quotes_are_used(lines: Sequence[str], separator: str) -> bool:
    """Whether some field is quoted, all lines can be read so, and no quoted field holds both a line feed and a
    separator, as one does that was opened by a mark that is text."""
    quoted = any(
        len(field) > 1 and field[0] == field[-1] == '"'
        for line in lines
        for field in line.rstrip("\r\n").split(separator)
    )
    reader = csv.reader(lines, delimiter=separator, strict=True)
    begun = 0
    try:
        for row in reader:
            over_lines = [value for value in row if "\n" in value]
            if any(separator in value for value in over_lines):
                return False
            quoted = quoted or bool(over_lines)
            begun = reader.line_num
    except csv.Error:
        # A sample may end within a field, in whose lines there is no separator either.
        open_lines = lines[begun + 1 :]
        return quoted and reader.line_num == len(lines) and not any(separator in line for line in open_lines)
    return quoted


def _from(lines: Sequence[str], place: int) -> Iterator[str]:
    """The lines from one on, without a copy of them."""
    for number in range(place, len(lines)):
        yield lines[number]


class _Parsed(NamedTuple):
    """A row from the line `first` of a block to before `end`: its values, or what is wrong."""

    first: int
    end: int
    values: Sequence[str]
    fault: str = ""


def read_table(blocks: Iterator[bytes], table: Table, fields: Fields, start: Position) -> Iterator[Row]:
    """The rows of a table from `start` on."""
    wanted = [
        (place, name, name in INTEGER_COLUMNS) for place, name in enumerate(table.columns) if name in fields.known
    ]
    found = split_lines(skip(blocks, start.offset), start)
    carried: list[bytes] = []
    position = start
    for some in chain(found, [Lines([], start, start)]):
        last = not some.lines
        if some.cut:  # what is open before it cannot be closed by it
            groups = [(carried, True)]
            lines: list[bytes] = []
        else:
            groups, lines = [(carried + some.lines, last)], []
        for group, ends in groups:
            done = 0
            for first, end, values, fault in _parse(group, table, ends):
                text = group[first] if end - first == 1 else b"\n".join(group[first:end])
                line, done = position.line + 1, end
                position = Position(position.line + end - first, position.offset + len(text) + 1)
                text = text.rstrip(b"\r")
                if fault:
                    yield Row(None, text, line, position, fault)
                elif not values:
                    yield Row(None, b"", line, position)
                else:
                    record: dict[str, Any] = {}
                    for place, name, whole in wanted:
                        if (value := values[place]) and value != NULL:
                            record[name] = read_number(name, value) if whole else value
                    # An id that is a number, as nearly all are, is neither shortened nor a name.
                    fault = _describe_record(record, len(wanted)) if type(record.get("id", "")) is str else ""
                    yield Row(record, text, line, position, fault)
            lines = group[done:]
        carried = lines
        if some.cut:
            position = some.after
            yield Row(None, some.lines[0], some.before.line + 1, position, TOO_LONG)


def _describe_record(record: dict[str, Any], columns: int) -> str:
    """What is wrong with a row of so many columns that are read, though it is divided as it should be."""
    identity = record.get("id", "")
    if is_shortened(identity):
        return f"has the id {identity!r}, of which a spreadsheet has left out digits; have it write ids as text"
    # Of files that were put together, each with a first line of its own; or of one whose columns were named besides.
    repeated = len(record) == columns and all(
        str(value).strip(AROUND).casefold() == name.casefold() for name, value in record.items()
    )
    return NAMES if repeated else ""


def _parse(lines: list[bytes], table: Table, last: bool) -> Iterator[_Parsed]:
    """The rows of some whole lines; unless they are the last, without a row at their end that may go on."""
    content = b"\n".join(lines)
    if not table.quoted or b'"' not in content:
        for place, text in enumerate(content.decode("utf-8", "surrogateescape").split("\n") if lines else ()):
            yield _plain(text, place, table)
        return
    texts = io.StringIO(content.decode("utf-8", "surrogateescape") + "\n", newline="\n").readlines()
    columns = len(table.columns)
    end = begun = 0
    reader = csv.reader(texts, delimiter=table.separator, strict=True)
    while True:
        first, fault = end, ""
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            end = begun + reader.line_num
            if not last and end == len(texts) and sum(map(len, lines[first:])) <= LONGEST_ROW:
                return  # it may go on in the next block
            values, fault = [], _describe(error, end - first)
        else:
            end = begun + reader.line_num
        if not fault and len(values) > columns and not any(values[columns:]):
            values = values[:columns]  # a separator at the end of each line, as spreadsheets write
        if end - first > 1 and (fault or len(values) != columns or sum(map(len, lines[first:end])) > LONGEST_ROW):
            fault = UNCLOSED
        if fault:
            # The next line is read as if this one were not there.
            end = begun = first + 1
            reader = csv.reader(_from(texts, end), delimiter=table.separator, strict=True)
            literal = _literal(texts[first], table)
            if literal is not None:
                values, fault = literal, ""
        elif values:
            fault = count_fault(values, table.columns)
        yield _Parsed(first, end, values, fault)


def _plain(text: str, place: int, table: Table) -> _Parsed:
    """A line in which nothing is quoted."""
    text = text.rstrip("\r")
    if not text:
        return _Parsed(place, place + 1, ())
    values = text.split(table.separator)
    columns = len(table.columns)
    if len(values) > columns and not any(values[columns:]):
        values = values[:columns]
    return _Parsed(place, place + 1, values, count_fault(values, table.columns))


def _literal(text: str, table: Table) -> list[str] | None:
    """A line whose quotation marks are text: as many fields as columns, each with its marks in pairs, such as
    `1,"Al" is my name`. None when it is no such line."""
    values = text.rstrip("\r\n").split(table.separator)
    sound = len(values) == len(table.columns) and len(text) <= csv.field_size_limit()
    return values if sound and not any(value.count('"') % 2 for value in values) else None


def _describe(error: csv.Error, lines: int) -> str:
    said = str(error)
    if lines > 1 or "end of data" in said:
        return UNCLOSED
    if "field larger" in said:
        return f"has a field of more than {csv.field_size_limit():,} characters"
    return f"is not CSV: {said}"


def find_copy(sample: bytes, columns: Sequence[str], fields: Fields) -> Table:
    """The `COPY` text that begins with `sample`: its columns are given, in a first line that names them, in a line
    `COPY table (columns) FROM stdin;`, or those of MusicBrainz's table `editor`."""
    first, feed, _ = sample.partition(b"\n")
    names = fields.resolve(first.decode("utf-8", "replace").split("\t"))
    if feed and not columns and not fields.describe_missing(names):
        return Table("\t", False, names, Position(1, len(first) + 1))
    position = Position()
    for line in sample.split(b"\n"):
        position = Position(position.line + 1, position.offset + len(line) + 1)
        if line.startswith((b"COPY ", b"copy ")) and (
            header := COPY_HEADER.fullmatch(line.decode("utf-8", "replace").strip())
        ):
            return Table("\t", False, fields.resolve(columns or header[1].split(",")), position)
    return Table("\t", False, fields.resolve(columns) or EDITOR_COLUMNS + PRIVATE_COLUMNS)


def read_copy(blocks: Iterator[bytes], table: Table, fields: Fields, start: Position) -> Iterator[Row]:
    r"""The rows of `COPY` text from `start` on, to its end or `\.`."""
    wanted = [
        (place, name, name in INTEGER_COLUMNS) for place, name in enumerate(table.columns) if name in fields.known
    ]
    for some in split_lines(skip(blocks, start.offset), start):
        if some.cut:
            yield Row(None, some.lines[0], some.before.line + 1, some.after, TOO_LONG)
            continue
        position = some.before
        for line in some.lines:
            position = Position(position.line + 1, position.offset + len(line) + 1)
            text = line.removesuffix(b"\r")
            if text == END:
                return
            if not text:
                yield Row(None, b"", position.line, position)
                continue
            found = text.split(b"\t")
            fault = count_fault(found, table.columns)
            values: dict[str, Any] = {}
            if not fault:
                for place, name, whole in wanted:
                    value = read_text(found[place], "surrogateescape")
                    if value is not None:
                        values[name] = read_number(name, value) if whole else value
                if type(values.get("id", "")) is str:
                    fault = _describe_record(values, len(wanted))
            yield Row(values, text, position.line, position, fault)
