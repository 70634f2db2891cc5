"""Where Redis is: a URL that redis-py takes, or one that names Sentinels and the service that they watch over."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from sb_api.errors import InvalidSettings

DIRECT = ("redis", "rediss", "unix")
SENTINEL = ("redis+sentinel", "rediss+sentinel")
SENTINEL_PORT = 26379
FORM = "redis+sentinel://[user:password@]host[:port][,host[:port]...]/service[/database]"


class Sentinels(NamedTuple):
    """The (host, port) of each Sentinel, the service that they watch over, and how to connect to its master: `url`
    holds user, password, database and TLS, and no host that means anything."""

    hosts: list[tuple[str, int]]
    service: str
    url: str
    password: str | None = None  # of the Sentinels themselves


def parse_sentinels(url: str) -> Sentinels | None:
    """The Sentinels that `url` names; None for a URL that leads to Redis itself.

    `?sentinel_password=` is for the Sentinels themselves, every other option for the master, as redis-py takes it.
    Raises InvalidSettings, without the password, for a URL that is neither.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme in DIRECT:
        _check_direct(url)
        return None
    if not separator or scheme not in SENTINEL:
        raise InvalidSettings(
            f"SB_API_REDIS_URL begins with {scheme[:20]!r}; it must be redis://, rediss://, unix:// or {FORM}."
        )
    rest, _, query = rest.partition("?")
    login, _, place = rest.rpartition("@")
    hosts, *path = place.split("/")
    service, database = (*path, "", "")[:2]
    if not service or not hosts or len(path) > 2 or not (database or "0").isdigit():
        raise InvalidSettings(f"SB_API_REDIS_URL names Sentinels in another form than {FORM}.")
    options = dict(parse_qsl(query))
    password = options.pop("sentinel_password", None)
    direct = f"{scheme.partition('+')[0]}://{login}{'@' if login else ''}master/{database or 0}"
    return Sentinels(
        [_parse_host(host) for host in hosts.split(",")],
        unquote(service),
        f"{direct}?{urlencode(options)}" if options else direct,
        password,
    )


def _check_direct(url: str) -> None:
    """Raises InvalidSettings where redis-py would take something else than was meant, or name a part of the password
    in its error."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # it is parsed when it is asked for
    except ValueError:
        parts = None
    if parts is None or parts.fragment or (parts.scheme != "unix" and "@" in parts.path):
        raise InvalidSettings(
            "SB_API_REDIS_URL cannot be read: user, password and path are percent-encoded in it, "
            "so that / is %2F, ? is %3F and # is %23."
        )


def _parse_host(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    # An IPv6 address stands in brackets.
    if not separator or port.endswith("]"):
        host, port = text, str(SENTINEL_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidSettings(f"SB_API_REDIS_URL names a Sentinel {text[:60]!r}: it must be host or host:port.")
    return host, int(port)
