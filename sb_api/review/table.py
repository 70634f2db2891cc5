"""Entries as a table for a spreadsheet, in which nothing that an account says is a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

from sb_api.records import Editor
from sb_api.review.entries import Waiting

FORMULA = "=+-@＝＋－＠"  # what a formula begins with, in wide letters too
# What stands before a formula within a text: semicolons, tabs and ends of lines begin a cell where spreadsheets do not
# split at commas, whatever is quoted. Only from where such a run begins, so that long ones take linear time.
_BEFORE = re.compile(rf'(?<![;\s"])[;\s"]++(?=[{re.escape(FORMULA)}])')
_BEGINS_CELL = frozenset(";\t\r\n")
_EDITOR = Editor.__struct_fields__
_WAITING = tuple(name for name in Waiting.__struct_fields__ if name not in ("editor", "links", "digest"))
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
    if not isinstance(value, str) or not value:
        return value
    value = _BEFORE.sub(lambda run: f"{run[0]}'" if _BEGINS_CELL & set(run[0]) else run[0], value)
    return f"'{value}" if value.lstrip()[:1] in FORMULA or value[:1] in "\t\r\n" else value
