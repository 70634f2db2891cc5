"""`make bench-service`: how fast the service is on this machine, and what it takes, beside what its parts allow.

Ratios are made of measurements that lie side by side in time, so that a noisy machine does not matter. Only a full run
(no --quick, no --only) writes `results/service.json`. Exits 1 when a figure falls short of its goal.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from load import require_wrk
from resources import bench_cold, bench_memory
from scan import bench_file
from speed import (
    Options,
    bench_hundred,
    bench_open,
    bench_original,
    bench_scan,
    bench_single,
    bench_thousand,
    bench_training_beside,
)
from table import Figure, print_figures, write_figures
from training import bench_training

BENCHES: dict[str, Callable[[Options], Iterator[Figure]]] = {
    "single": bench_single,
    "hundred": bench_hundred,
    "thousand": bench_thousand,
    "scan": bench_scan,
    "file": bench_file,
    "open": bench_open,
    "training": bench_training,
    "beside": bench_training_beside,
    "cold": bench_cold,
    "memory": bench_memory,
    "original": bench_original,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement (whole ones)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each figure")
    parser.add_argument("--held", type=float, default=600, help="seconds that 1,000 req/s are held")
    parser.add_argument("--count", type=int, default=2_000_000, help="editors in the file to be judged")
    parser.add_argument("--quick", action="store_true", help="2 s, 1 round, 5 s held, 20,000 editors: does it run?")
    parser.add_argument("--only", help=f"of {', '.join(BENCHES)}; several with commas")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(BENCHES)
    if unknown := [name for name in names if name not in BENCHES]:
        parser.error(f"no such bench: {', '.join(unknown)}")
    require_wrk()
    short = {"seconds": 2.0, "rounds": 1, "held": 5.0, "count": 20_000}
    chosen = short if given.quick else {name: getattr(given, name) for name in short}
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="sb_api-bench-") as folder:
        options = Options(**chosen, folder=Path(folder))
        for name in names:
            found = list(BENCHES[name](options))
            print_figures(name, found)
            figures += found
    if len(names) > 1:
        print_figures("all", figures)
    if names == list(BENCHES) and not given.quick:
        write_figures("service", figures)
    return 0 if all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
