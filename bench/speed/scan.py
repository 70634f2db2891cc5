"""`sb-api predict` over a file of editors, results written, the service included.

Editors come from a pool of synthetic ones, repeated under new ids; so a file of 2,000,000 is written in seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch

import msgspec
import psutil

from bench.editors import make_editors
from bench.running import clean_environment, run_service
from bench.speed.load import MEAN_BIO
from bench.speed.speed import Options
from bench.table import Figure, at_most
from sb_api.client.rows import Judgement

COUNT, SECONDS = 2_000_000, 75.0
POOL = 20_000  # different editors
LOOK = 0.25  # seconds between two looks at the client's memory


def bench_file(options: Options) -> Iterator[Figure]:
    """Time and memory of judging a file; the goal for fewer editors is as much smaller."""
    file, out = options.folder / "editors.jsonl", options.folder / "results.jsonl"
    write_editors(file, options.count)
    with run_service() as service:
        command = [sys.executable, "-m", "sb_api", "predict", str(file), "-o", str(out), "--url", service.url]
        with patch.dict(os.environ, clean_environment(SB_API_TOKEN=service.token)):
            took, cpu, memory = measure(command)
    with out.open("rb") as results:
        written = sum(block.count(b"\n") for block in iter(lambda: results.read(2**20), b""))
    goal = SECONDS * options.count / COUNT
    name = f"`sb-api predict` over a file of {options.count:,} editors"
    against = f"{options.count / took:,.0f} editors/s, mean bio {MEAN_BIO} characters, client's CPU {cpu:.1f} s"
    yield at_most(name, took if written == options.count else None, "s", goal, against)
    # The last look may find a process that is already taken down.
    quarter, end = max(memory[: len(memory) // 4 + 1]), max(memory[-4:-1] or memory)
    against = f"the most {max(memory):.0f} MiB; 1 is flat"
    yield at_most(
        "the same: client's memory at its end over that in the first quarter", end / quarter, "", 1.2, against
    )


def bench_local(options: Options) -> Iterator[Figure]:
    """Time and memory of judging a file by processes of its own, beside the same through a service, in turns, with
    weights of either architecture. The goal is of the first, which leaves most of the time to all around it."""
    file = options.folder / "editors.jsonl"
    write_editors(file, options.count)
    for architecture, goal in (("lodbrok", 0.6), ("wide-deep-3", None)):
        weights = options.folder / architecture
        make_weights(weights, architecture)
        runs = [judge_both_ways(file, weights, options.folder) for _ in range(min(options.rounds, 3))]
        took, through = (median(seconds) for seconds in zip(*(run.seconds for run in runs), strict=True))
        same = all(run.alike for run in runs)
        against = f"{took:.1f} s and {through:.1f} s; the results {'are alike' if same else 'DIFFER'}"
        name = (
            f"`sb-api predict --local` ({architecture}) of {options.count:,} editors, over the same through a service"
        )
        yield Figure(name, took / through if same else None, "", against, goal, "at most")
        memory = runs[-1].memory
        quarter, end = max(memory[: len(memory) // 4 + 1]), max(memory[-4:-1] or memory)
        yield at_most("the same: memory at its end over that in the first quarter", end / quarter, "", 1.2, "1 is flat")


@dataclass(frozen=True)
class BothWays:
    """The seconds that a file took locally and through a service, the local one's memory over time (MiB), and whether
    the results are alike."""

    seconds: tuple[float, float]
    memory: list[float]
    alike: bool


def make_weights(state: Path, architecture: str) -> None:
    """Weights of an architecture in a state directory, made of a few made-up editors: how right they are is no matter
    here."""
    command = [sys.executable, "-m", "sb_api", "bootstrap", "--synthetic", "--count", "6000"]
    environment = clean_environment(SB_API_STATE_DIR=str(state))
    subprocess.run([*command, "--architecture", architecture], env=environment, check=True, capture_output=True)


def judge_both_ways(file: Path, weights: Path, folder: Path) -> BothWays:
    through, local = folder / "service.jsonl", folder / "local.jsonl"
    command = [sys.executable, "-m", "sb_api", "predict", str(file), "--restart"]
    with run_service(weights) as service, patch.dict(os.environ, clean_environment(SB_API_TOKEN=service.token)):
        served, _, _ = measure([*command, "-o", str(through), "--url", service.url])
    with patch.dict(os.environ, clean_environment()):
        took, _, memory = measure([*command, "-o", str(local), "--local", "--source", str(weights)])
    return BothWays((took, served), memory, are_alike(through, local))


def are_alike(one: Path, other: Path) -> bool:
    """Whether two files of results say the same. How many records are judged at once decides the last digit of a
    score."""
    decode = msgspec.json.Decoder(Judgement).decode
    with one.open("rb") as left, other.open("rb") as right:
        pairs = ((decode(a), decode(b)) for a, b in zip(left, right, strict=True))
        return all(
            (a.id, a.prediction, a.band, a.weights) == (b.id, b.prediction, b.band, b.weights)
            and isinstance(a.score, float)
            and isinstance(b.score, float)
            and abs(a.score - b.score) < 1e-6
            for a, b in pairs
        )


def write_editors(path: Path, count: int) -> None:
    """Write `count` editors as JSON Lines."""
    pool = make_editors(min(POOL, count), MEAN_BIO)
    lines = [msgspec.json.encode({key: value for key, value in editor.items() if key != "id"})[1:] for editor in pool]
    with path.open("wb") as file:
        for start in range(0, count, len(lines)):
            rows = lines[: count - start]
            file.write(b"".join(b'{"id":%d,%b\n' % (start + place, line) for place, line in enumerate(rows)))


def measure(command: list[str]) -> tuple[float, float, list[float]]:
    """Run a command: seconds, processor seconds, and its memory in MiB over time."""
    begin = time.monotonic()
    process = subprocess.Popen(command)
    memory: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while True:
            try:
                memory.append(psutil.Process(process.pid).memory_info().rss / 2**20)
            except psutil.Error:
                return
            if ended.wait(LOOK):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - begin
    ended.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return took, usage.ru_utime + usage.ru_stime, memory
