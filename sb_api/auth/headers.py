"""Security headers on every answer, and requests of other sites' pages refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from werkzeug.middleware.proxy_fix import ProxyFix

from sb_api.auth.addresses import is_loopback
from sb_api.errors import Forbidden

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
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


def trust_proxies(application: WSGIApplication, count: int) -> WSGIApplication:
    """The application as clients behind `count` proxies see it: address, scheme and host are what the proxies say."""
    return ProxyFix(application, x_for=count, x_proto=count, x_host=count) if count else application


def is_local(environ: dict[str, Any], host: str, proxies: int) -> bool:
    """Whether a request is of this machine, and meant for it: no proxy in between, and no name that an attacker made
    stand for a loopback address. `host` is the address that the service listens on."""
    if not is_loopback(environ.get("REMOTE_ADDR", "")):
        return False
    if not proxies and any(name in environ for name in FORWARDED):
        return False
    name = host_name(environ)
    return name in LOCAL_NAMES or name == host or is_loopback(name.strip("[]"))


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
