#!/usr/bin/env python3
"""A cron job: judge the editors that joined since the last run, and write a report of those above a band.

    */10 * * * *  SB_API_TOKEN_FILE=/etc/spamninja/token  judge_new_editors.py --dsn service=mb --report spam.jsonl

The editors come from PostgreSQL by `--dsn`, or as JSON Lines on standard input. The last id that was judged is kept in
a file; it moves on only after the report is stored, so that a run that fails is made up for by the next. While one run
is under way another one does nothing. A human decides what becomes of those reported.

It ends with 0, with 1 when something is wrong that a human must mend, and with 75 when the next run makes up for it.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sb_api.client import Client
from sb_api.client.rows import Fault, Judgement
from sb_api.errors import QueueFull, SbApiError, Unavailable

TRY_LATER = 75  # EX_TEMPFAIL of sysexits.h
BANDS = ("likely fine", "unsure", "likely spam", "certain spam")
FIELDS = (
    *("id", "name", "email", "website", "bio", "area", "privs", "gender", "birth_date"),
    *("member_since", "email_confirm_date", "last_updated", "last_login_date"),
)


def read_new(dsn: str, last: int) -> Iterator[dict[str, Any]]:
    """Editors with a larger id than `last`, a few thousand at a time. Raises Unavailable while the database is away."""
    import psycopg
    from psycopg.rows import dict_row

    query = f"SELECT {', '.join(FIELDS)} FROM editor WHERE id > %s ORDER BY id"  # names are constants
    try:
        with psycopg.connect(dsn) as connection, connection.cursor("new_editors", row_factory=dict_row) as cursor:
            yield from cursor.execute(query, (last,))
    except psycopg.OperationalError as error:
        raise Unavailable(f"the database of the editors is away: {' '.join(str(error).split())}") from None


def read_lines(lines: Iterable[str], last: int) -> Iterator[dict[str, Any]]:
    """Editors with a larger id than `last`. Raises ValueError, which names the line that is no editor."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            editor = json.loads(line)
            if int(editor["id"]) > last:
                yield editor
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"line {number} is no JSON of an editor with a number for its id ({error!r})") from None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("SB_API_URL", "http://127.0.0.1:4321"))
    parser.add_argument("--dsn", help="of the MusicBrainz database; without it: JSON Lines on standard input")
    parser.add_argument("--band", choices=BANDS, default="likely spam", help="report editors of this band and above")
    parser.add_argument("--report", type=Path, required=True, help="JSON Lines; each run adds to it")
    parser.add_argument("--state", type=Path, default=Path("last_editor"), help="where the last judged id is kept")
    arguments = parser.parse_args()

    with arguments.state.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another run is under way", file=sys.stderr)
            return TRY_LATER
        try:
            return judge(arguments)
        except (Unavailable, QueueFull) as error:
            print(f"nothing reported, the next run makes up for it: {error.detail}", file=sys.stderr)
            return TRY_LATER
        except (SbApiError, ValueError, OSError) as error:
            print(f"nothing reported: {error}", file=sys.stderr)
            return 1


def judge(arguments: argparse.Namespace) -> int:
    last = int(arguments.state.read_text() or 0)
    editors = read_new(arguments.dsn, last) if arguments.dsn else read_lines(sys.stdin, last)
    reported = BANDS[BANDS.index(arguments.band) :]
    count, wrong, found = 0, 0, []
    with Client(arguments.url, token()) as client:
        for outcome in client.judge(editors):
            count += 1
            if isinstance(outcome, Fault):
                wrong += 1
                print(f"editor {outcome.row} of this run: {outcome.field} {outcome.detail}", file=sys.stderr)
                continue
            last = max(last, int(outcome.id))
            if outcome.band in reported:
                found.append(outcome)
    store(arguments.report, found)
    arguments.state.write_text(f"{last}\n")
    print(f"{count} judged, {len(found)} reported, {wrong} wrong")
    return 0


def token() -> str | None:
    """From the environment, or from a file that it names."""
    path = os.environ.get("SB_API_TOKEN_FILE")
    return os.environ.get("SB_API_TOKEN") or (Path(path).read_text().strip() if path else None)


def store(report: Path, found: list[Judgement]) -> None:
    report.touch(0o600)
    with report.open("a", encoding="utf-8") as file:
        for one in sorted(found, key=lambda one: one.score, reverse=True):
            line = {"id": one.id, "band": one.band, "score": one.score, "weights": one.weights}
            file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    sys.exit(main())
