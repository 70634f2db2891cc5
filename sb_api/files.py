"""Files that are whole or not there, and their user's alone; several at once, all or none; and files from elsewhere."""

from __future__ import annotations

import grp
import json
import logging
import os
import pwd
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

logger = logging.getLogger(__name__)

REPLACING = ".replacing"  # the folder with what is about to take its place
PLAN = "plan.json"
KEY_BYTES = 32


def read_regular(path: Path, most: int) -> bytes:
    """The content of a file from elsewhere, at most so many bytes. Raises OSError, also for what is no regular file,
    such as a pipe, which could keep whoever opens it for ever, or a device, which has no end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, "it is no regular file", str(path))
        content = b"" if status.st_size > most else file.read(most + 1)
    if max(status.st_size, len(content)) > most:
        raise OSError(None, f"it has more than {most} bytes", str(path))
    return content


def replace_all(folder: Path, contents: Mapping[str, bytes | None]) -> None:
    """Give files of a folder, named by their paths in it, new contents; None takes one away. All or none: whoever is
    killed in between leaves what was there, or what `finish_replacing` makes of it."""
    partial = folder / f"{REPLACING}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    plan: dict[str, str | None] = {}
    try:
        for number, (name, content) in enumerate(contents.items()):
            plan[name] = None if content is None else str(number)
            if content is not None:
                write_private(partial / str(number), content)
        write_private(partial / PLAN, json.dumps(plan).encode())
        os.rename(partial, folder / REPLACING)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # a disk that is full needs the room
        raise
    sync_folder(folder)
    finish_replacing(folder)


def finish_replacing(folder: Path) -> None:
    """End what `replace_all` has begun, if anything. May be repeated."""
    staged = folder / REPLACING
    if not (staged / PLAN).exists():
        return
    for name, source in json.loads((staged / PLAN).read_bytes()).items():
        target = folder / name
        make_private_folder(target.parent)
        if source is None:
            target.unlink(missing_ok=True)
        elif (staged / source).exists():
            os.replace(staged / source, target)
        sync_folder(target.parent)
    (staged / PLAN).unlink()  # at the end: without it nothing more is to be done
    shutil.rmtree(staged)


@contextmanager
def make_whole_folder(target: Path) -> Iterator[Path]:
    """A folder to be filled, which others may read and which is `target` once all is in it; if something fails before,
    nothing of it is left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def for_owner(path: str, flags: int) -> int:
    """An opener of `open`: what it makes may be read by its owner alone."""
    return os.open(path, flags, 0o600)


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


def load_key(path: Path) -> bytes:
    """The secret key that a file holds; where there is none, one of random bytes is made, the same for all processes
    that ask at once. Raises OSError."""
    with suppress(FileNotFoundError):
        return path.read_bytes()
    with suppress(FileExistsError):  # another process was quicker
        write_private(path, secrets.token_bytes(KEY_BYTES), replace=False)
    return path.read_bytes()


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


def is_open_to_others(status: os.stat_result) -> bool:
    """Whether somebody besides its user may read, write or enter a file or a folder. What root has made readable to a
    group of this process, in which nobody else is, is for this process alone: so a pod is given its secrets."""
    mode = stat.S_IMODE(status.st_mode)
    if not mode & 0o070 or mode & 0o007:
        return bool(mode & 0o007)
    given = status.st_uid == 0 != os.geteuid() and not mode & 0o020
    return not (given and _is_own_group(status.st_gid))


def _is_own_group(group: int) -> bool:
    """Whether this process is in a group that no other user but root is in."""
    if group not in {os.getegid(), *os.getgroups()}:
        return False
    users = {user.pw_name: user.pw_uid for user in pwd.getpwall()}
    named = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == group}
    with suppress(KeyError):  # a group that a pod is given has no name
        named |= {users.get(name, -1) for name in grp.getgrgid(group).gr_mem}
    return named <= {0, os.geteuid()}


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
