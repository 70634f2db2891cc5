"""Kept-alive connections to one service."""

from __future__ import annotations

import threading
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from sb_api.client.protocol import Lost, Reply, Request
from sb_api.errors import InvalidSettings, Unavailable

DEFAULT_URL = "http://127.0.0.1:4321"
CONNECT_TIMEOUT = 4.0  # seconds; so that a host that is down is reported within 5


class Transport:
    """Kept-alive connections to one service. Raises InvalidSettings for an address or token that cannot be used."""

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise InvalidSettings(f"{url!r} is no HTTP address of a service, such as {DEFAULT_URL}.")
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            raise InvalidSettings("The token has characters that no token has; is it cut off, or quoted twice?")
        self.url = url.rstrip("/")
        self._headers = {"Accept": "application/json", "User-Agent": "sb_api"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pool = urllib3.PoolManager(
            maxsize=32, retries=False, timeout=urllib3.Timeout(connect=min(timeout, CONNECT_TIMEOUT), read=timeout)
        )
        self._closed = threading.Event()

    def send(self, request: Request) -> Reply | Lost:
        """What comes of a request."""
        headers = {**self._headers, **request.headers}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            # No redirects: the token is for this address alone.
            answer = self._pool.request(
                request.method, self.url + request.target, body=request.body, headers=headers, redirect=False
            )
        except (NewConnectionError, ConnectTimeoutError):
            return Lost(f"there is no service at {self.url}", sent=False)
        except HTTPError as error:
            return Lost(f"the connection to {self.url} was lost ({type(error).__name__})", sent=True)
        return Reply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data)

    def pause(self, seconds: float) -> Reply | Lost | None:
        """None, after so many seconds. Raises Unavailable once the client is closed."""
        if self._closed.wait(seconds):
            raise Unavailable("The client was closed while it waited to ask again.")
        return None

    def close(self) -> None:
        """Give the connections back; whoever pauses gives up."""
        self._closed.set()
        self._pool.clear()
