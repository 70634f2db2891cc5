"""What is generated from the OpenAPI document is a client that works."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import ROOT, Service

PACKAGE = "generated_sb_api"


def test_a_client_generated_for_python_judges_an_editor_of_whom_only_the_id_is_known(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openapi.json").write_bytes(service.get("/openapi.json").content)
    (tmp_path / "settings.yaml").write_text("post_hooks: []\n")  # neither is its code formatted, nor looked at
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--path", "openapi.json"]
    options = ["--config", "settings.yaml", "--output-path", PACKAGE]
    made = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    # Of all that the document has, one call is left out: a file of any type, which the client has no type for.
    assert made.stdout.count("WARNING") <= 1, made.stdout
    monkeypatch.syspath_prepend(tmp_path)
    client, models, predict = (
        importlib.import_module(f"{PACKAGE}.{name}") for name in ("client", "models", "api.predict.post_predict")
    )
    with client.Client(base_url=service.address) as connected:
        judged = predict.sync(client=connected, body=[models.Editor(id=1)])
    assert isinstance(judged, models.EditorPredictions)
    assert judged.to_dict() == service.post("/predict", [{"id": 1}]).json()
    assert {verdict.value for verdict in models.VerdictVerdict} == {0, 1}


def test_types_generated_for_typescript_compile_and_judge_an_editor_of_whom_only_the_id_is_known(
    service: Service, tmp_path: Path
) -> None:
    """Each of the 13 fields was asked for, as the document had a default of null for them."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not there; the Debian packages nodejs and npm have it")
    folder = tmp_path / "typescript"
    shutil.copytree(ROOT / "tests" / "system" / "typescript", folder)
    (folder / "openapi.json").write_bytes(service.get("/openapi.json").content)

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts")
    run("node_modules/.bin/openapi-typescript", "openapi.json", "--output", "schema.ts")
    run("node_modules/.bin/tsc")
    judged = run("node", "out/judge.js", service.address)
    assert json.loads(judged) == service.post("/predict", [{"id": 1}]).json()
