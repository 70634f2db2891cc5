"""What the files in deploy/ start, read from them and started here as processes.

No container engine and no init system runs here; docker compose itself reads compose.yaml, and addresses, ports and
folders are put in other places. The rest is as the files have it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import requests
import yaml

from sb_api.processes.redis_server import find_redis_server
from tests.conftest import wait_until
from tests.support.service import ROOT, clean_environment, thin_reference

DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
STATE = "/var/lib/sb_api"
PASSWORD = "c0ffee" * 5
PATIENCE = 170.0  # seconds; a train process that has let TensorFlow go loads it again, on a busy machine for long
ROLES = ("web", "worker", "trainer", "webhooks")
LACKING = """import sys


class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules}:
            raise ModuleNotFoundError(f"No module named {{name!r}}: the image for serving lacks it", name=name)


sys.meta_path.insert(0, Lacking())
"""
Manifests = dict[tuple[str, str], dict[str, Any]]  # the objects of the Kubernetes example by kind and name
TOOLS = os.pathsep.join([str(BIN), str(Path(find_redis_server()).parent), os.environ["PATH"]])


def run(*command: str, cwd: Path = DEPLOY, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**clean_environment(), "PATH": TOOLS, **variables}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


@dataclass
class Start:
    """How one process is started: its command line, its environment, and the folder that it takes for its state."""

    command: list[str]
    environment: dict[str, str]
    kept: bool = True
    serving: bool = False  # from the image that lacks what learns

    def placed(self, redis: str, state: Path, port: int = 0) -> Start:
        """The same for this machine: another address of Redis, state folder, port and place of the program."""
        command = [str(BIN / "sb-api"), *self.command[1:]]
        if port:
            command += ["--port", str(port)]
        environment = {
            name: value.replace("@redis:6379", f"@{redis}").replace(STATE, str(state))
            for name, value in self.environment.items()
        }
        if self.serving:
            environment["PYTHONPATH"] = str(lacking(left_out(), state.parent / "serving"))
        return Start(command, environment)


def left_out() -> set[str]:
    """The packages that the image for serving lacks."""
    return locked("requirements.lock") - locked("requirements-serving.lock")


def locked(file: str) -> set[str]:
    """The packages that a lock file names."""
    lines = (ROOT / file).read_text("utf-8").splitlines()
    return {line.partition("==")[0] for line in lines if line[:1].isalnum()}


def lacking(packages: set[str], folder: Path) -> Path:
    """A folder for PYTHONPATH, with which the modules of these packages cannot be imported."""
    named = {re.sub(r"[-_.]+", "-", package).lower() for package in packages}
    modules = {
        module
        for module, distributions in packages_distributions().items()
        if {re.sub(r"[-_.]+", "-", distribution).lower() for distribution in distributions} <= named
    }
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(LACKING.format(modules=sorted(modules)), "utf-8")
    return folder


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, in order."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines.splitlines() if line.strip()]


def image() -> tuple[list[str], dict[str, str]]:
    """The entry point and the environment of the image."""
    found = dict(instructions())  # the last of each kind
    return json.loads(found["ENTRYPOINT"]), dict(word.split("=", 1) for word in shlex.split(found["ENV"]))


def read_compose() -> dict[str, Any]:
    """compose.yaml as docker compose understands it, with the parts that are off unless wanted."""
    words = ["-f", "compose.yaml", "--profile", "webhooks", "config", "--format", "json"]
    done = run("docker-compose", *words, REDIS_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def read_manifests() -> Manifests:
    """The objects of the Kubernetes example by kind and name."""
    files = [DEPLOY / "kubernetes" / f"{name}.yaml" for name in ("sb_api", "webhooks")]
    documents = [document for file in files for document in yaml.safe_load_all(file.read_text("utf-8"))]
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def compose_start(document: dict[str, Any], role: str) -> Start:
    entry, environment = image()
    service = document["services"][role]
    folders = [volume["target"] for volume in service.get("volumes", [])]
    is_serving = service["build"]["target"] == "serving"
    # None: of the environment of docker compose, if it is there.
    environment |= {name: value for name, value in service["environment"].items() if value is not None}
    return Start([*entry, *service["command"]], environment, STATE in folders, is_serving)


def pod(manifests: Manifests, role: str) -> dict[str, Any]:
    kind = "StatefulSet" if role == "redis" else "Deployment"
    spec: dict[str, Any] = manifests[kind, role]["spec"]["template"]["spec"]
    return spec


def kubernetes_start(manifests: Manifests, role: str) -> Start:
    entry, environment = image()
    (container,) = pod(manifests, role)["containers"]
    for variable in container["env"]:
        # As Kubernetes does it: secrets first, then what is put together from them.
        value = PASSWORD if "valueFrom" in variable else variable["value"]
        environment[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], value)
    folders = [mount["mountPath"] for mount in container["volumeMounts"]]
    is_serving = container["image"].startswith("sb_api-serving:")
    return Start([*entry, *container["args"]], environment, STATE in folders, is_serving)


def unit_lines(*files: str) -> list[tuple[str, str]]:
    text = "\n".join((DEPLOY / "systemd" / file).read_text("utf-8") for file in files)
    return [(key, value) for key, _, value in (line.partition("=") for line in text.splitlines()) if value]


def systemd_start(role: str) -> Start:
    name = "worker@" if role == "worker" else role
    lines = unit_lines(f"sb_api-{name}.service", "sb_api-.service.d/common.conf")
    environment = dict(value.split("=", 1) for key, value in lines if key == "Environment")
    # The file of settings, as the unit's comment shows it.
    environment["SB_API_REDIS_URL"] = f"redis://:{PASSWORD}@redis:6379/0"
    environment = {name: value.replace("%S", "/var/lib") for name, value in environment.items()}
    return Start(shlex.split(dict(lines)["ExecStart"]), environment)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Deployment:
    """The parts of one service, each a process; `webs` has the ports of the web processes."""

    folder: Path
    redis: str  # host and port
    token: str = ""
    webs: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    listener: socket.socket | None = None  # what systemd would hold

    def start(self, name: str, command: Sequence[str], variables: dict[str, str], **options: Any) -> None:
        environment = {**clean_environment(), "PATH": TOOLS, **variables}
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
            )

    def stop(self, *names: str, seconds: float = 20.0) -> None:
        """Stop processes as an operator does. Fails unless all end well within the time that deploy/ gives them."""
        for name in names:
            self.processes[name].send_signal(signal.SIGTERM)
        codes = {name: self.processes.pop(name).wait(seconds) for name in names}
        assert set(codes.values()) <= {0}, f"{codes}\n{self.logs()}"

    def ask(self, web: str, path: str, body: Any = None, token: str | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        url = f"http://127.0.0.1:{self.webs[web]}{path}"
        if body is None:
            return requests.get(url, headers=headers, timeout=PATIENCE)
        return requests.post(url, json=body, headers=headers, timeout=PATIENCE)

    def wait_ready(self, classify: int = 1, train: int = 1) -> None:
        """Wait until every web process sees so many warm classify and train processes."""

        def ready() -> bool:
            try:
                answers = [self.ask(name, "/readyz").json() for name in self.webs]
            except requests.RequestException:
                return False
            return all((each["classify_processes"], each["train_processes"]) == (classify, train) for each in answers)

        try:
            wait_until(ready, 150, interval=0.5)
        except AssertionError:
            raise AssertionError(self.logs()) from None

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text('utf-8', 'replace')}" for path in self.folder.glob("*.log"))


@contextmanager
def start_deployment(folder: Path) -> Iterator[Deployment]:
    """Redis and a web process as compose starts them, a worker and a web process as systemd does, a trainer and a web
    process as Kubernetes does: one service."""
    compose, manifests = read_compose(), read_manifests()
    made = Deployment(folder, f"127.0.0.1:{free_port()}")
    with ExitStack() as stack:
        stack.callback(_kill, made)
        made.start("redis", *_redis_of(compose, folder, made.redis))
        web = compose_start(compose, "web").placed(made.redis, folder / "compose")
        refused = run(*web.command, cwd=folder, **web.environment)
        assert refused.returncode == 2, refused.stderr
        assert "token add" in refused.stderr
        # docker compose run --rm web token add moderators --role train
        added = run(web.command[0], "token", "add", "moderators", "--role", "train", cwd=folder, **web.environment)
        assert added.returncode == 0, added.stderr
        made.token = added.stdout.strip()
        _make_secret(folder / "secret", folder / "compose" / "credentials.json")

        worker = systemd_start("worker").placed(made.redis, folder / "worker")
        made.start("worker", worker.command, worker.environment)
        thin_reference(folder / "trainer")
        trainer = kubernetes_start(manifests, "trainer").placed(made.redis, folder / "trainer")
        made.start("trainer", trainer.command, trainer.environment)
        for name, way in (("compose", compose_start(compose, "web")), ("secret", kubernetes_start(manifests, "web"))):
            made.webs[name] = free_port()
            placed = way.placed(made.redis, folder / name, made.webs[name])
            made.start(f"web-{name}", placed.command, placed.environment)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2048))
        made.webs["systemd"] = listener.getsockname()[1]
        activated = systemd_start("web").placed(made.redis, folder / "compose")
        command, options = socket_activated(activated.command, listener.fileno())
        made.start("web-systemd", command, activated.environment, **options)
        made.listener = listener
        made.wait_ready()
        yield made
        made.stop(*(name for name in made.processes if name != "redis"))


def _kill(deployment: Deployment) -> None:
    for process in deployment.processes.values():
        process.kill()
        process.wait()


def socket_activated(command: Sequence[str], listener: int) -> tuple[list[str], dict[str, Any]]:
    """A command, and options of Popen, that start it as systemd does for a socket unit."""
    # By way of another number, because 3 is where the command wants it.
    shell = f'export LISTEN_FDS=1 LISTEN_PID=$$; exec 9<&{listener}; exec "$@" 3<&9 9<&-'
    return ["bash", "-c", shell, "bash", *command], {"pass_fds": (listener,)}


def _redis_of(compose: dict[str, Any], folder: Path, address: str) -> tuple[list[str], dict[str, str]]:
    service = compose["services"]["redis"]
    host, _, port = address.partition(":")
    text = (DEPLOY / "redis.conf").read_text("utf-8")
    for before, after in (("bind * -::*", f"bind {host}"), ("port 6379", f"port {port}"), ("/data", str(folder))):
        assert before in text
        text = text.replace(before, after)
    (folder / "redis.conf").write_text(text, "utf-8")
    path = next(volume["target"] for volume in service["volumes"] if volume["type"] == "bind")
    command = [word.replace("$$", "$").replace(path, str(folder / "redis.conf")) for word in service["command"]]
    return command, service["environment"]


def _make_secret(folder: Path, credentials: Path) -> None:
    """What the Secret `web` holds, as the pods see it."""
    folder.mkdir()
    shutil.copy(credentials, folder)
    (folder / "session.key").write_bytes(os.urandom(32))
