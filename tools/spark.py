"""`make spark`: the example for Spark, on a real local Spark with two worker threads, says what one process says."""

from __future__ import annotations

import os
import runpy
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import sb_api
from sb_api.local.columns import judge_table
from tests.support.service import ROOT, make_editors

COUNT = 2_000


def main() -> None:
    editors = make_editors(COUNT)
    names = sorted({name for one in editors for name in one})
    table = pa.table({name: [one.get(name) for one in editors] for name in names})
    weights = str(ROOT / "static")
    with tempfile.TemporaryDirectory(prefix="sb_api_spark_") as folder:
        rows, scores = Path(folder) / "rows", Path(folder) / "scores"
        rows.mkdir()
        for part in range(2):
            pq.write_table(table.slice(part * COUNT // 2, COUNT // 2), rows / f"{part}.parquet")
        submit = ["--master local[2]", "--conf spark.ui.enabled=false", "pyspark-shell"]
        os.environ |= {
            "SOURCE": weights,
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_SUBMIT_ARGS": " ".join(submit),
        }
        example = runpy.run_path(str(ROOT / "examples" / "spark_scan.py"))
        example["main"](str(rows), str(scores))
        found = pq.read_table(scores).sort_by("id")
    expected = judge_table(sb_api.load(source=weights), table).sort_by("id")
    if found["id"] != expected["id"] or found["prediction"] != expected["prediction"]:
        raise SystemExit("Spark's workers say something else than one process.")
    pairs = zip(found["score"].to_pylist(), expected["score"].to_pylist(), strict=True)
    furthest = max(abs(one - other) for one, other in pairs)
    if furthest > 1e-6:
        raise SystemExit(f"Scores differ by up to {furthest}.")
    sys.stdout.write(f"{COUNT} editors judged by Spark as by one process; scores differ by {furthest:.1e} at most.\n")


if __name__ == "__main__":
    main()
