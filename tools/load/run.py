"""`make load`: start a service, put 1,000 requests a second on it for a bounded time, print failures and
percentiles."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
RATE = int(os.environ.get("SB_API_BENCH_RATE", "1000"))  # requests a second; each user makes one
SECONDS = int(os.environ.get("SB_API_BENCH_SECONDS", "30"))
WARM_UP = 120.0


def start(folder: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SB_API_")}
    environment["SB_API_STATE_DIR"] = str(folder / "state")
    return subprocess.Popen(
        [sys.executable, "-m", "sb_api", "run", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=(folder / "log").open("w"),
        text=True,
    )


def await_warm(service: subprocess.Popen[str], folder: Path) -> str:
    """The address of the service, once it is warm."""
    assert service.stdout is not None
    address = next(word for word in service.stdout.readline().split() if word.startswith("http://"))
    deadline = time.monotonic() + WARM_UP
    while not is_warm(address):
        if time.monotonic() > deadline:
            raise SystemExit(f"the service is not ready: {(folder / 'log').read_text()}")
        time.sleep(0.2)
    return address


def is_warm(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=5) as response:
            return bool(json.load(response)["train_processes"])
    except OSError:
        return False


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="sb_api-load-") as name:
        folder = Path(name)
        service = start(folder)
        try:
            address = await_warm(service, folder)
            print(f"{RATE} requests a second on {address} for {SECONDS} s")
            command = [
                sys.executable,
                "-m",
                "locust",
                "-f",
                str(HERE / "locustfile.py"),
                "--host",
                address,
                "--headless",
            ]
            command += ["--users", str(RATE), "--spawn-rate", str(max(1, RATE // 5)), "--run-time", f"{SECONDS}s"]
            command += [
                "--csv",
                str(folder / "load"),
                "--only-summary",
                "--loglevel",
                "ERROR",
                "--exit-code-on-error",
                "0",
            ]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=SECONDS + 120)
        finally:
            service.terminate()
            service.wait(30)
        return report(folder / "load_stats.csv")


def report(file: Path) -> int:
    columns = ("50%", "95%", "99%", "100%")
    print(
        f"{'request':28} {'requests':>9} {'failed':>7} {'per s':>8} " + " ".join(f"{c:>7}" for c in columns) + "  (ms)"
    )
    failed = requests = 0
    with file.open(newline="") as rows:
        for row in csv.DictReader(rows):
            failed, requests = int(row["Failure Count"]), int(row["Request Count"])
            name = f"{row['Type']} {row['Name']}".strip()
            times = " ".join(f"{row[column]:>7}" for column in columns)
            print(f"{name:28} {requests:9} {failed:7} {float(row['Requests/s']):8.1f} {times}")
    # The last row is the sum of all.
    return 1 if failed or not requests else 0


if __name__ == "__main__":
    sys.exit(main())
