"""`make bench-service`: how fast the service is on this machine, and what it takes, beside what its parts allow.

Ratios are made of measurements that lie side by side in time, so that a noisy machine does not matter. A run with at
least 5 rounds writes its figures to `results/service.json`, where those of benches that it left out (--only) stay.
Exits 1 when a figure misses its goal.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.learning.training import bench_training
from bench.speed.load import require_wrk
from bench.speed.resources import bench_cold, bench_memory
from bench.speed.scan import bench_file, bench_local
from bench.speed.speed import (
    Options,
    bench_hundred,
    bench_open,
    bench_original,
    bench_scan,
    bench_single,
    bench_thousand,
    bench_training_beside,
)
from bench.table import Figure, print_figures, write_figures

BENCHES: dict[str, Callable[[Options], Iterator[Figure]]] = {
    "single": bench_single,
    "hundred": bench_hundred,
    "thousand": bench_thousand,
    "scan": bench_scan,
    "file": bench_file,
    "local": bench_local,
    "open": bench_open,
    "training": bench_training,
    "beside": bench_training_beside,
    "cold": bench_cold,
    "memory": bench_memory,
    "original": bench_original,
}
FULL = 5  # rounds, of which the medians are worth keeping


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement (whole ones)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each figure")
    parser.add_argument("--held", type=float, default=60, help="seconds that 1,000 req/s are held; the goal is for 600")
    parser.add_argument("--count", type=int, default=2_000_000, help="editors in the file to be judged")
    parser.add_argument("--only", help=f"of {', '.join(BENCHES)}; several with commas")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(BENCHES)
    if unknown := [name for name in names if name not in BENCHES]:
        parser.error(f"no such bench: {', '.join(unknown)}")
    require_wrk()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="sb_api-bench-") as folder:
        options = Options(given.seconds, given.rounds, given.held, given.count, Path(folder))
        for name in names:
            found = list(BENCHES[name](options))
            print_figures(name, found)
            figures += found
            if given.rounds >= FULL:
                # What comes after it may fail.
                write_figures("service", found, anew=False)
    if len(names) > 1:
        print_figures("all", figures)
    if given.rounds >= FULL and names == list(BENCHES):
        write_figures("service", figures)
    return 0 if all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
