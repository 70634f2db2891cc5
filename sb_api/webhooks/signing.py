"""The signature of Standard Webhooks 1.0 (https://www.standardwebhooks.com): HMAC-SHA256 of id, time and body."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sb_api.config import PREFIX
from sb_api.errors import InvalidSettings
from sb_api.files import write_private

MARK = "whsec_"  # what a secret begins with
LEAST_BYTES, MOST_BYTES = 24, 64  # of a secret
NEW_BYTES = 32
MOST_SECRETS = 4


def load_secrets(path: Path) -> list[bytes]:
    """The secrets of a file, one a line, each of which signs; where there is no file, one is made with a new secret.

    Raises InvalidSettings, which says nothing of what is in it.
    """
    try:
        with suppress(FileExistsError):
            if not path.exists():
                made = MARK + base64.b64encode(secrets.token_bytes(NEW_BYTES)).decode()
                write_private(path, f"{made}\n".encode(), replace=False)
        lines = path.read_text("ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise InvalidSettings(f"The secrets of webhooks cannot be read: {path}: {reason}.") from None
    found = [_decode(line) for line in lines]
    if not 1 <= len(found) <= MOST_SECRETS or not all(LEAST_BYTES <= len(secret) <= MOST_BYTES for secret in found):
        raise InvalidSettings(
            f"{path} ({PREFIX}WEBHOOK_SECRET) must hold 1 to {MOST_SECRETS} secrets, one a line: {MARK} and the base64 "
            f"of {LEAST_BYTES} to {MOST_BYTES} random bytes, as of `openssl rand -base64 {NEW_BYTES}`."
        )
    return found


def _decode(line: str) -> bytes:
    """The bytes of a secret, none for what is no secret."""
    if not line.startswith(MARK):
        return b""
    try:
        return base64.b64decode(line.removeprefix(MARK), validate=True)
    except binascii.Error:
        return b""


def sign(keys: Sequence[bytes], name: str, moment: int, body: bytes) -> dict[str, str]:
    """The headers of a message: its id, when it is sent (seconds since 1970), and a signature by each key."""
    signed = f"{name}.{moment}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    return {
        "webhook-id": name,
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
