"""Faults for a running service: what each does, and what ends it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis
import requests

from sb_api.errors import InvalidWeights
from sb_api.models.weights_file import parse_weights
from tests.conftest import wait_until
from tests.support.databases import Database
from tests.support.service import RUN, Service, alive, make_verdicts, start_service

FILL = 2**20  # bytes written at once when a disk is filled
# Root reads any file; without these two capabilities it does not.
WITHOUT_RIGHTS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all")
ROLES = {"web": "gunicorn", "classify": "sb_api worker", "train": "sb_api trainer", "redis": "redis-server"}


def is_normal(address: str) -> bool:
    """Whether a classify and a train process are alive and an editor is judged, all within a second."""
    try:
        ready = requests.get(f"{address}/readyz", timeout=1)
        if ready.status_code != 200 or not ready.json()["train_processes"]:
            return False
        answer = requests.post(f"{address}/predict", json=[{"id": 1}], timeout=1)
    except requests.RequestException:
        return False
    return answer.status_code == 200


def wait_warm(address: str) -> None:
    """Wait until all is normal and something was learned: TensorFlow takes its time once, and then there is a current
    file."""
    wait_until(lambda: is_normal(address), 150, interval=0.2)
    wait_until(lambda: requests.post(f"{address}/train", json=make_verdicts(2, 1), timeout=310).ok, 320)


@dataclass
class Target:
    """A service under test, which may be killed whole and started again, as an init system would; and the server of its
    verdict log, where that has one."""

    folder: Path
    variables: dict[str, str]
    stack: ExitStack = field(default_factory=ExitStack)
    service: Service | None = None
    database: Database | None = None
    lives: int = 0

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def running(self) -> Service:
        assert self.service is not None
        return self.service

    def address(self) -> str:
        return self.running.address

    def start(self) -> Service:
        self.lives += 1
        # The same port again: clients do not look for another.
        port = self.service.address.rpartition(":")[2] if self.service else "0"
        command = (*WITHOUT_RIGHTS, *RUN[:-1], port)
        folder = self.folder / str(self.lives)
        self.service = self.stack.enter_context(start_service(self.state, folder, command, **self.variables))
        return self.service

    def log(self) -> str:
        """What all its lives have written."""
        folders = {self.running.folder, *(path.parent for path in self.folder.glob("[0-9]*/log"))}
        return "".join((folder / "log").read_text("utf-8", "replace") for folder in sorted(folders))

    def processes(self, role: str) -> list[psutil.Process]:
        """The processes of a role; of the web part the one that answers, not its master."""
        found = []
        for process in self.running.children():
            with suppress(psutil.Error):
                if ROLES[role] in " ".join(process.cmdline()):
                    found.append(process)
        if role == "web":
            found = [process for process in found if any(process.ppid() == other.pid for other in found)]
        return alive(found)

    def is_normal(self) -> bool:
        return is_normal(self.address())

    @contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(self.running.redis_url, socket_timeout=60) as client:
            yield client


@dataclass(frozen=True)
class Fault:
    """`inject` returns at the end of the fault; `check` fails unless the service has told of it."""

    name: str
    inject: Callable[[Target, random.Random], None]
    check: Callable[[Target], None] = lambda _: None


# Processes


def kill(role: str) -> Fault:
    def inject(target: Target, chance: random.Random) -> None:
        chance.choice(target.processes(role)).kill()

    return Fault(f"kill -9 of {role}", inject)


def kill_two(*roles: str) -> Fault:
    """One process of each role at the same moment: neither is there when the other is missed."""

    def inject(target: Target, chance: random.Random) -> None:
        chosen = [chance.choice(target.processes(role)) for role in roles]
        for process in chosen:
            process.suspend()
        for process in chosen:
            process.kill()

    return Fault(f"kill -9 of {' and '.join(roles)} at once", inject)


def kill_supervisor(target: Target, _: random.Random) -> None:
    """The first process alone: what it started ends with it, each in its own way, and an init system starts it anew."""
    children = target.running.children()
    target.running.process.kill()
    target.running.process.wait()
    wait_until(lambda: not alive(children))
    target.start()


def kill_whole(target: Target, _: random.Random) -> None:
    end_whole(target)
    target.start()


def end_whole(target: Target) -> None:
    """Have no process of it left, none of which has seen another die."""
    processes = [psutil.Process(target.running.process.pid), *target.running.children()]
    for process in processes:
        process.suspend()  # so that none sees another die and acts on it
    for process in processes:
        process.kill()
    target.running.process.wait()
    wait_until(lambda: not alive(processes))


def stop(role: str, seconds: float) -> Fault:
    def inject(target: Target, chance: random.Random) -> None:
        process = chance.choice(target.processes(role))
        process.suspend()
        time.sleep(seconds)
        process.resume()

    return Fault(f"SIGSTOP of {role} for {seconds:g} s", inject)


# Redis


def flush(target: Target, _: random.Random) -> None:
    with target.redis() as client:
        client.flushall()


def load_slowly(keys: int) -> Fault:
    """A Redis that is killed with so much in it that it takes a while to read it back."""
    seen: list[str] = []

    def inject(target: Target, _: random.Random) -> None:
        with target.redis() as client:
            for start in range(0, keys, 10_000):
                client.eval(
                    "for i = ARGV[1], ARGV[1] + 9999 do redis.call('SET', '{sb_api}:ballast:' .. i, i, 'EX', 60) end",
                    0,
                    start,
                )
        target.processes("redis")[0].kill()
        seen.clear()

        def loaded() -> bool:
            try:
                with target.redis() as client:
                    client.ping()
            except redis.BusyLoadingError:
                seen.append("loading")
                return False
            except redis.RedisError:
                return False
            return True

        wait_until(loaded, 60)

    def check(target: Target) -> None:
        assert seen, "Redis was never seen to load"
        with target.redis() as client:
            client.eval(
                "local c = '0' repeat local r = redis.call('SCAN', c, 'MATCH', '*ballast*', 'COUNT', 10000) "
                "c = r[1] for _, k in ipairs(r[2]) do redis.call('UNLINK', k) end until c == '0'",
                0,
            )

    return Fault("Redis restarted, loading", inject, check)


def out_of_memory(seconds: float) -> Fault:
    def inject(target: Target, _: random.Random) -> None:
        with target.redis() as client:
            before = client.config_get("maxmemory")["maxmemory"]
            client.config_set("maxmemory", 1)
            time.sleep(seconds)
            client.config_set("maxmemory", before)

    return Fault(f"Redis out of memory for {seconds:g} s", inject)


def cut_connections(seconds: float) -> Fault:
    """Every connection to Redis is cut again and again, at whatever it is at."""

    def inject(target: Target, chance: random.Random) -> None:
        end = time.monotonic() + seconds
        with target.redis() as client:
            while time.monotonic() < end:
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                time.sleep(0.2 * chance.random())

    return Fault(f"connections to Redis cut for {seconds:g} s", inject)


def hang_up(seconds: float) -> Fault:
    """Clients that go away before their answer has come, or in the middle of it."""

    def inject(target: Target, chance: random.Random) -> None:
        end = time.monotonic() + seconds
        body = [{"id": number, "bio": "x" * 500} for number in range(300)]
        while time.monotonic() < end:
            with suppress(requests.RequestException):
                answer = requests.post(f"{target.address()}/predict", json=body, stream=True, timeout=chance.random())
                answer.raw.read(10)
                answer.close()

    return Fault(f"clients hang up for {seconds:g} s", inject)


# The disk


@contextmanager
def small_disks(target: Target, megabytes: int = 400) -> Iterator[None]:
    """Weights, verdict log and queue of a service not started yet, on disks of their own, which can be full."""
    folders = [target.state / "weights", target.state / "log", target.state / "redis"]
    mounted = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, mode=0o700)
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder)], check=True
            )
            mounted.append(folder)
        target.variables["SB_API_VERDICT_LOG"] = f"sqlite:///{folders[1]}/verdicts.sqlite"
        yield
    finally:
        for folder in mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def full_disk(which: str, seconds: float, left: Sequence[int] = (0, 1, 5, 9)) -> Fault:
    """The disk is full for a while, with some of `left` megabytes left: so it fails at the first write of a file, in
    the middle of one, or at the second file."""

    def inject(target: Target, chance: random.Random) -> None:
        ballast = target.state / which / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(FILL))
            os.truncate(ballast, max(0, ballast.stat().st_size - chance.choice(left) * FILL))
            time.sleep(seconds)
        finally:
            ballast.unlink()

    return Fault(f"disk of the {which} full for {seconds:g} s", inject)


# Weights files


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def _replace(path: Path) -> None:
    other = Path(__file__).parent.parent / "static" / "weights" / "original_intent.h5"
    copy = path.with_suffix(".copy")
    shutil.copy(other, copy)
    os.replace(copy, path)


def _lock_away(path: Path) -> None:
    path.chmod(0)


DAMAGES = {
    "truncated": _truncate,
    "flipped in one bit": _flip,
    "replaced by another network's": _replace,
    "made unreadable": _lock_away,
}


def damage(kind: str, *, forgotten: bool = False) -> Fault:
    """The current weights file is damaged; with `forgotten`, Redis does not have its content either, and the train
    process, which notices, starts anew."""

    def inject(target: Target, _: random.Random) -> None:
        path = target.state / "weights" / "current_lodbrok.h5"
        wait_until(path.exists, 60)
        if forgotten:
            process = target.processes("train")[0]
            process.suspend()
            DAMAGES[kind](path)
            flush(target, random.Random(0))
            process.kill()
        else:
            DAMAGES[kind](path)

    def check(target: Target) -> None:
        log = target.log()
        assert "a weights file cannot be used" in log or "falling back from the current weights" in log, log[-3000:]
        if not forgotten:
            path = target.state / "weights" / "current_lodbrok.h5"
            wait_until(lambda: _is_whole(path), 10)

    return Fault(f"current weights {kind}" + (", Redis empty" if forgotten else ""), inject, check)


def _is_whole(path: Path) -> bool:
    try:
        return parse_weights(path.read_bytes(), str(path)).about.classifier == "lodbrok"
    except (InvalidWeights, OSError):
        return False
