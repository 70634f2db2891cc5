"""`make bench-cold`: what a request to Flask costs right after another, and what it costs when none came for a while.

One process, in which nothing else happens: what differs is only how long ago the processor last ran the same code. It
tells what part of a latency is the machine's: a request alone on its way wakes one process after the other, each cold.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from rich.console import Console
from rich.table import Table
from werkzeug.test import EnvironBuilder

from bench.speed.limits import constant_app

ROUNDS, CALLS = 3, 300
BODY = b"x" * 300


def busy(seconds: float) -> None:
    """Keep the processor with code that has nothing in common with a request's."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


PAUSES: dict[str, Callable[[], None]] = {
    "one after the other": lambda: None,
    "after 2 ms of another loop": lambda: busy(0.002),
    "after 2 ms asleep": lambda: time.sleep(0.002),
    "after 10 ms asleep": lambda: time.sleep(0.01),
}


def measure_calls(pause: Callable[[], None]) -> list[float]:
    """Processor seconds of calls of Flask with a constant answer, each after a pause."""
    app = constant_app()
    times = []
    for _ in range(CALLS):
        environ = EnvironBuilder(path="/predict", method="POST", data=BODY).get_environ()
        pause()
        start = time.process_time()
        b"".join(app.wsgi_app(environ, lambda *_: None))
        times.append(time.process_time() - start)
    return times


def main() -> None:
    found: dict[str, list[float]] = {name: [] for name in PAUSES}
    for _ in range(ROUNDS):
        for name, pause in PAUSES.items():
            found[name] += measure_calls(pause)
    table = Table("Flask, a constant answer", "median, µs", "least, µs", title="Processor time of a request")
    for name, times in found.items():
        table.add_row(name, f"{1e6 * median(times):.0f}", f"{1e6 * min(times):.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
