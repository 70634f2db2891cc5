"""Labelled files are read as most are written; what is wrong with labels is told so that it can be mended."""

from __future__ import annotations

import io
import json

import pytest

from sb_api.errors import InvalidRecords, MalformedBody
from sb_api.readers.batches import open_records
from sb_api.readers.labelled import read_labelled, with_whole_verdicts
from sb_api.readers.rows import labelled_fields
from sb_api.records import LabelledMessage, Verdict


def read(content: str, name: str, record: type = Verdict) -> list[Verdict]:
    file = open_records(io.BytesIO(content.encode()), name, fields=labelled_fields(record))
    return read_labelled(file.batches(100), record, name)


def refusal(content: str, name: str, record: type = Verdict) -> str:
    with pytest.raises((InvalidRecords, MalformedBody)) as caught:
        read(content, name, record)
    return caught.value.detail


@pytest.mark.parametrize("written", ["1", "1.0", '"1"', '"1.0"'])
@pytest.mark.parametrize("form", ['{"id": 7, "verdict": %s}', '{"verdict":%s,"id":7}', '[{"id": 7, "verdict" : %s }]'])
def test_a_verdict_may_be_a_whole_number_in_any_form(written: str, form: str) -> None:
    name = "file.json" if form.startswith("[") else "file.jsonl"
    assert [(one.id, one.verdict) for one in read(form % written, name)] == [(7, 1)]
    assert [one.verdict for one in read(f"id,verdict\n7,{written}\n8,0.0\n", "file.csv")] == [1, 0]


def test_a_text_about_verdicts_and_numbers_stay_as_they_are() -> None:
    row = json.dumps({"id": 1, "bio": '"verdict": "1", {"verdict": 1.0}', "privs": 1, "verdict": 0})
    (batch,) = with_whole_verdicts(open_records(io.BytesIO(row.encode()), "file.jsonl").batches(10))
    assert (batch.rows, batch.texts) == ([row.encode()], [row.encode()])


@pytest.mark.parametrize("wrong", ['"spam"', "true", "1.5", "10", "null", '"WAHR"', '"11"'])
def test_a_wrong_verdict_is_shown_once_with_what_it_may_be(wrong: str) -> None:
    content = "".join(f'{{"id": {number}, "verdict": {wrong}}}\n' for number in range(300))
    told = f"300 lines of file.jsonl are wrong: line 1: `verdict`: must be 1 (spam) or 0 (not spam), not {wrong}."
    assert refusal(content, "file.jsonl") == told


@pytest.mark.parametrize("called", ["label", "is_spam", "Verdikt"])
def test_a_label_of_another_name_is_asked_about_once(called: str) -> None:
    table = refusal(f"id,bio,{called}\n1,x,1\n2,y,0\n", "file.csv")
    asked = f"Did you mean `verdict` by `{called}`?"
    assert table == f"The first line of file.csv names no column `verdict`; it has id, bio, {called}. {asked}"
    lines = refusal("".join(f'{{"id": {number}, "{called}": 1}}\n' for number in range(300)), "file.jsonl")
    asked = f"missing; did you mean it by `{called}`?"
    assert lines == f"300 lines of file.jsonl are wrong: line 1: `verdict`: {asked}"


def test_a_note_asks_about_it_too_unless_the_label_is_there() -> None:
    """`sb-api train` sends rows of JSON as they are, and says no more of the file itself."""

    def notes(row: str) -> list[str]:
        file = open_records(io.BytesIO(row.encode()), "file.jsonl", fields=labelled_fields(Verdict))
        return [note for batch in file.batches(10) for note in batch.notes]

    told = "`label` is no field of a record and is not used"
    assert notes('{"id": 1, "label": 1}') == [f"{told}: did you mean `verdict`?"]
    assert notes('{"id": 1, "label": 1, "verdict": 1}') == [told]


def test_the_class_of_a_message_is_asked_about_by_its_name() -> None:
    told = refusal("id,text,category\n1,it crashes,bug\n", "file.csv", LabelledMessage)
    assert told.endswith("Did you mean `intent` by `category`?")


def test_members_in_capitals_are_named_and_columns_are_read() -> None:
    told = refusal('{"ID": 1, "VERDICT": 1}\n' * 2, "file.jsonl")
    called = "missing; it is called `ID`, but names of members are lower-case."
    assert told == f"2 lines of file.jsonl are wrong: line 1: `id`: {called}"
    assert [one.verdict for one in read("ID,VERDICT\n1,1\n", "file.csv")] == [1]
