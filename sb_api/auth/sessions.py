"""Signed cookies by which the page knows who is signed in. They hold no secret, and nothing is kept of them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec
from itsdangerous import BadData, URLSafeTimedSerializer

from sb_api.auth.credentials import Credential
from sb_api.files import KEY_BYTES, load_key


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who signed in, when that credential was made, and the token that proves that a request is of our own page."""

    name: str
    created: str
    csrf: str


class Sessions:
    """Makes and reads the cookies' values with a key of this service's own, which `path` keeps.

    All web processes of a state directory share the key; without the file it is made.
    """

    def __init__(self, path: Path, seconds: int) -> None:
        self._seconds = seconds
        self._serializer = URLSafeTimedSerializer(load_key(path), salt="sb_api session")

    def sign(self, credential: Credential) -> str:
        """The value of a new cookie."""
        session = Session(
            name=credential.name, created=credential.created.isoformat(), csrf=secrets.token_urlsafe(KEY_BYTES)
        )
        signed = self._serializer.dumps(msgspec.to_builtins(session))
        return signed.decode() if isinstance(signed, bytes) else signed

    def read(self, value: str, credentials: Mapping[str, Credential]) -> Session | None:
        """The session of a cookie; None when it is not ours, over, or of a credential that was revoked since."""
        try:
            session = msgspec.convert(self._serializer.loads(value, max_age=self._seconds), Session)
        except (BadData, msgspec.ValidationError):
            return None
        credential = credentials.get(session.name)
        # A name may be given again after it was revoked; its old sessions stay over.
        return session if credential is not None and credential.created.isoformat() == session.created else None
