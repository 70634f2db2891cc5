"""deploy/ works: its files are sound, and the commands and environments in them make a service; and docs/operations.md
tells the truth of it: a backup restores what was learned, and a new release takes over unnoticed."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import threading
import time
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import requests
from packaging.requirements import Requirement

from sb_api.broker.connection import connect
from sb_api.config import load_settings
from sb_api.models.weights_store import WeightsStore
from sb_api.verdicts.verdict_log import open_verdict_log
from sb_api.webhooks.messages import make_message
from sb_api.webhooks.outbox import Outbox
from tests.conftest import join, wait_until
from tests.support.deployments import (
    BIN,
    DEPLOY,
    PASSWORD,
    ROLES,
    STATE,
    Deployment,
    Manifests,
    compose_start,
    free_port,
    instructions,
    kubernetes_start,
    lacking,
    left_out,
    locked,
    pod,
    read_compose,
    read_manifests,
    run,
    socket_activated,
    systemd_start,
)
from tests.support.receivers import is_signed, receive
from tests.support.service import EDITOR, ROOT, SHIPPED

OPERATIONS = ROOT / "docs" / "operations.md"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read_compose()


@pytest.fixture(scope="module")
def manifests() -> Manifests:
    return read_manifests()


def test_the_dockerfile_has_no_fault_that_hadolint_finds() -> None:
    done = run("hadolint", "Dockerfile")
    assert done.returncode == 0, done.stdout


def test_the_image_holds_what_is_installed_and_runs_as_nobody_special() -> None:
    last = dict(instructions())
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last["USER"])
    assert not re.search(r"(?i)token|secret|password", last["ENV"])
    installs = [value for kind, value in instructions() if kind == "RUN" and "-r requirements" in value]
    assert len(installs) == 2
    for install in installs:
        assert "--no-deps" in install  # else the lock file is a wish
        assert "--require-hashes" in install
    patterns = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    copied = {
        word
        for kind, value in instructions()
        if kind == "COPY" and "--from" not in value
        for word in value.split()[:-1]
    }
    assert copied == {pattern.partition("/")[0] for pattern in patterns}
    assert all(list(ROOT.glob(pattern)) for pattern in patterns)
    shipped = re.search(r'"sb_api\.static": (\[.*?\])', (ROOT / "setup.py").read_text("utf-8"))
    assert shipped
    assert {f"static/{pattern}" for pattern in json.loads(shipped[1])} <= set(patterns)
    for private in ("static/credentials.json", "static/weights/current_lodbrok.h5", ".git", "static/verdicts.sqlite"):
        assert not any(fnmatch(private, pattern) for pattern in patterns)


def test_web_processes_and_workers_run_in_the_small_image_and_the_trainer_in_the_whole_one(
    compose: dict[str, Any], manifests: Manifests
) -> None:
    """The deployments of these tests cannot import what the small image lacks."""
    wanted = [Requirement(line) for line in metadata.requires("sb_api") or ()]
    serves = {each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})}
    learns = {each.name for each in wanted if each.marker and each.marker.evaluate({"extra": "learning"})} - serves
    assert serves <= locked("requirements-serving.lock")
    assert learns <= left_out()
    for role in ROLES:
        for start in (compose_start(compose, role), kubernetes_start(manifests, role)):
            assert start.serving == (role != "trainer"), role
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)
    assert stages[-1] == ("base", "everything")  # what is built when no target is named
    targets = {service["build"]["target"] for service in compose["services"].values() if "build" in service}
    assert targets <= {name for _, name in stages}


def test_web_processes_have_room_in_the_memory_that_they_are_given(
    compose: dict[str, Any], manifests: Manifests
) -> None:
    """However many cores the machine has: see the sizes in docs/operations.md."""
    container = pod(manifests, "web")["containers"][0]
    given = [int(compose["services"]["web"]["mem_limit"]), int(container["resources"]["limits"]["memory"][:-2]) << 20]
    starts = [compose_start(compose, "web"), kubernetes_start(manifests, "web")]
    for memory, start in zip(given, starts, strict=True):
        assert start.environment["SB_API_WEB_PROCESSES"] != "0"
        assert int(start.environment["SB_API_WEB_PROCESSES"]) * 325 * 2**20 + 60 * 2**20 < memory


def test_docker_compose_takes_the_file_and_wants_a_password(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"redis", *ROLES}
    done = run("docker-compose", "-f", "compose.yaml", "config", "--quiet")
    assert done.returncode != 0
    assert "set REDIS_PASSWORD" in done.stderr


def test_compose_shows_the_web_process_to_its_own_machine_and_redis_to_nobody(compose: dict[str, Any]) -> None:
    published = {name: service.get("ports", []) for name, service in compose["services"].items()}
    assert [port["host_ip"] for port in published.pop("web")] == ["127.0.0.1"]
    assert not any(published.values())
    assert compose["networks"]["queue"]["internal"] is True
    more = {name: set(service["networks"]) - {"queue"} for name, service in compose["services"].items()}
    assert {name: networks for name, networks in more.items() if networks} == {"web": {"front"}, "webhooks": {"out"}}
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"], name


def test_webhooks_are_off_until_they_are_wanted_and_then_all_parts_know_of_them(manifests: Manifests) -> None:
    def read(**variables: str) -> dict[str, Any]:
        done = run("docker-compose", "-f", "compose.yaml", "config", "--format", "json", **variables)
        services: dict[str, Any] = json.loads(done.stdout)["services"]
        return services

    off = read(REDIS_PASSWORD=PASSWORD)
    assert set(off) == {"redis", *ROLES} - {"webhooks"}
    assert not [name for name in compose_start({"services": off}, "worker").environment if "WEBHOOK" in name]
    url = "https://ops.example/hook?room=7#drift"
    on = read(REDIS_PASSWORD=PASSWORD, COMPOSE_PROFILES="webhooks", SB_API_WEBHOOKS=url)
    assert {role: on[role]["environment"]["SB_API_WEBHOOKS"] for role in ROLES} == dict.fromkeys(ROLES, url)
    for role in ROLES:
        (source,) = pod(manifests, role)["containers"][0]["envFrom"]
        assert source == {"secretRef": {"name": "webhooks"} | ({"optional": True} if role != "webhooks" else {})}


def test_the_kubernetes_example_fits_the_schemas() -> None:
    for version in ("1.29.0", "1.37.0"):
        files = ["kubernetes/sb_api.yaml", "kubernetes/webhooks.yaml"]
        done = run("kubernetes-validate", "--strict", "-k", version, *files)
        assert done.returncode == 0, done.stderr
        assert (done.stdout + done.stderr).count("passed") > 12


def test_the_kubernetes_example_is_confined(manifests: Manifests) -> None:
    for role in ("redis", *ROLES):
        spec = pod(manifests, role)
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"], role
        assert not spec["automountServiceAccountToken"], role
        # Variables of a Service named sb-api would begin with SB_API_, and be refused as no settings.
        assert spec["enableServiceLinks"] is False, role
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"], role
        assert not confined["allowPrivilegeEscalation"], role
        assert confined["capabilities"] == {"drop": ["ALL"]}, role
        assert {"requests", "limits"} <= container["resources"].keys(), role
    assert not [kind for kind, _ in manifests if kind == "Secret"]
    assert manifests["Deployment", "trainer"]["spec"]["replicas"] == 1
    assert manifests["Deployment", "trainer"]["spec"]["strategy"] == {"type": "Recreate"}


def test_no_pod_of_the_kubernetes_example_goes_where_it_likes(manifests: Manifests) -> None:
    policies = [document["spec"] for (kind, _), document in manifests.items() if kind == "NetworkPolicy"]
    leaving = [policy for policy in policies if "Egress" in policy["policyTypes"]]
    for role in ("redis", *ROLES):
        kind = "StatefulSet" if role == "redis" else "Deployment"
        labels = manifests[kind, role]["spec"]["template"]["metadata"]["labels"]
        mine = [one for one in leaving if one["podSelector"]["matchLabels"].items() <= labels.items()]
        assert mine, role
        if role == "redis":
            assert [one["egress"] for one in mine] == [[]]
        anywhere = [rule["ports"] for one in mine for rule in one["egress"] if "to" not in rule]
        ports = {each["port"] for ports in anywhere for each in ports}
        assert ports == {"redis": set(), "webhooks": {53, 443}}.get(role, {53}), role


def test_policies_and_services_of_the_kubernetes_example_name_pods_that_there_are(
    manifests: Manifests,
) -> None:
    pods = [
        set(document["spec"]["template"]["metadata"]["labels"].items())
        for (kind, _), document in manifests.items()
        if kind in ("Deployment", "StatefulSet")
    ]
    text = json.dumps(list(manifests.values()))
    selectors = [json.loads(found) for found in re.findall(r'"(?:matchLabels|selector)": (\{"\w+": "\w+"\})', text)]
    assert len(selectors) > 10
    for selector in selectors:
        assert any(set(selector.items()) <= labels for labels in pods), selector


def test_redis_has_the_same_configuration_everywhere(manifests: Manifests) -> None:
    assert manifests["ConfigMap", "redis"]["data"]["redis.conf"] == (DEPLOY / "redis.conf").read_text("utf-8")


def test_systemd_takes_the_units_and_finds_them_confined(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not there; the Debian package systemd has it")
    shutil.copytree(DEPLOY / "systemd", tmp_path, dirs_exist_ok=True)
    for unit in tmp_path.glob("*.service"):
        unit.write_text(unit.read_text("utf-8").replace("/opt/sb_api/bin", str(BIN)), "utf-8")
    shutil.copy(tmp_path / "sb_api-worker@.service", tmp_path / "sb_api-worker@1.service")
    kinds = ("service", "socket", "timer")
    units = [f"./{path.name}" for kind in kinds for path in tmp_path.glob(f"*.{kind}")]
    assert len(units) == 9
    done = run("systemd-analyze", "verify", *units, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for unit in sorted(set(units) - {"./sb_api-worker@.service", "./sb_api-web.socket", "./sb_api-new-editors.timer"}):
        # 0 is confined altogether, 10 not at all; the drop-in counts.
        done = run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit, cwd=tmp_path)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("role", ROLES)
def test_all_of_them_start_the_same_with_settings_that_there_are(
    role: str, compose: dict[str, Any], manifests: Manifests
) -> None:
    starts = [compose_start(compose, role), kubernetes_start(manifests, role), systemd_start(role)]
    assert [start.command[1] for start in starts] == [role] * 3
    for start in starts:
        settings = load_settings(start.environment)
        assert settings.redis_url == f"redis://:{PASSWORD}@redis:6379/0"
        assert str(settings.state) == STATE
    # Containers of workers keep nothing; those of the others have a volume for it.
    assert [start.kept for start in starts[:2]] == [role != "worker"] * 2


@pytest.mark.parametrize("web", ["compose", "secret", "systemd"])
def test_each_way_judges_editors_of_those_who_have_a_token(web: str, deployment: Deployment) -> None:
    answer = deployment.ask(web, "/predict", [EDITOR])
    assert answer.status_code == 200, answer.text
    assert set(answer.json()["predictions"]) == {str(EDITOR["id"])}
    assert deployment.ask(web, "/predict", [EDITOR], token="guessed").status_code == 401


def test_health_checks_of_the_image_and_of_redis_hold(deployment: Deployment, compose: dict[str, Any]) -> None:
    check = re.search(r"CMD (\[.*\])", dict(instructions())["HEALTHCHECK"])
    assert check
    command = [word.replace(":4321", f":{deployment.webs['compose']}") for word in json.loads(check[1])]
    assert run(str(BIN / command[0]), *command[1:]).returncode == 0
    nobody = [word.replace(":4321", f":{free_port()}") for word in json.loads(check[1])]
    assert run(str(BIN / nobody[0]), *nobody[1:]).returncode != 0
    kind, shell = compose["services"]["redis"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    port = deployment.redis.partition(":")[2]
    asked = shell.replace("redis-cli ", f"redis-cli -p {port} ")
    assert run("sh", "-c", asked, REDISCLI_AUTH=PASSWORD).returncode == 0
    assert run("sh", "-c", asked, REDISCLI_AUTH="guessed").returncode != 0


def test_probes_of_kubernetes_get_an_answer_without_a_token(deployment: Deployment, manifests: Manifests) -> None:
    (container,) = pod(manifests, "web")["containers"]
    for probe in ("readinessProbe", "livenessProbe"):
        url = f"http://127.0.0.1:{deployment.webs['secret']}{container[probe]['httpGet']['path']}"
        assert requests.get(url, headers={"Host": "10.1.2.3:4321"}, timeout=20).status_code == 200


def test_what_the_trainer_learns_reaches_a_worker_that_has_the_address_of_redis_alone(deployment: Deployment) -> None:
    before = deployment.ask("compose", "/predict", [EDITOR]).json()["weights"]
    verdicts = [{**EDITOR, "verdict": 0}, {"id": 7, "bio": "cheap casino http://win.example", "verdict": 1}]
    trained = deployment.ask("secret", "/train", verdicts)
    assert trained.status_code == 200, trained.text
    after = trained.json()["weights"]["version"]
    assert after != before
    assert deployment.ask("systemd", "/predict", [EDITOR]).json()["weights"] == after
    assert (deployment.folder / "trainer" / "weights" / "current_lodbrok.h5").exists()
    worker = deployment.folder / "worker"
    assert not worker.exists() or not list(worker.rglob("*.h5"))


def test_web_processes_write_nothing_where_the_secret_is_mounted(deployment: Deployment) -> None:
    assert {path.name for path in (deployment.folder / "secret").iterdir()} == {"credentials.json", "session.key"}


def test_webhooks_are_sent_by_what_kubernetes_starts(deployment: Deployment, manifests: Manifests) -> None:
    folder = deployment.folder / "webhooks"
    folder.mkdir()
    secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    (folder / "webhooks.secret").write_text(f"{secret}\n")
    start = kubernetes_start(manifests, "webhooks").placed(deployment.redis, folder)
    with receive() as receiver:
        variables = {**start.environment, "SB_API_WEBHOOKS": receiver.url + "#training"}
        settings = load_settings(variables)
        with connect(settings) as client:
            Outbox(client, settings).put(make_message("training.refused", {}))
        deployment.start("webhooks", start.command, variables)
        wait_until(lambda: receiver.requests, 60, interval=0.05)
        deployment.stop("webhooks")
    ((_, headers, body),) = receiver.requests
    assert is_signed(secret, headers, body)
    assert [path.name for path in folder.iterdir()] == ["webhooks.secret"]


def test_no_password_can_be_read_in_the_list_of_processes(deployment: Deployment) -> None:
    port = deployment.redis.partition(":")[2]
    for process in deployment.processes.values():
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert line
        assert PASSWORD.encode() not in line, f"{line!r} at {port}"


@pytest.mark.parametrize("command", ["run", "trainer", "bootstrap"])
def test_what_learns_says_what_it_needs_where_only_what_serves_is_installed(command: str, tmp_path: Path) -> None:
    folder = lacking(left_out(), tmp_path / "serving")
    done = run(str(BIN / "sb-api"), command, cwd=tmp_path, PYTHONPATH=str(folder), SB_API_STATE_DIR=str(tmp_path / "s"))
    assert done.returncode != 0
    assert "pip install 'sb_api[learning]'" in done.stderr
    assert "Traceback" not in done.stderr


# docs/operations.md: last, because other processes take over


def documented(heading: str) -> str:
    """The commands below a heading of docs/operations.md."""
    section = OPERATIONS.read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL))


def make_release(folder: Path) -> dict[str, str]:
    """A release of its own, with another version number. Returns the environment that runs it."""
    shutil.copytree(ROOT / "sb_api", folder / "sb_api")  # compiled as it is: three processes would do that at a time
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
            # One training comes, of editors: all that trainings need, of messages too, is not loaded before.
            variables = {"PYTHONPATH": os.pathsep.join(paths), "SB_API_TRAINER_IDLE": "0"}
            deployment.start(f"new-{role}", new.command, {**new.environment, **variables})
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
