"""docs/operations.md tells the truth: a backup restores what was learned, and a new release takes over unnoticed."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from pathlib import Path

from sb_api.config import load_settings
from sb_api.models.weights_store import WeightsStore
from sb_api.verdicts.verdict_log import open_verdict_log
from tests.conftest import join
from tests.support.deployments import (
    DEPLOY,
    Deployment,
    compose_start,
    read_compose,
    run,
    socket_activated,
    systemd_start,
)
from tests.support.service import EDITOR, ROOT, SHIPPED

OPERATIONS = ROOT / "docs" / "operations.md"


def documented(heading: str) -> str:
    """The commands below a heading of docs/operations.md."""
    section = OPERATIONS.read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL))


def make_release(folder: Path) -> dict[str, str]:
    """A release of its own, with another version number. Returns the environment that runs it."""
    shutil.copytree(ROOT / "sb_api", folder / "sb_api", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "static").symlink_to(ROOT / "static")
    package = folder / "sb_api" / "__init__.py"
    changed = re.sub(r'__version__ = "[^"]+"', '__version__ = "99.0.0"', package.read_text("utf-8"))
    package.write_text(changed, "utf-8")
    return {"PYTHONPATH": str(folder)}


class Steady:
    """Someone who asks for one judgement after the other, each by a connection of its own."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.answers: list[int | str] = []
        self.longest = 0.0  # seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self) -> None:
        while not self._over.wait(0.05):
            began = time.monotonic()
            try:
                self.answers.append(self.deployment.ask("systemd", "/predict", [EDITOR]).status_code)
            except Exception as error:  # whatever the client would see
                self.answers.append(repr(error))
            self.longest = max(self.longest, time.monotonic() - began)

    def __enter__(self) -> Steady:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        join(self._thread)


def test_a_backup_restores_what_was_learned_and_a_new_release_takes_over_while_none_is_refused(
    deployment: Deployment, tmp_path: Path
) -> None:
    """One promise after the other, because they share their processes: the new train process has the restored state."""
    verdicts = [{**EDITOR, "id": 2479, "verdict": 0}, {"id": 8, "bio": "cheap casino http://win.example", "verdict": 1}]
    learned = deployment.ask("compose", "/train", verdicts)
    assert learned.status_code == 200, learned.text
    version = learned.json()["weights"]["version"]

    commands = documented("Backup and restore")
    places = {"STATE": str(deployment.folder / "trainer"), "ARCHIVE": str(tmp_path / "backup.tar.gz")}
    places["RESTORED"] = str(tmp_path / "restored")
    done = run("bash", "-euc", commands, cwd=ROOT, **places)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "backup.tar.gz").stat().st_mode & 0o077 == 0
    restored = load_settings({}, state_dir=str(tmp_path / "restored"))
    assert restored.state.stat().st_mode & 0o077 == 0
    assert WeightsStore.of(restored, SHIPPED.name).load_current().about.version == version
    log = open_verdict_log(restored, SHIPPED.name)
    assert log is not None
    found = [(verdict.record, verdict.label) for verdict in log.find() if verdict.version == version]
    assert sorted(found) == sorted((str(verdict["id"]), verdict["verdict"]) for verdict in verdicts)

    release = make_release(tmp_path / "release")
    with Steady(deployment) as steady:
        for role, state in (("worker", tmp_path / "nothing"), ("trainer", restored.state)):
            new = compose_start(read_compose(), role).placed(deployment.redis, state)
            paths = [release["PYTHONPATH"], *filter(None, [new.environment.get("PYTHONPATH")])]
            deployment.start(f"new-{role}", new.command, {**new.environment, "PYTHONPATH": os.pathsep.join(paths)})
        deployment.wait_ready(classify=2, train=2)
        deployment.stop("worker", "trainer")
        # systemctl restart sb_api-web: the socket stays.
        deployment.stop("web-systemd")
        new = systemd_start("web").placed(deployment.redis, deployment.folder / "compose")
        assert deployment.listener is not None
        command, options = socket_activated(new.command, deployment.listener.fileno())
        deployment.start("web-systemd", command, {**new.environment, **release}, **options)
        deployment.wait_ready(classify=1, train=1)
        about = deployment.ask("systemd", "/openapi.json").json()["info"]
    assert about["version"] == "99.0.0"
    assert set(steady.answers) == {200}, steady.answers
    assert len(steady.answers) > 20
    assert steady.longest < 60
    # What the new train process learns goes on from what was restored.
    again = deployment.ask("systemd", "/train", [{"id": 9, "bio": "I play the fiddle", "verdict": 0}])
    assert again.status_code == 200, again.text
    assert again.json()["weights"]["previous"] == version
    # And the new worker, which has no TensorFlow, judges by it.
    assert deployment.ask("systemd", "/predict", [EDITOR]).json()["weights"] == again.json()["weights"]["version"]


def test_every_alarm_is_explained() -> None:
    rules = (DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8")
    alarms = re.findall(r"- alert: (\w+)", rules)
    assert alarms
    text = OPERATIONS.read_text("utf-8")
    assert [alarm for alarm in alarms if f"`{alarm}`" not in text] == []
    assert set(re.findall(r"`(SbApi\w+)`", text)) == set(alarms)
