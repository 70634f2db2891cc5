"""URLs of databases, taken apart."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from sb_api.errors import InvalidSettings

# What names a database, and who speaks to it.
DATABASES = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "mariadb+pymysql": "mariadb+pymysql",
}


class DatabaseUrl(NamedTuple):
    """The parts of a database's URL, unquoted; `dialect` is one of the values of DATABASES."""

    dialect: str
    user: str | None
    password: str | None
    host: str | None
    port: int | None
    database: str
    options: dict[str, str]


def parse_database_url(url: str, setting: str) -> DatabaseUrl:
    """The parts of `scheme://user:password@host:port/database?option=value`; of `sqlite:///file`, the file.

    What stands before the last `@` is user and password, so that an `@` in these needs no quoting. Raises
    InvalidSettings, which names the `setting` and says nothing of what may be a password.
    """
    scheme, separator, rest = url.partition("://")
    dialect = DATABASES.get(scheme)
    if not separator or dialect is None:
        begins = f" begins with {scheme[:20]!r}, and" if separator else ""
        raise InvalidSettings(f"{setting}{begins} is no database URL that can be used: {', '.join(DATABASES)}://...")
    if dialect == "sqlite":
        if not rest.startswith("/") or rest in ("/", "/:memory:"):
            raise InvalidSettings(f"{setting} names no file: sqlite:////path/of/it, with four slashes.")
        return DatabaseUrl(dialect, None, None, None, None, rest[1:], {})
    place, _, query = rest.partition("?")
    login, _, place = place.rpartition("@")
    user, _, password = login.partition(":")
    address, _, database = place.partition("/")
    host, colon, port = address.rpartition(":") if not address.endswith("]") else (address, "", "")
    if not colon:
        host, port = address, ""
    host = host.removeprefix("[").removesuffix("]")
    if (colon and not (port.isascii() and port.isdigit() and int(port[:6]) < 65536)) or "@" in query:
        raise InvalidSettings(
            f"{setting} has another form than {scheme}://user:password@host:port/database: of user and password, "
            "write ? as %3F and % as %25."
        )
    return DatabaseUrl(
        *(dialect, unquote(user) or None, unquote(password) or None, host or None, int(port) if port else None),
        *(unquote(database), dict(parse_qsl(query, keep_blank_values=True))),
    )
