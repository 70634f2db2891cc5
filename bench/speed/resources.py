"""Memory of every kind of process, and the time from `run` to the first prediction.

USS (what a process has to itself) counts for one more process, because that is what one more costs; PSS (shared pages
divided among those who share them) for all together, because there each page counts once. RSS is printed beside.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from urllib.error import URLError

import psutil

from bench.learning.training import train_without_pause
from bench.running import Target, await_true, launch, post, run_service
from bench.speed.load import make_load, run_wrk
from bench.speed.speed import Options
from bench.table import Figure, at_most

MIB = 2**20
# Seconds instead of 5 minutes: SB_API_TRAINER_IDLE, and SB_API_HELPER_IDLE, in which the helper is weighed awake.
IDLE, HELPER_IDLE = 5.0, 40.0


def weigh(processes: list[psutil.Process]) -> tuple[float, float, float]:
    """USS, PSS and RSS of processes together, in MiB; one that has just ended weighs nothing."""
    sums = [0.0, 0.0, 0.0]
    for process in processes:
        try:
            info = process.memory_full_info()
        except psutil.Error:
            continue
        for place, value in enumerate((info.uss, info.pss, info.rss)):
            sums[place] += value / MIB
    return sums[0], sums[1], sums[2]


def bench_memory(options: Options) -> Iterator[Figure]:
    """Memory after load, while training, and without trainings."""
    single, bulk = make_load(options.folder, 1, 1000), make_load(options.folder, 1000, 10)
    settings = {"SB_API_TRAINER_IDLE": str(IDLE), "SB_API_HELPER_IDLE": str(HELPER_IDLE)}
    with run_service(SB_API_CLASSIFY_PROCESSES="2", **settings) as service:
        for load, connections in ((single, 64), (bulk, 4)):
            run_wrk(service, load, connections, options.seconds)
        workers = [weigh([process]) for process in service.role("worker")]
        web = [weigh([process]) for process in _web_processes(service)]
        uss, rss = max(each[0] for each in workers), max(each[2] for each in workers)
        yield at_most("one more classify process (USS)", uss, "MiB", 120, f"RSS {rss:.0f}; after load, the largest")
        uss, rss = max(each[0] for each in web), max(each[2] for each in web)
        yield at_most("a web process (USS)", uss, "MiB", 60, f"RSS {rss:.0f}; after load, the largest")
        over = threading.Event()
        trainer = threading.Thread(target=train_without_pause, args=(service, over, []))
        trainer.start()
        peak = (0.0, 0.0, 0.0)
        deadline = time.monotonic() + max(options.seconds, 10)
        while time.monotonic() < deadline:
            peak = max(peak, weigh(service.processes), key=lambda sums: sums[1])
            time.sleep(0.1)
        before = _times_let_go(service)
        over.set()
        trainer.join()
        against = f"USS {peak[0]:.0f}, RSS {peak[2]:.0f}; the most in {max(options.seconds, 10):g} s"
        yield at_most("everything while training, two classify processes (PSS)", peak[1], "MiB", 1024, against)
        if any("--standby" in process.cmdline() for process in service.role("worker")):
            raise SystemExit("The second classify process was on standby already.")
        await_true(lambda: _times_let_go(service) > before, service.state / "log")
        await_true(lambda: "stands by" in (service.state / "log").read_text(), service.state / "log")
        time.sleep(2)
        uss, pss, rss = weigh(service.processes)
        against = (
            f"USS {uss:.0f}, RSS {rss:.0f}; SB_API_TRAINER_IDLE={IDLE:g} and _HELPER_IDLE={HELPER_IDLE:g}, not 300"
        )
        yield at_most("everything when no training came for long (PSS)", pss, "MiB", 300, against)


def _times_let_go(service: Target) -> int:
    return (service.state / "log").read_text().count("what it takes is let go")


def _web_processes(service: Target) -> list[psutil.Process]:
    """Those that answer: children of gunicorn's first process."""
    gunicorn = service.role("sb_api.web.gunicorn_server")
    numbers = {process.pid for process in gunicorn}
    return [process for process in gunicorn if process.ppid() in numbers]


def bench_cold(options: Options) -> Iterator[Figure]:
    """From `run` to the first prediction."""
    times = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="sb_api-bench-") as name, launch(Path(name)) as service:
            await_true(lambda service=service: _predicts(service), service.state / "log", pause=0.01)
            times.append(time.time() - service.process.create_time())
    against = f"an empty state directory; from {min(times):.2f} to {max(times):.2f} s"
    yield at_most("cold start, `run` to first prediction", median(times), "s", 3, against)


def _predicts(service: Target) -> bool:
    try:
        return post(service, "/predict", b'[{"id": 1}]', timeout=30)[0] == 200
    except (URLError, OSError):
        return False
