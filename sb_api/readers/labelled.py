"""Labelled records of a file: to learn from, or to measure on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from sb_api.errors import InvalidRecords
from sb_api.json_bodies import describe_fault
from sb_api.readers.rows import Batch, Fields, labelled_fields

# A name in quotation marks with a colon behind it is one of a member: within a text its marks would be escaped.
_VERDICT = re.compile(rb'("verdict"\s*+:\s*+)(?:"([01])(?:\.0)?"|([01])\.0)(?=\s*+[,}])')
_SHOWN = 5  # faults that are told of in the error itself


def with_whole_verdicts(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same batches, in which a verdict written as "1" or 1.0, as pandas writes numbers, is the number 1."""
    for batch in batches:
        batch.texts = batch.texts or batch.rows
        batch.rows = [_VERDICT.sub(rb"\1\2\3", row) for row in batch.rows]
        yield batch


def read_labelled(batches: Iterable[Batch], record: type[Any], name: str) -> list[Any]:
    """The records of the file `name`, as `record`.

    Raises InvalidRecords, naming the lines, when some are wrong.
    """
    decode = msgspec.json.Decoder(record).decode
    fields = labelled_fields(record)
    records: list[Any] = []
    errors: dict[str, dict[str, str]] = {}
    for batch in with_whole_verdicts(batches):
        for wrong in batch.wrong:
            errors[f"line {wrong.line}"] = {"field": wrong.field, "detail": wrong.detail}
        for row, line in zip(batch.rows, batch.lines, strict=True):
            try:
                records.append(decode(row))
            except msgspec.ValidationError as error:
                errors[f"line {line}"] = _describe(error, row, record, fields)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                errors[f"line {line}"] = {"field": "", "detail": str(error)}
    if errors:
        # Each fault with the first line that has it: mostly all lines have the same.
        first: dict[str, str] = {}
        for place, fault in errors.items():
            first.setdefault(f"`{fault['field']}`: {fault['detail']}" if fault["field"] else fault["detail"], place)
        told = "; ".join(f"{place}: {text}" for text, place in islice(first.items(), _SHOWN))
        verb = "line of {} is" if len(errors) == 1 else "lines of {} are"
        end = "" if told.endswith("?") else "."
        raise InvalidRecords(f"{len(errors)} {verb.format(name)} wrong: {told}{end}", errors=errors)
    return records


def _describe(error: msgspec.ValidationError, row: bytes, record: type[Any], fields: Fields) -> dict[str, str]:
    """The fault of a record; of a field that is missing, by what other name it may be there."""
    fault = describe_fault(error, record, row)
    name = fault["field"]
    if "missing required" not in fault["detail"]:
        return fault
    other = fields.meant_by(name, msgspec.json.decode(row, type=dict[str, msgspec.Raw]))
    if other is None:
        detail = "missing"
    elif other.casefold() == name:
        detail = f"missing; it is called `{other[:40]}`, but names of members are lower-case"
    else:
        detail = f"missing; did you mean it by `{other[:40]}`?"
    return {"field": name, "detail": detail}
