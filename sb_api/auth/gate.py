"""The gate: who asks, known by a token, a name with a secret, or the page's cookie."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from weakref import WeakKeyDictionary

import gevent
from flask import Request, request
from gevent import monkey
from werkzeug.datastructures import Authorization

from sb_api.auth.addresses import client_network
from sb_api.auth.credentials import NAME, ROLES, Credential, Role, fits, has_credentials, hash_secret, read_credentials
from sb_api.auth.headers import SAFE_METHODS, is_local, refuse_cross_site, refuse_unknown_client
from sb_api.auth.peers import peer_user
from sb_api.auth.sessions import Session, Sessions
from sb_api.auth.throttle import Throttle
from sb_api.config import PREFIX, Settings
from sb_api.errors import Forbidden, InvalidCredentials, InvalidSettings, TooManyFailures, Unauthenticated, Unavailable

logger = logging.getLogger(__name__)

COOKIE = "sb_api_session"
IDENTITY = "sb_api.identity"  # where a WSGI environment has who asks
CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf_token"
MOST_VERIFIED = 1024  # secrets remembered as right
HASHING = 2  # secrets checked at once by one process; each takes a core and 19 MiB
LONGEST_SECRET = 4096  # characters
PATIENCE = 10.0  # seconds to wait for one of these places

T = TypeVar("T")


@dataclass(frozen=True)
class Identity:
    """Who asks, in which role, and whether for others. Without credentials it is nobody by name, who may do all."""

    name: str
    role: Role
    may_name_reporters: bool = False

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


NOBODY = Identity("", "admin", may_name_reporters=True)


@dataclass(frozen=True)
class Snapshot:
    """The credentials as they stand in one state of their file, and the secrets found right since then.

    `credentials` is None when none are configured, and empty when nobody may come in.
    """

    state: tuple[int, ...]
    credentials: Mapping[str, Credential] | None
    damaged: bool = False
    verified: dict[bytes, Identity] = field(default_factory=dict)


class Gate:
    """Finds out who asks; one for each web process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.by_address = Throttle(free=5, longest=300.0)
        # Lets more pass: whoever wants to lock someone out needs no more than the name.
        self.by_name = Throttle(free=20, longest=10.0)
        self._file = str(settings.credentials_file)
        self._pepper = secrets.token_bytes(32)
        self._snapshot = Snapshot((), {})
        self._loading = threading.Lock()
        self._users: WeakKeyDictionary[socket.socket, int | None] = WeakKeyDictionary()
        self._places = threading.BoundedSemaphore(HASHING)

    @cached_property
    def sessions(self) -> Sessions:
        # Not before it is needed: a web part that only answers to tokens keeps nothing.
        return Sessions(self.settings.state / "session.key", self.settings.session_ttl)

    @cached_property
    def _decoy(self) -> str:
        return hash_secret(secrets.token_urlsafe())

    def snapshot(self) -> Snapshot:
        """The credentials as they are now. Raises Unavailable when they cannot be read."""
        try:
            status = os.stat(self._file)
            state: tuple[int, ...] = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        except FileNotFoundError:
            state = (0,)
        except OSError:
            state = (1,)
        if state != self._snapshot.state:
            # One for all who come at once: each would remember its own, and hash the same secret again.
            with self._loading:
                if state != self._snapshot.state:
                    self._snapshot = self._load(state)
        snapshot = self._snapshot
        if snapshot.damaged:
            raise Unavailable("The credentials cannot be read; the service's log says why.")
        return snapshot

    def _load(self, state: tuple[int, ...]) -> Snapshot:
        try:
            return Snapshot(state, read_credentials(Path(self._file)))
        except FileNotFoundError:
            # A file that the settings name is wanted; without it nobody comes in.
            return Snapshot(state, {} if self.settings.credentials else None)
        except InvalidCredentials as error:
            logger.error("nobody can come in: %s", error.detail)
            return Snapshot(state, {}, damaged=True)

    def identify(self, request: Request) -> Identity:
        """Who sent a request. Raises Unauthenticated, Forbidden or TooManyFailures."""
        known = self.recognize(request.environ)
        if known is not None:
            return known
        snapshot = self.snapshot()
        header = request.environ.get("HTTP_AUTHORIZATION")
        if header is not None:
            return self._identify_by_header(snapshot, header)
        session = self.session(request, snapshot)
        if session is None:
            raise Unauthenticated(
                "Send a token (Authorization: Bearer TOKEN, or Basic with NAME and TOKEN), or sign in."
            )
        if request.method not in SAFE_METHODS:
            _check_csrf(request, session)
        return _identity((snapshot.credentials or {})[session.name])

    def recognize(self, environ: dict[str, Any]) -> Identity | None:
        """Who sent a request, if they need no proof or gave it before; None when it is to be looked at.

        Raises Forbidden, or Unavailable when the credentials cannot be read.
        """
        refuse_unknown_client(environ)
        refuse_cross_site(environ)
        snapshot = self.snapshot()
        if snapshot.credentials is None:
            if not is_local(environ, self.settings.host):
                raise Forbidden(
                    "Without credentials the service answers to its own machine alone, called by a loopback address; "
                    "`sb-api token add NAME --role ROLE` makes a credential."
                )
            if not self._is_own_user(environ.get("gunicorn.socket")):
                raise Forbidden(
                    "Without credentials the service answers to processes of its own user alone, so not to a proxy's; "
                    f"`sb-api token add NAME --role ROLE` makes a credential, and {PREFIX}LOCAL_USERS=all "
                    "makes everybody on this machine, and whoever a proxy lets in, an admin."
                )
            return NOBODY
        header = environ.get("HTTP_AUTHORIZATION")
        return snapshot.verified.get(self._digest(header)) if header is not None else None

    def _is_own_user(self, connection: socket.socket | None) -> bool:
        """Whether the other end of a connection is this user's, if it can be known; asked once for each connection."""
        if connection is None or self.settings.local_users == "all":
            return True
        if connection not in self._users:
            self._users[connection] = peer_user(connection)
        return self._users[connection] in (None, os.geteuid())

    def _digest(self, header: str) -> bytes:
        # Keyed, so that nobody can choose what the look-up compares.
        return hashlib.blake2b(header.encode(), key=self._pepper, digest_size=32).digest()

    def session(self, request: Request, snapshot: Snapshot) -> Session | None:
        """The session of a request's cookie."""
        value = request.cookies.get(COOKIE)
        return self.sessions.read(value, snapshot.credentials) if value and snapshot.credentials else None

    def _identify_by_header(self, snapshot: Snapshot, header: str) -> Identity:
        parsed = Authorization.from_header(header)
        if parsed is not None and parsed.type == "basic":
            name, secret = parsed.username or "", parsed.password or ""
        elif parsed is not None and parsed.type == "bearer" and parsed.token:
            name, secret = parsed.token.partition(".")[0], parsed.token
        else:
            raise Unauthenticated("The Authorization header cannot be read: it must be Bearer TOKEN, or Basic.")
        return self.verify(name, secret, snapshot, self._digest(header))

    def verify(
        self,
        name: str,
        secret: str,
        snapshot: Snapshot,
        digest: bytes | None = None,
    ) -> Identity:
        """Whose secret this is, remembered under `digest`. Many may come with one new secret: one of them hashes it.

        Raises Unauthenticated, TooManyFailures, or Unavailable when too many secrets wait to be checked.
        """
        address = client_network(request.remote_addr or "")
        self._refuse_throttled(name, address)
        if not NAME.fullmatch(name) or len(secret) > LONGEST_SECRET:  # nobody's: neither kept as a key, nor hashed
            self._refuse_wrong(None, address)
        if not self._places.acquire(timeout=PATIENCE):
            raise Unavailable("Too many sign in at once; try again in a moment.")
        try:
            if digest is not None and (known := snapshot.verified.get(digest)):
                return known
            self._refuse_throttled(name, address)  # others from there may have failed while this one waited
            credential = (snapshot.credentials or {}).get(name)
            # An unknown name takes as long as a known one.
            right = _aside(fits, secret, credential.hash if credential else self._decoy)
            if credential and right and digest is not None:
                if len(snapshot.verified) >= MOST_VERIFIED:
                    snapshot.verified.clear()
                snapshot.verified[digest] = _identity(credential)
        finally:
            self._places.release()
        if credential is None or not right:
            self.by_name.fail(name)
            self._refuse_wrong(credential, address)
        self.by_address.forgive(address)
        self.by_name.forgive(name)
        return _identity(credential)

    def _refuse_wrong(self, credential: Credential | None, address: str) -> NoReturn:
        failures = self.by_address.fail(address)
        # A name that is not known may be a secret in the wrong place.
        who = credential.name if credential else "an unknown name"
        logger.warning("a wrong secret for %s from %s, failure %d in a row", who, address, failures)
        raise Unauthenticated("The name or the secret is wrong, or the credential was revoked.")

    def _refuse_throttled(self, name: str, address: str) -> None:
        wait = max(self.by_address.wait(address), self.by_name.wait(name))
        if wait > 0:
            seconds = int(wait) + 1
            raise TooManyFailures(f"Too many wrong secrets; the next is looked at in {seconds} s.", seconds)


def _identity(credential: Credential) -> Identity:
    return Identity(credential.name, credential.role, credential.may_name_reporters)


def _check_csrf(request: Request, session: Session) -> None:
    sent = request.headers.get(CSRF_HEADER) or ""
    if not sent and request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data"):
        sent = request.form.get(CSRF_FIELD, "")
    if not secrets.compare_digest(sent.encode(), session.csrf.encode()):
        raise Forbidden(
            f"Requests by cookie need the page's token, as header {CSRF_HEADER} or field {CSRF_FIELD}; a page that was "
            "opened before the last sign-in must be loaded anew."
        )


def _aside(function: Callable[..., T], *arguments: Any) -> T:
    """The result of what keeps a core busy, while the other requests of a gevent process go on."""
    if not monkey.is_module_patched("threading"):
        return function(*arguments)
    result: T = gevent.get_hub().threadpool.apply(function, arguments)
    return result


def require_credentials(settings: Settings) -> None:
    """Refuse to serve an address that others reach while nobody needs to prove who they are.

    Raises InvalidSettings; InvalidCredentials when the file of credentials is damaged.
    """
    if not _is_loopback(settings.host) and not has_credentials(settings.credentials_file):
        raise InvalidSettings(
            f"{PREFIX}HOST={settings.host}: without credentials the service listens on loopback alone (127.0.0.1); "
            "`sb-api token add NAME --role ROLE` makes one."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return all(ip_address(address).is_loopback for address in addresses)
