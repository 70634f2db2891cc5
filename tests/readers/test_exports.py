"""Tables as databases, spreadsheets and pandas write them are read as they are meant, or it is said what they are."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from sb_api.errors import MalformedBody
from sb_api.readers.batches import NOTHING_ASKED, Asked, RecordFile, open_records
from sb_api.text.pg_copy import read_number


def opened(content: str | bytes, name: str = "export", asked: Asked = NOTHING_ASKED) -> RecordFile:
    return open_records(io.BytesIO(content.encode() if isinstance(content, str) else content), name, asked)


def read(content: str, name: str = "export", asked: Asked = NOTHING_ASKED) -> tuple[list[Any], dict[int, str]]:
    """The records of a file, and what is wrong with its lines."""
    batches = list(opened(content, name, asked).batches(100))
    rows = [json.loads(row) for batch in batches for row in batch.rows]
    return rows, {wrong.line: wrong.detail for batch in batches for wrong in batch.wrong}


def refusal(content: str | bytes, name: str = "export") -> str:
    with pytest.raises(MalformedBody) as caught:
        opened(content, name)
    return caught.value.detail


@pytest.mark.parametrize("name", ["export", "export.tsv", "export.csv", "export.copy"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_copy_text_with_a_header_is_read_as_copy_text(name: str, end: str) -> None:
    """COPY ... WITH (HEADER), and mysql: a null was the text \\N, and a tab in a bio two characters."""
    lines = ["id\tname\tbio", "1\tann\t\\N", '2\t\\N\ttwo\\nlines\\tand "marks"', ""]
    assert read(end.join(lines), name) == (
        [{"id": 1, "name": "ann"}, {"id": 2, "bio": 'two\nlines\tand "marks"'}],
        {},
    )
    assert opened(end.join(lines), name).format == "copy"


def test_backslashes_of_a_table_that_quotes_or_has_no_null_are_text() -> None:
    assert read('id\tbio\n1\t\\N\n2\t"C:\\new"\n') == ([{"id": 1}, {"id": 2, "bio": "C:\\new"}], {})
    assert read("id\tbio\n2\tC:\\new\n") == ([{"id": 2, "bio": "C:\\new"}], {})


def test_a_null_of_csv_may_be_written_as_databases_do() -> None:
    assert read("id,name,bio\n1,\\N,a\\Nb\n2,b,\\N\n", "x.csv") == (
        [{"id": 1, "bio": "a\\Nb"}, {"id": 2, "name": "b"}],
        {},
    )


@pytest.mark.parametrize(
    ("column", "written", "meant"),
    [
        ("id", "123.0", 123),
        ("id", " 123 ", 123),
        ("id", "-5.00", -5),
        ("verdict", " 1", 1),
        ("area", "222.0", 222),
        ("id", "007.0", "007.0"),
        ("id", "1.5", "1.5"),
        ("id", "v1.0", "v1.0"),
        ("id", "٣", "٣"),
        ("bio", "123.0", "123.0"),
    ],
)
def test_whole_numbers_are_read_however_pandas_writes_them(column: str, written: str, meant: str | int) -> None:
    assert read_number(column, written) == meant


@pytest.mark.parametrize("written", ["1.23457E+11", "1,23457E+11", "1e+16"])
def test_ids_that_a_spreadsheet_has_shortened_are_wrong(written: str) -> None:
    rows, wrong = read(f"id;name\n{written};a\n1E5;b\n12;c\n", "x.csv")
    assert rows == [{"id": "1E5", "name": "b"}, {"id": 12, "name": "c"}]
    assert wrong == {
        2: f"has the id {written!r}, of which a spreadsheet has left out digits; have it write ids as text"
    }


@pytest.mark.parametrize(("separator", "name"), [(",", "x.csv"), ("\t", "x.copy")])
def test_a_first_line_in_the_middle_is_no_record(separator: str, name: str) -> None:
    """`cat *.csv`, and columns that are named though the file names them too: somebody was called "id"."""
    content = "ID,name\n1,a\nID,Name\n2,b\n".replace(",", separator)
    fault = "holds the names of the columns, as a first line does"
    assert read(content, name) == ([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], {3: fault})
    assert read(content, name, Asked(columns=("id", "name")))[1] == {1: fault, 3: fault}
    assert read("id,name\nid,\nx,name\n", "x.csv")[1] == {}


@pytest.mark.parametrize(
    "content",
    [
        " id | name  \n----+-------\n  1 | ann   \n(1 row)\n",
        " id \n----\n  1\n",
        "+----+------+\n| id | name |\n+----+------+\n|  1 | ann  |\n",
    ],
)
def test_what_a_database_shows_to_people_is_refused(content: str) -> None:
    assert "have it written as CSV, with `psql --csv` or `COPY`" in refusal(content)


def test_without_names_of_columns_it_is_said_how_to_give_them() -> None:
    assert refusal("1,ann,x\n2,bob,y\n", "x.csv").endswith("give them with --columns.")
    assert "--columns" not in refusal("name,bio\nann,x\n", "x.csv")


def test_a_workbook_is_called_one() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("xl/worksheets/sheet1.xml", "<x/>")
    assert refusal(archive.getvalue(), "x.xlsx") == (
        "x.xlsx is a ZIP archive, as workbooks of spreadsheets are too (.xlsx): unpack it, or save it as CSV."
    )


def test_texts_that_seem_to_stand_for_nothing_are_named() -> None:
    """As SQL Server and `str` write it: it is read as a bio, and learned."""
    content = "id,name,bio\n" + "".join(f"{number},ann,{'NULL' if number % 3 else 'x'}\n" for number in range(90))
    assert opened(content, "x.csv").notes == [
        "`NULL` stands in 60 fields of the first 90 rows and is read as this text; where nothing is meant, have it "
        "written as an empty field"
    ]
    assert opened("id,name\n1,null\n2,ann\n", "x.csv").notes == []


def test_excel_says_what_separates() -> None:
    assert read("sep=;\nid;bio\n1;a,b\n2\n", "x.csv") == ([{"id": 1, "bio": "a,b"}], {4: "has 1 of 2 columns"})
    assert read("sep=|\r\nid|bio\r\n1|a\r\n") == ([{"id": 1, "bio": "a"}], {})
