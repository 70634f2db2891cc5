"""Judges a Parquet data set with Dask: `python examples/dask_scan.py editors/ scores/ [scheduler address]`.

Every worker needs `pip install 'sb_api[dask]'` and the weights: in a directory that all
of them reach, such as an artefact of `sb-api weights pull`, or in a Redis (SOURCE).
"""

from __future__ import annotations

import os
import sys

import dask.dataframe as dd
from dask.distributed import Client

import sb_api
from sb_api.local.columns import judge_frame


def main(editors: str, scores: str, scheduler: str | None = None) -> None:
    reference = sb_api.load("lodbrok", os.environ.get("SOURCE")).reference
    here = {"n_workers": int(os.environ.get("WORKERS", 0)) or os.cpu_count(), "threads_per_worker": 1}
    with Client(scheduler) if scheduler else Client(**here, dashboard_address=None) as client:
        print(f"{len(client.scheduler_info(n_workers=-1)['workers'])} workers")
        dd.read_parquet(editors).map_partitions(judge_frame, reference).to_parquet(scores)


if __name__ == "__main__":
    main(*sys.argv[1:])
