"""Entries as a table for a spreadsheet, in which nothing that an account says is a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

from sb_api.records import Editor
from sb_api.review.entries import Waiting

FORMULA = "=+-@＝＋－＠"  # what a formula begins with, in wide letters too
_EDITOR = Editor.__struct_fields__
_WAITING = tuple(name for name in Waiting.__struct_fields__ if name not in ("editor", "links"))
COLUMNS = (*_EDITOR, *_WAITING)


def write_table(entries: Iterable[Waiting]) -> bytes:
    """CSV (RFC 4180) in UTF-8 with a byte order mark, by which spreadsheets know it."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for entry in entries:
        told = [getattr(entry.editor, name) for name in _EDITOR] + [getattr(entry, name) for name in _WAITING]
        rows.writerow([_disarm(value) for value in told])
    return text.getvalue().encode("utf-8-sig", "surrogatepass")


def _disarm(value: Any) -> Any:
    """The value; a text that a spreadsheet would take for a formula behind an apostrophe, which makes it a text."""
    if isinstance(value, str) and (value.lstrip()[:1] in FORMULA or value[:1] in "\t\r\n") and value:
        return f"'{value}"
    return value
