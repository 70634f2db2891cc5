"""Editors of a PostgreSQL database, read by `COPY` in one transaction that can only read.

By default those of MusicBrainz's table `editor`, with the names of area and gender; or the rows of a query. They come
in the order of their ids, so that whoever was broken off goes on behind the last one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec

from sb_api.database_urls import parse_database_url
from sb_api.errors import Forbidden, InvalidParameter, InvalidSettings, Unavailable
from sb_api.readers.batches import Asked, RecordFile, open_blocks
from sb_api.readers.rows import RECORD_FIELDS, Batch, Position
from sb_api.text.pg_copy import EDITOR_COLUMNS

if TYPE_CHECKING:
    import psycopg

SCHEMES = ("postgresql://", "postgres://")
SCHEMA = "musicbrainz"
CHANGED = "last_updated"  # the column that says when a row was changed last
OVERLAP = 3600  # seconds: a transaction may have been open for so long before what it changed is seen
CONNECT_SECONDS = 10
LOOK_UP_SECONDS = 5
BLOCK = 2**18  # bytes that are handed on at once: rows one by one would cost as much as all the rest
_JOINED = {"area": "a.name AS area", "gender": "g.name AS gender"}
_INTEGERS = (20, 21, 23)  # PostgreSQL's numbers of the types bigint, smallint, integer


class Mark(msgspec.Struct, frozen=True):
    """Which rows of a database a scan is of: those of `source` (a place and a query) that were changed since the moment
    `since`, or all of them; it was begun at the moment `begun` of the database's clock."""

    source: str
    begun: str
    since: str = ""

    def encode(self) -> str:
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True)
class Database:
    """A connection with a transaction that can only read, and sees one state of the database; what is read from it, the
    fields that its rows have, its name without password, and its clock."""

    connection: psycopg.Connection[Any]
    query: str
    columns: tuple[str, ...]
    place: str
    now: str

    @property
    def source(self) -> str:
        """What tells one source from another."""
        return f"{self.place} {hashlib.sha256(self.query.encode()).hexdigest()[:16]}"

    def read(self, mark: Mark, after: int | None = None) -> RecordFile:
        """The rows of a mark whose id is greater than `after`. Raises InvalidParameter when rows of this source do not
        say when they were changed."""
        from psycopg import sql

        conditions: list[sql.Composable] = []
        if after is not None:
            conditions.append(sql.SQL("r.id > {}").format(after))
        if mark.since:
            if CHANGED not in self.columns:
                raise InvalidParameter(f"The query has no column {CHANGED}, by which new and changed rows are told.")
            since = sql.SQL("r.{} >= {}::timestamptz - make_interval(secs => {})")
            conditions.append(since.format(sql.Identifier(CHANGED), mark.since, OVERLAP))
        command = sql.SQL("COPY (SELECT {} FROM ({}) AS r {} ORDER BY r.id) TO STDOUT").format(
            sql.SQL(", ").join(sql.Identifier("r", column) for column in self.columns),
            sql.SQL(cast(Any, self.query)),
            sql.SQL("WHERE ") + sql.SQL(" AND ").join(conditions) if conditions else sql.SQL(""),
        )
        return open_blocks(self._copy(command), self.place, Asked("copy", self.columns, "utf-8"), RECORD_FIELDS)

    def _copy(self, command: Any) -> Iterator[bytes]:
        waiting = bytearray()
        with _query_explained(), self.connection.cursor() as cursor, cursor.copy(command) as rows:
            for row in rows:
                waiting += row
                while len(waiting) >= BLOCK:
                    yield bytes(waiting[:BLOCK])
                    del waiting[:BLOCK]
        yield bytes(waiting)


@contextmanager
def open_database(url: str, query: str = "") -> Iterator[Database]:
    """The rows of `query`, or of MusicBrainz's editors.

    Raises InvalidSettings for a URL that cannot be used, Unavailable when the database cannot be reached, Forbidden
    when the role lacks rights, InvalidParameter for a query that is wrong, or whose `id` is no whole number.
    """
    with connect(url) as connection, rights_explained():
        import psycopg

        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        chosen = query.strip().rstrip(";") or _editors(connection)
        with _query_explained():
            described = connection.execute(_nothing_of(chosen)).description or []
        types = {column.name: column.type_code for column in described}
        if types.get("id") not in _INTEGERS:
            raise InvalidParameter("A query must have a column `id` of whole numbers.")
        columns = ("id", *(column for column in types if column in RECORD_FIELDS.known and column != "id"))
        moment = connection.execute("SELECT now()::text").fetchone()
        info = connection.info
        place = f"{info.host or 'localhost'}:{info.port}/{info.dbname}"
        yield Database(connection, chosen, columns, place, str(moment[0]) if moment else "")


def find_editors(url: str, ids: Sequence[int], names: Sequence[str]) -> list[bytes]:
    """MusicBrainz's editors with one of these ids or names (whatever their case), each as the JSON of a record, by id.

    Raises as `open_database`.
    """
    with connect(url) as connection, rights_explained():
        connection.read_only = True
        connection.execute(f"SET statement_timeout = '{LOOK_UP_SECONDS}s'")
        wanted = f"{_editors(connection)} WHERE e.id = ANY(%s) OR lower(e.name) = ANY(%s)"
        command = f"SELECT to_jsonb(r)::text FROM ({wanted}) AS r ORDER BY r.id"  # noqa: S608 (names of our own)
        with _query_explained():
            found = connection.execute(cast(Any, command), (list(ids), [name.lower() for name in names])).fetchall()
        return [str(row[0]).encode() for row in found]


@contextmanager
def connect(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a PostgreSQL database, closed in the end. Raises InvalidSettings, Unavailable."""
    try:
        import psycopg
    except ModuleNotFoundError:
        raise InvalidSettings("Databases need psycopg: pip install 'sb_api[database]'.") from None
    parts = parse_database_url(url, "The database's URL")
    options: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, **parts.options}
    asked = options.get("options", "")
    options |= {"client_encoding": "utf8", "options": f"{asked} -c datestyle=ISO -c timezone=UTC"}
    named = {"host": parts.host, "port": parts.port, "user": parts.user, "password": parts.password}
    options |= {name: value for name, value in named.items() if value}
    try:
        connection = psycopg.connect(dbname=parts.database, application_name="sb-api", **options)
    except psycopg.Error as error:
        raise Unavailable(f"The database cannot be used: {_first_line(error)}.") from None
    try:
        with connection:
            yield connection
    except psycopg.OperationalError as error:
        raise Unavailable(f"The database is gone: {_first_line(error)}.") from None


@contextmanager
def rights_explained() -> Iterator[None]:
    """Raises Forbidden, which says what to grant, when the role lacks a right."""
    import psycopg

    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise Forbidden(
            f"The database refuses: {_first_line(error)}. To scan, a role needs no more than GRANT USAGE ON SCHEMA "
            f"{SCHEMA}; GRANT SELECT ({', '.join(EDITOR_COLUMNS)}) ON {SCHEMA}.editor; GRANT SELECT (id, name) ON "
            f"{SCHEMA}.area, {SCHEMA}.gender. With --table, CREATE and USAGE on the schema of that table too."
        ) from None


@contextmanager
def _query_explained() -> Iterator[None]:
    """Raises InvalidParameter for what the database says of a query, Forbidden when the role lacks a right."""
    import psycopg

    try:
        with rights_explained():
            yield
    except psycopg.OperationalError:
        raise  # not of the query
    except psycopg.Error as error:
        raise InvalidParameter(f"The query cannot be read: {_first_line(error)}.") from None


def with_ids(batches: Iterator[Batch], done: int, last: int = 0) -> Iterator[Batch]:
    """The same batches, each with its end counted from the start of the scan, of which `done` rows were done before, up
    to the id `last`; its offset is its last id."""
    for batch in batches:
        read = [*zip(batch.lines, batch.texts, strict=True), *((row.line, row.text) for row in batch.wrong)]
        ids = (text.partition(b"\t")[0] for _, text in sorted(read, reverse=True))
        last = next((int(one) for one in ids if one != rb"\N"), last)
        batch.end = Position(done + batch.end.line, last)
        yield batch


def _editors(connection: psycopg.Connection[Any]) -> str:
    """The query for MusicBrainz's editors; in the schema `musicbrainz`, else where the role looks for tables."""
    found = connection.execute(f"SELECT to_regclass('{SCHEMA}.editor') IS NOT NULL").fetchone()
    prefix = f"{SCHEMA}." if found and found[0] else ""
    columns = ", ".join(_JOINED.get(column, f"e.{column}") for column in EDITOR_COLUMNS)
    joins = f"LEFT JOIN {prefix}area a ON a.id = e.area LEFT JOIN {prefix}gender g ON g.id = e.gender"
    return f"SELECT {columns} FROM {prefix}editor e {joins}"  # noqa: S608 (names of our own)


def _nothing_of(query: str) -> Any:
    """The query, for its columns alone. It is the operator's own, of a connection that only reads."""
    return cast(Any, f"SELECT * FROM ({query}) AS r LIMIT 0")  # noqa: S608 (whoever writes it may read all)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
