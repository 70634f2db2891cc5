"""Databases: SQLite in the state directory, or MariaDB, MySQL or PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from sb_api.errors import InvalidSettings, Unavailable

DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}


def open_database(url: str, setting: str, file: Path) -> sa.Engine:
    """The database at `url`; the SQLite `file`, readable by its owner alone, when `url` is empty.

    `setting` is the name that errors give. Raises InvalidSettings for a URL that cannot be used.
    """
    if not url:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        return sa.create_engine(f"sqlite:///{file}", connect_args={"timeout": 30})
    try:
        parsed = sa.make_url(url)
        parsed = parsed.set(drivername=DRIVERS.get(parsed.drivername, parsed.drivername))
        if parsed.drivername.endswith("pymysql"):
            parsed = parsed.update_query_dict({"charset": "utf8mb4"})
        return sa.create_engine(parsed, pool_pre_ping=True)
    except (sa.exc.ArgumentError, ImportError) as error:
        raise InvalidSettings(f"{setting} is no database URL that can be used: {error}.") from None


@contextmanager
def begin(engine: sa.Engine, what: str) -> Iterator[sa.Connection]:
    """A transaction. Raises Unavailable, which says that `what` cannot be used, when the database fails."""
    try:
        with engine.begin() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        raise Unavailable(f"{what} cannot be used ({type(error.orig).__name__}); nothing changed.") from error
