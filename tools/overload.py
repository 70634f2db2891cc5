"""Overload: far more requests than can be answered. What is accepted is answered soon, the rest refused at once."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import wait_until
from tests.support.service import make_editors
from tools.faults import Target

RECORDS = 60  # of one request: enough that the classify processes, not HTTP, are what is overloaded
TIMES = 5.0
PROCESSES = 2  # that send
CONNECTIONS = 100  # of all who send too much


@dataclass
class Sample:
    """The seconds that accepted and refused requests took, and what was answered otherwise."""

    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def add(self, other: Sample) -> None:
        self.accepted += other.accepted
        self.refused += other.refused
        self.others += other.others


def p99(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98] if len(seconds) > 1 else float("nan")


def send_for(address: str, rate: float, seconds: float, connections: int) -> Sample:
    """Requests at `rate` a second over so many connections, sent when they are due as long as a connection is free."""
    order = {
        "address": address,
        "rate": rate / PROCESSES,
        "seconds": seconds,
        "connections": connections // PROCESSES,
        "records": RECORDS,
        "bodies": [json.dumps(make_editors(RECORDS, 1000 * number)) for number in range(50)],
    }
    command = [sys.executable, "-m", "tools.open_load"]
    senders = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    for sender in senders:
        assert sender.stdin
        assert sender.stdout
        sender.stdin.write(json.dumps(order) + "\n")
        sender.stdin.flush()
        assert sender.stdout.readline() == "ready\n"
    start = time.time() + 0.5
    total = Sample()
    with ThreadPoolExecutor(PROCESSES) as pool:
        for said, _ in pool.map(lambda sender: sender.communicate(f"{start}\n", seconds + 120), senders):
            total.add(Sample(**json.loads(said)))
    return total


def capacity(address: str, seconds: float) -> float:
    """Requests a second that are answered, with so few clients that none is refused, who do not wait in between."""
    return len(send_for(address, 100_000.0, seconds, 8).accepted) / seconds


def resident(target: Target) -> dict[str, int]:
    """MiB of each kind of process, of the largest of its kind."""
    return {
        role: max(process.memory_info().rss for process in target.processes(role)) // 2**20
        for role in ("web", "classify", "train", "redis")
    }


def processor_seconds(target: Target) -> dict[str, float]:
    """What each kind of process has had of the processors so far."""
    times = {role: [process.cpu_times() for process in target.processes(role)] for role in ("web", "classify", "redis")}
    return {role: sum(one.user + one.system for one in found) for role, found in times.items()}


def measure_overload(target: Target, seconds: float) -> list[tuple[Any, ...]]:
    """The figures of an overload of so many seconds: name, value, unit, against, goal, reached."""
    send_for(target.address(), 50.0, 3.0, 8)  # warm
    carried = capacity(target.address(), 5.0)
    normal = send_for(target.address(), 0.7 * carried, max(5.0, seconds / 4), 64)
    before = resident(target)
    spent = processor_seconds(target)
    over = send_for(target.address(), TIMES * carried, seconds, CONNECTIONS)
    end = time.monotonic()
    during = resident(target)
    spent = {role: round(seconds - spent[role], 1) for role, seconds in processor_seconds(target).items()}
    wait_until(target.is_normal, 60, interval=0.1)
    after = send_for(target.address(), 0.7 * carried, max(5.0, seconds / 4), 64)
    back = time.monotonic() - end - max(5.0, seconds / 4) - 3.0
    usual, loaded, later = p99(normal.accepted), p99(over.accepted), p99(after.accepted)
    rejected = p99(over.refused)
    growth = {role: during[role] - before[role] for role in before}
    print(
        f"carries {carried:.0f} requests of {RECORDS} records a second\n"
        f"normal:   {len(normal.accepted)} accepted, {len(normal.refused)} refused, p99 {1000 * usual:.0f} ms\n"
        f"overload: {len(over.accepted)} accepted, p99 {1000 * loaded:.0f} ms, median "
        f"{1000 * statistics.median(over.accepted or [0]):.0f} ms; {len(over.refused)} refused, p99 "
        f"{1000 * rejected:.0f} ms, median {1000 * statistics.median(over.refused or [0]):.0f} ms; "
        f"others {over.others[:3]}\n"
        f"processor seconds in {seconds:g} s of overload: {spent}\n"
        f"after:    {len(after.accepted)} accepted, {len(after.refused)} refused, p99 {1000 * later:.0f} ms\n"
        f"MiB before {before}, at the end {during}",
        flush=True,
    )
    return [
        (
            "overload: p99 of accepted requests",
            round(loaded / usual, 2),
            "times the normal",
            f"{1000 * usual:.0f} ms",
            3,
            loaded <= 3 * usual,
        ),
        (
            "overload: p99 of refusals",
            round(1000 * rejected, 1),
            "ms",
            f"{len(over.refused)} refused",
            50,
            rejected < 0.05,
        ),
        (
            "overload: neither answered nor refused with Retry-After",
            len(over.others),
            "requests",
            f"{len(over.accepted) + len(over.refused)} sent",
            0,
            not over.others,
        ),
        (
            "overload: growth of the largest process",
            max(growth.values()),
            "MiB",
            str(before),
            200,
            max(growth.values()) <= 200,
        ),
        (
            "overload: back to normal",
            round(max(0.0, back), 1),
            "s",
            "0.7 of what it carries",
            10,
            back <= 10 and later <= 3 * usual,
        ),
    ]
