"""The queue over TLS with client certificates, and over a failover that Sentinels decide on."""

from __future__ import annotations

import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import redis

from sb_api.broker.connection import connect
from sb_api.broker.jobs import SMALL, Answer, Job
from sb_api.broker.rpc import Mailbox
from sb_api.config import Settings
from sb_api.errors import Unavailable
from sb_api.processes.claiming import SmallFirst
from sb_api.processes.worker import Worker
from tests.conftest import wait_until
from tests.support.certificates import make_certificates, tls_arguments, tls_options
from tests.support.jobs import Jobs
from tests.support.redis_servers import (
    find_tls_server,
    free_port,
    redis_command,
    sentinel_command,
    wait_answers,
    wait_watched,
)

Start = Callable[[list[str]], "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes that end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(command: list[str]) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.wait()


def echo(jobs: Jobs) -> Worker:
    """A process that answers every job with its own body."""
    return Worker(
        jobs,
        "classify",
        SmallFirst(),
        do=lambda claims: [Answer(status="completed", data=claim.job.body) for claim in claims],
        refresh=lambda _: {"lodbrok": "000000-00000000"},
    )


def exchange(mailbox: Mailbox, timeout: float) -> bool:
    """Whether a job is answered, rightly."""
    job = Job(
        task=uuid.uuid4().hex, operation="predict", classifier="lodbrok", body=uuid.uuid4().bytes, reply=mailbox.name
    )
    (answer,) = mailbox.exchange(SMALL, [job], timeout)
    return answer is not None and answer.data == job.body


def test_over_tls_only_those_with_a_certificate_are_served(settings: Settings, tmp_path: Path, start: Start) -> None:
    server = find_tls_server()
    if not server:
        pytest.skip("no redis-server with TLS")
    port = free_port()
    make_certificates(tmp_path, "127.0.0.1")
    start([server, "--save", "", "--dir", str(tmp_path), *tls_arguments(tmp_path, port)])
    url = f"rediss://127.0.0.1:{port}/0?"
    with connect(msgspec.structs.replace(settings, redis_url=url + tls_options(tmp_path))) as client:
        wait_answers(client)
        jobs = Jobs(client, settings)
        job = Job(task="1", operation="predict", classifier="lodbrok", body=b"1")
        jobs.submit(SMALL, [job])
        jobs.ensure_groups([SMALL])
        assert [claim.job for claim in jobs.claim([SMALL], 5, 1.0).claims] == [job]
    for options in (tls_options(tmp_path, "stranger"), f"ssl_ca_certs={tmp_path / 'ca.pem'}"):
        stranger = msgspec.structs.replace(settings, redis_url=url + options)
        with connect(stranger) as client, pytest.raises(Unavailable):
            Jobs(client, stranger).submit(SMALL, [job])


def test_when_the_master_is_killed_the_queue_goes_on_with_the_replica(
    settings: Settings, tmp_path: Path, start: Start
) -> None:
    """As soon as the Sentinels have chosen, and without a restart; who is under way is answered or told of an error."""
    here, ports, watchers = "127.0.0.1", [free_port(), free_port()], [free_port() for _ in range(3)]
    master = start(redis_command(tmp_path / "master", here, ports[0]))
    start(redis_command(tmp_path / "replica", here, ports[1], "--replicaof", here, str(ports[0])))
    with redis.Redis(port=ports[0]) as client:
        wait_answers(client)
        wait_until(lambda: client.info("replication")["connected_slaves"] == 1)
    for number, port in enumerate(watchers):
        start(sentinel_command(tmp_path / f"sentinel{number}", here, port, here, ports[0], 2))
    wait_watched([(here, port) for port in watchers])
    hosts = ",".join(f"{here}:{port}" for port in watchers)
    watched = msgspec.structs.replace(settings, redis_url=f"redis+sentinel://{hosts}/spam")
    with connect(watched) as own, connect(watched) as others:
        worker = echo(Jobs(own, watched))
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            mailbox = Mailbox(Jobs(others, watched))
            assert exchange(mailbox, 20)
            master.kill()

            def answered() -> bool:
                with suppress(Unavailable):
                    return exchange(mailbox, 1.0)
                return False

            wait_until(answered, 20)
            with redis.Redis(port=ports[1]) as client:
                assert client.info("replication")["role"] == "master"
        finally:
            worker.stopping.set()
            thread.join(20)
