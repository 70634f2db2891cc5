"""Editors a second in Dask, with one and with two worker processes, and what a billion take by arithmetic.

`make bench-engines EDITORS=100000`; the time is that of judging a Parquet data set and writing the results to another,
with weights that each worker has loaded before.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import dask.dataframe as dd
import pyarrow as pa
import pyarrow.parquet as pq
from dask.distributed import Client, LocalCluster

import sb_api
from bench.editors import make_editors
from bench.speed.load import MEAN_BIO
from sb_api.local.columns import judge_frame
from sb_api.local.judge import Reference

PARTS = 16  # files of the data set
BILLION = 10**9


def write_editors(folder: Path, count: int) -> None:
    """A data set of so many editors, in files of equal size."""
    editors = make_editors(count, MEAN_BIO)
    for one in editors:  # a column has one type
        one.update({name: str(one[name]) for name in ("area", "gender") if one.get(name) is not None})
    names = sorted({name for one in editors for name in one})
    table = pa.table({name: [one.get(name) for one in editors] for name in names})
    size = -(-count // PARTS)
    for part in range(PARTS):
        pq.write_table(table.slice(part * size, size), folder / f"{part:03}.parquet")


def measure(rows: Path, scores: Path, workers: int, reference: Reference) -> tuple[float, float]:
    """Seconds that it takes to judge a data set, and seconds of processors that the workers take for it, which do not
    depend on what else the machine does."""
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        frame = dd.read_parquet(str(rows))
        client.run(judge_frame, frame.get_partition(0).head(10), reference)  # each worker loads the weights
        begin, spent = time.perf_counter(), sum(client.run(time.process_time).values())
        frame.map_partitions(judge_frame, reference).to_parquet(str(scores))
        return time.perf_counter() - begin, sum(client.run(time.process_time).values()) - spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    count: int = parser.parse_args().count
    reference = sb_api.load(source=Path(__file__).parents[2] / "static").reference
    with tempfile.TemporaryDirectory(prefix="sb_api_engines_") as folder:
        rows = Path(folder) / "rows"
        rows.mkdir()
        write_editors(rows, count)
        for workers in (1, 2):
            scores = Path(folder) / f"scores-{workers}"
            took, spent = measure(rows, scores, workers, reference)
            figures = {
                "workers": workers,
                "editors a second": round(count / took),
                "editors a second of processor": round(count / spent),
                "core-hours for a billion": round(BILLION / count * spent / 3600, 1),
                "rows written": pq.read_table(scores).num_rows,
            }
            sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
