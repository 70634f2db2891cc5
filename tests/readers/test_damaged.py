"""Damaged tables: what is wrong is named by line, all else is used, and no line goes away without a word."""

from __future__ import annotations

import csv
import io
import json
import random
import time
import tracemalloc
from timeit import repeat
from typing import Any

import pytest

from sb_api.errors import MalformedBody
from sb_api.readers.batches import Asked, open_blocks
from sb_api.readers.delimited import UNCLOSED
from sb_api.readers.rows import RECORD_FIELDS, Batch, Fields

MESSAGES = Fields(frozenset({"intent", "query"}), ("intent", "query"), strict=False)


def read(content: bytes, fields: Fields = RECORD_FIELDS, size: int = 7, block: int = 2**20) -> list[Batch]:
    blocks = (content[start : start + block] for start in range(0, len(content), block))
    return list(open_blocks(blocks, "file", Asked("csv", (), "utf-8"), fields).batches(size))


def used(batches: list[Batch]) -> list[Any]:
    return [json.loads(row) for batch in batches for row in batch.rows]


def wrong(batches: list[Batch]) -> list[int]:
    return [row.line for batch in batches for row in batch.wrong]


def account(content: bytes, batches: list[Batch]) -> None:
    """Header, used, wrong and blank lines are all lines."""
    total = content.count(b"\n") + (not content.endswith(b"\n"))
    of_rows = sum(text.count(b"\n") + 1 for batch in batches for text in batch.texts)
    of_wrong = sum(row.lines for batch in batches for row in batch.wrong)
    blank = sum(len(batch.blank) for batch in batches)
    assert 1 + of_rows + of_wrong + blank == total
    assert not batches or batches[-1].end.line == total


def test_an_unclosed_field_costs_its_line_alone() -> None:
    content = (
        b'id,email,bio\n1,a@b.org,I collect records\n2,b@b.org,"Al" is my name\n3,c@b.org,"never closed\n'
        b'4,d@b.org,best casino\n5,e@b.org,"two\nlines"\n6,f@b.org,"ok"\n7,g@b.org,fine\n'
    )
    batches = read(content)
    assert [record["id"] for record in used(batches)] == [1, 2, 4, 5, 6, 7]
    assert [(row.line, row.detail) for batch in batches for row in batch.wrong] == [(4, UNCLOSED)]
    bios = {record["id"]: record["bio"] for record in used(batches)}
    assert (bios[2], bios[5], bios[6]) == ('"Al" is my name', "two\nlines", "ok")
    account(content, batches)


def test_a_verdict_is_not_learned_with_others_inside_it() -> None:
    batches = read(b'id,verdict,bio\n11,0,"I collect records\n12,1,best casino\n13,1,best seo\n')
    assert [record["id"] for record in used(batches)] == [12, 13]
    assert wrong(batches) == [2]


def test_in_a_file_with_tabs_quotation_marks_are_text_unless_they_quote() -> None:
    stray = b'intent\tquery\nham\t"keep calm\nspam\tWIN now\nham\t"sleep well\nham\tgood night"\n'
    assert [record["query"] for record in used(read(stray, MESSAGES))] == [
        '"keep calm',
        "WIN now",
        '"sleep well',
        'good night"',
    ]
    quoting = b'intent\tquery\nham\t"he said ""hello"""\nham\t"two\nlines"\nham\tplain\n'
    assert [record["query"] for record in used(read(quoting, MESSAGES))] == ['he said "hello"', "two\nlines", "plain"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("count", [1, 3, 60_000])
def test_a_field_of_many_lines_is_enough_to_see_that_a_file_with_tabs_quotes(end: str, count: int) -> None:
    """As spreadsheets write "Unicode text", in which no field opens and closes in one line; 60,000 are more than what a
    file is told by, which then ends within a field."""
    text = "one,\ntwo and\nthree"
    content = f"id\tbio\tprivs{end}" + "".join(f'{number}\t"{text}"\t0{end}' for number in range(count))
    found = read(content.encode(), size=1000)
    assert wrong(found) == []
    assert [record["bio"] for record in used(found)] == [text] * count


def test_a_mark_that_is_text_and_never_closed_is_no_sign_of_quoting() -> None:
    content = b'intent\tquery\nham\t"hello"\nham\t"keep calm\nspam\tWIN now\n'
    assert [record["query"] for record in used(read(content, MESSAGES))] == ['"hello"', '"keep calm', "WIN now"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_separators_line_ends_and_marks_of_encodings(separator: str, end: str, encoding: str) -> None:
    rows = [["id", "bio", "privs"], ["1", f"a{separator} b", "0"], ["2", "naïve", "3"], ["3", 'say "hi"', "1"]]
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(rows)
    content = text.getvalue().encode(encoding)
    file = open_blocks([content[:5], content[5:]], "editors", Asked(), RECORD_FIELDS)
    assert used(list(file.batches(10))) == [
        {"id": 1, "bio": f"a{separator} b", "privs": 0},
        {"id": 2, "bio": "naïve", "privs": 3},
        {"id": 3, "bio": 'say "hi"', "privs": 1},
    ]


@pytest.mark.parametrize("seed", range(200))
def test_of_a_damaged_file_every_line_is_used_or_named(seed: int) -> None:
    chance = random.Random(seed)
    text = io.StringIO()
    words = ("record", "a, b", 'the "Al" of', "two\nlines", "naïve", "", "x;y", "|", "end\r\nof", "7")
    writer = csv.writer(text, lineterminator=chance.choice(["\n", "\r\n"]), quoting=chance.choice([0, 0, 1]))
    writer.writerow(["id", "email", "bio"])
    for number in range(chance.randrange(1, 60)):
        writer.writerow([number, chance.choice(words), " ".join(chance.choices(words, k=chance.randrange(3)))])
    content = bytearray(text.getvalue().encode())
    start = content.index(b"\n") + 1  # the names of the columns stay
    for _ in range(chance.randrange(6)):
        place = chance.randrange(start, len(content) + 1)
        content[place : place + chance.choice([0, 0, 0, 1, 5])] = chance.choice(
            [b'"', b'"', b'"', b",", b"\n", b"\r", b"\xff", b"\0", b'""', b'",', b',"', b"\n\n"]
        )
    whole = read(bytes(content))
    account(bytes(content), whole)
    # Wherever the blocks end and whatever the size of batches, the same is read.
    split = read(bytes(content), size=chance.randrange(1, 9), block=chance.randrange(1, 200))
    assert (used(split), wrong(split)) == (used(whole), wrong(whole))
    for some, rest in ((batch, split[number + 1 :]) for number, batch in enumerate(split[:-1])):
        file = open_blocks([bytes(content)], "file", Asked("csv", (), "utf-8"), RECORD_FIELDS)
        again = list(file.batches(7, some.end))
        assert (used(again), wrong(again)) == (used(rest), wrong(rest))
        break


@pytest.mark.parametrize(
    "line", [b'1,"open\n', b'1,x"\n', b'1,"a""\n', b'""\n', b'"\n', b'1,""","\n', b'1,"x" y\n', b'1,"\n\n', b"\n"]
)
def test_the_time_to_read_damage_grows_with_its_size_alone(line: bytes) -> None:
    def seconds(lines: int) -> float:
        """The least of three, without the garbage collector: other work only ever adds to a time."""
        content = b"id,bio\n" + line * lines
        return min(repeat(lambda: account(content, read(content, size=1000)), number=1, timer=time.process_time))

    assert seconds(20_000) < 30 * max(0.01, seconds(2_000))


def test_what_a_field_may_hold_is_bounded() -> None:
    lines = (b"y" * 99 + b"\n") * 12_000
    content = b'id,bio\n1,"' + b"x" * 200_000 + b'"\n2,fine\n3,"' + lines + b"4,fine\n"
    batches = read(content, size=1000)
    assert [record["id"] for record in used(batches)] == [2, 4]
    details = {row.line: row.detail for batch in batches for row in batch.wrong}
    assert "more than 131,072 characters" in details[2]
    assert details[4] == UNCLOSED
    account(content, batches)


def test_columns_twice_and_columns_that_nobody_knows_are_named() -> None:
    file = open_blocks([b"id,webiste,password,favourite\n1,x,y,z\n"], "file", Asked(), RECORD_FIELDS)
    assert file.notes == [
        "`webiste` is no field of a record and is not used: did you mean `website`?",
        "`favourite` is no field of a record and is not used",
    ]
    with pytest.raises(Exception, match="names the column `bio` twice"):
        open_blocks([b"id,bio,bio\n1,x,y\n"], "file", Asked(), RECORD_FIELDS)


def test_copy_text_may_stand_in_a_dump() -> None:
    head = b"--\n-- dump\nSET x;\n\nCOPY musicbrainz.editor (id, bio, name) FROM stdin;\n"
    dump = head + b"7\ta\\tb\tann\n8\t\\N\tbob\n\\.\nSELECT 1;\n"
    file = open_blocks([dump], "dump.copy", Asked(), RECORD_FIELDS)
    assert used(list(file.batches(5))) == [{"id": 7, "bio": "a\tb", "name": "ann"}, {"id": 8, "name": "bob"}]


@pytest.mark.parametrize("depth", [5_000, 100_000])
@pytest.mark.parametrize("outside", [b"[%b]", b'{"a": %b}'])
def test_records_that_are_nested_without_end_take_no_memory(depth: int, outside: bytes) -> None:
    """ijson remembers the path of each open bracket: 200 kB of them took 25 GB."""
    nested = b'{"id": 1, "x": %b%b}' % (b"[" * depth, b"]" * depth)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedBody, match="more than 1000 brackets that are not closed, after record 0"):
            list(open_blocks([outside % nested], "x", Asked("json"), RECORD_FIELDS).batches(10))
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_a_record_that_is_nested_too_deeply_is_a_wrong_row() -> None:
    content = b'[{"id": 1, "x": %b%b}, {"id": 2, "bio": ":[ :["}]' % (b"[" * 1500, b"]" * 1500)
    batches = list(open_blocks([content], "x", Asked("json"), RECORD_FIELDS).batches(10))
    assert used(batches) == [{"id": 2, "bio": ":[ :["}]
    assert [row.detail for batch in batches for row in batch.wrong] == ["is nested too deeply"]


def test_of_a_document_with_a_fault_one_line_is_told() -> None:
    batches = open_blocks([b'[{"id": 1},\n{"id": NaN},\n{"id": 3}]'], "x", Asked("json"), RECORD_FIELDS).batches(10)
    with pytest.raises(MalformedBody) as caught:
        list(batches)
    assert caught.value.detail.startswith("The JSON document cannot be read after its record 1: lexical error")
    assert "\n" not in caught.value.detail
