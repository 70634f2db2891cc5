"""Files of records become rows that can be sent, whatever their format, in bounded memory."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_api.errors import MalformedBody
from sb_api.readers.batches import Asked, guess_format, open_blocks
from sb_api.readers.compression import BLOCK, read_blocks
from sb_api.readers.rows import LONGEST_ROW, RECORD_FIELDS, Batch, Position
from tests.support.databases import postgresql

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
RECORDS = st.lists(st.tuples(st.integers(0, 2**40), TEXTS, TEXTS), max_size=12)


def read_batches(
    blocks: Iterator[bytes], kind: Any, *, size: int, columns: Any = (), start: Position | None = None
) -> Iterator[Batch]:
    return open_blocks(blocks, "the file", Asked(kind, columns, "utf-8"), RECORD_FIELDS).batches(size, start)


def read(content: bytes, kind: Any, *, size: int = 5, block: int = BLOCK, **options: Any) -> list[Batch]:
    blocks = (content[start : start + block] for start in range(0, len(content), block))
    return list(read_batches(blocks, kind, size=size, **options))


def records(batches: list[Batch]) -> list[Any]:
    return [json.loads(row) for batch in batches for row in batch.rows]


def wrong(batches: list[Batch]) -> list[tuple[int, str]]:
    return [(row.line, row.detail) for batch in batches for row in batch.wrong]


def lines(batches: list[Batch]) -> list[int]:
    return [line for batch in batches for line in batch.lines]


def test_rows_of_json_lines_are_handed_on_as_they_are() -> None:
    content = b'\xef\xbb\xbf{"id": 1,  "bio":"x"}\r\n\n{"id": 2}\n  \nnot json\n{"id": 3}'
    batches = list(read_batches(read_blocks(io.BytesIO(content)), "jsonl", size=2))
    assert [row for batch in batches for row in batch.rows] == [
        b'{"id": 1,  "bio":"x"}\r',
        b'{"id": 2}',
        b"not json",
        b'{"id": 3}',
    ]
    assert lines(batches) == [1, 3, 5, 6]


@given(RECORDS, st.integers(1, 9), st.integers(1, 200), st.sampled_from(["jsonl", "csv", "copy"]), st.data())
def test_reading_may_begin_after_any_batch(rows: Any, size: int, block: int, kind: str, data: st.DataObject) -> None:
    """What the journal of a scan relies on: a batch's end is where the next one begins, with the same line numbers."""
    content = write(rows, kind)
    options: Any = {"columns": ("id", "email", "bio")} if kind == "copy" else {}
    if kind == "csv":
        block = max(block, 20)  # the names of the columns are in the first block
    all_batches = read(content, kind, size=size, block=block, **options)
    assert [(record["id"], record.get("email", ""), record.get("bio", "")) for record in records(all_batches)] == rows
    if all_batches:
        place = data.draw(st.integers(0, len(all_batches) - 1))
        rest = read(content, kind, size=size, block=block, start=all_batches[place].end, **options)
        assert records(rest) == records(all_batches[place + 1 :])
        assert lines(rest) == lines(all_batches[place + 1 :])


def write(rows: Any, kind: str) -> bytes:
    if kind == "jsonl":
        return b"".join(json.dumps({"id": a, "email": b, "bio": c}).encode() + b"\n" for a, b, c in rows)
    if kind == "csv":
        text = io.StringIO()
        csv.writer(text).writerows([("id", "email", "bio"), *rows])
        return text.getvalue().encode()
    escapes = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}
    fields = [[str(a), *("".join(escapes.get(c, c) for c in text) for text in (b, c))] for a, b, c in rows]
    return "".join("\t".join(row) + "\n" for row in fields).encode()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("names", [("ID", "Name", "bio"), ("Id ", "name", '"Bio"'), ("\ufeffid", " NAME", "Bio")])
def test_columns_are_fields_whatever_their_case_and_what_is_around_them(names: Any, separator: str) -> None:
    content = "".join(separator.join(row) + "\r\n" for row in (names, ("7", "ann", "words"))).encode("utf-8-sig")
    opened = open_blocks(iter([content]), "editors.txt", Asked(), RECORD_FIELDS)
    assert (opened.format, records(list(opened.batches(5)))) == ("csv", [{"id": 7, "name": "ann", "bio": "words"}])
    assert opened.notes == []


def test_one_that_is_called_exactly_so_is_the_field() -> None:
    assert records(read(b"ID,id,BIO\n1,2,x\n", "csv")) == [{"id": 2, "bio": "x"}]
    with pytest.raises(MalformedBody, match="names the column `id` twice"):
        read(b"ID,Id\n1,2\n", "csv")
    assert records(read(b"7,x\n", "csv", columns=("ID", "Bio"))) == [{"id": 7, "bio": "x"}]
    copy = b'COPY editor ("ID", bio) FROM stdin;\n7\tx\n'
    assert records(read(copy, "copy")) == [{"id": 7, "bio": "x"}]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_without_the_column_that_must_be_there_it_is_told_what_to_do(separator: str) -> None:
    content = separator.join(["Name", "Website", "bio", "remarks"]).encode() + b"\n"
    with pytest.raises(MalformedBody, match=r"no column `id`; it has name, website, bio, remarks\. Add one, with"):
        open_blocks(iter([content]), "editors.txt", Asked(), RECORD_FIELDS)


def test_csv_columns_come_from_the_first_line_or_from_the_caller() -> None:
    content = b'name,id,bio,privs,password\nann,1,"a ""quoted""\nbio",0,secret\nbob,2,,,secret\n'
    batches = read(content, "csv")
    assert records(batches) == [
        {"id": 1, "name": "ann", "bio": 'a "quoted"\nbio', "privs": 0},
        {"id": 2, "name": "bob"},
    ]
    assert lines(batches) == [2, 4]
    assert records(read(b"7,x\n", "csv", columns=("id", "bio"))) == [{"id": 7, "bio": "x"}]
    with pytest.raises(MalformedBody, match="no column `id`"):
        read(b"a,b\n1,2\n", "csv")


def test_wrong_rows_are_named_and_the_others_read() -> None:
    batches = read(b"id,bio\n1,x\n2\n3,\xff\n4,y,z\n5,z\n", "csv")
    assert [record["id"] for record in records(batches)] == [1, 5]
    assert wrong(batches) == [
        (3, "has 1 of 2 columns"),
        (4, "is not text in the encoding of the file"),
        (5, "has 3 columns, not 2"),
    ]
    copied = read(b"1\tx\n2\n3\t\\xff\n\\.\n9\tx\n", "copy", columns=("id", "bio"))
    assert [record["id"] for record in records(copied)] == [1]
    assert [line for line, _ in wrong(copied)] == [2, 3]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "copy"])
def test_a_row_without_end_is_a_wrong_row_and_takes_no_memory(kind: Any) -> None:
    options: Any = {} if kind == "jsonl" else {"columns": ("id",)}
    row = b'{"id": 1}' if kind == "jsonl" else b"1"

    def blocks() -> Iterator[bytes]:
        yield row + b"\n"
        for _ in range(30):
            yield b"x" * LONGEST_ROW
        yield b"end\n" + row

    tracemalloc.start()
    batches = list(read_batches(blocks(), kind, size=5, **options))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert records(batches) == [{"id": 1}, {"id": 1}]
    assert [line for line, _ in wrong(batches)] == [2]
    assert peak < 12 * LONGEST_ROW
    rest = next(batch for batch in batches if batch.wrong).end
    assert rest.line in (2, 3)


@given(RECORDS, st.booleans(), st.integers(1, 9))
def test_a_json_document_is_read_as_predict_takes_it(rows: Any, listed: bool, size: int) -> None:
    editors = [{"id": a, "email": b, "bio": c} for a, b, c in rows]
    content = json.dumps(editors if listed else {f"key {place}": e for place, e in enumerate(editors)}, indent=1)
    assert records(read(content.encode(), "json", size=size, block=64)) == editors
    assert records(read(content.encode(), "json", size=size, start=Position(line=3))) == editors[3:]


def test_of_a_broken_document_what_came_before_is_read() -> None:
    found = read_batches(iter([b'[{"id": 1}, {"id": 2}, {"id"']), "json", size=10)
    assert records([next(found)]) == [{"id": 1}, {"id": 2}]
    with pytest.raises(MalformedBody, match="after its record 2"):
        next(found)


def test_a_record_that_names_a_member_twice_is_refused() -> None:
    """In a file of many rows that are all alike too."""
    content = (
        b'{"id": 1, "bio": "a"}\n{"id": 2, "id": 3}\n{"id" : 4, "bio": "\\":", "bio" : "x"}\n{"id": 5, "b": "\\":"}\n'
    )
    batches = read(content, "jsonl")
    assert [record["id"] for record in records(batches)] == [1, 5]
    assert wrong(batches) == [(2, "names `id` twice"), (3, "names `bio` twice")]
    many = b'{"id": 1, "bio": "a"}\n' * 12_000
    batches = read(many + b'{"id": 2, "bio": "b", "bio": "c"}\n' + many, "jsonl", size=1000)
    assert wrong(batches) == [(12_001, "names `bio` twice")]
    assert len(records(batches)) == 24_000
    document = b'[{"id": 1}, {"id": 2, "id": 3}, {"id": 4, "bio": {"a": 1}}]'
    assert [record["id"] for record in records(read(document, "json"))] == [1, 4]
    assert wrong(read(document, "json")) == [(2, "names `id` twice")]


def test_ids_of_a_table_are_numbers_where_these_are_written_so() -> None:
    batches = read(b"id,verdict\n7,1\n007,01\n-0,0\n", "csv")
    rows = [json.loads(row) for batch in batches for row in batch.rows]
    assert [(row["id"], row["verdict"]) for row in rows] == [(7, 1), ("007", 1), ("-0", 0)]


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_members_that_are_no_fields_are_named_once(kind: str) -> None:
    rows = [b'{"id": 1, "webiste": "x"}', b'{"id": 2, "webiste": "y", "colour": "z"}']
    batches = read(b"\n".join(rows) if kind == "jsonl" else b"[" + b",".join(rows) + b"]", kind, size=1)
    assert [note for batch in batches for note in batch.notes] == [
        "`webiste` is no field of a record and is not used: did you mean `website`?",
        "`colour` is no field of a record and is not used",
    ]


def test_a_document_may_be_one_record_but_none_without_end() -> None:
    assert records(read(b'{\n"id": 1,\n"bio": "x"\n}\n', "json")) == [{"id": 1, "bio": "x"}]
    blocks = iter([b'[{"id": 1}, {"id": 2, "bio": "', *[b"x" * LONGEST_ROW] * 9, b'"}]'])
    found = read_batches(blocks, "json", size=10)
    assert records([next(found)]) == [{"id": 1}]
    with pytest.raises(MalformedBody, match=r"longer than .* after record 1"):
        next(found)


@pytest.mark.parametrize(
    ("name", "start", "kind"),
    [
        ("e.jsonl", b"[", "jsonl"),
        ("e.NDJSON.gz", b"", "jsonl"),
        ("e.csv.zst", b"{", "csv"),
        ("e.copy", b"", "copy"),
        ("-", b' {"id": 1}\n{"id": 2}', "jsonl"),
        ("e.json", b'{"0": {"id": 1}}', "json"),
        ("e.json", b'{\n"0": {"id": 1}}', "json"),
        ("e.json", b'[{"id": 1}]', "json"),
        ("editor", b"1\tann\t0", "copy"),
        ("-", b"id,bio", "csv"),
    ],
)
def test_the_format_is_told_by_name_or_by_the_start(name: str, start: bytes, kind: str) -> None:
    assert guess_format(name, start) == kind


@pytest.fixture(scope="module")
def database() -> Iterator[psycopg.Connection[Any]]:
    with (
        TemporaryDirectory(prefix="sb_api-", dir="/tmp") as folder,  # where `nobody` may enter
        postgresql(Path(folder)) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute(
            "CREATE TABLE editor (id serial, name text, privs int, email text, website text, bio text, "
            "member_since timestamptz, email_confirm_date timestamptz, last_login_date timestamptz, "
            "last_updated timestamptz, birth_date date, gender int, area int, password text, ha1 text, deleted bool)"
        )
        yield connection


@settings(max_examples=40)
@given(rows=st.lists(st.tuples(TEXTS.map(lambda t: t.replace("\0", "")), st.none() | st.integers(0, 9)), max_size=8))
def test_what_postgresql_copies_is_read_as_it_was(database: psycopg.Connection[Any], rows: Any) -> None:
    """Of MusicBrainz's `editor` table, without naming columns; the password stays where it is."""
    database.execute("TRUNCATE editor")
    for number, (bio, gender) in enumerate(rows):
        database.execute(
            "INSERT INTO editor VALUES (%s, 'n', 1, NULL, '', %s, '2000-07-05 14:22:08.12+00', NULL, NULL, NULL, "
            "'1984-02-01', %s, 5, 'secret', 'secret', false)",
            (number, bio, gender),
        )
    with database.cursor().copy("COPY (SELECT * FROM editor ORDER BY id) TO STDOUT") as copying:
        content = b"".join(bytes(part) for part in copying)
    known = {
        "name": "n",
        "privs": 1,
        "website": "",
        "member_since": "2000-07-05 14:22:08.12+00",
        "birth_date": "1984-02-01",
        "area": 5,
    }
    assert records(read(content, "copy")) == [
        {"id": number, "bio": bio, **known} | ({} if gender is None else {"gender": gender})
        for number, (bio, gender) in enumerate(rows)
    ]
    assert b"secret" not in b"".join(row for batch in read(content, "copy") for row in batch.rows)


def test_every_escape_of_copy_text() -> None:
    content = rb"1	\b\f\n\r\t\v\\\101\x41\x4\q\N.\7" + b"\n"
    assert records(read(content, "copy", columns=("id", "bio"))) == [{"id": 1, "bio": "\b\f\n\r\t\v\\AA\x04qN.\x07"}]
    assert records(read(b"1\t\\N\n", "copy", columns=("id", "bio"))) == [{"id": 1}]
