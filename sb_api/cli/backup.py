"""The commands that copy the state of a service, and bring it back."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from sb_api import __version__
from sb_api.cli.terminal.output import JSON, count, read_settings, show_note, tell

ARCHIVE = click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))


@click.command()
@ARCHIVE
@click.option("--verify", is_flag=True, help="Copy nothing: read all of FILE and say whether it could be restored.")
@JSON
def backup(file: Path, verify: bool) -> None:
    """Copy weights, verdicts, messages and credentials to the new archive FILE; the service may run.

    It is read again before the command ends well. `-` is standard output, or standard input with --verify. What
    FILE holds must be kept as the service itself is. To be run as the user of the service.
    """
    from sb_api.verdicts.backup import check_backup, make_backup

    if verify:
        with _given(file) as archive:
            _tell(check_backup(archive), f"{file} is whole", err=False)
        return
    settings = read_settings()
    if str(file) != "-":
        make_backup(settings, file, __version__)
        _tell(check_backup(file), f"Copied {settings.state} to {file}", err=False)
        return
    if sys.stdout.isatty():
        raise click.UsageError("An archive is not written to a terminal: name a file, or pipe it to one.")
    with tempfile.TemporaryDirectory(prefix="sb_api-backup-") as scratch:
        made = Path(scratch) / "backup.tar.gz"
        make_backup(settings, made, __version__)
        manifest = check_backup(made)
        with made.open("rb") as archive:
            shutil.copyfileobj(archive, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    _tell(manifest, f"Copied {settings.state}", err=True)


@click.command()
@ARCHIVE
@JSON
def restore(file: Path) -> None:
    """Put what the archive FILE holds into the state directory, where nothing of it may be yet.

    `-` is standard input. The service must not run there. All of FILE is checked before anything is written; an archive
    of a newer release is refused.
    """
    from sb_api.processes.serve import hold_state
    from sb_api.verdicts.backup import restore_backup

    settings = read_settings()
    with _given(file) as archive, hold_state(settings):
        _tell(restore_backup(settings, archive), f"Restored to {settings.state}", err=False)


@contextmanager
def _given(file: Path) -> Iterator[Path]:
    """A file, or what comes from standard input as one."""
    if str(file) != "-":
        yield file
        return
    with tempfile.NamedTemporaryFile(prefix="sb_api-backup-") as spooled:
        shutil.copyfileobj(sys.stdin.buffer, spooled)
        spooled.flush()
        yield Path(spooled.name)


def _tell(manifest: Any, done: str, *, err: bool) -> None:
    about = {"release": manifest.release, "created": manifest.created, "files": len(manifest.files)}
    text = f"{done}: {count(len(manifest.files), 'file')}, by release {manifest.release}, {manifest.created}"
    tell({"success": True, **about, "elsewhere": manifest.elsewhere}, text, err=err)
    for place in manifest.elsewhere:
        show_note(f"Not in it: {place}")
