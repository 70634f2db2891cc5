"""Bodies of about a given size that are small, and large once they are decoded: each by its shape."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import suppress

from sb_api.errors import SbApiError
from sb_api.json_bodies import decode_records
from sb_api.records import Editor

Shape = Callable[[int], bytes]


def _fill(start: bytes, item: bytes, end: bytes) -> Shape:
    """One item again and again."""
    return lambda size: start + b",".join([item] * (size // (len(item) + 1))) + end


def _many_keys(size: int) -> bytes:
    return b"{" + b",".join(b'"%x":{"id":%d}' % (number, number) for number in range(size // 24)) + b"}"


# More records than allowed, in ever other ways.
TOO_MANY: dict[str, Shape] = {
    "numbers": _fill(b"[", b"1", b"]"),
    "numbers after a record": _fill(b'[{"id":1},', b"1", b"]"),
    "empty arrays": _fill(b"[", b"[]", b"]"),
    "empty objects": _fill(b"[", b"{}", b"]"),
    "empty strings": _fill(b"[", b'""', b"]"),
    "small records": _fill(b"[", b'{"id":1}', b"]"),
    "escaped ids": _fill(b"[", b'{"\\u0069d":1}', b"]"),
    "one key": _fill(b"{", b'"a":{}', b"}"),
    "one key of numbers": _fill(b"{", b'"a":1', b"}"),
    "many keys": _many_keys,
}
# One record, or none.
FEW: dict[str, Shape] = {
    "numbers in a field": _fill(b'[{"id":1,"other":[', b"1", b"]}]"),
    "arrays in a field": _fill(b'[{"id":1,"other":[', b"[]", b"]}]"),
    "ids in a field": _fill(b'{"a":{"id":1,"other":[', b'{"id":1}', b"]}}"),
    "fields": _fill(b'[{"id":1,', b'"x":1', b"}]"),
    "ids": _fill(b'{"a":{', b'"id":1', b"}}"),
    "commas in a text": _fill(b'[{"id":1,"bio":"', b",", b'"}]'),
    "a string without end": lambda size: b'["' + b'\\"' * (size // 2),
    "brackets without end": lambda size: b"[" * size,
    "commas": lambda size: b"[" + b"," * size,
}


def memory_of(body: bytes, limit: int) -> int:
    """Bytes of memory that decoding a body takes at most, of so many records, or until it is refused."""
    tracemalloc.start()
    try:
        with suppress(SbApiError):
            decode_records(body, Editor, limit)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
