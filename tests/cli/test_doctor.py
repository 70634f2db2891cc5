"""`sb-api doctor` finds what is wrong with an installation, and says what to do."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Collection, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from sb_api.auth.credentials import add_credential, revoke_credential
from sb_api.cli import main
from sb_api.cli.diagnosis import Patient, examine
from sb_api.client import Client
from sb_api.config import load_settings
from sb_api.models.weights_store import WeightsStore
from tests.client.test_http import scripted
from tests.support.jobs import Jobs
from tests.support.service import Service


def diagnose(state: Path, code: int = 0, **variables: str) -> dict[str, list[dict[str, Any]]]:
    """The findings by state."""
    environment = {"SB_API_STATE_DIR": str(state), "SB_API_PORT": str(free_port()), **variables}
    done = CliRunner(env=environment).invoke(main, ["doctor", "--json"], catch_exceptions=False)
    assert done.exit_code == code, done.output
    found: dict[str, list[dict[str, Any]]] = {"ok": [], "note": [], "wrong": []}
    for finding in json.loads(done.stdout)["findings"]:
        assert finding["state"] == "ok" or finding["remedy"]
        found[finding["state"]].append(finding)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir(0o700)
    return path


def test_a_service_that_is_well_has_nothing_wrong(service: Service) -> None:
    found = diagnose(service.state, SB_API_URL=service.address)
    assert {finding["check"] for finding in found["ok"]} == {
        *("python", "packages", "file modes", "disk space", "redis", "clock", "credentials", "service", "token"),
        "verdict log",
        *("weights of lodbrok", "weights of intent", "weights of sentiment"),
    }


def test_an_installation_that_does_not_run_yet_is_not_wrong(state: Path) -> None:
    found = diagnose(state)
    assert {finding["check"] for finding in found["note"]} == {"redis", "service"}


LEARNING = frozenset(
    wanted.name
    for wanted in map(Requirement, metadata.requires("sb_api") or ())
    if wanted.marker and not wanted.marker.evaluate({"extra": ""}) and wanted.marker.evaluate({"extra": "learning"})
)


def leave_out(names: Collection[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have packages look as if nobody had installed them."""
    version = metadata.version

    def version_if_there(name: str) -> str:
        if name in names:
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", version_if_there)


def test_an_installation_that_only_serves_is_not_wrong(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out(LEARNING, monkeypatch)
    (finding,) = (each for each in diagnose(state)["note"] if each["check"] == "packages")
    assert "`web` and `worker`" in finding["detail"]


@pytest.mark.parametrize("missing", [{"keras"}, {"flask"}, LEARNING | {"flask"}], ids=["keras", "flask", "all"])
def test_packages_that_are_not_there(state: Path, monkeypatch: pytest.MonkeyPatch, missing: set[str]) -> None:
    leave_out(missing, monkeypatch)
    (finding,) = diagnose(state, 1)["wrong"]
    assert finding["detail"] == "; ".join(f"{name} is not there" for name in sorted(missing))


def test_a_verdict_log_that_is_damaged(state: Path) -> None:
    (state / "verdicts.sqlite").write_bytes(b"no database " * 1000)
    (finding,) = diagnose(state, 1)["wrong"]
    assert finding["check"] == "verdict log"
    assert f"Restore {state}/verdicts.sqlite from a backup" in finding["detail"]


def test_settings_that_are_wrong(state: Path) -> None:
    (finding,) = diagnose(state, 1, SB_API_LEASE="long")["wrong"]
    assert finding["check"] == "settings"


def test_damaged_weights_and_foreign_tokenizers(state: Path) -> None:
    shipped = load_settings({}).static
    (state / "weights").mkdir()
    for name in ("lodbrok", "intent"):
        shutil.copy(shipped / "weights" / f"original_{name}.h5", state / "weights" / f"current_{name}.h5")
    with (state / "weights" / "current_lodbrok.h5").open("r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    shutil.copytree(shipped / "tokenizers", state / "tokenizers")
    words = next(path for path in (state / "tokenizers").iterdir() if "words" in path.name)
    document = json.loads(words.read_text())
    document["documents"] += 1
    words.write_text(json.dumps(document))
    found = {finding["check"]: finding["detail"] for finding in diagnose(state, 1)["wrong"]}
    assert found.keys() == {"weights of lodbrok", "weights of intent"}
    assert "trained with the tokenizers" in found["weights of intent"]


def test_weights_of_an_architecture_that_this_release_does_not_have(state: Path) -> None:
    store = WeightsStore.of(load_settings({}, state_dir=str(state)), "lodbrok")
    original = store.load("original")
    store.install_original(replace(original, about=msgspec.structs.replace(original.about, architecture="wide-deep")))
    (finding,) = diagnose(state, 1)["wrong"]
    assert finding["check"] == "weights of lodbrok"
    assert "'wide-deep', which this release does not have" in finding["detail"]
    assert "sb-api bootstrap" in finding["remedy"]
    assert "rollback" not in finding["remedy"], "no service starts that could be asked"


def test_secrets_that_others_may_read(state: Path) -> None:
    (state / "verdicts.sqlite").touch(0o644)
    state.chmod(0o755)
    (finding,) = diagnose(state, 1)["wrong"]
    assert (finding["check"], "chmod" in finding["remedy"]) == ("file modes", True)
    state.chmod(0o700)
    assert diagnose(state)["wrong"] == []


def test_a_state_directory_of_a_pod_that_is_mounted_to_be_read_only(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [*os.statvfs(state)]
    there[8] |= os.ST_RDONLY  # f_flag
    monkeypatch.setattr("os.statvfs", lambda _: os.statvfs_result(there))
    state.chmod(0o1777)  # as Kubernetes mounts secrets
    found = diagnose(state)
    assert "state directory" in {finding["check"] for finding in found["note"]}


def test_credentials_that_others_may_read_or_that_let_nobody_in(state: Path) -> None:
    file = state / "credentials.json"
    add_credential(file, "cron", "predict")
    assert any("1 in" in finding["detail"] for finding in diagnose(state)["ok"])
    file.chmod(0o644)
    (finding,) = diagnose(state, 1)["wrong"]
    assert finding["remedy"] == f"chmod 600 {file}"
    file.chmod(0o600)
    revoke_credential(file, "cron")
    (finding,) = diagnose(state, 1)["wrong"]
    assert "token add" in finding["remedy"]
    file.unlink()
    (finding,) = diagnose(state, 1, SB_API_HOST="0.0.0.0")["wrong"]
    assert finding["check"] == "credentials"
    assert "SB_API_HOST" in finding["detail"]


def test_a_redis_that_is_not_there(state: Path) -> None:
    (finding,) = diagnose(state, 1, SB_API_REDIS_URL="redis://127.0.0.1:1")["wrong"]
    assert finding["check"] == "redis"


def test_a_stranger_on_the_port_and_a_service_that_is_not_there(state: Path) -> None:
    with scripted((200, {}, b"<html>")) as server:
        port = server.address.rpartition(":")[2]
        (finding,) = [f for f in diagnose(state, 1, SB_API_PORT=port)["wrong"] if f["check"] == "service"]
        assert "not of sb_api" in finding["detail"]
    (finding,) = diagnose(state, 1, SB_API_URL="http://127.0.0.1:1")["wrong"]
    assert "no service" in finding["detail"]


def test_a_service_that_is_not_ready_tells_why(state: Path) -> None:
    ready = {"success": False, "problems": ["no classify process is alive"], "notes": []}
    with scripted((503, {}, json.dumps(ready).encode())) as server:
        found = diagnose(state, 1, SB_API_URL=server.address)["wrong"]
    assert [finding["detail"] for finding in found] == ["no classify process is alive"]


def test_too_little_room(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb_api.cli.diagnosis.LEAST_SPACE", 2**60)
    (finding,) = diagnose(state, 1)["wrong"]
    assert finding["check"] == "disk space"


@pytest.fixture
def patient(state: Path) -> Iterator[Patient]:
    with Client("http://127.0.0.1:1", patience=0) as client:
        yield Patient(load_settings({}, state_dir=str(state)), client, expected=False)


def test_nothing_is_changed(patient: Patient, state: Path) -> None:
    list(examine(patient))
    assert list(state.iterdir()) == []


def test_rights_that_a_redis_user_lacks_are_named_one_by_one(state: Path, jobs: Jobs) -> None:
    """It said that Redis cannot be reached."""
    jobs.redis.execute_command("ACL", "SETUSER", "limited", "on", ">secret", "+@all", "-info", "-xclaim", "~{sb_api}:*")
    jobs.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        url = jobs.settings.redis_url.replace("unix://", "unix://limited:secret@")
        found = diagnose(state, 1, SB_API_REDIS_URL=url)["wrong"]
    finally:
        jobs.redis.config_set("maxmemory-policy", "noeviction")
        jobs.redis.execute_command("ACL", "DELUSER", "limited")
    assert [finding["check"] for finding in found] == ["redis", "redis rights"]
    assert "maxmemory-policy allkeys-lru" in found[0]["detail"]
    assert "noeviction" in found[0]["remedy"]
    assert found[1]["detail"] == "its user may not send XCLAIM"
