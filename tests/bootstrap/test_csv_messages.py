"""Reading labelled messages: whatever is in the file is either used or told by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb_api.bootstrap.csv_messages import Reading, clean_text, find_alike, group_near_duplicates, message_fields
from sb_api.bootstrap.csv_messages import read_messages as read_batches
from sb_api.errors import MalformedBody
from sb_api.readers.batches import Asked, open_records


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def read_messages(path: Path, intent_column: str = "intent", text_column: str = "query") -> Reading:
    with path.open("rb") as stream:
        records = open_records(stream, path.name, Asked(), message_fields(intent_column, text_column))
        return read_batches(records.batches(5), intent_column, text_column)


def test_every_line_is_used_or_told(tmp_path: Path) -> None:
    lines = [
        "intent,query",
        "refund,I want my money back",
        "refund,I WANT my money back!",
        "greeting,hello there",
        "greeting",
        ",no class",
        "refund,",
        "refund,?!",
        "greeting,who is it",
        "refund,who is it",
        "",
        f"refund,{'x' * 20_001}",
    ]
    reading = read_messages(write(tmp_path / "raw.csv", "\n".join(lines)))
    assert [(m.line, m.label, m.text) for m in reading.messages] == [
        (2, "refund", "I want my money back"),
        (4, "greeting", "hello there"),
    ]
    assert {fault.line: fault.reason for fault in reading.faults} == {
        3: "has the text of line 2",
        5: "has 1 of 2 columns",
        6: "names no class",
        7: "holds no text",
        8: "holds no text",
        9: "has a text that stands under greeting and refund",
        10: "has a text that stands under greeting and refund",
        11: "is empty",
        12: "holds more than 20000 characters",
    }


def test_a_message_over_several_lines_is_told_by_its_first(tmp_path: Path) -> None:
    reading = read_messages(write(tmp_path / "raw.csv", 'intent,query\na,"one\ntwo"\nb,\n'))
    assert [m.text for m in reading.messages] == ["one two"]
    assert [(fault.line, fault.reason) for fault in reading.faults] == [(4, "holds no text")]


def test_columns_can_be_named_and_separated_otherwise(tmp_path: Path) -> None:
    file = write(tmp_path / "raw.csv", "note;label;body\nx;a;one text\n")
    assert [(m.label, m.text) for m in read_messages(file, "label", "body").messages] == [("a", "one text")]


def test_messages_may_be_json(tmp_path: Path) -> None:
    file = write(tmp_path / "raw.jsonl", '{"intent": "a", "query": "one text"}\n[]\n{"intent": 7, "query": ["x"]}\nx\n')
    reading = read_messages(file)
    assert [(m.line, m.label, m.text) for m in reading.messages] == [(1, "a", "one text")]
    assert [(fault.line, fault.reason.partition(":")[0]) for fault in reading.faults] == [
        (2, "is no object"),
        (3, "holds something else than a text in query"),
        (4, "is not JSON"),
    ]


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(MalformedBody, match="no column `query`"):
        read_messages(write(tmp_path / "raw.csv", "intent,text\na,b\n"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    rows = "\n".join(
        f'a,"Die Bestellung Nr {n} für Björk und André ist nicht angekommen, schöne Grüße"' for n in range(9)
    )
    reading = read_messages(write(tmp_path / "raw.csv", f"intent,query\n{rows}", encoding))
    assert "für Björk und André" in reading.messages[0].text


def test_mojibake_white_space_and_personal_data_are_cleaned() -> None:
    assert clean_text("  schÃ¶n \t and\u00a0 joe@mail.example &amp; co ") == "schön and <email> & co"


def test_near_duplicates_are_one_group() -> None:
    texts = [
        "please cancel my order 123",
        "please cancel my order 456!",
        "please, cancel my ordr 9",
        "order my cancel please",
        "where is the nearest shop",
        "tell me a joke",
    ]
    groups = group_near_duplicates(texts).tolist()
    assert len(set(groups[:4])) == 1
    assert len({groups[0], *groups[4:]}) == 3


def test_no_text_is_no_group() -> None:
    assert group_near_duplicates([]).tolist() == []


def test_names_of_classes_are_as_one_writes_them(tmp_path: Path) -> None:
    rows = ["\ufeffcafe\u0301 ,one text", "caf\u00e9,another text", "  data\u00a0 question ,a third"]
    reading = read_messages(write(tmp_path / "raw.csv", "\n".join(["intent,query", *rows])))
    assert [m.label for m in reading.messages] == ["caf\u00e9", "caf\u00e9", "data question"]


def test_classes_that_look_alike_are_found_and_joined_if_asked_for(tmp_path: Path) -> None:
    assert find_alike({"Bug Report": 2, "bug_report": 5, "bug": 9, "\uff22ug-report": 1}) == [
        ["bug_report", "Bug Report", "\uff22ug-report"]
    ]
    file = write(tmp_path / "raw.csv", "intent,query\nRefund,one text\nrefund,one text\nbug,another text")
    assert [m.label for m in read_messages(file).messages] == ["bug"]
    with file.open("rb") as stream:
        records = open_records(stream, file.name, Asked(), message_fields("intent", "query"))
        joined = read_batches(records.batches(5), join={"refund": 3})
    assert [(m.label, m.text) for m in joined.messages] == [("refund", "one text"), ("bug", "another text")]


def test_what_fits_no_class_may_be_told_so(tmp_path: Path) -> None:
    file = write(
        tmp_path / "raw.csv",
        "intent,query\nrefund,one text\noos,another text\noos,a third\nrefund,a third\nno class,a 4th",
    )
    with file.open("rb") as stream:
        records = open_records(stream, file.name, Asked(), message_fields("intent", "query"))
        reading = read_batches(records.batches(5), no_class="oos")
    assert [(m.label, m.text) for m in reading.messages] == [
        ("refund", "one text"),
        ("", "another text"),
        ("", "a 4th"),
    ]
    assert {fault.reason for fault in reading.faults} == {"has a text that stands under no class and refund"}


def test_of_many_classes_of_one_text_some_are_named(tmp_path: Path) -> None:
    """With columns swapped, each of n lines named n classes."""
    content = "query,intent\n" + "".join(f"refund,please give it back for {number}\n" for number in range(500))
    reading = read_messages(write(tmp_path / "raw.csv", content))
    (reason,) = {fault.reason for fault in reading.faults}
    assert reason.endswith(" and 497 others")
    assert len(reason) < 200
