"""What moderators paste, as records: JSON, CSV, rows of a database dump (PostgreSQL COPY text), or lines of text."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

import msgspec

from sb_api.errors import MalformedBody, TooLarge, nearest
from sb_api.json_bodies import MOST_IGNORED, Records, decode_records, scan
from sb_api.readers.delimited import find_table, lacks_columns, names_columns, read_copy, read_table
from sb_api.readers.rows import RECORD_FIELDS, Fields
from sb_api.records import Editor, Message
from sb_api.text.pg_copy import COPY_HEADER, EDITOR_COLUMNS, END, read_number, read_text

EDITOR_FIELDS = RECORD_FIELDS
BYTE_ORDER_MARK = "\ufeff"  # programs write it before a text, browsers leave it in what is pasted
_BYTE = re.compile(r" \(byte (\d+)\)")
MOST_TOKENS = 2_000_000  # strings, brackets and commas of a paste that are counted
MESSAGE_FIELDS = Fields(RECORD_FIELDS.known, ("id", "text"))


def read_editors(text: str, limit: int) -> Records:
    """The editors of a paste, by their line, in an array by their row: JSON (one editor, an array, an object of
    editors, or one editor after the other), CSV that begins with the names of its columns, or rows of a database dump,
    with or without their COPY line.

    Raises MalformedBody and TooLarge as `decode_records` does; wrong rows are listed in `errors`.
    """
    text = text.removeprefix(BYTE_ORDER_MARK)
    if text.lstrip()[:1] in ("{", "["):
        return _decode_json(text, Editor, limit)
    if _is_csv(text, EDITOR_FIELDS) or lacks_columns(_first_line(text), EDITOR_FIELDS):
        return _decode_csv(text, EDITOR_FIELDS, Editor, limit)
    rows, faults = _read_copy(text)
    if not rows and faults and "\t" not in text:
        raise MalformedBody(
            "This is neither JSON, nor CSV whose first line names a column `id`, nor rows of a database dump, which "
            "have tabs between their columns; a terminal may have made spaces of them. The columns of those are "
            f"{', '.join(EDITOR_COLUMNS)}."
        )
    return _decode_rows(rows, faults, Editor, limit)


def read_messages(text: str, limit: int) -> Records:
    """The messages of a paste: JSON as for editors, CSV with columns `id` and `text`, or one text a line, of which
    equal ones are one. Raises as `read_editors` does."""
    text = text.removeprefix(BYTE_ORDER_MARK)
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _decode_json(text, Message, limit)
        except MalformedBody:
            if text.lstrip()[0] == "{":
                raise
    if _is_csv(text, MESSAGE_FIELDS):
        return _decode_csv(text, MESSAGE_FIELDS, Message, limit)
    rows: dict[str, dict[str, str]] = {}
    known = set()
    for number, line in enumerate(text.splitlines(), start=1):
        name = name_text(line.strip())
        if line.strip() and name not in known:
            known.add(name)
            rows[f"line {number}"] = {"id": name, "text": line.strip()}
    return _decode(msgspec.json.encode(rows) if rows else b"", Message, limit)


def name_text(text: str) -> str:
    """The id of a text that came without one: the same text has the same one in every paste, and no other has it."""
    return f"text {blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=6).hexdigest()}"


def _is_csv(text: str, fields: Fields) -> bool:
    return names_columns(_first_line(text), fields)


def _first_line(text: str) -> str:
    return text.lstrip().partition("\n")[0]


def _decode_csv(text: str, fields: Fields, record: type[Any], limit: int) -> Records:
    """The records of CSV, what is wrong with the other rows, and the columns that are no fields."""
    content = text.encode("utf-8", "replace")
    table = find_table(content, fields, (), "what was pasted")
    rows: dict[str, dict[str, Any]] = {}
    faults: dict[str, dict[str, str]] = {}
    read = read_copy if table.is_copy(content) else read_table
    for row in read(iter([content]), table, fields, table.begin):
        key = f"line {row.line}"
        if row.fault:
            faults[key] = {"field": "", "detail": row.fault}
        elif row.fields is not None:
            rows[key] = row.fields
    records = _decode_rows(rows, faults, record, limit)
    unknown = [name for name in table.columns if name and name not in fields.known | fields.ignored]
    records.ignored = {name: nearest(name, record.__struct_fields__) for name in unknown[:MOST_IGNORED]}
    return records


def _decode_rows(
    rows: dict[str, dict[str, Any]], faults: dict[str, dict[str, str]], record: type[Any], limit: int
) -> Records:
    """The records of rows; what is wrong with any, in the order of the rows."""
    if not rows and faults:
        return Records(errors=faults)
    records = _decode(msgspec.json.encode(rows) if rows else b"", record, limit)
    merged = records.errors | faults
    records.errors = {key: merged[key] for key in sorted(merged, key=lambda key: int(key.removeprefix("line ")))}
    return records


def _decode(body: bytes, kind: type[Any], limit: int, lead: int = 0) -> Records:
    """The records; what cannot be read is called by the name that the person who pasted it has for it, and is found by
    its line, of which `lead` blank ones are not in the body."""
    try:
        return decode_records(body, kind, limit)
    except MalformedBody as error:
        detail = error.detail.replace("The body", "What was pasted", 1)
        if found := _BYTE.search(detail):
            place = f" (line {lead + body[: int(found[1])].count(10) + 1})"
            detail = _BYTE.sub(place, detail, count=1)
        raise MalformedBody(detail.replace("Input data was truncated", "it ends before it is complete")) from error


def _decode_json(text: str, kind: type[Any], limit: int) -> Records:
    lead = len(text) - len(text.lstrip())
    return _decode(_number_json(text, limit), kind, limit, text.count("\n", 0, lead))


def _number_json(text: str, limit: int) -> bytes:
    """The same records under "row 1", "row 2", ..., or under their lines where one comes after the other; those that
    came under keys keep them. Raises MalformedBody for one that is broken after others that are not."""
    body = text.strip().encode("utf-8", "surrogatepass")
    try:
        decoded = msgspec.json.decode(body, type=dict[str, msgspec.Raw] | list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        objects = _divide(text, limit) if body.startswith(b"{") else {}
        if len(objects) < 2 or not all(map(_is_json, objects.values())):
            return body  # whoever decodes it says what is wrong with it
        return b"{" + b",".join(b'"%s":%s' % (key.encode(), one) for key, one in objects.items()) + b"}"
    if isinstance(decoded, dict):
        if any(not bytes(value).lstrip().startswith(b"{") for value in decoded.values()):
            return b'{"row 1":' + body + b"}"
        return body
    rows = [b'"row %d":%s' % (number, bytes(raw)) for number, raw in enumerate(decoded, start=1)]
    return b"{" + b",".join(rows) + b"}"


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _divide(text: str, limit: int) -> dict[str, bytes]:
    """The JSON objects of a text that begins with one, and has nothing but blanks and commas between them; each by the
    line that it begins in. Raises MalformedBody for one that is broken, TooLarge where there are too many."""
    body = text.encode("utf-8", "surrogatepass")
    found: dict[str, bytes] = {}
    depth = start = end = line = counted = 0
    for number, match in enumerate(scan(body)):
        if len(found) > limit or number > MOST_TOKENS:
            raise TooLarge(f"There are more records than the {limit} of one request; send them in several.")
        if match[0] == b"{":
            if not depth:
                start = match.start()
                if body[end:start].strip(b", \t\r\n"):
                    break
            depth += 1
        elif match[0] == b"}":
            depth -= 1
            if not depth:
                end = match.end()
                line, counted = line + body.count(b"\n", counted, start), start
                key = f"line {line + 1}"
                found[key if key not in found else f"{key}, column {start - body.rfind(10, 0, start)}"] = body[
                    start:end
                ]
    rest = body[end:].lstrip(b", \t\r\n")
    if len(found) > 1 and rest:
        line = body.count(b"\n", 0, len(body) - len(rest)) + 1
        raise MalformedBody(f"What was pasted is not valid JSON: what begins in line {line} is no whole object.")
    return found


def _read_copy(text: str) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, str]]]:
    """The rows of COPY text, and what is wrong with the others."""
    columns: tuple[str, ...] = EDITOR_COLUMNS
    more_allowed = True
    rows: dict[str, dict[str, Any]] = {}
    faults: dict[str, dict[str, str]] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if line == END.decode():
            break
        if not line.strip():
            continue
        if header := COPY_HEADER.fullmatch(line.strip()):
            columns, more_allowed = EDITOR_FIELDS.resolve(header[1].split(",")), False
            continue
        values = line.split("\t")
        if len(values) < len(columns) or (len(values) > len(columns) and not more_allowed):
            detail = (
                f"has {len(values)} column{'s' if len(values) > 1 else ''} between tabs, {len(columns)} are needed: "
                f"{', '.join(columns)}. A terminal may have made spaces of the tabs"
            )
            faults[f"line {number}"] = {"field": "", "detail": detail}
            continue
        texts = [read_text(value.encode("utf-8", "replace"), "replace") for value in values[: len(columns)]]
        rows[f"line {number}"] = {
            name: read_number(name, text) for name, text in zip(columns, texts, strict=True) if text is not None
        }
    return rows, faults
