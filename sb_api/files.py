"""Writing files that are whole or not there, and its user's alone."""

from __future__ import annotations

import logging
import os
import secrets
import stat
from pathlib import Path

logger = logging.getLogger(__name__)


def write_private(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file of mode 0600, on disk when this returns; whoever is killed in between leaves what was there.

    Missing folders are made with mode 0700. Raises FileExistsError when it is there and `replace` is false.
    """
    make_private_folder(path.parent)
    partial = path.parent / f".{path.name}.{secrets.token_hex(8)}.partial"
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        if replace:
            os.replace(partial, path)
        else:
            os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_private_folder(folder: Path) -> None:
    """Make a folder and those above it where they are missing, each with mode 0700."""
    # Each by itself: `parents` makes them with the default mode.
    for missing in [path for path in (*reversed(folder.parents), folder) if not path.exists()]:
        missing.mkdir(mode=0o700, exist_ok=True)


def close_folder(folder: Path) -> None:
    """Have a folder that was there be its user's alone, too; log it when others could read it, or still can."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & 0o077:
        return
    try:
        folder.chmod(0o700)
    except PermissionError:
        logger.warning("%s is another user's, and open to others (mode %04o); only they can close it", folder, mode)
    else:
        logger.warning("%s was open to others (mode %04o); now it has mode 0700", folder, mode)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
