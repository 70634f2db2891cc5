"""The credentials file: who may come in, in which role, and a salted hash of each one's secret."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from sb_api.errors import InvalidCredentials
from sb_api.files import make_private_folder, write_private

if TYPE_CHECKING:
    from argon2 import PasswordHasher

Role = Literal["predict", "train", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each includes those before it
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
SHORTEST_PASSWORD = 12  # characters
TOKEN_BYTES = 32
# What the OWASP Password Storage Cheat Sheet asks of argon2id at least; memory in KiB.
TIME_COST, MEMORY_COST, PARALLELISM = 2, 19 * 1024, 1


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """One who may come in. `hash` is argon2id's, in its encoded form, with the salt and the cost in it.
    `may_name_reporters`: its verdicts may be those of others, whom it names."""

    name: str
    role: Role
    hash: str
    created: datetime
    may_name_reporters: bool = False


class _File(msgspec.Struct, frozen=True, kw_only=True):
    credentials: list[Credential]


def read_credentials(path: Path) -> dict[str, Credential]:
    """The credentials by name. Raises FileNotFoundError without a file, InvalidCredentials when it is damaged."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise InvalidCredentials(f"{path} cannot be read: {error}.") from None
    return {credential.name: credential for credential in file.credentials}


def has_credentials(path: Path) -> bool:
    """Whether there is at least one credential. Raises InvalidCredentials."""
    try:
        return bool(read_credentials(path))
    except FileNotFoundError:
        return False


def add_credential(
    path: Path, name: str, role: Role, password: str | None = None, *, may_name_reporters: bool = False
) -> str:
    """Let someone in, by a new token or by a chosen password; returns the secret, which is kept nowhere.

    A token begins with its credential's name. Raises InvalidCredentials when the name is taken or not fit to be one,
    or the password too short; then nothing is changed.
    """
    if not NAME.fullmatch(name):
        raise InvalidCredentials(f"{name[:40]!r} is no name: 1 to 64 letters, digits, - and _.")
    if password is not None and len(password) < SHORTEST_PASSWORD:
        raise InvalidCredentials(f"The password is too short; {SHORTEST_PASSWORD} characters are the least.")
    secret = password or f"{name}.{secrets.token_urlsafe(TOKEN_BYTES)}"
    with _changing(path) as credentials:
        if name in credentials:
            raise InvalidCredentials(f"There is a credential {name} already; revoke it first, or take another name.")
        credentials[name] = Credential(
            name=name,
            role=role,
            hash=hash_secret(secret),
            created=datetime.now(UTC),
            may_name_reporters=may_name_reporters,
        )
    return secret


def revoke_credential(path: Path, name: str) -> int:
    """Let someone in no longer; returns how many credentials are left. Raises InvalidCredentials when there is none."""
    with _changing(path) as credentials:
        if credentials.pop(name, None) is None:
            raise InvalidCredentials(
                f"There is no credential {name[:40]!r}; `sb-api token list` shows those there are."
            )
    return len(credentials)


def hash_secret(secret: str) -> str:
    """The argon2id hash of a secret, freshly salted."""
    return _hasher().hash(secret)


def fits(secret: str, hashed: str) -> bool:
    """Whether `hashed` was made of this secret, compared in constant time. Takes tens of milliseconds, on purpose."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(hashed, secret)
    except (VerificationError, InvalidHashError):
        return False


def _hasher() -> PasswordHasher:
    # Imported here: every process reads settings, which ask for credentials, and few check a secret.
    from argon2 import PasswordHasher

    return PasswordHasher(TIME_COST, MEMORY_COST, PARALLELISM)


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, Credential]]:
    """The credentials, to be changed; written back at the end, and by no other process in the meantime."""
    make_private_folder(path.parent)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # The folder, because the file itself is replaced.
        fcntl.flock(folder, fcntl.LOCK_EX)
        try:
            credentials = read_credentials(path)
        except FileNotFoundError:
            credentials = {}
        yield credentials
        content = msgspec.json.encode(_File(credentials=list(credentials.values())))
        write_private(path, msgspec.json.format(content, indent=1))
    finally:
        os.close(folder)
