"""What moderators paste is read: JSON of several shapes, rows of a database dump, lines of text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sb_api.errors import MalformedBody, TooLarge
from sb_api.pages.pastes import name_text, read_editors, read_messages
from sb_api.text.pg_copy import EDITOR_COLUMNS

ROW = {
    "id": "42",
    "name": "Ünï \\\\ o'Brien",
    "privs": "1",
    "email": "a@example.org",
    "website": "http://example.org/",
    "bio": "first\\nsecond\\ttab \\x41\\101\\/",
    "member_since": "2004-10-13 11:03:46.123456+00",
    "email_confirm_date": "2004-10-14 09:38:45+00",
    "last_login_date": "2019-02-01 17:00:00-05:30",
    "last_updated": "\\N",
    "birth_date": "1980-04-02",
    "gender": "1",
    "area": "\\N",
}


def line(**changes: str) -> str:
    return "\t".join([*(ROW | changes).values(), "password", "ha1", "f"])


def test_a_row_of_a_dump_is_the_editor_it_stands_for() -> None:
    """Escapes, nulls, integers and PostgreSQL's dates; columns after `area` are not read."""
    assert tuple(ROW) == EDITOR_COLUMNS
    editor = read_editors(line(), 10).sound["line 1"]
    assert (editor.id, editor.privs, editor.gender, editor.area, editor.last_updated) == (42, 1, 1, None, None)
    assert editor.name == "Ünï \\ o'Brien"
    assert editor.bio == "first\nsecond\ttab AA/"
    assert editor.member_since == "2004-10-13 11:03:46.123456+00"
    assert not any("password" in str(getattr(editor, name)) for name in editor.__struct_fields__)


def test_a_copy_line_names_the_columns_and_a_dot_ends_the_rows() -> None:
    text = "COPY musicbrainz.editor (id, bio, name) FROM stdin;\n7\thello\tann\n8\t\\N\tbob\n\\.\nSELECT 1;\n"
    records = read_editors(text, 10)
    assert records.errors == {}
    assert [(e.id, e.bio, e.name) for e in records.sound.values()] == [(7, "hello", "ann"), (8, None, "bob")]


def test_rows_that_are_wrong_are_named_in_their_order_and_the_others_read() -> None:
    text = "\n".join([line(), "no tabs", line(id="43", birth_date="never"), line(id="x" * 256), line(id="44")])
    records = read_editors(text.replace("\n", "\r\n"), 10)
    assert list(records.sound) == ["line 1", "line 5"]
    assert [(key, fault["field"]) for key, fault in records.errors.items()] == [
        ("line 2", ""),
        ("line 3", "birth_date"),
        ("line 4", "id"),
    ]
    assert "13 are needed" in records.errors["line 2"]["detail"]
    assert list(read_editors("1\tann", 10).errors) == ["line 1"]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ('{"id": 1, "name": "ann"}', ["row 1"]),
        ('[{"id": 1}, {"id": 2}]', ["row 1", "row 2"]),
        ('{"a": {"id": 1}, "b": {"id": 2}}', ["a", "b"]),
        ('{"id": 1}\n\n{"id": 2}\n', ["line 1", "line 3"]),
        ('{"id": 1,\n "bio": "}{"}\n{"id": 2,\n "bio": "{"}', ["line 1", "line 3"]),
        ('\n{"id": 1}, {"id": 2}', ["line 2", "line 2, column 12"]),
        (' [{"id": "x"}] ', ["row 1"]),
    ],
)
def test_json_may_be_one_editor_an_array_an_object_or_lines(text: str, keys: list[str]) -> None:
    assert list(read_editors(text, 10).sound) == keys


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("names", [("ID", "name", "bio"), ("\ufeffId", " Name ", '"Bio"'), ("id", "NAME", "bio")])
def test_columns_of_csv_are_fields_whatever_their_case_and_what_is_around_them(names: Any, separator: str) -> None:
    records = read_editors(f"{separator.join(names)}\r\n{separator.join(('7', 'ann', 'words'))}\r\n", 10)
    assert (records.errors, records.ignored) == ({}, {})
    assert [(e.id, e.name, e.bio) for e in records.sound.values()] == [(7, "ann", "words")]


def test_a_byte_order_mark_is_no_part_of_what_was_pasted() -> None:
    assert read_editors('\ufeff[{"id": 7}]', 10).sound["row 1"].id == 7
    assert read_editors(f"\ufeff{line()}", 10).sound["line 1"].id == 42
    assert read_messages("\ufeffhello", 10).sound["line 1"].text == "hello"
    assert read_messages("\ufeffID,Text\n7,hello", 10).sound["line 2"].id == 7


@pytest.mark.parametrize("separator", [",", "\t"])
def test_of_a_list_without_ids_it_is_told_what_to_do(separator: str) -> None:
    text = "\n".join(separator.join(row) for row in (("Name", "Bio", "remarks"), ("ann", "words", "")))
    with pytest.raises(MalformedBody) as refused:
        read_editors(text, 10)
    assert refused.value.detail == (
        "The first line of what was pasted names no column `id`; it has name, bio, remarks. Add one, with another "
        "number or name in each row."
    )


@pytest.mark.parametrize(
    "text",
    [
        "word",
        "name,bio\n1,ann",
        "null",
        "",
        "  \n",
        "[",
        '[{"id": 1}',
        '{"id": 1}\n{"id":',
        "[]",
        "{}",
        "[1, 2",
        "[" * 100_000,
    ],
)
def test_what_holds_no_records_is_refused(text: str) -> None:
    with pytest.raises(MalformedBody) as refused:
        read_editors(text, 10)
    assert "The body" not in refused.value.detail


def test_a_field_that_is_missing_or_wrong_is_named() -> None:
    assert read_editors('{"email": "a@example.org"}', 10).errors["row 1"]["field"] == "id"
    assert read_editors('[{"id": 1, "privs": "all"}]', 10).errors["row 1"]["field"] == "privs"
    assert read_editors("[1]", 10).errors.keys() == {"row 1"}


def test_two_rows_of_one_id_are_an_error_as_everywhere() -> None:
    assert read_editors(f"{line()}\n{line()}", 10).errors["line 2"]["field"] == "id"


@pytest.mark.parametrize(
    "text", ["\n".join(line(id=str(n)) for n in range(4)), '[{"id":1},{"id":2},{"id":3},{"id":4}]']
)
def test_more_rows_than_a_request_may_have_are_refused(text: str) -> None:
    with pytest.raises(TooLarge):
        read_editors(text, 3)


def test_messages_are_lines_or_json() -> None:
    lines = read_messages("one\n\n  two \n[Bug] three", 10).sound
    assert [(key, m.id, m.text) for key, m in lines.items()] == [
        ("line 1", name_text("one"), "one"),
        ("line 3", name_text("two"), "two"),
        ("line 4", name_text("[Bug] three"), "[Bug] three"),
    ]
    assert re.fullmatch("text [0-9a-f]{12}", lines["line 1"].id)
    assert read_messages('[{"id": 5, "text": "x"}]', 10).sound["row 1"].id == 5
    assert read_messages("[Bug] it crashes", 10).sound["line 1"].text == "[Bug] it crashes"
    assert read_messages('{"id": 5, "text": ""}', 10).errors["row 1"]["field"] == "text"
    for text in ("", " \n ", '{"id": 5'):
        with pytest.raises(MalformedBody):
            read_messages(text, 10)


def test_the_first_lines_of_two_pastes_are_two_texts_and_the_same_line_is_one() -> None:
    first, second = (read_messages(text, 10).sound["line 1"].id for text in ("one\ntwo", "another\ntwo"))
    assert first != second
    again = read_messages("two\none\n one", 10).sound
    assert [message.text for message in again.values()] == ["two", "one"]
    assert again["line 2"].id == first


def test_escaped_bytes_are_read_as_the_utf_8_that_they_are() -> None:
    """And those that are none do not spoil the row."""
    records = read_editors(line(bio="caf\\303\\251 \\xff"), 10)
    assert records.sound["line 1"].bio == "café \ufffd"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_is_read_as_it_is_in_files(separator: str, end: str) -> None:
    # Where tabs separate, a quotation mark quotes only where it must.
    bio = "hello there" if separator == "\t" else f"hello there{end}and here"
    rows = [("id", "bio", "privs", "verdict"), ("7", f'"{bio}"', "1", "0"), ("8", "", "2", "1"), ("x",)]
    records = read_editors(end.join(separator.join(row) for row in rows), 10)
    found = [(e.id, e.bio, e.privs) for e in records.sound.values()]
    assert found == [(7, bio, 1), (8, None, 2)]
    # Where the bio has a line feed, it is in two lines.
    assert list(records.errors) == ["line 4" if separator == "\t" else "line 5"]


def test_copy_text_with_a_header_is_read_as_it_is_in_files() -> None:
    records = read_editors("id\tbio\tname\n7\ttwo\\nlines\t\\N\n", 10)
    assert [(e.id, e.bio, e.name) for e in records.sound.values()] == [(7, "two\nlines", None)]


def test_messages_may_be_csv_too_and_a_text_with_commas_is_a_text() -> None:
    records = read_messages('text,id\n"the page, it crashes",5\nthanks,6', 10)
    assert [(m.id, m.text) for m in records.sound.values()] == [(5, "the page, it crashes"), (6, "thanks")]
    assert [m.text for m in read_messages("id, please\ntext me", 10).sound.values()] == ["id, please", "text me"]


def test_an_unclosed_quotation_mark_costs_its_line() -> None:
    records = read_editors('id,bio\n1,"open\n2,fine', 10)
    assert [e.bio for e in records.sound.values()] == ["fine"]
    assert "not closed" in records.errors["line 2"]["detail"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[{"id": 1},\n {"id": 2,}]', 2),
        ('\n\n[{"id": 1},\n {"id": 02}]', 4),
        ('{"id": 1}\n{"id": 2}\n{"id":', 3),
        ('{"id": 1}\n{"id": 02}', 2),
    ],
)
def test_what_is_no_json_is_found_by_its_line(text: str, line: int) -> None:
    with pytest.raises(MalformedBody, match=f"line {line}"):
        read_editors(text, 10)


def test_columns_and_members_that_are_no_fields_are_named_with_what_may_be_meant() -> None:
    for text in ("id,webiste,password\n1,x,y", '[{"id": 1, "webiste": "x"}]', '{"id": 1}\n{"id": 2, "webiste": "x"}'):
        assert read_editors(text, 10).ignored == {"webiste": "website"}
    assert read_messages('{"id": 1, "text": "x", "txet": ""}', 10).ignored == {"txet": "text"}
    assert read_editors(line(), 10).ignored == {}


def test_a_paste_of_braces_alone_is_not_counted_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb_api.pages.pastes.MOST_TOKENS", 1000)
    with pytest.raises(TooLarge):
        read_editors("{}" * 1001, 10_000)
    with pytest.raises(TooLarge):
        read_editors('{"id": 1}\n' * 12, 10)
