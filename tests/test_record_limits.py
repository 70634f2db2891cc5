"""However a body is made, decoding it takes memory in proportion; too many records are refused before they are made."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sb_api import json_bodies
from sb_api.errors import MalformedBody, SbApiError, TooLarge
from sb_api.json_bodies import MOST_TIMES, decode_records
from sb_api.records import Editor, LabelledMessage
from tests.support import shapes

LIMIT = 1000
FREE_BYTES = 2**18
SIZE = 2**18


TOO_MANY = {name: make(SIZE) for name, make in shapes.TOO_MANY.items()}
FEW = {name: make(SIZE) for name, make in shapes.FEW.items()}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies of a quarter of a MiB stand for those of 32."""
    monkeypatch.setattr(json_bodies, "FREE_BYTES", FREE_BYTES)


@pytest.mark.parametrize("shape", [*TOO_MANY, *FEW])
def test_memory_is_a_small_multiple_of_the_body(shape: str) -> None:
    body = (TOO_MANY | FEW)[shape]
    peak = shapes.memory_of(body, LIMIT)
    assert peak <= FREE_BYTES + (MOST_TIMES + 1) * len(body)


@pytest.mark.parametrize("shape", TOO_MANY)
def test_too_many_records_are_too_many_whatever_they_are(shape: str) -> None:
    with pytest.raises(TooLarge):
        decode_records(TOO_MANY[shape], Editor, LIMIT)


@pytest.mark.parametrize("shape", ["numbers in a field", "arrays in a field", "ids in a field", "ids"])
def test_what_would_take_long_to_count_is_refused(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_bodies, "FREE_TOKENS", 20_000)
    with pytest.raises(TooLarge):
        decode_records(FEW[shape], Editor, 100)


def test_as_many_records_as_allowed_are_taken_however_small_they_are() -> None:
    limit = SIZE // 20
    body = b"[" + b",".join(b'{"id":%d}' % number for number in range(limit)) + b"]"
    assert len(decode_records(body, Editor, limit).sound) == limit
    with pytest.raises(TooLarge):
        decode_records(body, Editor, limit - 1)
    keyed = b"{" + b",".join(b'"a%d":{"id":%d}' % (number, number) for number in range(limit)) + b"}"
    assert len(decode_records(keyed, Editor, limit).sound) == limit
    with pytest.raises(TooLarge):
        decode_records(keyed, Editor, limit - 1)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": {"id": 1}, "a": {"id": 2}}',
        b'{"a": {"id": 1}, "\\u0061": {"id": 2}}',
        b' {"a" : {"id": 1, "x": [",", {"b": 1}]} , "b": {"id": 2}, "b": {"id": 3}}',
    ],
)
def test_one_key_for_two_records_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="several records"):
        decode_records(body, Editor, LIMIT)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": {"id": 1, "x": {"id": 2, "a": 1, "b": 2}}, "b": {"id": 3, "bio": "\\"id\\", \\"a\\": {"}}',
        b'{"id": {"id": 1, "x": ["id", "id"]}, "a\\"b": {"id": 2}, "a": {"id": 3}}',
        b'{"": {"id": 1, "x": "id", "y": {"id": []}}}',
    ],
)
def test_what_looks_like_a_second_key_is_none(body: bytes) -> None:
    assert not decode_records(body, Editor, LIMIT).errors


def test_nothing_about_records_takes_more_than_time_in_proportion() -> None:
    """Looked at in tokens, of which there are at most as many as bytes; counted, for a clock would say how busy the
    machine is."""
    for body in (FEW | TOO_MANY).values():
        ends = [match.span() for match in json_bodies._TOKEN.finditer(body[: 2**16])]
        assert all(first[1] <= second[0] for first, second in pairwise(ends))
    assert json_bodies._TOKEN.fullmatch(FEW["a string without end"], 1)  # one token, and no new attempt at each quote
    with pytest.raises(SbApiError):
        decode_records(FEW["a string without end"], LabelledMessage, LIMIT)
