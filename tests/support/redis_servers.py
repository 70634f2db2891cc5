"""Redis as it is in the field: with TLS, and as a master with a replica that Sentinels watch over."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import redis

from sb_api.processes.redis_server import find_redis_server
from tests.conftest import wait_until

DOWN_AFTER = 1.0  # seconds without an answer after which a Sentinel thinks that a Redis is down


@cache
def find_tls_server() -> str:
    """A redis-server that was built with TLS; "" when there is none."""
    for found in (find_redis_server(), "/usr/bin/redis-server", "/usr/local/bin/redis-server"):
        if not shutil.which(found):
            continue
        # It says what it lacks, and ends: the directive, or the files that it needs.
        command = [found, "--port", "0", "--tls-port", "1"]
        said = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=20)
        if "No tls-cert-file" in said.stdout + said.stderr:
            return found
    return ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_answers(client: redis.Redis, timeout: float = 20.0) -> None:
    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    wait_until(answers, timeout)


def redis_command(folder: Path, address: str, port: int, *options: str) -> list[str]:
    """The command of a Redis that keeps what it has in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        *(find_redis_server(), "--bind", address, "--protected-mode", "no", "--port", str(port), "--dir", str(folder)),
        *("--save", "", "--appendonly", "yes", "--logfile", str(folder / "log"), *options),
    ]


def sentinel_command(folder: Path, address: str, port: int, master: str, master_port: int, quorum: int) -> list[str]:
    """The command of a Sentinel that watches over a master which it calls `spam`."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind {address}\nprotected-mode no\nlogfile {folder / 'log'}\ndir {folder}\n"
        f"sentinel monitor spam {master} {master_port} {quorum}\n"
        f"sentinel down-after-milliseconds spam {round(1000 * DOWN_AFTER)}\nsentinel failover-timeout spam 5000\n"
    )
    return [find_redis_server(), str(configuration), "--sentinel"]


def wait_watched(hosts: Sequence[tuple[str, int]]) -> None:
    """Wait until every Sentinel knows the others and a replica."""
    clients = [redis.Redis(host=host, port=port, decode_responses=True) for host, port in hosts]
    for client in clients:
        wait_answers(client)

    def watched() -> bool:
        masters = [client.sentinel_master("spam") for client in clients]
        return all(m["num-slaves"] >= 1 and m["num-other-sentinels"] == len(hosts) - 1 for m in masters)

    wait_until(watched, 30, interval=0.1)
    for client in clients:
        client.close()
