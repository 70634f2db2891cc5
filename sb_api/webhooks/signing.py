"""The signature of Standard Webhooks 1.0 (https://www.standardwebhooks.com): HMAC-SHA256 of id, time and body."""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import secrets
from collections.abc import Sequence
from pathlib import Path

from sb_api.config import PREFIX
from sb_api.errors import InvalidSettings
from sb_api.files import write_private

logger = logging.getLogger(__name__)

MARK = "whsec_"  # what a secret begins with
LEAST_BYTES, MOST_BYTES = 24, 64  # of a secret
NEW_BYTES = 32
MOST_SECRETS = 4
NEW_SECRET = (
    f"{MARK} and the base64 of {LEAST_BYTES} to {MOST_BYTES} random bytes, as of `openssl rand -base64 {NEW_BYTES}`"
)


def make_secret(path: Path) -> None:
    """Make the file of the secrets, with a new one, unless it is there. Raises InvalidSettings."""
    made = MARK + base64.b64encode(secrets.token_bytes(NEW_BYTES)).decode()
    try:
        write_private(path, f"{made}\n".encode(), replace=False)
    except FileExistsError:
        return
    except OSError as error:
        raise InvalidSettings(f"No secret of webhooks can be made: {path}: {error.strerror}.") from None
    logger.warning("a new secret signs webhooks: receivers need what is in %s", path)


def load_secrets(path: Path) -> list[bytes]:
    """The secrets of a file, one a line, each of which signs.

    Raises InvalidSettings, which says nothing of what is in it; also when it is gone: receivers would refuse what a new
    secret signs.
    """
    try:
        lines = path.read_text("ascii").split()
    except FileNotFoundError:
        raise InvalidSettings(
            f"{path} is gone, the file of the secret that signs webhooks: none is sent. Put it back, as from a backup. "
            f"If receivers are to get a new secret, write it there: {NEW_SECRET}."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise InvalidSettings(f"The secrets of webhooks cannot be read: {path}: {reason}.") from None
    found = [_decode(line) for line in lines]
    if not 1 <= len(found) <= MOST_SECRETS or not all(LEAST_BYTES <= len(secret) <= MOST_BYTES for secret in found):
        raise InvalidSettings(
            f"{path} ({PREFIX}WEBHOOK_SECRET) must hold 1 to {MOST_SECRETS} secrets, one a line: {NEW_SECRET}."
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
