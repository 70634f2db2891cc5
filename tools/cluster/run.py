"""`make cluster`: many machines as network namespaces: a host for the web part, one for Redis, one with two workers and
the trainer, and hosts that come later. Prints a table, writes bench/results/cluster.json, and exits 1 when a figure
falls short.

Needs root. Every answer is checked as `make chaos` does it.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis
import requests

from sb_api.config import load_settings
from sb_api.verdicts.verdict_log import open_verdict_log
from tests.conftest import wait_until
from tests.support.certificates import make_certificates, tls_arguments, tls_options
from tests.support.redis_servers import find_tls_server, redis_command, sentinel_command, wait_answers, wait_watched
from tests.support.service import ROOT, make_editors, make_verdicts
from tests.support.steady_load import SteadyLoad, Tally, Versions
from tests.support.tables import HEADER, describe_tally, fault_figures, figure, write_figures
from tools.cluster.network import Host, Network
from tools.faults import is_normal, wait_warm

WEB = "http://127.0.0.1:4321"  # as clients on the web host see it
REDIS_PORT, SENTINEL_PORT = 6379, 26379
SB_API = (sys.executable, "-m", "sb_api")
VARIABLES = {
    "PYTHONPATH": str(ROOT),
    "SB_API_TRAIN_TIMEOUT": "60",
    # What is taught is nonsense, which the guard would refuse.
    "SB_API_GUARD_TOLERANCE": "1",
    "SB_API_FP_BUDGET": "0.05",
    "SB_API_REPORTER_DAY_CAP": "1000000",
    "SB_API_VERSIONS_KEPT": "30",
}


class Cluster:
    """The service over three hosts. This process is a client on the web host."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.web, self.redis, self.work = (network.add(name) for name in ("web", "redis", "work"))
        network.enter(self.web)
        self.versions = Versions(self.work.folder / "state" / "weights" / "versions" / "lodbrok")
        self.workers: list[subprocess.Popen[bytes]] = []
        self.url = ""

    def start_redis(self, *options: str) -> subprocess.Popen[bytes]:
        command = redis_command(self.redis.folder / "redis", self.redis.address, REDIS_PORT, *options)
        return self.redis.start(*command)

    @contextmanager
    def running(self, url: str) -> Iterator[None]:
        """The web part, two workers and the trainer, all at one Redis."""
        self.url = url
        self._start(self.web, "web")
        self._start(self.work, "trainer")
        self.workers = [self.start_worker(self.work) for _ in range(2)]
        try:
            wait_warm(WEB)
            yield
        finally:
            for host in self.network.hosts.values():
                host.stop()

    def _start(self, host: Host, verb: str) -> subprocess.Popen[bytes]:
        own = {"SB_API_STATE_DIR": str(host.folder / "state"), "SB_API_REDIS_URL": self.url}
        return host.start(*SB_API, verb, log=f"{verb}.log", **VARIABLES, **own)

    def start_worker(self, host: Host) -> subprocess.Popen[bytes]:
        """A classify process that is told where Redis is, and nothing else."""
        return host.start(*SB_API, "worker", log="worker.log", PYTHONPATH=str(ROOT), SB_API_REDIS_URL=self.url)

    def outdated(self) -> int:
        """How many processes work with other weights than the current."""
        metrics = requests.get(f"{WEB}/metrics", timeout=10).text
        line = next(line for line in metrics.splitlines() if line.startswith('sb_api_workers_outdated{classifier="lod'))
        return int(float(line.rpartition(" ")[2]))

    def classify_processes(self) -> int:
        return int(requests.get(f"{WEB}/readyz", timeout=10).json()["classify_processes"])

    def under_load(self, inject: Callable[[], None], seed: int) -> tuple[Tally, float]:
        """What happens to a steady load, and the seconds from the end of the fault until all was normal."""
        load = SteadyLoad(lambda: WEB, self.versions, seed)
        with load.running():
            time.sleep(3.0)
            inject()
            end = time.monotonic()
            wait_until(lambda: is_normal(WEB), 60, interval=0.1)
            back = time.monotonic() - end
            time.sleep(3.0)
        log = open_verdict_log(load_settings({}, state_dir=str(self.work.folder / "state")), "lodbrok")
        assert log is not None
        try:
            return load.judge(log), back
        finally:
            log.close()


def join_host(cluster: Cluster) -> list[Any]:
    """Training reaches all; a new host with nothing but the URL fetches what was trained, and serves alone."""
    trained = requests.post(f"{WEB}/train", json=make_verdicts(4), timeout=100)
    trained.raise_for_status()
    start = time.monotonic()
    wait_until(lambda: cluster.outdated() == 0, 20, interval=0.05)
    reached = time.monotonic() - start
    version = trained.json()["weights"]["version"]
    new = cluster.network.add("new")
    start = time.monotonic()
    joined = cluster.start_worker(new)
    wait_until(lambda: cluster.classify_processes() == 3, 60, interval=0.1)
    seconds = time.monotonic() - start
    for worker in cluster.workers:
        worker.terminate()
    wait_until(lambda: cluster.classify_processes() == 1, 20, interval=0.1)
    editors = make_editors(300)
    answer = requests.post(f"{WEB}/predict", json=editors, timeout=40).json()
    cluster.versions.look()
    expected = cluster.versions.scores(version, editors)
    off = float(abs(expected - list(answer["scores"].values())).max())
    right = answer["weights"] == version and off < 1e-5
    cluster.workers = [cluster.start_worker(cluster.work) for _ in range(2)]
    wait_until(lambda: cluster.classify_processes() == 3, 60, interval=0.1)
    print(f"a training reaches all processes after {reached:.2f} s; a new worker host serves after {seconds:.1f} s")
    assert joined.poll() is None
    return [
        figure("a training reaches every process", round(reached, 2), "s", "3 hosts", 2, reached <= 2),
        figure(
            "a new host with nothing but the URL serves", round(seconds, 1), "s", "from its start", 30, seconds < 30
        ),
        figure("it answers alone, with what was trained", int(right), "right", f"off by {off:.1g}", 1, right),
    ]


def count_answers(body: bytes, until: float) -> int:
    """Ask one thing after the other; how often it was answered."""
    count = 0
    while time.monotonic() < until:
        count += requests.post(f"{WEB}/predict", data=body, timeout=40).status_code == 200
    return count


def measure_throughput(cluster: Cluster, seconds: float) -> list[Any]:
    """Editors a second with 1, 2 and 4 workers at one Redis, in requests of 1,000 from four clients."""
    body = json.dumps(make_editors(1000)).encode()
    rates = {}
    for count in (1, 2, 4):
        while len(cluster.workers) > count:
            cluster.workers.pop().terminate()
        while len(cluster.workers) < count:
            cluster.workers.append(cluster.start_worker(cluster.work))
        wait_until(lambda count=count: cluster.classify_processes() == count, 60, interval=0.1)
        with ThreadPoolExecutor(4) as clients:
            start = time.monotonic()
            done = sum(clients.map(count_answers, [body] * 4, [start + seconds] * 4))
            rates[count] = 1000 * done / (time.monotonic() - start)
        print(f"throughput with {count} workers: {rates[count]:,.0f} editors a second", flush=True)
    return [
        figure(f"throughput with {count} workers", round(rate), "editors/s", "requests of 1,000", 1, rate > 1)
        for count, rate in rates.items()
    ]


def partitions(cluster: Cluster, seconds: float) -> list[tuple[str, Callable[[], None]]]:
    """What is cut, by name; each returns once it is mended."""
    network, web, queue, work = cluster.network, cluster.web, cluster.redis, cluster.work

    def cut_off(host: Host) -> Callable[[], None]:
        def inject() -> None:
            with network.cut_off(host):
                time.sleep(seconds)

        return inject

    def cut_one_way(sender: Host, receiver: Host) -> Callable[[], None]:
        def inject() -> None:
            with network.cut_one_way(sender, [receiver]):
                time.sleep(seconds)

        return inject

    return [
        (f"worker host cut off for {seconds:g} s", cut_off(work)),
        (f"Redis cut off for {seconds:g} s", cut_off(queue)),
        (f"worker host cannot reach Redis for {seconds:g} s", cut_one_way(work, queue)),
        (f"Redis cannot reach worker host for {seconds:g} s", cut_one_way(queue, work)),
        (f"web host cannot reach Redis for {seconds:g} s", cut_one_way(web, queue)),
        (f"Redis cannot reach web host for {seconds:g} s", cut_one_way(queue, web)),
    ]


def report(name: str, tally: Tally, back: float) -> list[Any]:
    for line in describe_tally(name, 1, tally, back):
        print(line, flush=True)
    return fault_figures(name, 1, tally, back)


def plain(cluster: Cluster, seconds: float, seed: int) -> list[Any]:
    cluster.start_redis()
    with cluster.running(f"redis://{cluster.redis.address}:{REDIS_PORT}/0"):
        figures = join_host(cluster)
        print(HEADER, flush=True)
        for number, (name, inject) in enumerate(partitions(cluster, seconds)):
            figures += report(name, *cluster.under_load(inject, 100 * seed + number))
        cluster.network.hosts["new"].stop()
        return figures + measure_throughput(cluster, seconds)


def sentinels(cluster: Cluster, seed: int) -> list[Any]:
    """The master is killed, and a replica on another host takes its place."""
    master = cluster.start_redis()
    spare = cluster.network.add("spare")
    follow = ("--replicaof", cluster.redis.address, str(REDIS_PORT))
    spare.start(*redis_command(spare.folder / "redis", spare.address, REDIS_PORT, *follow))
    watchers = (cluster.web, cluster.redis, spare)
    with redis.Redis(host=cluster.redis.address, port=REDIS_PORT) as client:
        wait_answers(client)
        wait_until(lambda: client.info("replication")["connected_slaves"] == 1)
    for host in watchers:
        watch = (host.folder / "sentinel", host.address, SENTINEL_PORT, cluster.redis.address, REDIS_PORT, 2)
        host.start(*sentinel_command(*watch))
    wait_watched([(host.address, SENTINEL_PORT) for host in watchers])
    url = f"redis+sentinel://{','.join(f'{host.address}:{SENTINEL_PORT}' for host in watchers)}/spam"
    with cluster.running(url):
        return report("Sentinel: master killed", *cluster.under_load(master.kill, 1000 * seed))


def tls(cluster: Cluster, seed: int) -> list[Any]:
    """The queue over TLS; who shows no certificate is turned away."""
    server = find_tls_server()
    if not server:
        raise SystemExit("No redis-server with TLS is installed.")
    folder = cluster.redis.folder / "tls"
    make_certificates(folder, cluster.redis.address)
    cluster.redis.start(
        server, "--dir", str(folder), "--save", "", "--bind", cluster.redis.address, *tls_arguments(folder, REDIS_PORT)
    )
    address = f"rediss://{cluster.redis.address}:{REDIS_PORT}/0?"
    with cluster.running(address + tls_options(folder)):
        figures = report("TLS with client certificates", *cluster.under_load(lambda: None, 2000 * seed))
    refused = 0
    for options in (tls_options(folder, "stranger"), f"ssl_ca_certs={folder / 'ca.pem'}"):
        try:
            redis.Redis.from_url(address + options).ping()
        except redis.RedisError:
            refused += 1
    return [
        *figures,
        figure("TLS: strangers turned away", refused, "of 2", "no or another certificate", 2, refused == 2),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8.0, help="how long faults last")
    parser.add_argument("--only", choices=("plain", "sentinel", "tls"), help="one part alone")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parts: dict[str, Callable[[Cluster], list[Any]]] = {
        "plain": lambda cluster: plain(cluster, options.seconds, options.seed),
        "sentinel": lambda cluster: sentinels(cluster, options.seed),
        "tls": lambda cluster: tls(cluster, options.seed),
    }
    figures: list[Any] = []
    for name, part in parts.items():
        if options.only in (None, name):
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cluster-")))
                network = stack.enter_context(Network(folder).running())
                figures += part(Cluster(network))
    return write_figures(figures, None if options.only else "cluster")


if __name__ == "__main__":
    sys.exit(main())
