"""Load on a server: wrk for speed and for comparing answers, and a client that sends on time (open loop).

wrk sends its next request when the last is answered; hence the other one. Run as a script, it is the open-loop client,
in a process of its own: `load.py URL TOKEN BODIES RATE SECONDS` prints its figures as JSON.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np

from bench.editors import make_editors
from bench.running import Target, clean_environment

MEAN_BIO = 300  # characters
CONNECTIONS = 128  # of the open-loop client, so that a late answer holds back no request


@dataclass(frozen=True)
class Load:
    """Requests of so many editors each, as JSON bodies, also in a file for wrk."""

    size: int
    editors: list[list[dict[str, Any]]]
    bodies: list[bytes]
    file: Path


@dataclass(frozen=True)
class Speed:
    """What came of a load: answers a second, latencies in ms, requests without a good answer; and, where answers were
    compared with expected ones, how many were, and how many of them differed."""

    rate: float
    p50: float
    p99: float
    failed: int
    checked: int
    wrong: int


def make_load(folder: Path, size: int, number: int, seed: int = 1) -> Load:
    """`number` different requests of `size` editors."""
    made = make_editors(size * number, MEAN_BIO, seed)
    editors = [made[start : start + size] for start in range(0, len(made), size)]
    bodies = [msgspec.json.encode({str(key): editor for key, editor in enumerate(group)}) for group in editors]
    file = folder / f"bodies-{size}"
    file.write_bytes(b"\n".join(bodies) + b"\n")
    return Load(size, editors, bodies, file)


def require_wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("This bench needs the load generator wrk: install it first (Debian: apt-get install wrk).")
    return found


def write_expected(file: Path, answers: Sequence[dict[str, Any]]) -> Path:
    """A file of what is to be answered of every editor, for `run_wrk`."""
    rows = [
        f"{name}\t{prediction}\t{answer['scores'][name]!r}\t{answer['bands'][name]}\n"
        for answer in answers
        for name, prediction in answer["predictions"].items()
    ]
    file.write_text("".join(rows), "utf-8")
    return file


def wrk_command(target: Target, load: Load, connections: int, seconds: float, path: str, *check: str) -> list[str]:
    script = Path(__file__).parent / "predict.lua"
    return [
        *(require_wrk(), "--threads", "1", "--connections", str(connections), "--duration", f"{round(seconds)}s"),
        *("--timeout", "30s", "--script", str(script), target.url, "--", str(load.file), path, target.token, *check),
    ]


def run_wrk(
    target: Target,
    load: Load,
    connections: int,
    seconds: float,
    path: str = "/predict",
    expected: tuple[Path, str] | None = None,
) -> Speed:
    """Closed loop: every connection sends its next request when the last is answered.

    `expected` is a file of `write_expected` and the version of the weights: then every answer is compared with it.
    """
    check = (str(expected[0]), str(load.size), expected[1]) if expected else ()
    command = wrk_command(target, load, connections, seconds, path, *check)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    found = json.loads(line.removeprefix("RESULT "))
    if found["requests"] <= found["failed"]:
        raise SystemExit(f"{target.url}{path} has answered none of wrk's requests well: {found}")
    took = found.pop("seconds")
    return Speed(rate=(found.pop("requests") - found["failed"]) / took, **found)


class Connection:
    """One HTTP connection that is kept."""

    def __init__(self, url: str, token: str) -> None:
        address = urlsplit(url)
        self.host, self.port = address.hostname, address.port
        self.head = f"Host: {address.netloc}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises OSError or EOFError when the connection is lost."""
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.host, self.port, limit=2**24)
        reader, writer = self.streams
        writer.write(f"POST {path} HTTP/1.1\r\n{self.head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            return int(head.split(b" ", 2)[1]), await reader.readexactly(int(length.partition(b":")[2]))
        except (OSError, EOFError):
            self.close()
            raise

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None


def run_open(target: Target, load: Load, rate: float, seconds: float) -> dict[str, float]:
    """`rate` requests a second, each sent when it is due whether or not those before are answered.

    Latencies (ms) count from the time that a request was due. `late` is by how much the client itself sent late (p99,
    ms), `cpu` its processor time as a share of one core: another process's, and none of the server's.
    """
    arguments = [target.url, target.token, str(load.file), str(rate), str(seconds)]
    command = [sys.executable, "-m", "bench.speed.load", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, env=clean_environment())
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


async def _run_open(url: str, token: str, bodies: Sequence[bytes], rate: float, seconds: float) -> dict[str, float]:
    due: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
    latencies: list[float] = []
    late: list[float] = []
    failed: list[bool] = []

    async def work(connection: Connection) -> None:
        while (item := await due.get()) is not None:
            moment, body = item
            late.append(time.perf_counter() - moment)
            try:
                status, _ = await connection.post("/predict", body)
                failed.append(status != 200)
            except (OSError, EOFError):
                failed.append(True)
            latencies.append(time.perf_counter() - moment)
        connection.close()

    connections = [Connection(url, token) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(connection.post("/predict", bodies[0]) for connection in connections))
    workers = [asyncio.create_task(work(connection)) for connection in connections]
    turn = cycle(bodies)
    begin, used = time.perf_counter(), time.process_time()
    for number in range(round(rate * seconds)):
        moment = begin + number / rate
        if (left := moment - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        due.put_nowait((moment, next(turn)))
    for _ in workers:
        due.put_nowait(None)
    await asyncio.gather(*workers)
    took = time.perf_counter() - begin
    ms = 1000 * np.array(latencies)
    return {
        "requests": len(latencies),
        "failed": sum(failed),
        "rate": len(latencies) / took,
        "p50": float(np.percentile(ms, 50)),
        "p99": float(np.percentile(ms, 99)),
        "late": float(np.percentile(1000 * np.array(late), 99)),
        "cpu": (time.process_time() - used) / took,
    }


if __name__ == "__main__":
    address, secret, lines, per_second, duration = sys.argv[1:]
    print(
        json.dumps(
            asyncio.run(
                _run_open(address, secret, Path(lines).read_bytes().splitlines(), float(per_second), float(duration))
            )
        )
    )
