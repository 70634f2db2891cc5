"""What made or measured weights is a run of a real MLflow server; without one nothing fails."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from click.testing import CliRunner

from sb_api.broker.connection import connect
from sb_api.broker.shared_state import Broker
from sb_api.cli import main
from sb_api.cli.bootstrap import record_bootstrap
from sb_api.config import Settings, load_settings
from sb_api.errors import InvalidSettings
from sb_api.learning.trainer import Trainer
from sb_api.models.classifiers import LODBROK
from sb_api.telemetry.experiments import MOST_WAITING, Recorder, Run, flatten, record_run
from tests.conftest import wait_until
from tests.support.jobs import Jobs

RUN = Run(
    "training",
    "lodbrok",
    "000007-aaaaaaaa",
    {"learned": 3, "caution": None},
    {"reference": {"precision": 0.5, "not a number": float("nan")}, "labels": ["x"], "best": True},
    {"weights.h5": bytes(range(256))},
    seconds=2.0,
)


class Mlflow:
    """A running server, asked as its own clients ask it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def runs(self, classifier: str = "lodbrok") -> list[dict[str, Any]]:
        path = f"{self.url}/api/2.0/mlflow"
        found = requests.get(f"{path}/experiments/get-by-name", {"experiment_name": f"sb_api {classifier}"}, timeout=30)
        if found.status_code == 404:
            return []
        wanted = {"experiment_ids": [found.json()["experiment"]["experiment_id"]], "order_by": ["start_time DESC"]}
        runs: list[dict[str, Any]] = (
            requests.post(f"{path}/runs/search", json=wanted, timeout=30).json().get("runs", [])
        )
        return [run for run in runs if run["info"]["status"] == "FINISHED"]

    def last(self, kind: str) -> dict[str, Any]:
        """What is known of the latest run of a kind."""
        for run in self.runs():
            tags = self.by_key(run["data"]["tags"])
            if tags["kind"] == kind:
                return {
                    "tags": tags,
                    "parameters": self.by_key(run["data"].get("params", [])),
                    "figures": self.by_key(run["data"].get("metrics", [])),
                    **run["info"],
                }
        return {}

    def by_key(self, pairs: list[dict[str, Any]]) -> dict[str, Any]:
        return {pair["key"]: pair["value"] for pair in pairs}

    def files(self, run: str) -> dict[str, int]:
        answer = requests.get(f"{self.url}/api/2.0/mlflow/artifacts/list", {"run_id": run}, timeout=30).json()
        return {one["path"]: int(one["file_size"]) for one in answer["files"]}


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", f"{folder}/files"]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = {**os.environ, **quiet, "PYTHONWARNINGS": "ignore"}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*command, *places], stdout=log, stderr=log, env=environment, start_new_session=True)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert server.poll() is None, (folder / "log").read_text()
        try:
            return requests.get(f"{url}/health", timeout=5).ok
        except requests.ConnectionError:
            return False

    try:
        wait_until(answers, 120, 0.2)
        yield Mlflow(url)
    finally:
        server.terminate()
        server.wait(30)


def test_a_run_has_parameters_figures_and_files(mlflow: Mlflow) -> None:
    assert record_run(mlflow.url, RUN)
    found = mlflow.last("training")
    assert found["parameters"] == {"learned": "3"}
    assert found["figures"] == {"reference.precision": 0.5, "best": 1}
    assert (found["run_name"], found["tags"]["version"]) == ("training 000007-aaaaaaaa", "000007-aaaaaaaa")
    assert found["end_time"] - found["start_time"] == 2000
    assert mlflow.files(found["run_id"]) == {"weights.h5": 256}


def test_what_changes_or_measures_weights_is_recorded(mlflow: Mlflow, jobs: Jobs, settings: Settings) -> None:
    settings = msgspec.structs.replace(settings, mlflow_url=mlflow.url)
    trainer = Trainer(Broker.of(connect(settings), settings), LODBROK)
    version = trainer.roll_back("original", lambda: None)["weights"]["version"]
    wait_until(lambda: mlflow.last("rollback"))
    rolled_back = mlflow.last("rollback")
    assert (rolled_back["tags"]["version"], rolled_back["parameters"]["previous"]) == (version, version)
    assert mlflow.files(rolled_back["run_id"]).keys() == {"weights.h5"}
    record_bootstrap(settings, "lodbrok", {"source": "synthetic", "seed": 42}, 1.0)
    made = mlflow.last("bootstrap")
    assert (made["parameters"]["seed"], made["tags"]["version"]) == ("42", version)
    assert {"manifest.json", "weights.h5", "reference.npz"} <= mlflow.files(made["run_id"]).keys()
    environment = {"SB_API_STATE_DIR": settings.state_dir, "SB_API_MLFLOW_URL": mlflow.url}
    done = CliRunner(env=environment).invoke(main, ["evaluate", "--json"])
    assert done.exit_code == 0, done.output
    measured = mlflow.last("evaluation")
    assert measured["figures"]["accuracy"] == pytest.approx(0.97, abs=0.03)


@pytest.mark.parametrize(
    ("url", "said"), [("http://user:secret@127.0.0.1:1", "NewConnectionError"), ("http://127.0.0.1:{port}/x", "404")]
)
def test_a_server_that_is_away_is_said_so_and_nothing_fails(
    mlflow: Mlflow, url: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not record_run(url.format(port=mlflow.url.rpartition(":")[2]), RUN)
    (entry,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert "MLflow does not know of the training of lodbrok 000007-aaaaaaaa" in entry.getMessage()
    assert said in entry.getMessage()
    assert "secret" not in caplog.text


def test_a_slow_server_holds_up_nobody_and_loses_no_run_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        recorder = Recorder(f"http://127.0.0.1:{silent.getsockname()[1]}")
        for _ in range(MOST_WAITING + 2):  # one may be under way
            recorder.record(RUN)
        assert "MLflow is too slow: the training of 000007-aaaaaaaa is not recorded there" in caplog.text


def test_without_a_server_nothing_is_done(tmp_path: Path) -> None:
    assert not record_run("", RUN)
    Recorder("").record(RUN)
    with pytest.raises(InvalidSettings, match="MLFLOW_URL must begin with http"):
        load_settings({}, mlflow_url="databricks")


def test_names_have_nothing_in_them_that_mlflow_refuses() -> None:
    assert flatten({"a/b": {"für": 1}, "n": float("inf"), "x": None}) == {"a_b.f_r": 1.0}
