"""Scans of a database: the mark that is kept with their results, and results in a table of it, one row for each id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from sb_api.client.bulk import Committed, encode_wrong, identity_of
from sb_api.client.rows import Fault, Judgement
from sb_api.errors import InvalidParameter
from sb_api.files import write_private
from sb_api.readers.database import Database, Mark, connect, rights_explained
from sb_api.readers.rows import Batch

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

_CREATE = (
    "CREATE TABLE IF NOT EXISTS {table} (id bigint PRIMARY KEY, prediction text NOT NULL, score double precision NOT"
    " NULL, band text, weights text NOT NULL, judged timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE IF NOT EXISTS {scans} (source text PRIMARY KEY, since text NOT NULL, begun text NOT NULL, line bigint"
    " NOT NULL, last_id bigint NOT NULL, judged bigint NOT NULL, wrong bigint NOT NULL, done boolean NOT NULL)",
    "CREATE TEMPORARY TABLE sb_api_judged (LIKE {table} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS",
)
_BEGIN = (
    "INSERT INTO {scans} VALUES (%s, %s, %s, 0, 0, 0, 0, false) ON CONFLICT (source) DO UPDATE SET since ="
    " EXCLUDED.since, begun = EXCLUDED.begun, line = 0, last_id = 0, judged = 0, wrong = 0, done = false"
)
_COPY = "COPY sb_api_judged (id, prediction, score, band, weights) FROM STDIN"
_MERGE = (
    "INSERT INTO {table} AS kept SELECT * FROM sb_api_judged ON CONFLICT (id) DO UPDATE SET prediction ="
    " EXCLUDED.prediction, score = EXCLUDED.score, band = EXCLUDED.band, weights = EXCLUDED.weights, judged ="
    " EXCLUDED.judged"
)
_ADVANCE = "UPDATE {scans} SET line = %s, last_id = %s, judged = %s, wrong = %s WHERE source = %s"


@dataclass
class TableOutput:
    """Where judgements go: each batch is in the table in one transaction with the place that the scan has come to, so
    that it may be broken off at any instant. Wrong rows go to the file `wrong`, where there is one."""

    connection: psycopg.Connection[Any]
    names: dict[str, sql.Composable]
    mark: Mark
    committed: Committed
    wrong: BinaryIO | None = None
    first_fault: str = ""

    def append(self, batch: Batch, outcomes: Sequence[Judgement | Fault]) -> None:
        """Store the outcomes of a batch, and that it is done."""
        judged = [outcome for outcome in outcomes if isinstance(outcome, Judgement)]
        faults, first = encode_wrong(batch, outcomes)
        self.first_fault = self.first_fault or first
        if faults and self.wrong is not None:
            self.wrong.write(faults)
            self.wrong.flush()
        before = self.committed
        self.committed = Committed(
            line=batch.end.line,
            offset=batch.end.offset,
            judged=before.judged + len(judged),
            faults=before.faults + len(outcomes) - len(judged) + len(batch.wrong),
        )
        with rights_explained(), self.connection.transaction(), self.connection.cursor() as cursor:
            with cursor.copy(_COPY) as rows:
                for one in judged:
                    rows.write_row((one.id, one.prediction, one.score, one.band, one.weights))
            cursor.execute(self._sql(_MERGE))
            done = (self.committed.line, self.committed.offset, self.committed.judged, self.committed.faults)
            cursor.execute(self._sql(_ADVANCE), (*done, self.mark.source))

    def sync(self) -> None:
        """Nothing: what is committed outlives a power cut."""

    def finish(self) -> None:
        """Say that the scan is done, so that the next one is of what is new or changed since it was begun."""
        self.connection.execute(self._sql("UPDATE {scans} SET done = true WHERE source = %s"), (self.mark.source,))

    def _sql(self, command: str) -> sql.Composed:
        from psycopg import sql

        return sql.SQL(command).format(**self.names)


def choose_mark(database: Database, results: Path | None, since: Path | None, *, restart: bool = False) -> Mark:
    """Which rows a scan is of: of the scan that was broken off and has its results there, that scan's; else those that
    are new or changed since the scan with the results `since`, or all.

    Raises InvalidParameter when there is no mark beside `since`, or it is of another source.
    """
    before = ""
    if since is not None:
        try:
            mark = msgspec.json.decode(_mark_of(since).read_bytes(), type=Mark)
        except (FileNotFoundError, msgspec.DecodeError):
            raise InvalidParameter(f"{_mark_of(since)} is no mark of a scan of a database that was done.") from None
        if mark.source != database.source:
            raise InvalidParameter(f"{since} is of a scan of another database, or of another query.")
        before = mark.begun
    broken_off = identity_of(results) if results is not None and not restart else None
    if broken_off is not None:
        with suppress(msgspec.DecodeError):
            mark = msgspec.json.decode(broken_off.input, type=Mark)
            if (mark.source, mark.since) == (database.source, before):
                return mark
    return Mark(database.source, database.now, before)


def keep_mark(results: Path, mark: Mark) -> None:
    """Keep the mark of a scan that is done beside its results."""
    write_private(_mark_of(results), mark.encode().encode())


def _mark_of(results: Path) -> Path:
    return results.with_name(f"{results.name}.mark")


@contextmanager
def open_table(
    url: str, name: str, source: str, now: str, wrong: BinaryIO | None = None, *, restart: bool = False
) -> Iterator[TableOutput]:
    """The table `name` (`schema.table` or `table`) for the results of a scan of `source`, made if it is not there: of
    the scan that was broken off, else of one of what is new or changed since the last one, else (or with `restart`) of
    all rows.

    Raises InvalidParameter when another process writes to it, Forbidden when the role lacks rights, Unavailable.
    """
    with connect(url) as connection, rights_explained():
        import psycopg
        from psycopg import sql

        parts = name.split(".")
        names = {
            "table": sql.Identifier(*parts),
            "scans": sql.Identifier(*parts[:-1], f"{parts[-1]}_scans"),
        }
        connection.autocommit = True
        try:
            # For as long as the connection is there; the server may not have noticed yet that an earlier one is gone.
            connection.execute("SET lock_timeout = '1s'")
            connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (f"sb-api {name}",))
        except psycopg.errors.LockNotAvailable:
            raise InvalidParameter(
                f"Another process writes to the table {name}; let it end, or choose another one."
            ) from None
        try:
            connection.execute("SET lock_timeout = 0")
            for command in _CREATE:
                connection.execute(sql.SQL(command).format(**names))
            connection.execute(sql.SQL(f"EXPLAIN {_MERGE}").format(**names))  # a table that was there may be another
            query = "SELECT since, begun, line, last_id, judged, wrong, done FROM {scans} WHERE source = %s"
            found = connection.execute(sql.SQL(query).format(**names), (source,)).fetchone()
        except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege):
            raise
        except psycopg.Error as error:
            raise InvalidParameter(f"The table {name} cannot hold results: {str(error).splitlines()[0]}.") from None
        if found and not found[6] and not restart:
            since, begun, line, last_id, judged, faults, _ = found
            committed = Committed(line, last_id, judged=judged, faults=faults)
            yield TableOutput(connection, dict(names), Mark(source, begun, since), committed, wrong)
            return
        mark = Mark(source, now, found[1] if found and not restart else "")
        connection.execute(sql.SQL(_BEGIN).format(**names), (source, mark.since, mark.begun))
        yield TableOutput(connection, dict(names), mark, Committed(), wrong)
