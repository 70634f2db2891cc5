"""What clients send is decoded and checked in one pass; whatever is wrong is named by its record and field."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb_api.errors import InvalidRecords, MalformedBody, SbApiError, TooLarge
from sb_api.json_bodies import LONG_RECORD, MOST_IGNORED, Records, decode_records
from sb_api.records import Editor, LabelledMessage, LabelledSentiment, Verdict, decode_payload, encode_payload

DATES = ("birth_date", "member_since", "email_confirm_date", "last_updated", "last_login_date")
LIMIT = 100

EDITOR: dict[str, Any] = {
    "id": 1834923,
    "name": "someone",
    "email": "someone@example.com",
    "website": "https://example.com/",
    "bio": "I edit.",
    "area": 222,
    "privs": 1,
    "gender": 2,
    "birth_date": "1980-02-29",
    "member_since": "2000-07-05T14:22:08",
    "email_confirm_date": "2000-07-05T14:30:00+02:00",
    "last_updated": "2000-07-05T14:30:00.123456Z",
    "last_login_date": "2017-11-20 01:02:03",
}


def decode(value: Any, kind: type[Editor] = Editor, limit: int = LIMIT) -> Records:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return decode_records(body, kind, limit)


def fault(record: Any, kind: type[Editor] = Editor) -> dict[str, str]:
    """What is said of the one record of a request, which must be wrong."""
    records = decode({"key": record}, kind)
    assert records.sound == {}
    assert records.errors.keys() == {"key"}
    assert records.errors["key"].keys() == {"field", "detail"}
    assert records.errors["key"]["detail"]
    with pytest.raises(InvalidRecords) as caught:
        records.all_sound()
    assert "'key'" in caught.value.detail
    assert records.errors["key"]["field"] in caught.value.detail
    assert caught.value.problem()["errors"] == records.errors
    return records.errors["key"]


def test_every_field_of_an_editor_arrives() -> None:
    (editor,) = decode([EDITOR]).all_sound()
    assert msgspec.to_builtins(editor) == EDITOR


def test_a_verdict_is_an_editor_with_verdict_and_reporter() -> None:
    (verdict,) = decode([{**EDITOR, "verdict": 1, "reporter": "mod"}], Verdict).all_sound()
    assert isinstance(verdict, Editor)
    assert msgspec.to_builtins(verdict) == {**EDITOR, "verdict": 1, "reporter": "mod"}
    assert decode([{"id": 1, "verdict": 0}], Verdict).all_sound()[0].verdict == 0


def test_an_object_and_an_array_of_records_are_the_same() -> None:
    """A list's keys are its positions."""
    editors = [{"id": 5}, {"id": "x"}, {"id": 7}]
    by_key = decode(dict(zip("012", editors, strict=True)))
    assert decode(editors) == by_key
    assert list(by_key.sound) == ["0", "1", "2"]


def test_the_keys_and_the_order_of_an_object_are_kept() -> None:
    records = decode({"z": {"id": 1}, "": {"id": 2}, "ключ": {"id": 3}})
    assert list(records.sound) == ["z", "", "ключ"]
    assert [editor.id for editor in records.all_sound()] == [1, 2, 3]


@pytest.mark.parametrize("name", [name for name in EDITOR if name != "id"])
def test_null_empty_and_absent_are_taken_and_mean_the_same_to_the_classifier(name: str) -> None:
    """Field by field; test_preprocessing.py shows that all three give the same numbers."""
    absent = {key: value for key, value in EDITOR.items() if key != name}
    for record in (absent, {**absent, name: None}, {**absent, name: ""}):
        (editor,) = decode([record]).all_sound()
        assert not getattr(editor, name)


@pytest.mark.parametrize("name", ["area", "gender"])
def test_area_and_gender_may_be_numbers_or_names(name: str) -> None:
    for value in (0, 222, "Germany", "female"):
        assert getattr(decode([{"id": 1, name: value}]).all_sound()[0], name) == value


@pytest.mark.parametrize("value", [0, -1, 2**63 - 1, -(2**63), "1", "a" * 255, "ключ", " "])
def test_an_id_is_an_integer_or_a_string(value: object) -> None:
    assert decode([{"id": value}]).all_sound()[0].id == value


def test_unknown_keys_are_ignored_whatever_they_hold() -> None:
    unknown = {"Name": "x", "nested": {"a": [1, {"b": None}]}, "number": 1e300, "Id": 4, "__class__": "x", "verdict": 9}
    records = decode([{"id": 1, **unknown}])
    assert records.sound == decode([{"id": 1}]).sound
    assert not records.errors
    assert set(records.ignored) == set(unknown)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("webiste", "website"), ("Email", "email"), ("member_sinse", "member_since"), ("karma", None), ("ключ", None)],
)
def test_an_unknown_member_is_named_with_the_field_most_like_it(name: str, meant: str | None) -> None:
    for body in ([{"id": 1, name: "x"}], {"a": {"id": 1}, "b": {"id": 2, name: {"nested": []}}}, {"id": 1, name: 5}):
        assert decode(body).ignored == {name: meant}
    assert decode([{"id": 1, "website": None}]).ignored == {}


def test_unknown_members_of_wrong_records_are_named_too() -> None:
    """`Id` is why `id` is missing."""
    records = decode([{"Id": 1}, {"id": 2, "bio": 5, "boi": ""}, "no record"])
    assert records.ignored == {"Id": "id", "boi": "bio"}
    with pytest.raises(InvalidRecords) as caught:
        records.all_sound()
    assert caught.value.problem()["ignored"] == records.ignored


def test_of_very_many_unknown_members_some_are_named() -> None:
    many = {f"member {number}": number for number in range(1000)}
    assert len(decode([{"id": 1, **many}]).ignored) == MOST_IGNORED
    long = decode([{"id": 1, "bio": "x" * LONG_RECORD, **many}])
    assert list(long.ignored) == ["member 0"]
    assert len(long.sound) == 1
    (name,) = decode([{"id": 1, "x" * 1000: 1}]).ignored
    assert len(name) == 255


@pytest.mark.parametrize("kind", [Editor, Verdict])
def test_one_record_needs_no_list_around_it(kind: type[Editor]) -> None:
    record = {**EDITOR, "verdict": 1} if kind is Verdict else EDITOR
    assert decode(record, kind) == decode([record], kind)
    assert decode({"bio": "x"}).errors == decode([{"bio": "x"}]).errors
    (wrong,) = decode({"id": 1, "privs": "all"}).errors.values()
    assert wrong["field"] == "privs"
    # Which of the two an object is that holds an object is never guessed.
    assert list(decode({"id": {"id": 1}, "name": {"id": 2}}).sound) == ["id", "name"]
    assert decode({"0": {"id": 1}, "id": 5}).errors.keys() == {"id"}


@pytest.mark.parametrize("body", [b'[{"id":1,"x":1e400}]', b'[{"id":1,"x":' + b"9" * 400 + b"}]"])
def test_numbers_past_all_bounds_do_not_matter_under_unknown_keys(body: bytes) -> None:
    records = decode(body)
    assert records.sound == decode([{"id": 1}]).sound
    assert records.ignored == {"x": None}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[{",
        b'{"0": {"id": 1}',
        b"id=1",
        b"<xml/>",
        b"'id'",
        b'[{"id": 1}] and more',
        b'[{"id": 1,}]',
        b'[{"id": 01}]',
        b'[{"id": 1, "bio": "\x01"}]',
        b'[{"id": 1, "bio": "\\x"}]',
        b'[{"id": NaN}]',
        b'[{"id": 1, "unknown": NaN}]',
        b'[{"id": 1, "area": Infinity}]',
        b'[{"id": 1, "unknown": -Infinity}]',
        b'[{"id": 1, "bio": "\xff"}]',
        b'[{"id": 1, "bio": "\xed\xa0\x80"}]',
        b'[{"id": 1, "bio": "\\ud800"}]',
        b'[{"id": 1, "bio": "\\ud800 and on"}]',
        b'[{"id": 1, "bio": "\\udc00"}]',
        b'{"\\ud800": {"id": 1}}',
        '[{"id": 1}]'.encode("utf-16"),
        b"\x00",
        b"\x1f\x8b\x08\x00",
    ],
)
def test_what_is_no_json_in_utf_8_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="not valid JSON"):
        decode(body)


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t "])
def test_an_empty_body_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="empty"):
        decode(body)


@pytest.mark.parametrize("body", ["[]", "{}", " [ ] "])
def test_a_body_without_records_is_refused(body: str) -> None:
    with pytest.raises(MalformedBody, match="no record"):
        decode(body.encode())


@pytest.mark.parametrize("body", ["null", "true", "0", "1.5", '"id"', '"[]"'])
def test_a_body_that_is_no_object_or_array_is_refused(body: str) -> None:
    with pytest.raises(MalformedBody, match="object or array"):
        decode(body.encode())


DEEP = 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'[{"id":1,"bio":' + b"[" * DEEP + b"]" * DEEP + b"}]",
        b'[{"id":1,"unknown":' + b"[" * DEEP + b"]" * DEEP + b"}]",
        b'[{"id":1,"unknown":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}]",
        b'[{"id":true},{"id":1,"unknown":' + b"[" * DEEP + b"]" * DEEP + b"}]",
    ],
)
def test_nesting_without_end_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="nested too deeply"):
        decode(body)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "null"),
        (True, "bool"),
        (False, "bool"),
        (1.5, "float"),
        (1.0, "float"),
        (2**63, "int"),
        (-(2**63) - 1, "int"),
        (10**400, "int"),
        ("", "length"),
        ("a" * 256, "length"),
        ([1], "array"),
        ({"id": 1}, "object"),
    ],
)
def test_an_id_of_another_kind_is_named(value: object, said: str) -> None:
    found = fault({"id": value})
    assert found["field"] == "id"
    assert said in found["detail"]


def test_a_missing_id_is_named() -> None:
    found = fault({"email": "a@example.com"})
    assert found["field"] == "id"
    assert "missing" in found["detail"]


@pytest.mark.parametrize("name", ["name", "email", "website", "bio", *DATES])
@pytest.mark.parametrize("value", [1, True, 1.5, ["x"], {"x": 1}])
def test_a_text_that_is_none_is_named(name: str, value: object) -> None:
    found = fault({"id": 1, name: value})
    assert found["field"] == name
    assert "Expected `str | null`" in found["detail"]


@pytest.mark.parametrize("name", ["area", "gender", "privs"])
@pytest.mark.parametrize("value", [True, 1.5, ["x"], {"x": 1}, 10**400])
def test_a_number_that_is_none_is_named(name: str, value: object) -> None:
    assert fault({"id": 1, name: value})["field"] == name


def test_privs_in_words_are_named() -> None:
    wrong = fault({"id": 1, "privs": "admin"})
    assert wrong == {
        "field": "privs",
        "detail": "Invalid enum value 'admin': it may be a whole number, \"\" or null",
    }


@pytest.mark.parametrize("name", DATES)
@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "2000-13-01",
        "2001-02-29",
        "2000-07-05T25:00:00",
        "2000-07-05T14:22:61",
        "05.07.2000",
        "0000-01-01",
        "10000-01-01",
        "2000-07-05T14:22:08+25:00",
        "\x00",
        "2000-07-05 and a lot of other text " * 1000,
        "२०००-०७-०५",
    ],
)
def test_a_date_that_is_none_is_named(name: str, value: str) -> None:
    found = fault({"id": 1, name: value})
    assert found["field"] == name
    assert "ISO 8601" in found["detail"]
    assert len(found["detail"]) < 200


def test_a_birth_date_may_lie_before_christ() -> None:
    """As PostgreSQL writes it; its presence is all that counts. Of other dates it would be nonsense."""
    assert decode([{"id": 1, "birth_date": "0044-03-15 BC"}]).sound["0"].birth_date == "0044-03-15 BC"
    wrong = {"1": "0044-03-15 AD", "2": " BC", "3": "never BC"}
    for value in wrong.values():
        assert decode([{"id": 1, "birth_date": value}]).errors["0"]["field"] == "birth_date"
    assert (
        decode([{"id": 1, "birth_date": "0044-03-15 BC", "member_since": "x"}]).errors["0"]["field"] == "member_since"
    )
    assert decode([{"id": 1, "member_since": "0044-03-15 BC"}]).errors["0"]["field"] == "member_since"


@pytest.mark.parametrize(
    "value",
    [
        "2000-07-05",
        "20000705",
        "2000-07-05T14:22",
        "2000-07-05T14:22:08",
        "2000-07-05T14:22:08.5",
        "2000-07-05T14:22:08Z",
        "2000-07-05T14:22:08-03:30",
        "2000-07-05 14:22:08.123456+00",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59.999999-23:59",
    ],
)
def test_iso_dates_are_taken_with_or_without_time_and_zone(value: str) -> None:
    assert decode([{"id": 1, "member_since": value}]).all_sound()[0].member_since == value


@pytest.mark.parametrize("value", [2, -1, 10**400, True, None, "1", "spam", 1.0, [1]])
def test_a_verdict_that_is_neither_0_nor_1_is_named(value: object) -> None:
    assert fault({"id": 1, "verdict": value}, Verdict)["field"] == "verdict"


def test_a_missing_verdict_is_named() -> None:
    assert fault({"id": 1}, Verdict)["field"] == "verdict"


def test_a_verdict_is_checked_like_an_editor() -> None:
    assert fault({"id": 1, "verdict": 1, "last_updated": "x"}, Verdict)["field"] == "last_updated"
    assert fault({"id": 1, "verdict": 1, "reporter": "m" * 256}, Verdict)["field"] == "reporter"


@pytest.mark.parametrize("field", ["id", "reporter"])
@pytest.mark.parametrize(
    ("record", "kind"),
    [({"id": 1, "verdict": 1}, Verdict), ({"id": 1, "text": "x", "intent": "bug report"}, LabelledMessage)],
)
def test_a_verdict_that_no_database_takes_is_named(field: str, record: dict[str, object], kind: type) -> None:
    """PostgreSQL takes no U+0000: it was 503 for ever."""
    assert fault({**record, field: "a\0b"}, kind)["field"] == field


@pytest.mark.parametrize(("kind", "field"), [(LabelledMessage, "intent"), (LabelledSentiment, "sentiment")])
def test_no_class_is_told_by_null_or_by_its_name(kind: type, field: str) -> None:
    """A CSV file has no null."""
    for said, label in ((None, None), ("no class", None), ("No class", "No class"), ("spam", "spam")):
        assert msgspec.json.decode(msgspec.json.encode({"id": 1, "text": "x", field: said}), type=kind).label == label


@pytest.mark.parametrize("record", [None, 1, "id", True, [], [1, 2]])
def test_a_record_that_is_no_object_is_named(record: object) -> None:
    assert "Expected `object`" in fault(record)["detail"]


@pytest.mark.parametrize("same", [(1, 1), (1, "1"), ("1", 1), ("x", "x"), (-5, "-5")])
def test_two_records_with_one_id_are_an_error(same: tuple[object, object]) -> None:
    """1 and "1" are one id: the answer is keyed by its text."""
    records = decode({"a": {"id": same[0]}, "b": {"id": 2}, "c": {"id": same[1]}})
    assert list(records.sound) == ["a", "b"]
    assert records.errors.keys() == {"c"}
    assert records.errors["c"]["field"] == "id"
    assert "'a'" in records.errors["c"]["detail"]


@pytest.mark.parametrize("wrong", [b"", b', "c": {"id": 1.5}'])
def test_two_records_under_one_key_are_an_error(wrong: bytes) -> None:
    """Decoding alone would keep the last of them, and the other would go unjudged without a word."""
    body = b'{"a": {"id": 1}, "b": {"id": 2}, "a": {"id": 3}%s}' % wrong
    with pytest.raises(MalformedBody, match="'a' stands for several records"):
        decode_records(body, Editor, 10)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": {"id": 1, "other": {"id": 2, "id": 3}}, "b": {"id": 2}}',
        b'[{"id": 1, "other": [{"id": 2}]}]',
        b'{"a": {"id": 1, "id": %s, "other": %s}}' % (b"2", b"9" * 6_000),
        b'{"a": {"id": 1, "bio": "\\"id\\" \\"id\\""}}',
    ],
)
def test_keys_inside_a_record_may_be_repeated(body: bytes) -> None:
    assert not decode_records(body, Editor, 10).errors


def test_bytes_that_are_no_text_in_a_member_of_no_use_are_told_where_keys_are_looked_at() -> None:
    with pytest.raises(MalformedBody, match="not valid JSON in UTF-8"):
        decode_records(b'{"a": {"id": 1, "id": 2, "other": "\xf8"}}', Editor, 10)


def test_every_wrong_record_is_listed_and_the_sound_ones_are_kept() -> None:
    records = decode(
        {
            "good": {"id": 1},
            "date": {"id": 2, "birth_date": "x"},
            "type": {"id": 3, "bio": 5},
            "none": 7,
            "no id": {},
            "fine": {"id": "4"},
            "twice": {"id": 4},
        }
    )
    assert {key: found["field"] for key, found in records.errors.items()} == {
        "date": "birth_date",
        "type": "bio",
        "none": "",
        "no id": "id",
        "twice": "id",
    }
    assert [editor.id for editor in records.sound.values()] == [1, "4"]
    with pytest.raises(InvalidRecords, match=r"5 of 7 records are wrong.*'date' \(birth_date\)") as caught:
        records.all_sound()
    assert caught.value.problem()["errors"] == records.errors
    assert caught.value.status == 422


def test_the_text_of_an_error_stays_short_however_many_records_are_wrong() -> None:
    with pytest.raises(InvalidRecords, match="and 95 more") as caught:
        decode([{} for _ in range(LIMIT)]).all_sound()
    assert len(caught.value.detail) < 500
    assert len(caught.value.problem()["errors"]) == LIMIT


@pytest.mark.parametrize("wrong", [False, True])
def test_more_records_than_allowed_are_too_many(wrong: bool) -> None:
    editors: list[dict[str, Any]] = [{"id": number} for number in range(LIMIT + 1)]
    assert len(decode(editors[:-1]).sound) == LIMIT
    if wrong:
        editors[3] = {}
    for body in (editors, {str(number): editor for number, editor in enumerate(editors)}):
        with pytest.raises(TooLarge, match="101 records are more than the 100"):
            decode(body)


def test_a_text_of_a_million_characters_is_no_error() -> None:
    """How much a request may hold is for `max_body_bytes` to say."""
    assert len(decode([{"id": 1, "bio": "é" * 10**6}]).all_sound()[0].bio) == 10**6


def test_all_sound_gives_the_records_in_order() -> None:
    assert [editor.id for editor in decode([{"id": number} for number in range(5, 0, -1)]).all_sound()] == [
        5,
        4,
        3,
        2,
        1,
    ]


# The way through the queue

texts = st.text(max_size=20)
numbers = st.integers(-(2**63), 2**63 - 1)
dates = st.sampled_from(["", "2000-07-05T14:22:08", "1999-12-31", "2020-02-29T00:00:00+05:30"])
editors = st.builds(
    Editor,
    id=numbers | st.text(min_size=1, max_size=20),
    **{name: st.none() | texts for name in ("email", "website", "bio")},
    **{name: st.none() | numbers | texts for name in ("area", "gender")},
    privs=st.none() | numbers | st.just(""),
    **{name: st.none() | dates for name in DATES},
)


@given(st.lists(editors, max_size=4))
def test_records_come_out_of_the_queue_as_they_went_in(records: list[Editor]) -> None:
    assert decode_payload(encode_payload(records), list[Editor]) == records


def test_verdicts_come_out_of_the_queue_as_they_went_in() -> None:
    verdicts = decode([{**EDITOR, "verdict": 1, "reporter": "mod"}, {"id": "2", "verdict": 0}], Verdict).all_sound()
    assert decode_payload(encode_payload(verdicts), list[Verdict]) == verdicts


@given(
    st.recursive(
        st.none() | st.booleans() | numbers | texts | st.binary(),
        lambda x: st.lists(x) | st.dictionaries(texts, x),
        max_leaves=8,
    )
)
def test_plain_data_comes_out_of_the_queue_as_it_went_in(value: object) -> None:
    assert decode_payload(encode_payload(value)) == value


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"\x81", encode_payload([{"id": 1, "bio": 5}]), encode_payload({"id": 1})]
)
def test_a_payload_of_something_else_is_refused(payload: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_payload(payload, list[Editor])


# Whatever comes in

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda value: (
        st.lists(value, max_size=4) | st.dictionaries(st.sampled_from([*EDITOR, "verdict", "x"]) | texts, value)
    ),
    max_leaves=20,
)
near_records = st.dictionaries(
    st.sampled_from([*EDITOR, "verdict", "reporter"]),
    st.sampled_from([*EDITOR.values(), 0, 1, "", None, True]) | texts | json_values,
)


def judge(body: bytes, kind: type[Editor]) -> None:
    """Decode, and see that what comes of it is sound records or an error of the client's."""
    error: SbApiError | None = None
    try:
        records = decode_records(body, kind, LIMIT)
        records.all_sound()
    except InvalidRecords as caught:
        error = caught
    except SbApiError as caught:
        error, records = caught, Records()
    if error:
        assert 400 <= error.status < 500
        json.dumps(error.problem())
    assert error or records.sound
    assert not records.sound.keys() & records.errors.keys()
    assert all(isinstance(record, kind) for record in records.sound.values())
    ids = [str(record.id) for record in records.sound.values()]
    assert len(set(ids)) == len(ids)
    sound = list(records.sound.values())
    assert decode_payload(encode_payload(sound), list[kind]) == sound  # type: ignore[valid-type]


@given(json_values, st.sampled_from([Editor, Verdict]))
def test_no_json_raises_anything_but_our_own_errors(value: object, kind: type[Editor]) -> None:
    judge(json.dumps(value).encode("utf-8", "surrogatepass"), kind)


@given(
    st.lists(near_records, max_size=4) | st.dictionaries(texts, near_records, max_size=4),
    st.sampled_from([Editor, Verdict]),
)
def test_nothing_like_records_raises_anything_but_our_own_errors(value: object, kind: type[Editor]) -> None:
    judge(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"), kind)


@given(st.binary(max_size=60), st.sampled_from([b"", b'[{"id":1,"bio":"', b'[{"id":']))
def test_no_bytes_raise_anything_but_our_own_errors(body: bytes, start: bytes) -> None:
    judge(start + body, Editor)


@pytest.mark.parametrize("blank", [" ", "\t\n ", "\u3000", "\xa0"])
@pytest.mark.parametrize("name", ["name", "email", "website", "bio", "area", "gender", *DATES])
def test_a_blank_field_is_an_absent_one(name: str, blank: str) -> None:
    others = {key: value for key, value in EDITOR.items() if key != name}
    for kind, more in ((Editor, {}), (Verdict, {"verdict": 1})):
        (found,) = decode([{**others, **more, name: blank}], kind).all_sound()
        assert found == decode([{**others, **more}], kind).all_sound()[0]


def test_all_fields_may_be_blank_and_a_wrong_date_beside_them_is_named() -> None:
    blank = dict.fromkeys((name for name in EDITOR if name not in ("id", "privs")), " ")
    (found,) = decode([{"id": 1, **blank}]).all_sound()
    assert found == Editor(id=1)
    assert fault({"id": 1, **blank, "last_updated": "yesterday"})["field"] == "last_updated"
