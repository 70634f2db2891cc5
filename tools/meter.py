"""What a running service has had of the machine: processor time, memory, Redis; and how its other clients fare."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis
import requests

from tests.support.service import EDITOR, Service
from tools.overload import p99

PAUSE = 0.05  # seconds between what another client asks
SETTLED = 0.05  # of a processor
PEAK = "5"  # written to /proc/PID/clear_refs: the largest memory so far is the present one


@dataclass(frozen=True)
class Cost:
    """Seconds of processor time, and bytes: by which the largest process grew at most, and Redis by the end."""

    seconds: float
    memory: int
    redis: int


@dataclass
class Meter:
    """Measures what is done to a service. `idle` is what it takes of the processors by itself (seconds a second)."""

    service: Service
    idle: float = 0.0

    def settle(self, seconds: float) -> None:
        """Learn what the service takes while nothing is asked of it, once that is no longer what it begins with."""
        for _ in range(10):
            before, began = self._seconds(), time.monotonic()
            time.sleep(seconds)
            self.idle = max(0.0, (self._seconds() - before) / (time.monotonic() - began))
            if self.idle < SETTLED:
                return

    @contextmanager
    def measured(self, costs: list[Cost]) -> Iterator[None]:
        """Measure what happens inside; the cost is added to `costs`."""
        processes = self._processes()
        resident = {process.pid: _status(process.pid, "VmRSS") for process in processes}
        for pid in resident:
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text(PEAK)
        held, before, began = self._redis(), self._seconds(), time.monotonic()
        try:
            yield
        finally:
            took = time.monotonic() - began
            seconds = self._seconds() - before - self.idle * took
            grown = [_status(pid, "VmHWM") - rss for pid, rss in resident.items()]
            costs.append(Cost(max(0.0, seconds), max(grown, default=0), max(0, self._redis() - held)))

    def _processes(self) -> list[psutil.Process]:
        return [psutil.Process(self.service.process.pid), *self.service.children()]

    def _seconds(self) -> float:
        """Processor time of all processes so far, to the nanosecond: the kernel's other figures count in 10 ms."""
        total = 0
        for process in self._processes():
            for task in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
                with suppress(OSError):  # it ended
                    total += int(task.read_text().split()[0])
        return total / 1e9

    def _redis(self) -> int:
        with redis.Redis.from_url(self.service.redis_url) as client:
            return int(client.info("memory")["used_memory"])


def _status(pid: int, name: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return 0


@dataclass
class Neighbour:
    """Another client, who has one editor judged again and again, and how long that takes. In a process of its own: the
    attacker's is busy with what it sends."""

    address: str
    headers: Mapping[str, str]
    took: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @contextmanager
    def asking(self) -> Iterator[None]:
        command = [sys.executable, "-m", "tools.meter"]
        asker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert asker.stdin
        assert asker.stdout
        asker.stdin.write(json.dumps([self.address, dict(self.headers)]) + "\n")
        asker.stdin.flush()
        assert asker.stdout.readline() == "asking\n"
        try:
            yield
        finally:
            said, _ = asker.communicate("stop\n", timeout=120)
            self.took, self.wrong = json.loads(said)

    @property
    def p99(self) -> float:
        """Of the answers, in seconds; NaN for fewer than two."""
        return p99(self.took)


def ask_until(address: str, headers: Mapping[str, str], stop: threading.Event) -> tuple[list[float], list[str]]:
    """Have one editor judged again and again; the seconds that answers took, and what else came instead of them."""
    took: list[float] = []
    wrong: list[str] = []
    with requests.Session() as session:
        while not stop.wait(PAUSE):
            began = time.monotonic()
            try:
                answer = session.post(f"{address}/predict", json=[EDITOR], headers=dict(headers), timeout=60)
            except requests.RequestException as error:
                wrong.append(type(error).__name__)
                continue
            if answer.status_code == 200:
                took.append(time.monotonic() - began)
            elif answer.status_code != 503:  # refused at once, to be asked again
                wrong.append(str(answer.status_code))
    return took, wrong


def size_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> int:
    """Bytes of a request as it goes over the wire."""
    head = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1:4321",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return len("\r\n".join(head)) + 4 + len(body)


def largest(costs: Sequence[Cost], of: str) -> Any:
    return max(getattr(cost, of) for cost in costs)


def main() -> None:
    """Be the other client, until a line is sent."""
    address, headers = json.loads(sys.stdin.readline())
    stop = threading.Event()
    print("asking", flush=True)
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    print(json.dumps(ask_until(address, headers, stop)))


if __name__ == "__main__":
    main()
