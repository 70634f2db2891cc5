"""Rows of a database dump: PostgreSQL `COPY` text of MusicBrainz's table `editor`.

https://www.postgresql.org/docs/current/sql-copy.html, "Text Format";
https://github.com/metabrainz/musicbrainz-server/blob/master/admin/sql/CreateTables.sql
"""

from __future__ import annotations

import re
from typing import Literal

# The columns that may be read, in their order, and those behind them, which never are.
EDITOR_COLUMNS = (
    *("id", "name", "privs", "email", "website", "bio", "member_since", "email_confirm_date", "last_login_date"),
    *("last_updated", "birth_date", "gender", "area"),
)
PRIVATE_COLUMNS = ("password", "ha1", "deleted")
INTEGER_COLUMNS = frozenset({"id", "area", "privs", "gender", "verdict"})  # where they are whole numbers
END = rb"\."
COPY_HEADER = re.compile(r"COPY\s++[^\s(]++\s*+\(([^()]*+)\)\s++FROM\s++stdin;?", re.IGNORECASE)

# Blanks around it, as in tables laid out for reading, and a fraction of nothing, as pandas gives columns with nulls.
_WHOLE = re.compile(r"\s*+(-?[0-9]{1,19})(?:\.0++)?+\s*+", re.ASCII)
_SHORTENED = re.compile(r"\s*+-?[0-9](?:[.,][0-9]++)?+E\+[0-9]++\s*+", re.ASCII | re.IGNORECASE)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def read_text(field: bytes, errors: Literal["replace", "surrogateescape"]) -> str | None:
    r"""One field: \N is null, other backslashes escape. `errors` is for bytes that are no UTF-8."""
    if b"\\" in field:
        if field == rb"\N":
            return None
        field = _ESCAPE.sub(_unescape, field)
    return field.decode("utf-8", errors)


def read_number(column: str, value: str) -> str | int:
    """`value` as a number, where the column holds some and this is one, also ` 7` and 7.0. An id such as 007 is a name:
    as 7 nobody would find it again."""
    if column not in INTEGER_COLUMNS:
        return value
    digits = value
    if not (value.isdecimal() and value.isascii() and len(value) < 20):  # nearly all are
        found = _WHOLE.fullmatch(value)
        if found is None:
            return value
        digits = found[1]
    return int(digits) if column != "id" or str(int(digits)) == digits else value


def is_shortened(value: str) -> bool:
    """Whether a text is a long number as spreadsheets write it, 1.23E+11: which one it was, nobody knows."""
    return _SHORTENED.fullmatch(value) is not None


def _unescape(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, other = match.groups()
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    return bytes([int(hexadecimal, 16)]) if hexadecimal else _ESCAPES.get(other, other)
