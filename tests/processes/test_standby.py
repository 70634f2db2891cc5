"""A helping classify process that nobody needs lets its memory go, and is there again when somebody does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import psutil
import pytest

from tests.conftest import join, wait_until
from tests.support.service import Service, carries, make_editors, start_service

HELPER = "sb_api worker --helper"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"SB_API_CLASSIFY_PROCESSES": "2", "SB_API_HELPER_IDLE": "0.5", "SB_API_LEASE": "2"}
    folder = tmp_path_factory.mktemp("standby")
    with start_service(folder / "state", folder, **settings) as started:
        yield started


def stands_by(process: psutil.Process) -> bool:
    return "--standby" in process.cmdline() and not carries(process, "onnxruntime")


@contextmanager
def again_and_again(ask: Callable[[], object]) -> Iterator[None]:
    over = Event()

    def go_on() -> None:
        while not over.is_set():
            ask()

    threads = [Thread(target=go_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            join(thread)


def test_it_stands_by_until_it_is_needed_and_again_afterwards(service: Service) -> None:
    helper = service.child(HELPER)
    wait_until(lambda: stands_by(helper), 60)
    assert helper.memory_info().rss < 50 * 2**20
    wait_until(lambda: service.ready()["classify_processes"] == 1)

    # Large requests of which some wait at every moment.
    editors = make_editors(1000)
    with again_and_again(lambda: service.post("/predict", editors)):
        wait_until(lambda: service.ready()["classify_processes"] == 2, 60)
        assert carries(helper, "onnxruntime")
    wait_until(lambda: stands_by(helper), 60)

    # A small request that nobody takes.
    first = next(child for child in service.children() if child.cmdline()[-1] == "worker")
    niceness = helper.nice()
    first.suspend()
    try:
        answer = service.post("/predict", make_editors(2))
    finally:
        first.resume()
    assert answer.status_code == 200
    assert carries(helper, "onnxruntime")
    assert helper.nice() == niceness
    assert service.child(HELPER).pid == helper.pid
    assert "Traceback" not in service.log
    assert "ended with" not in service.log


def test_it_ends_with_the_service_without_a_word(service: Service) -> None:
    helper = service.child(HELPER)
    wait_until(lambda: stands_by(helper), 60)
    assert service.stop() == 0
    assert not helper.is_running()
    assert "did not stop in time" not in service.log
