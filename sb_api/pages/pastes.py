"""What moderators paste, as records: JSON, CSV, rows of a database dump (PostgreSQL COPY text), or lines of text."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from sb_api.errors import MalformedBody
from sb_api.readers.delimited import find_table, names_columns, read_table
from sb_api.readers.rows import RECORD_FIELDS, Fields
from sb_api.records import Editor, Message, Records, decode_records
from sb_api.text.pg_copy import COPY_HEADER, EDITOR_COLUMNS, END, read_number, read_text

EDITOR_FIELDS = RECORD_FIELDS
MESSAGE_FIELDS = Fields(RECORD_FIELDS.known, ("id", "text"))


def read_editors(text: str, limit: int) -> Records:
    """The editors of a paste, by the number of their row: JSON (one editor, an array, an object of editors, or one
    editor a line), CSV that begins with the names of its columns, or rows of a database dump, with or without their
    COPY line.

    Raises MalformedBody and TooLarge as `decode_records` does; wrong rows are listed in `errors`.
    """
    if text.lstrip()[:1] in ("{", "["):
        return _decode(_number_json(text), Editor, limit)
    is_csv = _is_csv(text, EDITOR_FIELDS)
    rows, faults = _read_csv(text, EDITOR_FIELDS) if is_csv else _read_copy(text)
    if not rows and faults and not is_csv and "\t" not in text:
        raise MalformedBody(
            "This is neither JSON, nor CSV whose first line names a column `id`, nor rows of a database dump, which "
            "have tabs between their columns; a terminal may have made spaces of them. The columns of those are "
            f"{', '.join(EDITOR_COLUMNS)}."
        )
    return _decode_rows(rows, faults, Editor, limit)


def read_messages(text: str, limit: int) -> Records:
    """The messages of a paste: JSON as for editors, CSV with columns `id` and `text`, or one text a line, of which
    equal ones are one. Raises as `read_editors` does."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _decode(_number_json(text), Message, limit)
        except MalformedBody:
            if text.lstrip()[0] == "{":
                raise
    if _is_csv(text, MESSAGE_FIELDS):
        return _decode_rows(*_read_csv(text, MESSAGE_FIELDS), Message, limit)
    rows: dict[str, dict[str, str]] = {}
    known = set()
    for number, line in enumerate(text.splitlines(), start=1):
        name = name_text(line.strip())
        if line.strip() and name not in known:
            known.add(name)
            rows[f"row {number}"] = {"id": name, "text": line.strip()}
    return _decode(msgspec.json.encode(rows) if rows else b"", Message, limit)


def name_text(text: str) -> str:
    """The id of a text that came without one: the same text has the same one in every paste, and no other has it."""
    return f"text {blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=6).hexdigest()}"


def _is_csv(text: str, fields: Fields) -> bool:
    return names_columns(text.lstrip().partition("\n")[0], fields)


def _read_csv(text: str, fields: Fields) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, str]]]:
    """The rows of CSV, and what is wrong with the others."""
    content = text.encode("utf-8", "replace")
    table = find_table(content, fields, (), "what was pasted")
    rows: dict[str, dict[str, Any]] = {}
    faults: dict[str, dict[str, str]] = {}
    for row in read_table(iter([content]), table, fields, table.begin):
        key = f"row {len(rows) + len(faults) + 1}"
        if row.fault:
            faults[key] = {"field": "", "detail": row.fault}
        elif row.fields is not None:
            rows[key] = row.fields
    return rows, faults


def _decode_rows(
    rows: dict[str, dict[str, Any]], faults: dict[str, dict[str, str]], record: type[Any], limit: int
) -> Records:
    """The records of rows; what is wrong with any, in the order of the rows."""
    if not rows and faults:
        return Records(errors=faults)
    records = _decode(msgspec.json.encode(rows) if rows else b"", record, limit)
    merged = records.errors | faults
    records.errors = {key: merged[key] for key in sorted(merged, key=lambda key: int(key.removeprefix("row ")))}
    return records


def _decode(body: bytes, kind: type[Any], limit: int) -> Records:
    """The records; what cannot be read is called by the name that the person who pasted it has for it."""
    try:
        return decode_records(body, kind, limit)
    except MalformedBody as error:
        raise MalformedBody(error.detail.replace("The body", "What was pasted", 1)) from error


def _number_json(text: str) -> bytes:
    """The same records under "row 1", "row 2", ...; those that came under keys keep them."""
    body = text.strip().encode("utf-8", "surrogatepass")
    try:
        decoded = msgspec.json.decode(body, type=dict[str, msgspec.Raw] | list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        lines = [line for line in body.splitlines() if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith(b"{") for line in lines):
            return body  # whoever decodes it says what is wrong with it
        decoded = [msgspec.Raw(line) for line in lines]
    if isinstance(decoded, dict):
        if any(not bytes(value).lstrip().startswith(b"{") for value in decoded.values()):
            return b'{"row 1":' + body + b"}"
        return body
    rows = [b'"row %d":%s' % (number, bytes(raw)) for number, raw in enumerate(decoded, start=1)]
    return b"{" + b",".join(rows) + b"}"


def _read_copy(text: str) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, str]]]:
    """The rows of COPY text, and what is wrong with the others."""
    columns: tuple[str, ...] = EDITOR_COLUMNS
    more_allowed = True
    rows: dict[str, dict[str, Any]] = {}
    faults: dict[str, dict[str, str]] = {}
    number = 0
    for line in text.replace("\r\n", "\n").split("\n"):
        if line == END.decode():
            break
        if not line.strip():
            continue
        if header := COPY_HEADER.fullmatch(line.strip()):
            columns, more_allowed = tuple(name.strip(' "') for name in header[1].split(",")), False
            continue
        number += 1
        values = line.split("\t")
        if len(values) < len(columns) or (len(values) > len(columns) and not more_allowed):
            detail = (
                f"has {len(values)} column{'s' if len(values) > 1 else ''} between tabs, {len(columns)} are needed: "
                f"{', '.join(columns)}. A terminal may have made spaces of the tabs"
            )
            faults[f"row {number}"] = {"field": "", "detail": detail}
            continue
        texts = [read_text(value.encode("utf-8", "replace"), "replace") for value in values[: len(columns)]]
        rows[f"row {number}"] = {
            name: read_number(name, text) for name, text in zip(columns, texts, strict=True) if text is not None
        }
    return rows, faults
