"""Names of processes: no two are the same, whatever host name and process number they have."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from sb_api.broker.connection import connect
from sb_api.broker.identity import Identity
from sb_api.broker.shared_state import Broker
from tests.support.jobs import Jobs

FORK = """
import os
from sb_api.broker.identity import Identity

identity = Identity("host:")
before = identity.name
read, write = os.pipe()
if not os.fork():
    os.write(write, identity.name.encode())
    os._exit(0)
os.wait()
print(before, identity.name, os.read(read, 1000).decode())
"""


def test_a_fork_has_a_name_of_its_own_and_keeps_it() -> None:
    told = subprocess.run([sys.executable, "-c", FORK], capture_output=True, check=True, text=True).stdout.split()
    before, after, child = told
    assert before == after != child
    assert all(name.startswith("host:") for name in told)


def test_threads_that_ask_at_the_same_time_get_the_same_name() -> None:
    with ThreadPoolExecutor(16) as pool:
        for _ in range(200):
            identity, barrier = Identity(), threading.Barrier(4)

            def ask(identity: Identity = identity, barrier: threading.Barrier = barrier) -> str:
                barrier.wait(20)
                return identity.name

            asked = [pool.submit(ask) for _ in range(4)]
            assert len({one.result() for one in asked}) == 1


def test_the_same_host_name_and_process_number_make_no_same_name() -> None:
    """As in the containers of one pod, each of whose processes is number 1."""
    assert Identity("pod:").name != Identity("pod:").name


def test_processes_of_one_host_name_and_number_are_all_alive(jobs: Jobs) -> None:
    """They took each other for one, and whichever had beaten last was shown."""
    web, classify, train = (Broker.of(connect(jobs.settings), jobs.settings) for _ in range(3))
    for broker, role in ((web, "web"), (classify, "classify"), (train, "train")):
        broker.registry.beat(role, {})
    assert [beat.role for beat in jobs.registry.alive()] == ["classify", "train", "web"]
    assert len({beat.name for beat in jobs.registry.alive()}) == 3
    classify.registry.leave()
    assert [beat.role for beat in jobs.registry.alive()] == ["train", "web"]
