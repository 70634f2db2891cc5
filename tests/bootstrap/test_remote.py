"""Artefacts that are pushed to a directory or to a real S3 server are pulled as they were, or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import sb_api
from sb_api.bootstrap.artefacts import export_artefact
from sb_api.bootstrap.remote import pull_artefact, push_artefact
from sb_api.cli import main
from sb_api.config import load_settings
from sb_api.errors import InvalidParameter, InvalidSettings, InvalidWeights, Unavailable, UnknownVersion
from sb_api.models.classifiers import INTENT, LODBROK

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
URL = "s3://weights/spam"


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = load_settings({}, state_dir=str(tmp_path_factory.mktemp("state")))
    return export_artefact(settings, LODBROK, tmp_path_factory.mktemp("artefacts"))


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """A bucket of an S3 server, and the environment that names the server."""
    # Not above: every process that tests are run in would load them.
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}).items():
            environment.setenv(name, value)
        bucket = boto3.resource("s3").Bucket("weights")
        bucket.create()
        yield bucket
    server.stop()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_pushed_to_s3_is_pulled_as_it_was(bucket: Any, artefact: Path, tmp_path: Path) -> None:
    assert push_artefact(artefact, URL) == push_artefact(artefact, f"{URL}/") == f"{URL}/{artefact.name}"
    assert {item.key for item in bucket.objects.all()} == {
        f"spam/{artefact.name}/{name}" for name in contents(artefact)
    }
    pulled = pull_artefact(URL, LODBROK, tmp_path / "new")
    assert pulled == tmp_path / "new" / artefact.name == pull_artefact(URL, LODBROK, tmp_path / "new")
    assert contents(pulled) == contents(artefact)
    assert artefact.name.endswith(sb_api.load(source=pulled).version)


def test_what_differs_from_its_checksum_is_refused_and_leaves_nothing(
    bucket: Any, artefact: Path, tmp_path: Path
) -> None:
    push_artefact(artefact, f"{URL}-damaged")
    bucket.Object(f"spam-damaged/{artefact.name}/labels.json").put(Body=b"[]")
    with pytest.raises(InvalidWeights, match=r"labels.json is damaged: its checksum differs"):
        pull_artefact(f"{URL}-damaged", LODBROK, tmp_path)
    bucket.Object(f"spam-damaged/{artefact.name}/labels.json").delete()
    with pytest.raises(InvalidWeights, match=r"lacks the file labels\.json"):
        pull_artefact(f"{URL}-damaged", LODBROK, tmp_path)
    manifest = json.loads((artefact / "manifest.json").read_bytes())
    manifest["files"]["../../escaped"] = "0" * 64
    bucket.Object(f"spam-damaged/{artefact.name}/manifest.json").put(Body=json.dumps(manifest).encode())
    with pytest.raises(InvalidWeights, match="of another format"):
        pull_artefact(f"{URL}-damaged", LODBROK, tmp_path)
    with pytest.raises(InvalidWeights, match="of another format"):
        push_artefact(artefact, f"{URL}-damaged")
    assert list(tmp_path.iterdir()) == []


def test_a_version_is_never_written_over(artefact: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept" / artefact.name
    push_artefact(artefact, str(tmp_path / "kept"))
    manifest = json.loads((target / "manifest.json").read_bytes())
    manifest["files"]["labels.json"] = "0" * 64
    (target / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidWeights, match="is there already"):
        push_artefact(artefact, str(tmp_path / "kept"))
    with pytest.raises(InvalidWeights, match="is there already"):
        pull_artefact(str(artefact.parent), LODBROK, tmp_path / "kept")


def test_the_newest_version_is_pulled_or_the_one_that_is_named(artefact: Path, tmp_path: Path) -> None:
    version = artefact.name.partition("-")[2]
    for name in ("lodbrok-000009-aaaaaaaa", "lodbrok-000010-aaaaaaaa", "lodbrok-x", "intent-000011-aaaaaaaa"):
        (tmp_path / name).mkdir()
    push_artefact(artefact, str(tmp_path))
    assert pull_artefact(str(tmp_path), LODBROK, tmp_path / "here", version).name == artefact.name
    with pytest.raises(UnknownVersion, match="There is no lodbrok-000010-aaaaaaaa"):
        pull_artefact(str(tmp_path), LODBROK, tmp_path / "here")
    with pytest.raises(InvalidParameter, match="not the name of a version"):
        pull_artefact(str(tmp_path), LODBROK, tmp_path / "here", "../x")


def test_what_cannot_be_reached_says_why(bucket: Any, artefact: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownVersion, match=r"no artefact of intent in s3://weights/spam"):
        pull_artefact(URL, INTENT, tmp_path)
    with pytest.raises(InvalidSettings, match="cannot be reached"):
        push_artefact(artefact, "nonsense://user:secret@x/y")
    with pytest.raises(Unavailable, match=r"s3://nobodys cannot be used") as raised:
        push_artefact(artefact, "s3://nobodys")
    assert "secret" not in raised.value.detail


def test_the_commands_push_and_pull(tmp_path: Path) -> None:
    runner = CliRunner(env={"SB_API_STATE_DIR": str(tmp_path / "state")})
    pushed = runner.invoke(main, ["weights", "push", str(tmp_path / "kept"), "--json"])
    assert json.loads(pushed.stdout)["success"], pushed.output
    pulled = runner.invoke(main, ["weights", "pull", f"file://{tmp_path / 'kept'}", str(tmp_path / "here")])
    assert "weights import" in pulled.stdout, pulled.output
    assert contents(next((tmp_path / "here").iterdir())) == contents(next((tmp_path / "kept").iterdir()))
