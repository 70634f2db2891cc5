"""A copy of all that cannot be made again: weights, verdicts, messages, credentials. Made while the service runs.

It is a tar archive whose first member, the manifest, has the SHA-256 of each of the others. The queue is left out: it
holds what is under way, and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote

import msgspec

from sb_api.config import Settings
from sb_api.errors import InvalidBackup
from sb_api.files import make_private_folder, sync_folder
from sb_api.models.weights_file import parse_weights

FORMAT = 1
MANIFEST = "manifest.json"
MOST_MANIFEST = 4 * 2**20  # bytes
KEYS = ("credentials.json", "session.key", "webhooks.secret")
PARTS = ("weights", "originals", "tokenizers", "reference", "docs", *KEYS)
DATABASES = ("verdicts.sqlite", "messages.sqlite")
TRIES = 10  # to copy the weights while nobody changes them
PIECE = 2**20  # bytes that are read at a time


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds: the `release` that made it and when (ISO 8601, UTC), the SHA-256 of each file by its path in
    the state directory, and what lies `elsewhere`, in words."""

    format: int
    release: str
    created: str = ""
    files: dict[str, str] = {}
    elsewhere: list[str] = []


def make_backup(settings: Settings, archive: Path, release: str) -> Manifest:
    """Copy the state into a new archive, which only its user may read; it is whole or not there.

    Files and databases are of one moment between two trainings. Raises InvalidBackup when there is nothing to copy,
    what there is cannot be read, or the archive is there already.
    """
    state = settings.state
    if not any((state / name).exists() for name in (*PARTS, *DATABASES)):
        raise InvalidBackup(f"There is nothing in {state}: SB_API_STATE_DIR names the state directory of the service.")
    if archive.exists():
        raise InvalidBackup(f"{archive} is there already; it is not written over.")
    partial = archive.with_name(f".{archive.name}.{os.getpid()}.partial")
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=state) as scratch:
        copy = Path(scratch)
        _copy_unchanged(state, copy)
        manifest = Manifest(
            format=FORMAT,
            release=release,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            files={str(path.relative_to(copy)): _digest(path) for path in _files(copy)},
            elsewhere=_elsewhere(settings),
        )
        (copy / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                # Numbers of weights hardly get smaller, whatever time is spent on it.
                with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
                    for name in (MANIFEST, *manifest.files):
                        tar.add(copy / name, name, recursive=False)
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, archive)
        finally:
            partial.unlink(missing_ok=True)
    sync_folder(archive.absolute().parent)
    return manifest


def check_backup(archive: Path) -> Manifest:
    """Read all of a backup: every file is there and whole, weights are weights and databases are sound. Raises
    InvalidBackup."""
    with tempfile.TemporaryDirectory(prefix="sb_api-backup-") as scratch:
        return _unpack(archive, Path(scratch))


def restore_backup(settings: Settings, archive: Path) -> Manifest:
    """Put what a backup holds into the state directory, once all of it is found whole.

    Raises InvalidBackup, and changes nothing, when it is not, when a newer release has made it, or when something of it
    is there already.
    """
    state = settings.state
    make_private_folder(state)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=state) as scratch:
        manifest = _unpack(archive, Path(scratch))
        parts = sorted({name.partition("/")[0] for name in manifest.files})
        if there := [name for name in parts if (state / name).exists()]:
            raise InvalidBackup(
                f"{state} has {', '.join(there)} already: move that away, or set SB_API_STATE_DIR to a new directory."
            )
        for name in parts:
            (Path(scratch) / name).rename(state / name)
    sync_folder(state)
    return manifest


def _copy_unchanged(state: Path, copy: Path) -> None:
    for _ in range(TRIES):
        before = _signature(state)
        try:
            _copy(state, copy)
        except FileNotFoundError:
            continue  # a training has taken its oldest version away
        finally:
            changed = before != _signature(state)
        if not changed:
            return
    raise InvalidBackup(f"The weights in {state} changed while they were copied, {TRIES} times; try again later.")


def _copy(state: Path, copy: Path) -> None:
    shutil.rmtree(copy)
    copy.mkdir(mode=0o700)
    linked: dict[tuple[int, int], Path] = {}  # slots are links to versions, and stay so
    for name in PARTS:
        for path in _files(state / name):
            status, target = path.stat(), copy / path.relative_to(state)
            make_private_folder(target.parent)
            if (first := linked.setdefault((status.st_dev, status.st_ino), target)) is target:
                shutil.copyfile(path, target)
            else:
                os.link(first, target)
    for name in DATABASES:
        if (state / name).exists():
            try:
                # SQLite's own way to copy a database that is written to at the same time.
                with closing(_open(state / name)) as source, closing(sqlite3.connect(copy / name)) as target_database:
                    source.backup(target_database)
            except sqlite3.Error as error:
                raise InvalidBackup(f"{state / name} cannot be copied: {error}; `sb-api doctor` says more.") from None


def _signature(state: Path) -> dict[Path, tuple[int, int]]:
    """What changes when anybody changes weights."""
    found = {}
    for path in _files(state / "weights"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        found[path] = (status.st_ino, status.st_mtime_ns)
    return found


def _files(place: Path) -> Iterator[Path]:
    """The files in a folder, or a file itself, without those that are being written."""
    found = [place] if place.is_file() else sorted(place.rglob("*"))
    return (path for path in found if path.is_file() and path.suffix != ".partial")


def _elsewhere(settings: Settings) -> list[str]:
    found = []
    if settings.verdict_log not in ("", "off"):
        found.append("the verdict log is in the database of SB_API_VERDICT_LOG, which has ways of its own to be copied")
    if settings.messages_url:
        found.append("the messages are in the database of SB_API_MESSAGES_URL")
    if settings.credentials and settings.credentials_file.parent != settings.state:
        found.append(f"the credentials are in {settings.credentials_file}")
    if settings.webhook_secret and settings.webhook_secret_file != settings.state / "webhooks.secret":
        found.append(f"the secrets that sign webhooks are in {settings.webhook_secret_file}")
    return found


def _unpack(archive: Path, folder: Path) -> Manifest:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            manifest = _read_manifest(tar, archive)
            seen = set()
            for member in tar:
                if member.offset == 0:
                    continue  # the manifest itself
                if member.name not in manifest.files or not (member.isreg() or member.islnk()):
                    raise InvalidBackup(f"{archive} holds {member.name[:200]!r}, which its manifest does not name.")
                if _write(tar.extractfile(member), folder / member.name) != manifest.files[member.name]:
                    raise InvalidBackup(f"{member.name} in {archive} is damaged: its checksum differs.")
                seen.add(member.name)
    except (tarfile.TarError, OSError, EOFError, zlib.error, KeyError) as error:
        raise InvalidBackup(f"{archive} cannot be read, or is no backup of sb_api: {error}.") from None
    if missing := sorted(manifest.files.keys() - seen):
        raise InvalidBackup(f"{archive} lacks {', '.join(missing[:5])}: it is cut off.")
    for path in _files(folder):
        _check(path)
    return manifest


def _read_manifest(tar: tarfile.TarFile, archive: Path) -> Manifest:
    first = tar.next()
    source = tar.extractfile(first) if first is not None and first.name == MANIFEST else None
    if source is None or first is None or first.size > MOST_MANIFEST:
        raise InvalidBackup(f"{archive} is no backup of `sb-api backup`: it does not begin with {MANIFEST}.")
    try:
        manifest = msgspec.json.decode(source.read(), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidBackup(f"The manifest of {archive} cannot be read: {error}.") from None
    if manifest.format > FORMAT:
        raise InvalidBackup(
            f"{archive} was made by release {manifest.release[:40]} in format {manifest.format}; this one reads up to "
            f"{FORMAT}. Restore it with that release or a later one."
        )
    if wrong := [name for name in manifest.files if PurePosixPath(name).is_absolute() or ".." in name.split("/")]:
        raise InvalidBackup(f"{archive} would write outside of the state directory: {wrong[0][:200]!r}.")
    return manifest


def _write(source: IO[bytes] | None, path: Path) -> str:
    """Write what is read to a new file of mode 0600; its SHA-256."""
    if source is None:
        return ""
    make_private_folder(path.parent)
    digest = hashlib.sha256()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while piece := source.read(PIECE):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _check(path: Path) -> None:
    if path.suffix == ".h5":
        parse_weights(path.read_bytes(), path.name)
    elif path.suffix == ".sqlite":
        try:
            with closing(_open(path)) as database:
                (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            found = str(error)
        if found != "ok":
            raise InvalidBackup(f"{path.name} is damaged: {' '.join(found.split())[:200]}.")


def _open(path: Path) -> sqlite3.Connection:
    """A database that is there; a missing one is not made."""
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, timeout=30)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
