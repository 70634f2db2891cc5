"""`make soak`: a long time of work, after which nothing may be left behind: no memory, no open file, no key in Redis.

COUNT records and a training for every thousand of them. Prints a table, writes bench/results/soak.json, and exits 1
when a figure falls short.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis
import requests

from tests.conftest import lasting_keys
from tests.support.service import Service, make_editors, make_verdicts, start_service
from tests.support.tables import figure, write_figures

GROWTH = 0.05
WARM_UP = 0.1  # of the work, after which memory is first looked at
RECORDS_PER_TRAINING = 1000
VARIABLES = {
    "SB_API_WEB_PROCESSES": "1",
    "SB_API_CLASSIFY_PROCESSES": "1",
    # What is taught is nonsense, which the guard would refuse.
    "SB_API_GUARD_TOLERANCE": "1",
    "SB_API_FP_BUDGET": "0.05",
    "SB_API_REPORTER_DAY_CAP": "1000000",
    "SB_API_TRAINER_IDLE": "86400",
    # As many answers of trainings are kept early as late, and not those of an hour that is still filling up.
    "SB_API_RESULT_TTL": "120",
}


@dataclass
class Footprint:
    """What the processes of a service hold at one time, by process."""

    resident: dict[str, int] = field(default_factory=dict)  # bytes
    files: dict[str, int] = field(default_factory=dict)
    keys: int = 0
    lasting: list[bytes] = field(default_factory=list)  # keys without a time to live


def measure(service: Service) -> Footprint:
    footprint = Footprint()
    for process in service.children():
        with suppress(psutil.Error):
            name = f"{_role(process.cmdline())} {process.pid}"
            footprint.resident[name] = process.memory_info().rss
            footprint.files[name] = process.num_fds()
    with redis.Redis.from_url(service.redis_url) as client:
        # The answer of each training is kept for an hour, so that it may be asked for.
        footprint.keys = sum(b":task:" not in key for key in client.scan_iter(count=1000))
        footprint.lasting = lasting_keys(client)
    return footprint


def _role(command: Sequence[str]) -> str:
    line = " ".join(command)
    roles = {"gunicorn": "web", "sb_api worker": "classify", "sb_api trainer": "train", "redis-server": "redis"}
    return next((role for part, role in roles.items() if part in line), "other")


class Work:
    """So many records to judge, and a training for every thousand of them; `done` says how far it is."""

    def __init__(self, address: str, count: int, seed: int) -> None:
        self.address = address
        self.count = count
        self.trainings = max(1, count // RECORDS_PER_TRAINING)
        self.judged = self.trained = 0
        self.failures: list[str] = []
        self._seed = seed
        self._lock = threading.Lock()

    @property
    def done(self) -> float:
        """The share of the work that is done, by the part that is further behind."""
        return min(self.judged / self.count, self.trained / self.trainings)

    def run(self, clients: int = 3) -> Iterator[float]:
        """Do it; yields the share that is done, twice a second."""
        threads = [threading.Thread(target=self._judge, args=(number,)) for number in range(clients)]
        threads.append(threading.Thread(target=self._train))
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            yield self.done
            time.sleep(0.5)

    def _judge(self, number: int) -> None:
        chance = random.Random(1000 * self._seed + number)
        with requests.Session() as session:
            while self.judged < self.count:
                # No faster than the trainings, so that both go on to the end.
                if self.judged / self.count > self.trained / self.trainings + 0.02:
                    time.sleep(0.05)
                    continue
                size = min(chance.choice((1, 3, 20, 200, 1000)), self.count - self.judged) or 1
                body = make_editors(size, chance.randrange(10_000_000))
                answer = session.post(f"{self.address}/predict", json=body, timeout=60)
                with self._lock:
                    self.judged += size if answer.status_code == 200 else 0
                self._note(answer, 200, 503)

    def _train(self) -> None:
        with requests.Session() as session:
            while self.trained < self.trainings:
                answer = session.post(
                    f"{self.address}/train", json=make_verdicts(2, 20_000_000 + 2 * self.trained), timeout=320
                )
                self.trained += answer.status_code == 200
                self._note(answer, 200)
                if self.trained % 10 == 0:
                    self._note(session.post(f"{self.address}/rollback", json={"to": "previous"}, timeout=320), 200)

    def _note(self, answer: requests.Response, *expected: int) -> None:
        if answer.status_code not in expected:
            self.failures.append(f"{answer.status_code} {answer.text[:200]}")


def soak(service: Service, count: int, seed: int) -> list[dict[str, Any]]:
    """The figures after so many records and their trainings."""
    work = Work(service.address, count, seed)
    samples: list[tuple[float, Footprint]] = []
    start = time.monotonic()
    for done in work.run():
        samples.append((done, measure(service)))
        if len(samples) % 120 == 0:
            print(f"{time.monotonic() - start:6.0f} s: {work.judged:,} records, {work.trained:,} trainings", flush=True)
    last = measure(service)
    print(
        f"{work.judged:,} records and {work.trained:,} trainings in {time.monotonic() - start:,.0f} s; "
        f"not as they should be: {work.failures[:3] or 'none'}"
    )
    failed = len(work.failures)
    figures = [figure("answers that were errors", failed, "answers", f"{count} records", 0, not failed)]
    # Batches come and go: the middle of many looks, early and late.
    early = [sample for done, sample in samples if WARM_UP <= done <= 2 * WARM_UP] or [samples[0][1]]
    late = [sample for done, sample in samples if done >= 1 - WARM_UP] or [last]
    print(f"{'process':<18} {'MiB after warm-up':>18} {'MiB at the end':>15} {'growth':>8} {'open files':>12}")
    for name in last.resident:
        role = name.partition(" ")[0]
        before, after = (_middle([one.resident.get(name, 0) for one in part]) / 2**20 for part in (early, late))
        opened, left = (_middle([one.files.get(name, 0) for one in part]) for part in (early, late))
        growth = after / before - 1 if before else float("inf")
        print(f"{name:<18} {before:>18.1f} {after:>15.1f} {growth:>8.1%} {opened:>5.0f} {left:>6.0f}")
        held = (round(100 * growth, 1), "% growth", f"{before:.0f} MiB", 100 * GROWTH, growth < GROWTH)
        figures.append(figure(f"memory of {role}", *held))
        figures.append(figure(f"open files of {role}", left, "files", "after warm-up", opened, left <= opened))
    keys, left = (_middle([one.keys for one in part]) for part in (early, late))
    print(f"keys in Redis: {keys:.0f} after warm-up, {left:.0f} at the end; without a time to live: {last.lasting}")
    figures.append(figure("keys in Redis", left, "keys", "after warm-up", keys, left <= keys))
    figures.append(figure("keys without an end", len(last.lasting), "keys", "streams aside", 0, not last.lasting))
    return figures


def _middle(values: Sequence[int]) -> float:
    return statistics.median(values)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000, help="records")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        folder = Path(temporary)
        with start_service(folder / "state", folder, **VARIABLES) as service:
            service.wait_warm()
            return write_figures(soak(service, options.count, options.seed), "soak")


if __name__ == "__main__":
    sys.exit(main())
