"""`run`: Redis, web, classify and train processes as one service, which drains at its end."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sb_api.broker.sentinel import parse_sentinels
from sb_api.config import PREFIX, Settings
from sb_api.errors import CannotGoOn, CannotStart
from sb_api.files import close_folder, finish_replacing, make_private_folder
from sb_api.processes.redis_server import embedded_redis
from sb_api.processes.supervisor import PYTHON, Process, Stop, ends, supervise

logger = logging.getLogger(__name__)

DRAIN = 7.0  # seconds that processes have to finish what is under way


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the whole service until SIGTERM, SIGINT or SIGHUP.

    Raises InvalidSettings, CannotStart, and CannotGoOn when a process that it needs to judge keeps dying; nothing is
    left behind.
    """
    if settings.redis_url:
        parse_sentinels(settings.redis_url)  # wrong ones would only show when each process connects
    with ExitStack() as stack:
        stack.enter_context(hold_state(settings))
        listener = stack.enter_context(listen(settings))
        stop = Stop()
        for number in ends():
            signal.signal(number, lambda *_: stop.event.set())
        url = settings.redis_url or stack.enter_context(embedded_redis(settings, stop))
        environment = {
            **importable(os.environ),
            **{f"{PREFIX}{name.upper()}": str(getattr(settings, name)) for name in settings.__struct_fields__},
            f"{PREFIX}REDIS_URL": url,
            f"{PREFIX}STATE_DIR": str(settings.state),
            f"{PREFIX}UNPUBLISHED_WEIGHTS": "on",  # the files of this host are those that will be published
        }
        url_of_web = url_of(listener)  # while it is open
        processes = _processes(settings, environment, listener)
        stack.enter_context(supervise(processes, stop, settings.restart_limit, DRAIN))
        announce(url_of_web)
        stop.event.wait()
        # The web processes close theirs: a client that comes now is refused at once, and may go elsewhere.
        listener.close()
        logger.info("stopping: requests under way are answered first")
        if stop.failure:
            raise CannotGoOn(f"{stop.failure} The log says why; {PREFIX}RESTART_LIMIT sets how many deaths are borne.")


def importable(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that is to find this sb_api, also in a checkout that nobody has installed."""
    root = Path(__file__).parents[2]
    if not (root / "sb_api.py").exists():
        return dict(environment)
    given = environment.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": f"{root}{os.pathsep}{given}" if given else str(root)}


def url_of(listener: socket.socket) -> str:
    """The address that a listening socket has, as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _processes(settings: Settings, environment: dict[str, str], listener: socket.socket) -> list[Process]:
    sb_api = [*PYTHON, "sb_api"]
    web = Process(
        "web", web_command(settings, f"fd://{listener.fileno()}"), environment, descriptors=(listener.fileno(),)
    )
    classify = [
        Process(
            f"classify {number}",
            [*sb_api, "worker", *(["--helper"] if number > 1 else [])],
            environment,
            asks_for_kills=True,
        )
        for number in range(1, settings.classify_count + 1)
    ]
    # What judges does so without it.
    train = Process("train", [*sb_api, "trainer"], environment, is_vital=False, asks_for_kills=True)
    webhooks = Process("webhooks", [*sb_api, "webhooks", "deliver"], environment, is_vital=False)
    return [web, *classify, train, *([webhooks] if settings.webhooks else [])]


def web_command(settings: Settings, bind: str) -> list[str]:
    """The gunicorn command of the web processes."""
    return [
        *(*PYTHON, "sb_api.web.gunicorn_server", "sb_api:create_app()"),
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
        make_private_folder(settings.state)
        if settings.state != settings.static:  # a checkout's, which is everybody's to read
            close_folder(settings.state)
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
        finish_replacing(settings.state)
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
