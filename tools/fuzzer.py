"""What every answer to raw requests (`tools/raw_requests.py`) has to be.

`make fuzz COUNT=1000000` sends so many to a service of its own; `tests/system/test_fuzz.py` sends 20,000 in CI. A
request depends on the seed and its number alone: `--start` goes on where a run was ended, `--start N --count 1` repeats
one.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import psutil
from flask import Flask

from sb_api import create_app
from sb_api.config import Settings, load_settings
from sb_api.json_bodies import FREE_BYTES, MOST_TIMES
from tests.support import shapes
from tests.support.service import SHARED, Service, make_verdicts, start_service
from tools.raw_requests import WAITING, Request, make_request

THREADS = 8
LONGEST_ANSWER = 20.0  # seconds
LONGEST_TRAINING = 160.0  # where a request may wait for those of all others: one after the other they train
GROWTH = 300 * 2**20  # bytes that a process may grow by, once it is warm
WARM_UP = 500  # requests
SHAPE_BYTES = 4 * 2**20  # of a body of each shape


class Finding(Exception):
    """An answer that must not be."""


def send(app: Flask, request: Request) -> str:
    """Send a request to the application; returns the status and, for an error, its type. Raises Finding."""
    started: list[Any] = []
    begin = time.monotonic()
    environ = request.environ()
    answer = app.wsgi_app(environ, lambda status, headers, *_: started.append((int(status[:3]), dict(headers))))
    content = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    took = time.monotonic() - begin
    status, headers = started[-1]
    if took > (LONGEST_TRAINING if request.path in WAITING else LONGEST_ANSWER):
        raise Finding(f"{took:.1f} s for a {status}")
    if status < 400:
        return str(status)
    if request.method == "HEAD" or request.path == "/readyz":
        return str(status)
    if headers["Content-Type"].startswith("text/html") and status < 500:
        return f"{status} page"
    try:
        problem = json.loads(content)
    except ValueError:
        raise Finding(f"{status} is not JSON: {content[:200]!r}") from None
    if headers["Content-Type"] != "application/problem+json" or problem["success"] is not False:
        raise Finding(f"{status} is no problem document: {content[:200]!r}")
    if problem["status"] != status or not problem["detail"]:
        raise Finding(f"{status} tells something else: {content[:200]!r}")
    kind = problem["type"].removeprefix("urn:sb_api:problem:")
    # Many tasks at once may fill the queue; nothing else may be wrong on our side.
    if status >= 500 and kind != "queue-full":
        raise Finding(f"{status}: {content[:300]!r}")
    return f"{status} {kind}"


def run(
    service: Service,
    app: Flask,
    seed: int,
    start: int,
    count: int,
    told: Callable[[int, Counter[str]], None] | None = None,
) -> Counter[str]:
    """Send the requests `start` to `start + count`; how many were answered with what. Raises Finding at the first
    that was not answered as it has to be, or when a process was lost or grew without end."""
    outcomes: Counter[str] = Counter()
    lock = threading.Lock()
    numbers: Iterator[int] = iter(range(start, start + count))
    # The train process grows by what TensorFlow takes once it has loaded it, which is no leak.
    app.test_client().post("/train", json=make_verdicts(2), environ_overrides={"REMOTE_ADDR": "127.0.0.1"})
    processes = service.children()
    sizes: dict[int, int] = {}

    def work() -> None:
        for number in iter(lambda: _next(numbers, lock), None):
            request = make_request(seed, number)
            try:
                outcome = send(app, request)
            except Exception as error:
                with lock:
                    list(numbers)  # the others stop too
                raise Finding(f"request {number} of seed {seed}: {error!r}\n{str(request)[:2_000]}") from error
            with lock:
                outcomes[outcome] += 1
                done = outcomes.total()
                if done == WARM_UP:
                    sizes.update({process.pid: process.memory_info().rss for process in [psutil.Process(), *processes]})
            if told and done % 1_000 == 0:
                told(start + done, outcomes)

    with ThreadPoolExecutor(THREADS) as pool:
        for worker in [pool.submit(work) for _ in range(THREADS)]:
            worker.result()
    if lost := {process.pid for process in processes} - {process.pid for process in service.children()}:
        raise Finding(f"processes were lost: {lost}; {service.log[-3_000:]}")
    for pid, size in sizes.items():
        grown = psutil.Process(pid).memory_info().rss - size
        if grown > GROWTH:
            raise Finding(f"{' '.join(psutil.Process(pid).cmdline())} grew by {grown / 2**20:.0f} MiB")
    return outcomes


def _next(numbers: Iterator[int], lock: threading.Lock) -> int | None:
    with lock:
        return next(numbers, None)


def measure_shapes(size: int, limit: int) -> None:
    """Print how many times its size a body of each shape takes to decode. Raises Finding over what is promised."""
    for name, make in (shapes.TOO_MANY | shapes.FEW).items():
        body = make(size)
        peak = shapes.memory_of(body, limit)
        print(f"{peak / len(body):9.1f} times its {size / 2**20:g} MiB: {name}")
        if peak > FREE_BYTES + (MOST_TIMES + 1) * len(body):
            raise Finding(f"{name} takes {peak} bytes for {len(body)}")


@click.command()
@click.option("--count", default=1_000_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--start", default=0, show_default=True, help="The number of the first request.")
def main(count: int, seed: int, start: int) -> None:
    """Send raw requests made from a seed to a service of its own."""
    began = time.monotonic()
    try:
        measure_shapes(SHAPE_BYTES, Settings().max_records)
    except Finding as found:
        raise SystemExit(str(found)) from None

    def tell(number: int, outcomes: Counter[str]) -> None:
        rate = outcomes.total() / (time.monotonic() - began)
        print(f"{number} of {start + count}, {rate:.0f} a second; to go on: --seed {seed} --start {number - THREADS}")

    with tempfile.TemporaryDirectory(prefix="sb_api-fuzz-") as name:
        folder = Path(name)
        with start_service(folder / "state", folder, **SHARED) as service:
            service.wait_warm()
            app = create_app(load_settings({}, redis_url=service.redis_url, state_dir=str(service.state)))
            try:
                outcomes = run(service, app, seed, start, count, tell)
            except Finding as found:
                raise SystemExit(str(found)) from None
    for outcome, times in outcomes.most_common():
        print(f"{times:9} {outcome}")


if __name__ == "__main__":
    main()
