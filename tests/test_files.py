"""Private files: whole or not there, its user's alone, whatever the umask says."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sb_api import files
from sb_api.config import load_settings
from sb_api.files import close_folder, finish_replacing, is_open_to_others, read_regular, replace_all, write_private
from sb_api.processes.serve import hold_state


@pytest.fixture(autouse=True)
def _lax_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_file_and_missing_folders_are_its_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_private(path, b"content")
    assert path.read_bytes() == b"content"
    assert (mode(path), mode(path.parent), mode(path.parent.parent)) == (0o600, 0o700, 0o700)


def test_an_open_file_is_closed_when_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    assert mode(path) == 0o666
    write_private(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)


def test_what_is_there_may_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        write_private(path, b"new", replace=False)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_private(link, b"new")
    assert (target.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"old", b"new", False)


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_private(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("before", [0o755, 0o750, 0o701])
def test_a_folder_that_was_open_is_closed_and_the_log_says_so(
    tmp_path: Path, before: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(before)
    close_folder(folder)
    assert mode(folder) == 0o700
    assert f"{before:04o}" in caplog.text
    caplog.clear()
    close_folder(folder)
    assert not caplog.text


def test_a_service_closes_the_state_directory_that_it_finds(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    with hold_state(load_settings({}, state_dir=str(tmp_path / "state"))):
        assert mode(tmp_path / "state") == 0o700


def test_of_what_comes_from_elsewhere_only_regular_files_are_read_and_so_much(tmp_path: Path) -> None:
    """A pipe would wait for ever, a device has no end."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular(path, 4)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for other in ("pipe", "link"):
        with pytest.raises(OSError, match="no regular file"):
            read_regular(tmp_path / other, 5)


def contents(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(files.REPLACING)}


NEW: dict[str, bytes | None] = {"a": b"new a", "b/c": b"new c", "gone": None}


@pytest.mark.parametrize("step", range(40))
def test_whoever_is_killed_while_several_files_are_replaced_leaves_all_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    old = {"a": b"old a", "gone": b"old"}
    for name, content in old.items():
        write_private(tmp_path / name, content)
    done = iter(range(step))

    def die_in_time(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            if next(done, None) is None:
                raise KeyboardInterrupt
            return call(*arguments, **options)

        return counted

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        for owner, name in ((os, "open"), (os, "replace"), (os, "rename"), (os, "unlink"), (os, "fsync")):
            patch.setattr(owner, name, die_in_time(getattr(owner, name)))
        replace_all(tmp_path, NEW)
    finish_replacing(tmp_path)
    after = {name: content for name, content in NEW.items() if content is not None}
    assert contents(tmp_path) in ((old, after) if step else (old,))
    replace_all(tmp_path, NEW)
    assert contents(tmp_path) == after


POD_USER, POD_GROUP = 10001, 20001


def status(mode: int, user: int, group: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 0, 0, 1, user, group, 0, 0, 0, 0))


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has the user of a pod, which is in a group of its own besides that."""
    monkeypatch.setattr("os.geteuid", lambda: POD_USER)
    monkeypatch.setattr("os.getegid", lambda: POD_USER)
    monkeypatch.setattr("os.getgroups", lambda: [POD_GROUP])


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize(
    ("mode", "user", "group", "is_open"),
    [
        (0o600, POD_USER, POD_USER, False),
        (0o440, 0, POD_GROUP, False),  # a secret that is mounted, with `fsGroup`
        (0o444, 0, POD_GROUP, True),
        (0o460, 0, POD_GROUP, True),
        (0o440, 0, 20002, True),  # of a group that it is not in
        (0o440, 10002, POD_GROUP, True),  # of another user, who may be in that group
        (0o640, POD_USER, POD_GROUP, True),  # its own, which it could close
    ],
)
def test_a_secret_that_a_pod_is_given_is_open_to_nobody_else(mode: int, user: int, group: int, is_open: bool) -> None:
    assert is_open_to_others(status(mode, user, group)) is is_open


@pytest.mark.usefixtures("pod")
def test_a_group_that_others_are_in_too_opens_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    other = pwd.struct_passwd(("other", "x", 10002, 10002, "", "/", "/bin/sh"))
    monkeypatch.setattr("pwd.getpwall", lambda: [other])
    assert not is_open_to_others(status(0o440, 0, POD_GROUP))
    monkeypatch.setattr("grp.getgrgid", lambda _: grp.struct_group(("staff", "x", POD_GROUP, ["other"])))
    assert is_open_to_others(status(0o440, 0, POD_GROUP))
    monkeypatch.setattr("grp.getgrgid", lambda _: grp.struct_group(("staff", "x", POD_GROUP, [])))
    monkeypatch.setattr("pwd.getpwall", lambda: [pwd.struct_passwd(("other", "x", 10002, POD_GROUP, "", "/", ""))])
    assert is_open_to_others(status(0o440, 0, POD_GROUP)), "it is the group that the other one is in from the start"
