"""Databases: SQLite in the state directory, or MariaDB, MySQL or PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from sb_api.database_urls import parse_database_url
from sb_api.errors import InvalidSettings, Unavailable

LONGEST_REASON = 200  # characters of what a database says
DAMAGED = ("not a database", "malformed")  # what SQLite says of such a file


def open_database(url: str, setting: str, file: Path) -> sa.Engine:
    """The database at `url`; the SQLite `file`, readable by its owner alone, when `url` is empty.

    `setting` is the name that errors give. Raises InvalidSettings for a URL that cannot be used.
    """
    if not url:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        # Not as the text of a URL, in which `#`, `?` and `%` are no parts of a path.
        return sa.create_engine(sa.URL.create("sqlite", database=str(file)), connect_args={"timeout": 30})
    parts = parse_database_url(url, setting)
    options = dict(parts.options)
    if parts.dialect.endswith("pymysql"):
        options["charset"] = "utf8mb4"
    try:
        parsed = sa.URL.create(
            parts.dialect, parts.user, parts.password, parts.host, parts.port, parts.database or None, options
        )
        return sa.create_engine(parsed, pool_pre_ping=True)
    except (sa.exc.ArgumentError, ImportError) as error:
        raise InvalidSettings(f"{setting} is no database URL that can be used: {error}.") from None


@contextmanager
def begin(engine: sa.Engine, what: str) -> Iterator[sa.Connection]:
    """A transaction. Raises Unavailable, which says that `what` cannot be used, where it is and why, when the database
    fails."""
    try:
        with _connect(engine, what) as connection, connection.begin():
            yield connection
    except sa.exc.DBAPIError as error:
        reason = _reason(error)
        remedy = (
            f"nothing changed. {_remedy(engine)}" if any(said in reason for said in DAMAGED) else "nothing changed."
        )
        raise Unavailable(f"{what} ({name_place(engine)}) cannot be used: {reason}; {remedy}") from error


def check_whole(connection: sa.Connection) -> None:
    """Read all of a SQLite database. Raises Unavailable for one that is damaged anywhere."""
    found = connection.scalar(sa.text("PRAGMA quick_check(1)"))
    if found != "ok":
        said = " ".join(str(found).split())[:LONGEST_REASON]
        raise Unavailable(f"{name_place(connection.engine)} is damaged: {said}. {_remedy(connection.engine)}")


def name_place(engine: sa.Engine) -> str:
    """The file of a database, or its address without password and options."""
    url = engine.url
    return str(url.database) if url.drivername == "sqlite" else url.set(query={}).render_as_string()


def _connect(engine: sa.Engine, what: str) -> sa.Connection:
    try:
        return engine.connect()
    except (TypeError, ValueError) as error:  # an option that the driver does not take
        raise Unavailable(f"{what} ({name_place(engine)}) cannot be opened: {str(error)[:LONGEST_REASON]}.") from None


def _reason(error: sa.exc.DBAPIError) -> str:
    """What the database says. Of the values in a query it may say something only where the query itself is wrong."""
    is_about_itself = isinstance(error, sa.exc.OperationalError) or type(error) is sa.exc.DatabaseError
    said = str(error.orig).strip().partition("\n")[0][:LONGEST_REASON] if is_about_itself else ""
    return said or type(error.orig).__name__


def _remedy(engine: sa.Engine) -> str:
    return f"Restore {engine.url.database} from a backup; or move it away, and a new one is made, without any verdict."
