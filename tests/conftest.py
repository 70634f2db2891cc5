"""Fixtures: a real redis-server for the session, settings with a state directory of their own for each test."""

from __future__ import annotations

import fcntl
import functools
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.broker.connection import connect
from sb_api.broker.jobs import STREAMS
from sb_api.config import Settings, load_settings
from sb_api.processes.redis_server import find_redis_server
from tests.support.jobs import Jobs

if TYPE_CHECKING:
    from sb_api.review.store import ReviewStore
    from tests.support.deployments import Deployment
    from tests.support.service import Bare, Beginning, Service, Shipped


# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("sb_api", deadline=None)
hypothesis.settings.load_profile("sb_api")


# How many threads numpy and TensorFlow calculate in, and all processes that are started. Several that wait for each
# other by turning round take the processors from whoever has something to do: a training then costs twice the time.
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def pytest_configure() -> None:
    """Tests that are started by nohup would hand on to services that SIGHUP is ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for name in THREADS:
        os.environ.setdefault(name, "1")  # before numpy is imported, which looks at it once


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """What is collected is no garbage: to look for some takes a fifth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 20)  # tests make thousands of objects that live as long as they do
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """See FewServices."""
    from tests.support.scheduling import FewServices

    return FewServices(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With CI=true a test that is skipped fails: a skipped test is a hole."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although CI=true: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[object]:
    """Coverage measures each example, and not how Hypothesis finds it, which would take twice the time."""
    found = getattr(pyfuncitem.obj, "hypothesis", None)
    trace = sys.gettrace()
    if found is None or trace is None:
        return (yield)
    test = found.inner_test

    @functools.wraps(test)
    def measured(*arguments: object, **named: object) -> None:
        sys.settrace(trace)
        try:
            test(*arguments, **named)
        finally:
            sys.settrace(None)

    found.inner_test = measured
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(trace)
        found.inner_test = test


def wait_until(condition: Callable[[], object], timeout: float = 60.0, interval: float | None = None) -> None:
    """Wait until `condition()` is true; fail after `timeout` seconds. Looks every `interval` seconds; by default ever
    more rarely, from 10 ms to a fifth of a second, because to look takes time from what is waited for."""
    deadline = time.monotonic() + timeout
    pause = interval or 0.01
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {condition}")
        time.sleep(pause)
        if interval is None:
            pause = min(1.2 * pause, 0.2)


def join(thread: threading.Thread, timeout: float = 60.0) -> None:
    """Wait until a thread has ended; fail after `timeout` seconds: one that hangs would hold up all other tests."""
    thread.join(timeout)
    assert not thread.is_alive(), f"{thread.name} does not end"


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` has filled, once for all the processes that the tests are run in."""
    own = factory.getbasetemp()
    folder = (own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            folder.mkdir()
            make(folder)
    return folder


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real redis-server, on a unix socket, for this session alone."""
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "redis.sock"
    command = [find_redis_server(), "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    with subprocess.Popen([*command, "--logfile", str(folder / "log")]) as server:
        client = redis.Redis(unix_socket_path=str(path))

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

        wait_until(answers)
        client.close()
        yield f"unix://{path}"
        server.terminate()


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """Settings with a state directory of their own and short times."""
    return load_settings(
        {}, redis_url=redis_url, state_dir=str(tmp_path / "state"), lease=1.0, predict_timeout=20.0, train_timeout=60.0
    )


def lasting_keys(client: redis.Redis) -> list[bytes]:
    """The keys without a time to live, other than the streams."""
    return [key for key in client.scan_iter() if client.ttl(key) == -1 and key.decode() not in STREAMS]


@pytest.fixture
def jobs(settings: Settings) -> Iterator[Jobs]:
    """The queue in an empty Redis. Fails a test that leaves a key without a time to live, other than the streams."""
    client = connect(settings)
    client.flushall()
    yield Jobs(client, settings)
    lasting = lasting_keys(client)
    client.flushall()
    client.close()
    assert not lasting, f"keys without a time to live: {lasting}"


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The one whole service that most tests of the endpoints share, all of it warm."""
    from tests.support.service import SHARED, start_service, thin_reference

    folder = tmp_path_factory.mktemp("service")
    thin_reference(folder / "state")
    with start_service(folder / "state", folder, **SHARED) as service:
        service.wait_warm()
        yield service
        with redis.Redis.from_url(service.redis_url) as queue:
            lasting = lasting_keys(queue)
        assert not lasting, f"keys without a time to live: {lasting}"
    assert service.process.returncode == 0, service.log


@pytest.fixture(scope="session")
def beginning(running: Service) -> Iterator[Beginning]:
    from tests.support.service import Beginning

    beginning = Beginning(running)
    yield beginning
    beginning.close()


@pytest.fixture
def service(running: Service, beginning: Beginning) -> Service:
    """The shared service, with the original weights current again and nothing in its verdict logs."""
    beginning.restore()
    return running


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A service in parts, started by the commands and environments of deploy/."""
    from tests.support.deployments import start_deployment

    with start_deployment(tmp_path_factory.mktemp("deployment")) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def service_app(running: Service) -> Flask:
    """The Flask application of this process, at the queue of the shared service."""
    return create_app(load_settings({}, redis_url=running.redis_url, state_dir=str(running.state)))


@pytest.fixture
def client(service: Service, service_app: Flask) -> FlaskClient:
    """A client of the routes in this process; real classify and train processes answer."""
    return service_app.test_client()


@pytest.fixture
def queue(service: Service) -> Iterator[ReviewStore]:
    """The review queue of the shared service, empty at first and in the end."""
    from sb_api.review.store import ReviewStore

    with service.queue() as jobs:
        settings = load_settings({}, state_dir=str(service.state), redis_url=service.redis_url, review="on")
        store = ReviewStore(jobs.redis, settings)
        store.purge()
        yield store
        store.purge()


@pytest.fixture
def reviewing(queue: ReviewStore, service: Service) -> FlaskClient:
    """A client of the routes in this process, with a review queue."""
    return create_app(queue.settings).test_client()


@pytest.fixture
def lonely_client(jobs: Jobs, settings: Settings) -> Iterator[FlaskClient]:
    """A client of the routes in this process at an empty queue that nobody works on."""
    app = create_app(settings)
    yield app.test_client()
    # Else its last figures may come into the Redis of the next test.
    app.extensions["sb_api_publisher"].close()


@pytest.fixture(scope="session")
def bare_session(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    from tests.support.service import make_bare, thin_reference

    state = tmp_path_factory.mktemp("bare")
    thin_reference(state)
    return make_bare(state)


@pytest.fixture
def bare(bare_session: Bare) -> Bare:
    """The model without any service around it, with the original weights."""
    bare_session.reset()
    return bare_session


@pytest.fixture(scope="session")
def shipped_session() -> Shipped:
    from tests.support.service import load_shipped

    return load_shipped()


@pytest.fixture
def shipped(shipped_session: Shipped) -> Shipped:
    """A model with the shipped weights, for tests that train nothing."""
    shipped_session.reset()
    return shipped_session
