"""`sb-api predict` over a file of editors, results written, the service included."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from unittest.mock import patch

from running import clean_environment, run_service
from speed import Options
from table import Figure, at_most

COUNT, SECONDS = 2_000_000, 60.0


def bench_file(options: Options) -> Iterator[Figure]:
    """Time and memory of judging a file; the goal for fewer editors is as much smaller."""
    from predict_file import measure, write_editors

    file, out = options.folder / "editors.jsonl", options.folder / "results.jsonl"
    mean = write_editors(file, options.count)
    with run_service() as service:
        command = [sys.executable, "-m", "sb_api", "predict", str(file), "-o", str(out), "--url", service.url]
        with patch.dict(os.environ, clean_environment(SB_API_TOKEN=service.token)):
            took, cpu, peak, memory = measure(command)
    with out.open("rb") as results:
        written = sum(block.count(b"\n") for block in iter(lambda: results.read(2**20), b""))
    goal = SECONDS * options.count / COUNT
    name = f"`sb-api predict` over a file of {options.count:,} editors"
    against = f"{options.count / took:,.0f} editors/s, mean bio {mean:.0f} characters, client's CPU {cpu:.1f} s"
    yield at_most(name, took if written == options.count else None, "s", goal, against)
    half = max(memory[len(memory) // 4 : len(memory) // 2] or [peak])
    against = f"the most {peak:.0f} MiB; 1 is flat"
    yield at_most(
        "the same: client's memory at its end over that at half", max(memory[-4:-1] or [peak]) / half, "", 1.2, against
    )
