"""Details of people, sealed by AES-256-GCM with a key that Redis never sees; names that say nothing without it."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

from sb_api.config import PREFIX
from sb_api.errors import InvalidSettings
from sb_api.files import KEY_BYTES, load_key

NONCE_BYTES = 12
NAME_BYTES = 12  # of 96 bits: no two of a million names are the same by accident


class Sealer:
    """Seals and names with the key of a file, which is made where it is missing.

    Raises InvalidSettings when the file holds no key, or `cryptography` is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ModuleNotFoundError:
            raise InvalidSettings(f"{PREFIX}REVIEW needs the package cryptography: pip install cryptography.") from None
        try:
            key = load_key(path)
        except OSError as error:
            raise InvalidSettings(f"The key of the review queue cannot be read: {path}: {error.strerror}.") from None
        if len(key) != KEY_BYTES:
            raise InvalidSettings(f"{path} must hold {KEY_BYTES} random bytes: `openssl rand -out {path} {KEY_BYTES}`.")
        self._cipher = AESGCM(_derive(key, b"seal"))
        self._invalid: type[Exception] = InvalidTag
        self._naming = _derive(key, b"name")
        self.fingerprint = _derive(key, b"fingerprint")[:8].hex()  # of the key: the same wherever the key is the same

    def name(self, kind: str, text: str) -> str:
        """What `text` is called, as a `kind` of thing (16 letters at most): always the same, and not to be guessed."""
        return blake2b(text.encode(), digest_size=NAME_BYTES, key=self._naming, person=kind.encode()).hexdigest()

    def seal(self, content: bytes, place: str) -> bytes:
        """Sealed content, which can be opened at its place alone."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """What was sealed. Raises ValueError for what was sealed with another key, for another place, or changed."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode())
        except self._invalid:
            raise ValueError("sealed with another key, or not by us") from None


def _derive(key: bytes, use: bytes) -> bytes:
    """A key of its own for each use (BLAKE2b, keyed)."""
    return blake2b(b"sb_api review", digest_size=32, key=key, person=use).digest()
