"""Labelled records of a file, all of them: to learn from, or to measure on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from sb_api.errors import InvalidRecords
from sb_api.readers.rows import Batch


def read_labelled(batches: Iterable[Batch], record: type[Any], name: str) -> list[Any]:
    """The records of the file `name`, as `record`.

    Raises InvalidRecords, naming the lines, when some are wrong.
    """
    decode = msgspec.json.Decoder(record).decode
    records: list[Any] = []
    errors: dict[str, dict[str, str]] = {}
    for batch in batches:
        for wrong in batch.wrong:
            errors[f"line {wrong.line}"] = {"field": wrong.field, "detail": wrong.detail}
        for row, line in zip(batch.rows, batch.lines, strict=True):
            try:
                records.append(decode(row))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                errors[f"line {line}"] = {"field": "", "detail": str(error)}
    if errors:
        first = "; ".join(f"{line}: {fault['detail']}" for line, fault in list(errors.items())[:5])
        verb = "line of {} is" if len(errors) == 1 else "lines of {} are"
        raise InvalidRecords(f"{len(errors)} {verb.format(name)} wrong: {first}.", errors=errors)
    return records
