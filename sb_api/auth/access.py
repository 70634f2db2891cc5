"""Who may do what: tokens, Basic and the page's cookie, three roles, and failures that are slowed down."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Response, current_app, request

from sb_api.auth.addresses import is_loopback
from sb_api.auth.credentials import Role
from sb_api.auth.gate import COOKIE, IDENTITY, Gate, Identity
from sb_api.auth.headers import host_name, refuse_cross_site, refuse_unknown_client
from sb_api.broker.jobs import Actor
from sb_api.errors import Forbidden

logger = logging.getLogger(__name__)

OPEN_BODY_BYTES = 16 * 1024  # of a request that anybody may send; the largest is the form of the sign-in

P = ParamSpec("P")
T = TypeVar("T")


def current_identity() -> Identity:
    """Who sent the request under way. Raises Unauthenticated, Forbidden, TooManyFailures or Unavailable."""
    # Kept beside the request itself: each of Flask's proxies costs a microsecond.
    environ = request.environ
    identity: Identity | None = environ.get(IDENTITY)
    if identity is None:
        identity = environ[IDENTITY] = _gate().identify(request)
    return identity


def check_role(role: Role) -> Identity:
    """Who sent the request under way, if they may do what `role` may; else raises Forbidden, or as above."""
    identity = current_identity()
    if not identity.may(role):
        raise Forbidden(f"This needs the role {role}; {identity.name} has {identity.role}.", role=role)
    return identity


def current_actor() -> Actor:
    """Who sent the request under way, and from where, for the audit log. Raises what `current_identity` raises."""
    return Actor(credential=current_identity().name, address=request.remote_addr or "")


def require(role: Role) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A route that is for `role` and those above it."""

    def decorate(view: Callable[P, T]) -> Callable[P, T]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            check_role(role)
            return view(*args, **kwargs)

        checked.role = role  # type: ignore[attr-defined]
        return checked

    return decorate


def require_unless_open(setting: str, role: Role) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A route that is for everybody where a setting is "on", else for `role` and those above it."""

    def decorate(view: Callable[P, T]) -> Callable[P, T]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            if getattr(_gate().settings, setting) != "on":
                check_role(role)
            return view(*args, **kwargs)

        checked.role, checked.may_be_open = role, True  # type: ignore[attr-defined]
        return checked

    return decorate


def limit_open_bodies() -> None:
    """Before each request: nobody need prove who they are to a route without a role, so it reads a small body alone."""
    view = current_app.view_functions.get(request.endpoint or "")
    if not hasattr(view, "role"):
        request.max_content_length = OPEN_BODY_BYTES


def challenge(environ: Mapping[str, Any]) -> str:
    """What 401 asks for. Not Basic in a browser, which would ask with a window of its own and send it ever after."""
    return (
        'Bearer realm="sb_api"' if "HTTP_SEC_FETCH_SITE" in environ else 'Bearer realm="sb_api", Basic realm="sb_api"'
    )


# What the page uses


def sign_in(name: str, secret: str) -> Identity:
    """Who this is. Raises Unauthenticated, TooManyFailures, Forbidden (another site's page) or Unavailable."""
    refuse_unknown_client(request.environ)
    refuse_cross_site(request.environ)
    gate = _gate()
    snapshot = gate.snapshot()
    if snapshot.credentials is None:
        return current_identity()
    return gate.verify(name, secret, snapshot)


def start_session(response: Response, identity: Identity) -> None:
    """Have the browser that gets this answer stay signed in. Without credentials there is nothing to sign in to."""
    gate = _gate()
    credential = (gate.snapshot().credentials or {}).get(identity.name)
    if credential is not None:
        age = gate.settings.session_ttl
        response.set_cookie(COOKIE, gate.sessions.sign(credential), max_age=age, **_cookie_attributes())


def end_session(response: Response) -> None:
    """Have the browser that gets this answer be signed in no longer."""
    response.delete_cookie(COOKIE, **_cookie_attributes())


def csrf_token() -> str:
    """What a request of the page must carry that changes something; empty when nobody is signed in by cookie."""
    gate = _gate()
    session = gate.session(request, gate.snapshot())
    return session.csrf if session else ""


def _gate() -> Gate:
    gate: Gate = current_app.extensions["sb_api.auth"]
    return gate


def _cookie_attributes() -> dict[str, Any]:
    plain = is_loopback(host_name(request.environ).strip("[]")) or host_name(request.environ) == "localhost"
    # Below a path of another site, that site's other parts need not see it.
    path = request.script_root or "/"
    return {"path": path, "httponly": True, "samesite": "Strict", "secure": request.is_secure or not plain}
