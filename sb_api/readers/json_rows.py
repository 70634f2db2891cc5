"""Records in JSON: one a line, or a document of many."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import ijson
import msgspec

from sb_api.errors import MalformedBody
from sb_api.readers.rows import LONGEST_ROW, TOO_LONG, Batch, Fields, Lines, Position, Row, WrongRow

FIRST_ROWS = 10_000
MOST_OPEN = 1_000  # brackets of one record that are not closed yet
# Bytes that ijson is given at once. It remembers the whole path of each bracket that is open, which grows with the
# square of their number: how many are open has to be known before it sees many more.
BITE = 2**12
MOST_NAMES = 64  # of members that are looked up among the fields: rows may invent them without end
_KEY_ENDS = re.compile(rb'"\s*:')
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(slots=True)
class MemberCheck:
    """Whether rows name a member twice, and which members are no fields.

    The first rows are all decoded for it. Where they have the same number of members each, of those that follow only
    the ones with another number of `":` are: to decode all would cost more than the rest of reading.
    """

    fields: Fields
    names: set[str] = field(default_factory=set)
    usual: int = -1  # members of each row so far; -1: none so far, -2: not the same
    first: int = FIRST_ROWS  # rows that are yet to be decoded in any case
    notes: list[str] = field(default_factory=list)

    def faults(self, rows: list[bytes]) -> dict[int, str]:
        """What is wrong with the members of some rows, by their places."""
        if self.first > 0 or self.usual < 0:
            places: Iterable[int] = range(len(rows))
        else:
            counts = [row.count(b'":') for row in rows]
            if counts.count(self.usual) == len(rows):
                return {}
            places = [place for place, count in enumerate(counts) if count != self.usual]
        self.first -= len(rows)
        return {place: fault for place in places if (fault := self._fault(rows[place]))}

    def _fault(self, row: bytes) -> str:
        """What is wrong with the members of a row; nothing where that is for others to say."""
        try:
            members = _decode_members(row)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ""  # not JSON, or no object: whoever decodes all of it says so
        count = len(members)
        if self.usual != count:
            self.usual = count if self.usual == -1 else -2
        if len(self.names) < MOST_NAMES and not members.keys() <= self.names:
            new = [name for name in members if name not in self.names]
            self.names.update(new)
            self.notes += self.fields.describe_unknown(new)
        if len(_KEY_ENDS.findall(row)) == count:
            return ""
        return repeated_member(row)


def repeated_member(row: bytes) -> str:
    """The fault of a JSON object that names a member twice; nothing when it names none twice."""
    try:
        pairs = json.loads(row, object_pairs_hook=_Pairs, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return ""
    seen: set[str] = set()
    for name, _ in pairs if isinstance(pairs, _Pairs) else ():
        if name in seen:
            return f"names `{name[:40]}` twice"
        seen.add(name)
    return ""


class _Pairs(list[tuple[str, Any]]):
    """The members of an object as they stand in it."""


def read_json_lines(found: Iterator[Lines], size: int, fields: Fields) -> Iterator[Batch]:
    """The rows as they are, in batches of at most `size`."""
    check = MemberCheck(fields)
    for some in found:
        if some.cut:
            yield Batch(wrong=[WrongRow(some.before.line + 1, TOO_LONG, some.lines[0])], end=some.after)
            continue
        position = some.before
        for first in range(0, len(some.lines), size):
            rows = some.lines[first : first + size]
            position = Position(position.line + len(rows), position.offset + sum(map(len, rows)) + len(rows))
            batch = Batch(rows, range(position.line - len(rows) + 1, position.line + 1), end=position)
            if not all(map(bytes.strip, rows)):
                _take_out(batch, [not row.strip() for row in rows])
            if faults := check.faults(batch.rows):
                batch.wrong += [WrongRow(batch.lines[at], fault, batch.rows[at]) for at, fault in faults.items()]
                kept = [place for place in range(len(batch.rows)) if place not in faults]
                batch.rows, batch.lines = [batch.rows[at] for at in kept], [batch.lines[at] for at in kept]
            batch.notes, check.notes = check.notes, []
            yield batch


def _take_out(batch: Batch, blank: list[bool]) -> None:
    """Leave blank lines out of the rows of a batch."""
    numbered = list(zip(batch.rows, batch.lines, blank, strict=True))
    batch.rows, batch.lines = (
        [row for row, _, empty in numbered if not empty],
        [n for _, n, empty in numbered if not empty],
    )
    batch.blank = [number for _, number, empty in numbered if empty]


class _Source:
    """Blocks as the file that ijson reads from, and how much was read since a record ended, and how many brackets
    were opened and not closed. Those within texts count too: few texts have a thousand more of the one than the other.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")
        self._since = self._open = 0

    def end_record(self) -> None:
        """Count anew, for the next record."""
        self._since = self._open = 0

    def read(self, count: int = -1) -> bytes:
        if count == 0:
            return b""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._rest = memoryview(block)
        taken, self._rest = bytes(self._rest[:count]), self._rest[count:]
        self._since += len(taken)
        self._open += taken.count(b"[") + taken.count(b"{") - taken.count(b"]") - taken.count(b"}")
        if self._since > 2 * LONGEST_ROW:
            raise MalformedBody(f"A record of the JSON document {TOO_LONG}.")
        if self._open > MOST_OPEN:
            raise MalformedBody(
                f"A record of the JSON document has more than {MOST_OPEN} brackets that are not closed."
            )
        return taken


class _Members(dict[str, Any]):
    """An object that knows which of its members was there twice."""

    repeated = ""

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self and not self.repeated:
            self.repeated = name
        super().__setitem__(name, value)


def read_document(blocks: Iterator[bytes], fields: Fields, skipped: int, notes: list[str]) -> Iterator[Row]:
    """The records of an array, of an object by keys, or the one that the document is, from the one after `skipped` on.

    What is to be said of the file is added to `notes`. Raises MalformedBody when it cannot be read on.
    """
    names: set[str] = set()
    number = 0
    try:
        for number, item in enumerate(_items(blocks, fields), start=1):
            if isinstance(item, Mapping) and len(names) < MOST_NAMES and not item.keys() <= names:
                new = [str(name) for name in item if name not in names]
                names.update(new)
                notes += fields.describe_unknown(new)
            if number > skipped:
                twice = getattr(item, "repeated", "")
                fault = f"names `{twice[:40]}` twice" if twice else ""
                yield Row(item, b"", number, Position(number), fault)
    except MalformedBody as error:
        raise MalformedBody(f"{error.detail[:-1]}, after record {number}.") from None
    except (ijson.JSONError, UnicodeDecodeError, RecursionError) as error:
        said = str(error).partition("\n")[0].rstrip(".")  # what follows is an excerpt of it
        raise MalformedBody(f"The JSON document cannot be read after its record {number}: {said}.") from None


def _items(blocks: Iterator[bytes], fields: Fields) -> Iterator[Any]:
    first = next((block for block in blocks if block.strip()), b"")
    source = _Source(chain([first], blocks))
    if not first.lstrip().startswith(b"{"):
        for item in ijson.items(source, "item", use_float=True, map_type=_Members, buf_size=BITE):
            yield item
            source.end_record()
        return
    alone = _Members()
    for name, value in ijson.kvitems(source, "", use_float=True, map_type=_Members, buf_size=BITE):
        if alone or (name in fields.known and not isinstance(value, Mapping)):
            alone[name] = value  # the document is one record
        else:
            yield value
            source.end_record()
    if alone:
        yield alone
