"""The processes that benches measure: started, awaited, weighed, ended."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
WARM_UP, DRAIN = 180.0, 30.0  # seconds


@dataclass(frozen=True)
class Target:
    """A server under load: where it listens, what lets one in, and its first process."""

    url: str
    token: str
    process: psutil.Process
    state: Path

    @property
    def processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def role(self, *words: str) -> list[psutil.Process]:
        """Its processes whose command line holds one of the words."""
        return [process for process in self.processes if any(word in process.cmdline() for word in words)]

    def cpu_seconds(self) -> float:
        """Processor time of all its processes so far."""
        times = [process.cpu_times() for process in self.processes]
        return sum(each.user + each.system for each in times)


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of the service, and with this checkout's code first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SB_API_")}
    path = os.pathsep.join([str(ROOT), str(ROOT / "bench")])
    return kept | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"} | more


@contextmanager
def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its output in a log; it is ended at the end, with all its children."""
    with log.open("ab") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    children: list[psutil.Process] = []
    try:
        yield process
    finally:
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
        try:
            process.wait(DRAIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:
            if child.is_running():
                child.kill()


def await_true(condition: Callable[[], bool], log: Path, seconds: float = WARM_UP, pause: float = 0.1) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {seconds:g} s in vain; its log ends:\n{log.read_text()[-2000:]}")
        time.sleep(pause)


@contextmanager
def run_service(weights: Path | None = None, **settings: str) -> Iterator[Target]:
    """`sb-api run` with an embedded Redis and credentials, in a state directory of its own, which may begin as a copy
    of another with `weights`; warm for all it does."""
    with tempfile.TemporaryDirectory(prefix="sb_api-bench-") as name, ExitStack() as running:
        if weights is not None:
            shutil.copytree(weights, name, dirs_exist_ok=True)
        target = running.enter_context(launch(Path(name), **settings))
        await_true(lambda: is_warm(target.url), target.state / "log")
        # Ready comes before warm: the train process loads TensorFlow when all else is up.
        await_true(lambda: is_idle(target), target.state / "log", pause=0.5)
        yield target


@contextmanager
def launch(state: Path, **settings: str) -> Iterator[Target]:
    """`sb-api run`, as soon as it says where it listens."""
    environment = clean_environment(SB_API_STATE_DIR=str(state), **settings)
    add = [sys.executable, "-m", "sb_api", "token", "add", "bench", "--role", "admin"]
    token = subprocess.run(add, env=environment, check=True, capture_output=True, text=True).stdout.strip()
    log = state / "log"
    with start([sys.executable, "-m", "sb_api", "run", "--port", "0"], environment, log) as process:
        await_true(lambda: bool(_address(log)) or process.poll() is not None, log, pause=0.01)
        if not _address(log):
            raise SystemExit(f"the service has not started:\n{log.read_text()}")
        yield Target(_address(log), token, psutil.Process(process.pid), state)


def _address(log: Path) -> str:
    found = re.search(r"listens on (http://\S+)", log.read_text())
    return found[1] if found else ""


def is_warm(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return bool(json.load(answer)["train_processes"])
    except OSError:
        return False


def is_idle(target: Target) -> bool:
    """Whether its processes have used next to nothing for half a second, and the train process has loaded TensorFlow
    or has been told not to."""
    before = target.cpu_seconds()
    time.sleep(0.5)
    trainers = target.role("trainer")
    loaded = [
        trainer for trainer in trainers if trainer.memory_info().rss > 200 * 2**20 or "--cold" in trainer.cmdline()
    ]
    return bool(loaded) and target.cpu_seconds() - before < 0.1


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def run_server(command: Sequence[str], port: int, state: Path, **environment: str) -> Iterator[Target]:
    """Another server, once something listens on its port."""
    log = state / f"log-{port}"
    with start(command, clean_environment(**environment), log) as process:

        def listens() -> bool:
            if process.poll() is not None:
                raise SystemExit(f"{command[:4]} has ended:\n{log.read_text()[-3000:]}")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        await_true(listens, log)
        yield Target(f"http://127.0.0.1:{port}", "none", psutil.Process(process.pid), state)


def post(target: Target, path: str, body: bytes, timeout: float = 600.0) -> tuple[int, Any]:
    """One request: status and JSON. Raises URLError when nobody listens."""
    headers = {"Authorization": f"Bearer {target.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(target.url + path, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
