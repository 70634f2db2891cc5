"""Parquet and Arrow files become the same rows as the same records in any other format."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import os
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sb_api.bootstrap.csv_messages import message_fields, read_messages
from sb_api.errors import InvalidParameter, MalformedBody
from sb_api.readers.batches import NOTHING_ASKED, Asked, RecordFile, open_records
from sb_api.readers.labelled import read_labelled
from sb_api.readers.rows import Batch, Position
from sb_api.records import Verdict
from tests.support.service import make_editors

MOMENT = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def arrow(table: pa.Table, new: Any = pa.ipc.new_file, rows: int = 7) -> bytes:
    sink = io.BytesIO()
    with new(sink, table.schema) as writer:
        writer.write_table(table, rows)
    return sink.getvalue()


def stream(table: pa.Table) -> bytes:
    return arrow(table, pa.ipc.new_stream)


def opened(content: bytes, asked: Asked = NOTHING_ASKED) -> RecordFile:
    return open_records(io.BytesIO(content), "the file", asked)


def read(content: bytes, size: int = 5, start: Position | None = None) -> list[Batch]:
    return list(opened(content).batches(size, start))


def records(batches: list[Batch]) -> list[Any]:
    return [json.loads(row) for batch in batches for row in batch.rows]


@pytest.mark.parametrize("write", [parquet, arrow, stream])
def test_records_come_as_they_were_written_from_wherever_reading_begins(write: Any) -> None:
    editors = [{key: value for key, value in one.items() if value is not None} for one in make_editors(40)]
    names = {name for one in editors for name in one}
    content = write(pa.table({name: [one.get(name) for one in editors] for name in names}))
    for start in (0, 3, 17, 39, 40):
        batches = read(content, 5, Position(start))
        assert records(batches) == editors[start:]
        assert [line for batch in batches for line in batch.lines] == list(range(start + 1, 41))
        assert not batches or batches[-1].end == Position(40)
    with_packing = opened(gzip.compress(content)) if write is not parquet else opened(content)
    assert records(list(with_packing.batches(9))) == editors


def test_types_become_those_of_json() -> None:
    table = pa.table(
        {
            "id": pa.array([Decimal(7), Decimal(8)], pa.decimal128(20, 0)),
            "area": [5.0, None],
            "privs": pa.array([1.0, float("nan")]),
            "gender": pa.array(["x", None]).dictionary_encode(),
            "bio": pa.array(["a\n\u20ac", ""], pa.large_string()),
            "website": pa.array([b"http://x", None], pa.binary()),
            "member_since": pa.array([MOMENT, None], pa.timestamp("ns", "Europe/Berlin")),
            "last_login_date": pa.array([MOMENT.replace(tzinfo=None), None], pa.timestamp("s")),
            "birth_date": [datetime.date(1990, 1, 2), None],
            "name": pa.nulls(2),
            "password": ["secret", "secret"],
        }
    )
    for content in (parquet(table), arrow(table), stream(table)):
        assert records(read(content)) == [
            {
                "id": 7,
                "area": 5,
                "privs": 1,
                "gender": "x",
                "bio": "a\n\u20ac",
                "website": "http://x",
                "member_since": "2024-05-06 07:08:09.000000Z",
                "last_login_date": "2024-05-06 07:08:09.000000",
                "birth_date": "1990-01-02",
            },
            {"id": 8, "bio": ""},
        ]


def test_columns_that_nobody_knows_are_named() -> None:
    content = parquet(pa.table({"id": [1], "websit": ["x"], "password": ["x"]}))
    assert opened(content).notes == ["`websit` is no field of a record and is not used: did you mean `website`?"]


@pytest.mark.parametrize("write", [parquet, stream])
def test_columns_are_fields_whatever_their_case(write: Callable[[Any], bytes]) -> None:
    content = write(pa.table({"ID": [1], "Other": ["x"], " Bio": ["words"], "Privs": [2.0]}))
    assert next(iter(opened(content).batches(5))).rows == [b'{"id":1,"bio":"words","privs":2}']
    assert opened(content).notes == ["`Other` is no field of a record and is not used"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (parquet(pa.table({"bio": ["x"]})), "the file has no column `id`; it has bio"),
        (stream(pa.table({"bio": ["x"]})), "the file has no column `id`; it has bio"),
        (parquet(pa.table({"id": [1], "bio": [["x"]]})), r"The column `bio` of the file holds list<.*>, not text"),
        (stream(pa.Table.from_arrays([pa.array([1])] * 2, ["id", "id"])), "the column `id` twice"),
        (parquet(pa.table({"ID": [1], "Id": [2]})), "the column `id` twice"),
        (b"PAR1 and nothing else", "the file is damaged and cannot be read"),
        (b"ARROW1\0\0 and nothing else", "the file is damaged and cannot be read"),
        (gzip.compress(parquet(pa.table({"id": [1]}))), "has to be unpacked"),
    ],
)
def test_what_cannot_be_read_says_why(content: bytes, said: str) -> None:
    with pytest.raises(MalformedBody, match=said):
        opened(content)


def test_options_that_do_not_fit_and_pipes_are_refused() -> None:
    content = parquet(pa.table({"id": [1]}))
    for asked in (Asked(columns=("id",)), Asked("parquet", encoding="cp1252")):
        with pytest.raises(InvalidParameter, match="names its columns"):
            opened(content, asked)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        with os.fdopen(writing, "wb") as end:
            end.write(content)
        with pytest.raises(InvalidParameter, match="name a file"):
            open_records(pipe, "the input")


def test_rows_that_are_wrong_cost_themselves_alone() -> None:
    texts = pa.array([b"fine", b"\xff", b"x" * 2**21], pa.binary())
    batches = read(arrow(pa.table({"id": [1, 2, 3], "bio": texts}), rows=9), 9)
    assert records(batches) == [{"id": 1, "bio": "fine"}]
    said = [(row.line, row.detail) for batch in batches for row in batch.wrong]
    assert said == [(2, "is not text in the encoding of the file"), (3, "is longer than 1048576 bytes")]


@pytest.mark.parametrize("write", [parquet, arrow])
def test_a_file_that_is_cut_off_is_never_read_as_a_whole_one(write: Any) -> None:
    content = write(pa.table({"id": list(range(50)), "bio": ["some text"] * 50}))
    for length in range(8, len(content), 61):
        with pytest.raises(MalformedBody):
            read(content[:length], 10)


@pytest.mark.parametrize("write", [parquet, arrow, stream])
def test_a_damaged_file_is_refused_or_read_and_nothing_else(write: Any) -> None:
    content = write(pa.table({"id": list(range(50)), "bio": ["some text"] * 50}))
    chosen = random.Random(1)
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(3):
            damaged[chosen.randrange(len(damaged))] = chosen.randrange(256)
        try:
            batches = list(opened(bytes(damaged), Asked("parquet" if write is parquet else "arrow")).batches(10))
        except MalformedBody:
            continue
        assert sum(len(batch.rows) + len(batch.wrong) for batch in batches) <= 50


def test_labelled_records_and_messages_are_read_as_from_any_other_file() -> None:
    labelled = parquet(pa.table({"id": [1, 2], "bio": ["x", None], "verdict": [1.0, 0.0], "reporter": ["ann", None]}))
    (first, second) = read_labelled(opened(labelled).batches(1000), Verdict, "the file")
    assert (first.id, first.bio, first.verdict, first.reporter) == (1, "x", 1, "ann")
    assert (second.id, second.verdict, second.reporter) == (2, 0, None)
    content = arrow(pa.table({"class": ["bug", None], "words": ["it crashes", "x"], "other": [1, 2]}))
    messages = open_records(io.BytesIO(content), "the file", fields=message_fields("class", "words"))
    reading = read_messages(messages.batches(1000), "class", "words")
    assert [(one.label, one.text) for one in reading.messages] == [("bug", "it crashes")]
    assert [fault.line for fault in reading.faults] == [2]
