"""Any number of records in batches, and several batches under way at a time, in bounded memory."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from sb_api.errors import InvalidParameter

ROWS = 2_000  # records in one request of many
IN_FLIGHT = 4

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T], in_flight: int) -> Iterator[R]:
    """`function` of each item, in threads, in order; takes no more items than twice those in flight ahead.

    When there are no more items because of an error, it is raised after the results of those before.
    """
    waiting: deque[Future[R]] = deque()
    source = iter(items)
    failure: Exception | None = None
    with ThreadPoolExecutor(in_flight, thread_name_prefix="sb_api client") as pool:
        try:
            while failure is None:
                try:
                    waiting.append(pool.submit(function, next(source)))
                except StopIteration:
                    break
                except Exception as error:
                    failure = error
                else:
                    if len(waiting) >= 2 * in_flight:
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
    if failure is not None:
        raise failure


def check_sizes(rows: int, in_flight: int) -> None:
    """Raises InvalidParameter for sizes with which nothing would be done."""
    if rows < 1 or in_flight < 1:
        raise InvalidParameter(f"rows={rows}, in_flight={in_flight}: each must be at least 1.")


class Unencodable(bytes):
    """In the place of a record that has no JSON; the bytes say why."""


def _plain(value: Any) -> Any:
    """A number or text of numpy as Python has it. Raises TypeError for what is none."""
    if hasattr(value, "dtype") and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"holds a value of the type {type(value).__name__}, which JSON does not have")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


def _row(record: Any) -> bytes:
    if isinstance(record, bytes):
        return record
    try:
        return _encode(record)
    except RecursionError:
        return Unencodable(b"is nested too deeply, or holds itself")
    except UnicodeEncodeError:
        return Unencodable(b"holds half a character, which UTF-8 cannot write")
    except (TypeError, ValueError, OverflowError) as error:
        return Unencodable(str(error).encode("utf-8", "replace"))


def batches(records: Iterable[Any], rows: int) -> Iterator[list[bytes]]:
    """The JSON of the records, at most `rows` at a time."""
    rest = iter(records)
    while batch := [_row(record) for record in itertools.islice(rest, rows)]:
        yield batch


async def async_batches(records: Iterable[Any] | AsyncIterable[Any], rows: int) -> AsyncIterator[list[bytes]]:
    """As `batches`, of an iterable of either kind."""
    if not isinstance(records, AsyncIterable):
        for some in batches(records, rows):
            yield some
        return
    batch: list[bytes] = []
    async for record in records:
        batch.append(_row(record))
        if len(batch) == rows:
            yield batch
            batch = []
    if batch:
        yield batch
