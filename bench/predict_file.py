"""How long `sb-api predict` takes for a file of 2,000,000 editors, on this machine alone, service and all.

Editors come from a pool of synthetic ones (`sb_api/synthetic.py`), repeated under new ids; their bios are made as long
as the figure asks for: 300 characters on average. The service is started by the bench, and warm before the clock runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil

from sb_api.synthetic import generate_editors

ROOT = Path(__file__).parent.parent
COUNT, BIO = 2_000_000, 300  # editors, characters on average
POOL, SEED = 20_000, 5
SECONDS, MEBIBYTES = 60.0, 256.0  # goals for 2,000,000


def write_editors(path: Path, count: int) -> float:
    """Write `count` editors as JSON Lines; the mean length of their bios in characters."""
    rng = random.Random(SEED)
    pool = [dict(made.record) for made in generate_editors(min(POOL, count), SEED, 0.2)]
    words = [word for editor in pool for word in str(editor.get("bio") or "").split()]
    # Each bio gets what it lacks to a length drawn around the mean.
    lengths = []
    lines = []
    for editor in pool:
        length = round(rng.uniform(0, 2 * BIO))
        text = str(editor.get("bio") or "")
        while len(text) < length:
            text += " " + rng.choice(words)
        editor["bio"] = text[:length]
        lengths.append(length)
        lines.append(msgspec.json.encode({key: value for key, value in editor.items() if key != "id"})[1:])
    with path.open("wb") as file:
        for start in range(0, count, len(lines)):
            rows = lines[: count - start]
            file.write(b"".join(b'{"id":%d,%b\n' % (start + place, line) for place, line in enumerate(rows)))
    return sum(lengths) / len(lengths)


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """A service of its own, warm. Yields its address."""
    kept = {name: value for name, value in os.environ.items() if name not in ("SB_API_URL", "SB_API_TOKEN")}
    environment = {**kept, "SB_API_STATE_DIR": str(folder / "state")}
    command = [sys.executable, "-m", "sb_api", "run", "--port", "0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        found = re.search(rb"http://\S+", process.stdout.readline())
        assert found, (folder / "log").read_text()
        address = found[0].decode()
        while not warm(address):
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def warm(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:
            return bool(json.load(answer)["train_processes"])
    except OSError:  # not ready, or too busy to say so
        return False


def measure(command: list[str]) -> tuple[float, float, float, list[float]]:
    """Run a command: seconds, processor seconds, peak memory in MiB, and its memory over time."""
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT)
    memory: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.25):
            try:
                memory.append(psutil.Process(process.pid).memory_info().rss / 2**20)
            except psutil.Error:
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - start
    ended.set()
    watcher.join()
    assert process.returncode == 0, process.returncode
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="editors; goals are scaled")
    parser.add_argument("--url", help="a service that runs already")
    count, url = (arguments := parser.parse_args()).count, arguments.url
    figures: list[dict[str, Any]] = []

    def add(figure: str, value: float, unit: str, goal: float) -> None:
        figures.append(
            {
                "figure": figure,
                "value": round(value, 3),
                "unit": unit,
                "against": f"{count} editors, {os.cpu_count()} cores",
                "goal": goal,
                "reached": value <= goal,
            }
        )

    with tempfile.TemporaryDirectory(prefix="sb_api-", dir="/tmp") as name:
        folder = Path(name)
        file, out = folder / "editors.jsonl", folder / "results.jsonl"
        mean = write_editors(file, count)
        print(f"{count} editors, mean bio {mean:.0f} characters, {file.stat().st_size / 2**20:.0f} MiB", flush=True)

        def judge(address: str) -> None:
            command = [sys.executable, "-m", "sb_api", "predict", str(file), "-o", str(out), "--url", address]
            took, processor, peak, memory = measure(command)
            with out.open("rb") as results:
                lines = sum(block.count(b"\n") for block in iter(lambda: results.read(2**20), b""))
            assert lines == count, f"{lines} results"
            add("time to judge the file", took, "s", SECONDS * count / COUNT)
            add("processor time of the client per editor", processor / count * 1e6, "us", 10.0)
            add("peak memory of the client", peak, "MiB", MEBIBYTES)
            half = memory[len(memory) // 4 : len(memory) // 2] or [peak]
            add("memory at the end over that at half time", max(memory[-4:-1] or [peak]) / max(half), "", 1.2)

        if url:
            judge(url)
        else:
            with service(folder) as address:
                judge(address)
    for row in figures:
        print(f"{row['figure']:45} {row['value']:10.2f} {row['unit']:4} goal {row['goal']:8.2f}  {row['reached']}")
    if count == COUNT:
        results = ROOT / "bench" / "results"
        results.mkdir(exist_ok=True)
        (results / "predict_file.json").write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if all(row["reached"] for row in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
