"""What reading a file gives: batches of rows, the rows that are wrong, and places between two rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, NamedTuple

import msgspec

from sb_api.errors import MalformedBody, did_you_mean, nearest
from sb_api.records import RECORD_TYPES
from sb_api.text.pg_copy import PRIVATE_COLUMNS

LONGEST_ROW = 2**20  # bytes
TOO_LONG = f"is longer than {LONGEST_ROW} bytes"
_LABELS = frozenset({"verdict", "intent", "sentiment"})
# What they are called elsewhere.
_OTHER_LABELS = frozenset({"category", "class", "is_spam", "isspam", "label", "spam", "spammer", "target"})
_REMEDY_FOR_ID = "Add one, with another number or name in each row."
AROUND = ' "\t\r\n\v\f\xa0\ufeff'  # what may stand around the name of a column
SHOWN = 200  # bytes of a row that is longer
BATCH_BYTES = 4 * 2**20  # a batch is full with so many, whatever the number of its rows


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields that a command reads. Of others, those that are not among `ignored` are reported, with the known one
    that is most like it; with `strict` false there may be any. `remedy` is what to do where required ones are
    missing."""

    known: frozenset[str]
    required: tuple[str, ...]
    ignored: frozenset[str] = frozenset()
    strict: bool = True
    remedy: str = ""

    def resolve(self, names: Iterable[str]) -> tuple[str, ...]:
        """What columns of these names are: fields whatever their case, without blanks, quotation marks and a byte order
        mark around them. A column that is called exactly as a field keeps others from being it."""
        plain = [name.strip(AROUND) for name in names]
        folded = {field.casefold(): field for field in sorted(self.known | self.ignored)}
        meant = [folded.get(name.casefold(), name) for name in plain]
        return tuple(
            name if name in self.known or other in plain else other for name, other in zip(plain, meant, strict=True)
        )

    def describe_missing(self, columns: Sequence[str]) -> str:
        """What is wrong with a file of these columns, and what to do; "" where none is missing."""
        missing = [name for name in self.required if name not in columns]
        if not missing:
            return ""
        names = " and no column ".join(f"`{name}`" for name in missing)
        meant = [
            f"Did you mean `{name}` by `{other[:40]}`?" for name in missing if (other := self.meant_by(name, columns))
        ]
        remedy = self.remedy or " ".join(meant) or (_REMEDY_FOR_ID if missing == ["id"] else "")
        return f"no column {names}; it has {', '.join(columns)[:200] or 'none'}. {remedy}".strip()

    def meant_by(self, missing: str, names: Iterable[str]) -> str | None:
        """The one of some names, those of no fields, by which a required field seems to be meant; None if none is."""
        free = [name for name in names if name not in self.known]
        other_label = next((name for name in free if name.casefold() in _OTHER_LABELS), None)
        return nearest(missing, free) or (other_label if missing in _LABELS else None)

    def describe_unknown(self, names: Sequence[str]) -> list[str]:
        """A sentence for each name that is no known field."""
        if not self.strict:
            return []
        label = next((name for name in self.required if name in _LABELS and name not in names), None)
        return [
            f"`{name[:40]}` is no field of a record and is not used"
            + (
                f": did you mean `{label}`?"
                if label and name.casefold() in _OTHER_LABELS
                else did_you_mean(name, self.known)
            )
            for name in names
            if name and name not in self.known and name not in self.ignored
        ]


# What a service is sent; other columns, such as `password`, never are.
RECORD_FIELDS = Fields(
    frozenset(name for each in RECORD_TYPES.values() for name in each.verdict.__struct_encode_fields__),
    ("id",),
    frozenset(PRIVATE_COLUMNS),
)


def labelled_fields(record: type[Any]) -> Fields:
    """The fields of labelled records, of a type such as `Verdict`, of which those that it requires must be there."""
    required = tuple(field.encode_name for field in msgspec.structs.fields(record) if field.required)
    return replace(RECORD_FIELDS, required=required)


class Position(NamedTuple):
    """A place between two rows: how many lines (records, of a JSON document) lie before it, and bytes of the text in
    UTF-8."""

    line: int = 0
    offset: int = 0


START = Position()


@dataclass(frozen=True, slots=True)
class WrongRow:
    """A row that is not judged or learned: its line, what is wrong, its text as it was read, the field at fault, and
    how many lines it has."""

    line: int
    detail: str
    text: bytes
    field: str = ""
    lines: int = 1

    def as_document(self) -> dict[str, Any]:
        """A line of the file that such rows are kept in."""
        text = self.text.decode("utf-8", "replace")
        return {"line": self.line, "field": self.field, "detail": self.detail, "row": text}


@dataclass(slots=True)
class Batch:
    """n rows, each the JSON of one record, with their lines and texts; rows that cannot be sent; lines that are blank;
    what is to be said of the file; and where the batch ends."""

    rows: list[bytes] = field(default_factory=list)
    lines: Sequence[int] = ()
    wrong: list[WrongRow] = field(default_factory=list)
    end: Position = field(default_factory=Position)
    texts: list[bytes] = field(default_factory=list)  # as they were read; empty: the rows themselves
    blank: Sequence[int] = ()
    notes: list[str] = field(default_factory=list)


class Row(NamedTuple):  # a million a file: one made of a dataclass takes four times as long
    """A record on its way to JSON, what it was read from, its line, where it ends, and what is wrong with it. A blank
    line is a row without text and without fields."""

    fields: Any
    text: bytes
    line: int
    end: Position
    fault: str = ""


def collect(rows: Iterator[Row], size: int) -> Iterator[Batch]:
    """The rows in batches of at most `size`. Raises MalformedBody after what was read before."""
    encode = msgspec.json.Encoder().encode
    broken: list[MalformedBody] = []

    def until_broken() -> Iterator[Row]:
        try:
            yield from rows
        except MalformedBody as error:
            broken.append(error)

    rest = until_broken()
    while True:
        batch, numbers, blank, volume = Batch(), [], [], 0
        for fields, text, line, end, fault in islice(rest, size):
            batch.end = end
            if fields is None and not fault:
                blank.append(line)
                continue
            if not fault:
                try:
                    content = encode(fields)
                except UnicodeEncodeError:
                    fault = "is not text in the encoding of the file"
                except RecursionError:
                    fault = "is nested too deeply"
                else:
                    batch.rows.append(content)
                    batch.texts.append(text or content)
                    numbers.append(line)
                    volume += len(content)
                    if volume > BATCH_BYTES:
                        break
                    continue
            batch.wrong.append(WrongRow(line, fault, text, lines=max(1, end.line - line + 1)))
        if not batch.end.line:
            if broken:
                raise broken[0]
            return
        batch.lines, batch.blank = numbers, blank
        yield batch


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines without their ends, from `before` to `after`. `cut`: the one line is but the start of one that is
    too long."""

    lines: list[bytes]
    before: Position
    after: Position
    cut: bool = False


def split_lines(blocks: Iterator[bytes], start: Position) -> Iterator[Lines]:
    """The lines of each block at once: a loop over single lines would cost as much as all the rest."""
    tail, position = b"", start
    long, dropped = b"", 0  # the start of a line that is too long, and how much of it has gone by
    for block in chain(blocks, [b""]):
        *whole, tail = (tail + block).split(b"\n")
        if not block and (tail or long):
            whole, tail = [tail], b""  # a last line without its end
        if long and whole:
            after = Position(position.line + 1, position.offset + dropped + len(whole[0]) + 1)
            yield Lines([long], position, after, cut=True)
            whole, position, long = whole[1:], after, b""
        if whole:
            size = sum(map(len, whole)) + len(whole)
            after = Position(position.line + len(whole), position.offset + size)
            yield Lines(whole, position, after)
            position = after
        if len(tail) > LONGEST_ROW or long:
            if not long:
                long, dropped = tail[:SHOWN], 0
            dropped += len(tail)
            tail = b""


def skip(blocks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The blocks without their first `count` bytes."""
    for block in blocks:
        if count < len(block):
            yield block[count:] if count else block
        count = max(0, count - len(block))


def count_fault(values: Sequence[Any], columns: Sequence[str]) -> str:
    """What is wrong with the number of values in a row; nothing when it is that of the columns."""
    if len(values) == len(columns):
        return ""
    if len(values) < len(columns):
        return f"has {len(values)} of {len(columns)} columns"
    return f"has {len(values)} columns, not {len(columns)}"
