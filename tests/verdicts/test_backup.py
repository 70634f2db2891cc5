"""What cannot be made again is copied while it changes, found whole, and brought back; else it is no backup."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from sb_api.auth.credentials import add_credential, read_credentials
from sb_api.cli import main
from sb_api.config import Settings, load_settings
from sb_api.errors import InvalidBackup
from sb_api.models.weights_store import WeightsStore
from sb_api.verdicts import backup
from sb_api.verdicts.backup import check_backup, make_backup, restore_backup
from sb_api.verdicts.verdict_log import open_verdict_log
from sb_api.webhooks.signing import load_secrets, make_secret
from tests.support.factories import make_weights
from tests.verdicts.test_verdict_log import verdict

CURRENT = make_weights(1).about.version
STATE, ARCHIVE = "a state#1", "backup.tar.gz"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a state of weights, verdicts and a credential, and its backup."""
    folder = tmp_path_factory.mktemp("made")
    settings = load_settings({}, state_dir=str(folder / STATE))
    # Far smaller than the shipped ones, which would be packed and unpacked fifty times.
    WeightsStore.of(settings, "lodbrok").install_original(make_weights(0))
    learn(settings, 1)
    log = open_verdict_log(settings, "lodbrok")
    assert log is not None
    log.add([verdict(str(number)) for number in range(200)])
    log.close()
    add_credential(settings.credentials_file, "cron", "predict")
    (settings.state / "redis").mkdir()
    (settings.state / "redis" / "appendonly.aof").write_bytes(b"what is under way")
    make_backup(settings, folder / ARCHIVE, "0.1.0")
    return folder


@pytest.fixture
def settings(made: Path, tmp_path: Path) -> Settings:
    shutil.copytree(made / STATE, tmp_path / STATE)
    return load_settings({}, state_dir=str(tmp_path / STATE))


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Path:
    return shutil.copy(made / ARCHIVE, tmp_path / ARCHIVE)


def learn(settings: Settings, number: int) -> str:
    weights = make_weights(number)
    store = WeightsStore.of(settings, "lodbrok")
    store.save(weights)
    store.promote(weights.about.version)
    return weights.about.version


def other(tmp_path: Path) -> Settings:
    return load_settings({}, state_dir=str(tmp_path / "another"))


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_what_is_restored_is_what_was_copied(settings: Settings, archive: Path, tmp_path: Path) -> None:
    restored = other(tmp_path)
    assert restore_backup(restored, archive) == check_backup(archive)
    assert WeightsStore.of(restored, "lodbrok").chain() == WeightsStore.of(settings, "lodbrok").chain()
    assert WeightsStore.of(restored, "lodbrok").load_current().about.version == CURRENT
    log, before = open_verdict_log(restored, "lodbrok"), open_verdict_log(settings, "lodbrok")
    assert log is not None
    assert before is not None
    assert log.find() == before.find()
    assert read_credentials(restored.credentials_file) == read_credentials(settings.credentials_file)
    for path in (archive, *restored.state.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    left_out = {"redis", "redis/appendonly.aof"}
    assert names(restored.state) == names(settings.state) - left_out


def test_webhooks_are_signed_as_before_after_a_restore(settings: Settings, tmp_path: Path) -> None:
    make_secret(settings.webhook_secret_file)
    keys, restored = load_secrets(settings.webhook_secret_file), other(tmp_path)
    make_backup(settings, tmp_path / "x", "0.1.0")
    restore_backup(restored, tmp_path / "x")
    assert load_secrets(restored.webhook_secret_file) == keys


def test_a_training_while_it_copies_has_it_copy_anew(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and log are of one moment."""
    copyfile, trained = shutil.copyfile, []

    def copy(source: Path, target: Path) -> None:
        copyfile(source, target)
        if not trained:
            trained.append(learn(settings, 2))

    monkeypatch.setattr("sb_api.verdicts.backup.shutil.copyfile", copy)
    make_backup(settings, tmp_path / "x", "0.1.0")
    restore_backup(other(tmp_path), tmp_path / "x")
    assert WeightsStore.of(other(tmp_path), "lodbrok").chain().slots["current"] == trained[0]
    assert WeightsStore.of(other(tmp_path), "lodbrok").chain().slots["previous"] == CURRENT
    moments = iter(range(100))
    monkeypatch.setattr(backup, "_signature", lambda _: next(moments))
    with pytest.raises(InvalidBackup, match="changed while they were copied"):
        make_backup(settings, tmp_path / "y", "0.1.0")
    assert not (tmp_path / "y").exists()


def test_where_there_is_nothing_it_fails(tmp_path: Path) -> None:
    """It made an empty archive and said that all was well."""
    for state in (tmp_path / "nonexistent", tmp_path):
        with pytest.raises(InvalidBackup, match="There is nothing in"):
            make_backup(load_settings({}, state_dir=str(state)), tmp_path / "x", "0.1.0")
    assert list(tmp_path.iterdir()) == []


def test_neither_an_archive_nor_a_state_is_written_over(settings: Settings, archive: Path, tmp_path: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(InvalidBackup, match="is there already"):
        make_backup(settings, archive, "0.1.0")
    with pytest.raises(InvalidBackup, match=r"has credentials\.json, verdicts\.sqlite, weights already"):
        restore_backup(settings, archive)
    assert archive.read_bytes() == before
    assert names(tmp_path) == {archive.name, *(f"a state#1/{name}" for name in names(settings.state)), "a state#1"}


def test_a_damaged_log_is_not_called_a_backup(settings: Settings, tmp_path: Path) -> None:
    (settings.state / "verdicts.sqlite").write_bytes(b"no database " * 1000)
    with pytest.raises(InvalidBackup, match=r"verdicts\.sqlite cannot be copied: file is not a database"):
        make_backup(settings, tmp_path / "x", "0.1.0")
    assert not (tmp_path / "x").exists()


def rewritten(archive: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """The archive with other members."""
    with tarfile.open(archive) as tar:
        found = {member.name: tar.extractfile(member) for member in tar}
        contents = {name: file.read() for name, file in found.items() if file is not None}
    change(contents)
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def in_manifest(**changes: object) -> Callable[[dict[str, bytes]], object]:
    def change(contents: dict[str, bytes]) -> None:
        contents["manifest.json"] = json.dumps({**json.loads(contents["manifest.json"]), **changes}).encode()

    return change


def with_member(name: str, content: bytes | None) -> Callable[[dict[str, bytes]], object]:
    """Another member, or none of that name."""
    return lambda contents: contents.pop(name) if content is None else contents.update({name: content})


LOG, FIRST = "verdicts.sqlite", "manifest.json"
# What is done to an archive, or to its members, and what is said of it then.
SPOILT: dict[str, tuple[Callable[[Path], object] | None, Callable[[dict[str, bytes]], object] | None, str]] = {
    "cut off": (lambda path: os.truncate(path, path.stat().st_size // 2), None, "cannot be read|lacks"),
    "a byte": (lambda path: flip(path), None, "cannot be read|damaged|manifest"),
    "no archive": (lambda path: path.write_bytes(b"hello"), None, "cannot be read, or is no backup"),
    "gone": (lambda path: path.unlink(), None, "cannot be read"),
    "a newer format": (None, in_manifest(format=99, release="7.0"), "by release 7.0 in format 99"),
    "another tar": (None, with_member(FIRST, None), "does not begin with"),
    "a file less": (None, with_member(LOG, None), "lacks verdicts"),
    "a file more": (None, with_member("x", b""), "does not name"),
    "other content": (None, with_member(LOG, b"x"), "checksum"),
    "outside": (None, in_manifest(files={"../x": "0"}), "outside of the state directory"),
    "no JSON": (None, with_member(FIRST, b"{"), "manifest of"),
}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("kind", SPOILT)
def test_what_is_not_whole_is_not_restored(kind: str, archive: Path, tmp_path: Path) -> None:
    spoil, change, said = SPOILT[kind]
    if spoil:
        spoil(archive)
    if change:
        rewritten(archive, change)
    with pytest.raises(InvalidBackup, match=said):
        check_backup(archive)
    with pytest.raises(InvalidBackup, match=said):
        restore_backup(other(tmp_path), archive)
    assert names(other(tmp_path).state) == set()


def run(state: Path, *command: str, **options: object) -> Result:
    environment = {"SB_API_STATE_DIR": str(state)}
    return CliRunner(env=environment).invoke(main, list(command), catch_exceptions=False, **options)  # type: ignore[arg-type]


def test_the_commands_copy_verify_and_restore(settings: Settings, tmp_path: Path) -> None:
    archive, other_state = tmp_path / "b.tar.gz", tmp_path / "another"
    made = run(settings.state, "backup", str(archive), "--json")
    assert made.exit_code == 0
    about = json.loads(made.stdout)
    assert (about["success"], about["files"], about["elsewhere"]) == (True, len(check_backup(archive).files), [])
    assert run(tmp_path, "backup", "--verify", str(archive)).exit_code == 0
    assert run(other_state, "restore", str(archive)).exit_code == 0
    again = run(other_state, "restore", str(archive))
    assert (again.exit_code, again.stdout) == (1, "")
    assert "already: move that away" in again.stderr
    flip(archive)
    assert run(tmp_path, "backup", "--verify", str(archive)).exit_code == 1
    assert run(tmp_path / "none", "backup", str(tmp_path / "c")).exit_code == 1


def test_through_pipes_as_from_a_container(settings: Settings, tmp_path: Path) -> None:
    sent = run(settings.state, "backup", "-")
    assert sent.exit_code == 0
    assert run(tmp_path / "another", "restore", "-", input=sent.stdout_bytes).exit_code == 0
    assert WeightsStore.of(other(tmp_path), "lodbrok").load_current().about.version == CURRENT


def test_what_lies_elsewhere_is_said(settings: Settings, tmp_path: Path) -> None:
    away = msgspec.structs.replace(
        settings,
        verdict_log="postgresql://u:passw0rd@h/x",
        messages_url="mysql://h/x",
        credentials="/etc/x.json",
        webhook_secret="/etc/x.secret",
    )
    told = make_backup(away, tmp_path / "x", "0.1.0").elsewhere
    assert len(told) == 4
    assert "passw0rd" not in str(told)
