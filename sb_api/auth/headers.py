"""Security headers on every answer, and requests of other sites' pages refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from werkzeug.middleware.proxy_fix import ProxyFix

from sb_api.auth.addresses import is_loopback, parse_address
from sb_api.config import PREFIX
from sb_api.errors import Forbidden, InvalidSettings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
UNKNOWN_CLIENT = "sb_api.unknown_client"  # in a WSGI environment
# Of a path alone: what begins with two slashes is another host to browsers.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_VIA")
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)


def _by_name(*headers: tuple[str, str]) -> list[tuple[str, tuple[str, str]]]:
    return [(name.lower(), (name, value)) for name, value in headers]


HEADERS = _by_name(
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Cache-Control", "no-store"),
)
HEADERS_OVER_TLS = HEADERS + _by_name(("Strict-Transport-Security", "max-age=31536000"))


def secure(application: WSGIApplication) -> WSGIApplication:
    """The application with security headers on every answer, `no-store` among them, but those that it sets itself."""

    def secured(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            given = {name.lower() for name, _ in headers}
            wanted = HEADERS_OVER_TLS if environ["wsgi.url_scheme"] == "https" else HEADERS
            added = [header for name, header in wanted if name not in given]
            return start_response(status, headers + added, *error)

        return application(environ, start)

    return secured


def trust_proxies(application: WSGIApplication, count: int, addresses: str) -> WSGIApplication:
    """The application as clients behind `count` proxies see it: address, scheme, host and the path below which it
    stands (X-Forwarded-Prefix, which the proxies have cut off) are what the proxies say.

    Only what comes from one of the named `addresses` is believed. Of what a proxy passes on without saying whose it is,
    the environment has UNKNOWN_CLIENT. Raises InvalidSettings.
    """
    if not count:
        return application
    networks = parse_networks(addresses)
    believing = ProxyFix(application, x_for=count, x_proto=count, x_host=count)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not is_named(environ.get("REMOTE_ADDR", ""), networks):
            return application(environ, start_response)
        given = environ.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", count)[-count:]
        clients = [parse_address(text) for text in given]
        if len(clients) == count and None not in clients:
            environ["HTTP_X_FORWARDED_FOR"] = ",".join(map(str, clients))  # without ports
        else:
            environ.pop("HTTP_X_FORWARDED_FOR", None)
            environ[UNKNOWN_CLIENT] = True
        environ["SCRIPT_NAME"] = parse_prefix(environ, count) + environ.get("SCRIPT_NAME", "")
        return believing(environ, start_response)

    return answer


def parse_prefix(environ: Mapping[str, Any], count: int) -> str:
    """The path that the outermost of `count` proxies names, without a slash at its end; "" for what is none."""
    given = environ.get("HTTP_X_FORWARDED_PREFIX", "").rsplit(",", count)[-count:]
    prefix: str = given[0].strip().rstrip("/")
    return prefix if _PREFIX.fullmatch(prefix) else ""


def parse_networks(addresses: str) -> list[IPv4Network | IPv6Network]:
    """Addresses and networks with commas between them. Raises InvalidSettings for what is none."""
    try:
        return [ip_network(text.strip(), strict=False) for text in addresses.split(",") if text.strip()]
    except ValueError as error:
        raise InvalidSettings(f"{PREFIX}PROXY_ADDRESSES: {error}; such as 127.0.0.1,10.0.0.0/8.") from None


def is_named(peer: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether a peer is in one of the networks. Over a unix socket, which has permissions of its own, it always is."""
    address = parse_address(peer)
    return not peer or (address is not None and any(address in network for network in networks))


def refuse_unknown_client(environ: Mapping[str, Any]) -> None:
    """Raises Forbidden for a request of which nobody knows who sent it."""
    if UNKNOWN_CLIENT in environ:
        raise Forbidden(
            f"The proxy must say who asks, by X-Forwarded-For. On its own machine, too, a service with {PREFIX}PROXIES "
            "is called through its proxy."
        )


def is_local(environ: dict[str, Any], host: str) -> bool:
    """Whether a request is of this machine, and meant for it: no proxy in between, and no name that an attacker made
    stand for a loopback address. `host` is the address that the service listens on."""
    if not is_loopback(environ.get("REMOTE_ADDR", "")):
        return False
    if any(name in environ for name in FORWARDED):
        return False
    name = host_name(environ)
    return name in LOCAL_NAMES or name in (host, f"[{host}]") or is_loopback(name.strip("[]"))


def host_name(environ: dict[str, Any]) -> str:
    """The name by which the service was called, without the port; `localhost` when the client does not say."""
    name: str = environ.get("HTTP_HOST", "localhost").lower()
    return name if name.endswith("]") else name.rpartition(":")[0] or name


def refuse_cross_site(environ: dict[str, Any]) -> None:
    """Raises Forbidden for a request that changes something and comes from a page of another site.

    Browsers say where a request comes from, and do not let pages say otherwise; other clients say nothing.
    """
    if environ["REQUEST_METHOD"] in SAFE_METHODS:
        return
    site = environ.get("HTTP_SEC_FETCH_SITE")
    origin = environ.get("HTTP_ORIGIN")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:
        foreign = origin is not None and _host(origin) != environ.get("HTTP_HOST", "").lower()
    if foreign:
        raise Forbidden("A page of another site sent this request; only this service's own pages may.")


def _host(origin: str) -> str | None:
    """The host and port of an Origin header; None when it is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
