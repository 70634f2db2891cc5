"""`make attack`: what one client can do to a service with credentials, what that may cost at most, what it cost, and
how others fared beside it. Prints tables, writes bench/results/attack.json, and exits 1 when a bound is broken.

The same seed sends the same requests. About five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import redis
import requests
import zstandard

from sb_api.auth.credentials import ROLES, add_credential
from sb_api.json_bodies import FREE_BYTES, MOST_TIMES
from sb_api.web.results import MARK
from tests.conftest import wait_until
from tests.support.service import Service, make_editors, make_verdicts, start_service
from tests.support.shapes import FEW, TOO_MANY
from tests.support.tables import figure, write_figures
from tests.verdicts.test_verdict_log import verdict
from tools.amplification import BOUND, Finding, make_attempts, search, texts
from tools.meter import Cost, Meter, Neighbour, largest

MIB = 2**20
SLOWEST, TIMES = 0.5, 3.0  # p99 of others beside an attack: seconds, or so many times that without one
QUIET = 10.0  # seconds for which others are measured before the attacks
# Processes as `run` has them on two cores; memory and caps that are reached soon.
LIMITS = {
    "SB_API_WEB_PROCESSES": "2",
    "SB_API_CLASSIFY_PROCESSES": "2",
    "SB_API_REDIS_MEMORY": "128mb",
    "SB_API_KEPT_CAP": "2000",
    "SB_API_TRAINER_IDLE": "86400",
    "SB_API_REVIEW": "on",
    "SB_API_REVIEW_SHARE": "0",
    "SB_API_REVIEW_BAND": "likely fine",
}
REPORTERS = 20_000
WAITING = 5_000  # accounts in the review queue: as many as it holds by default
SLOW_CLIENTS = 500


@dataclass(frozen=True)
class Target:
    """A service under attack, and a secret of each role."""

    service: Service
    meter: Meter
    secrets: Mapping[str, str]
    seed: int
    usual: float = 0.0  # p99 of others without an attack, seconds

    def headers(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[role]}"}

    def post(self, role: str, path: str, body: bytes | list[Any] | dict[str, Any]) -> requests.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = self.headers(role) if role else {}
        return requests.post(self.service.address + path, data=content, headers=headers, timeout=300)


@dataclass(frozen=True)
class Bound:
    """A figure of an attack, and what it may be at most."""

    name: str
    value: float
    unit: str
    most: float

    @property
    def is_kept(self) -> bool:
        return self.value <= self.most


Attack = Callable[[Target], list[Bound]]


def seconds_each(costs: list[Cost], most: float) -> Bound:
    return Bound("processor time of a request", round(float(largest(costs, "seconds")), 2), "s", most)


def hard_texts(target: Target) -> list[Bound]:
    """Row 1: texts that were quadratic for something that looks at them."""
    costs: list[Cost] = []
    most = 0.0
    for text in texts(random.Random(target.seed), 20_000).values():
        for path, record in (
            ("/predict", {"id": 1, "bio": text}),
            ("/intents/predict", {"id": 1, "text": f"x{text}"[:20_000]}),
        ):
            body = json.dumps([record]).encode()
            with target.meter.measured(costs):
                target.post("predict", path, body)
            most = max(most, costs[-1].seconds / (len(body) / 1000))
    copy = json.dumps([{"id": 1, "bio": "COPY " + "(" * 400_000}]).encode()
    with target.meter.measured(costs):
        target.post("predict", "/predict", copy)
    return [seconds_each(costs, 2.0), Bound("the same, for each kB", round(1000 * most, 1), "ms", 1000 * BOUND)]


def slow_clients(target: Target) -> list[Bound]:
    """Row 2: connections that send a byte now and then."""
    host, port = target.service.address.removeprefix("http://").rsplit(":", 1)
    head = (
        f"POST /predict HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {target.secrets['predict']}\r\n"
        "Content-Length: 60000\r\n\r\n"
    ).encode()
    clients = [socket.create_connection((host, int(port)), timeout=5) for _ in range(SLOW_CLIENTS)]
    began = time.monotonic()
    longest = 0.0
    for number, client in enumerate(clients):
        with suppress(OSError):
            client.sendall(head[: len(head) // 2] if number % 2 else head)
        client.setblocking(False)
    left = set(clients)
    while left and time.monotonic() - began < 40:
        time.sleep(0.5)
        for client in list(left):
            if _is_cut(client):
                left.discard(client)
                longest = time.monotonic() - began
    for client in clients:
        client.close()
    return [
        Bound("connections not cut off", len(left), "connections", 0),
        Bound("until the last is cut off", round(longest, 1), "s", 25.0),
    ]


def _is_cut(client: socket.socket) -> bool:
    try:
        client.send(b"x")
        while client.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def unproven(target: Target) -> list[Bound]:
    """Row 3: large bodies of nobody, and names without end."""
    costs: list[Cost] = []
    for body in (b"name=" + b"x" * 32 * MIB, b"name=admin&secret=" + b"%41" * 8 * MIB, b"[" * 32 * MIB):
        for path in ("/page/sign-in", "/predict"):
            with target.meter.measured(costs), suppress(requests.RequestException):
                target.post("", path, body)
    return [seconds_each(costs, 0.5), Bound("memory", round(largest(costs, "memory") / MIB), "MiB", 32)]


def shapes(target: Target) -> list[Bound]:
    """Row 4: bodies that are small, and large once they are decoded."""
    costs: list[Cost] = []
    size = 8 * MIB
    for make in (TOO_MANY | FEW).values():
        body = make(size)
        with target.meter.measured(costs):
            target.post("predict", "/predict", body)
    # As it is decoded, and the body itself three times: as it comes, in pieces, and whole.
    most = (FREE_BYTES + (MOST_TIMES + 1 + 3) * size) / MIB
    return [
        seconds_each(costs, 2.5),
        Bound("memory for 8 MiB", round(largest(costs, "memory") / MIB), "MiB", most),
    ]


def results(target: Target) -> list[Bound]:
    """Row 5: results of /classify until Redis is full of them."""
    records = [{"id": f"{number:0255d}"} for number in range(5000)]
    refused, accepted, without_advice = 0, 0, 0
    end = time.monotonic() + 60
    while refused < 5 and time.monotonic() < end:
        records[0]["bio"] = str(accepted)
        answer = target.post("predict", "/classify", {"model": "lodbrok", "data": records})
        accepted += answer.status_code == 202
        refused += answer.status_code == 503
        without_advice += answer.status_code == 503 and "Retry-After" not in answer.headers
    with redis.Redis.from_url(target.service.redis_url) as client:
        memory = client.info("memory")
    used = memory["used_memory"] / memory["maxmemory"]
    judged = target.post("train", "/predict", make_editors(1)).status_code
    return [
        Bound("of Redis's memory, at the end", round(100 * used), "%", 100 * MARK),
        Bound("requests until it was refused", accepted if refused else 10_000, "requests", 1000),
        Bound("refusals that do not say when to come again", without_advice, "refusals", 0),
        Bound("others refused by what is kept", int(judged not in (200, 503)), "requests", 0),
    ]


def packed(target: Target) -> list[Bound]:
    """Row 9: a small file that unpacks to a gigabyte, read by `sb-api predict`."""
    folder = target.service.folder
    file = folder / "bomb.jsonl.zst"
    packer = zstandard.ZstdCompressor(level=3)
    with file.open("wb") as raw, packer.stream_writer(raw) as stream:
        for _ in range(1024):
            stream.write(bytes(MIB))
    command = [sys.executable, "-m", "sb_api", "predict", str(file), "--url", target.service.address]
    environment = {**os.environ, "SB_API_TOKEN": target.secrets["predict"]}
    reader = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while reader.poll() is None:
        with suppress(psutil.Error):
            peak = max(peak, psutil.Process(reader.pid).memory_info().rss)
        time.sleep(0.02)
    return [
        Bound(f"memory for {file.stat().st_size / 1000:.0f} kB of Zstandard", round(peak / MIB), "MiB", 300),
        Bound("taken as if it were whole", int(reader.returncode == 0), "files", 0),
    ]


def kept(target: Target) -> list[Bound]:
    """Row 11: verdicts over the caps without end, and reporters without number."""
    refused = 0
    held = 0
    log = target.service.verdict_log()
    now = datetime.now(UTC).replace(tzinfo=None)
    log.add(verdict(f"held {number}", reporter="train", status="held", received=now) for number in range(1990))
    for turn in range(5):
        answer = target.post("train", "/train", make_verdicts(20, start=100_000 + 20 * turn))
        refused += answer.status_code == 429
    held = len(log.find(reporter="train", statuses=("held", "refused", "learning")))
    log.add(
        verdict(f"made up {number}", reporter=f"reporter {number}", version="000001-aaaaaaaa", received=now)
        for number in range(REPORTERS)
    )
    costs: list[Cost] = []
    with target.meter.measured(costs):
        assert target.post("admin", "/train", make_verdicts(1, start=200_000)).status_code in (200, 409)
    quality = requests.get(f"{target.service.address}/quality", headers=target.headers("predict"), timeout=60)
    return [
        Bound("verdicts of one credential that are kept", held, "verdicts", 2000),
        Bound("trainings not refused over that", 5 - refused, "trainings", 0),
        Bound(f"/quality with {REPORTERS} reporters", round(len(quality.content) / 1000), "kB", 100),
        Bound("a training of one verdict beside them", round(costs[0].seconds, 1), "s of processor time", 8.0),
    ]


ATTACKS: dict[str, Attack] = {
    "texts that are hard to read (1)": hard_texts,
    "500 slow connections (2)": slow_clients,
    "bodies of nobody (3)": unproven,
    "bodies of every shape (4)": shapes,
    "results without end (5)": results,
    "packed files (9)": packed,
    "verdicts and reporters without end (11)": kept,
}


def run_attack(name: str, attack: Attack, target: Target) -> list[dict[str, Any]]:
    """Attack beside another client; prints a line for each bound."""
    neighbour = Neighbour(target.service.address, target.headers("train"))
    with neighbour.asking():
        bounds = attack(target)
    bounds.append(Bound("p99 of others", round(neighbour.p99, 3), "s", round(max(SLOWEST, TIMES * target.usual), 3)))
    bounds.append(Bound("wrong answers to others", len(neighbour.wrong), "answers", 0))
    for bound in bounds:
        said = "" if bound.is_kept else "  BROKEN"
        print(f"{name:<40} {bound.name:<48} {bound.value:>9g} {bound.most:>9g} {bound.unit}{said}", flush=True)
    if neighbour.wrong:
        print(f"    {sorted(set(neighbour.wrong))}")
    return [
        figure(
            f"{name}: {bound.name}",
            bound.value,
            bound.unit,
            f"{len(neighbour.took)} of others",
            bound.most,
            bound.is_kept,
        )
        for bound in bounds
    ]


def describe(finding: Finding) -> str:
    attempt, cost = finding.attempt, finding.cost
    return (
        f"{attempt.role:<8} {attempt.name:<44} {attempt.size / 1000:>7.1f} {1000 * cost.seconds:>8.1f} "
        f"{1000 * attempt.allowed:>8.1f} {finding.per_kilobyte('memory') / 1000:>8.0f} "
        f"{finding.per_kilobyte('redis') / 1000:>7.1f} {finding.status:>4}"
        f"{'' if finding.share <= 1 else '  BROKEN'}"
    )


def fill_review(target: Target) -> None:
    """Have as many accounts wait for review as may."""
    for number in range(WAITING // 1000):
        editors = make_editors(1000, 1000 * (1 + number))  # none of those on whom there are verdicts
        assert target.post("train", "/predict?review=true", editors).status_code == 200

    def is_full() -> bool:
        answer = requests.get(f"{target.service.address}/review", headers=target.headers("train"), timeout=60)
        return bool(answer.json()["waiting"] == WAITING)

    wait_until(is_full, 120)
    target.meter.settle(5.0)


def amplify(target: Target, size: int) -> list[dict[str, Any]]:
    """The search, with a full review queue; prints the ten requests of each role that cost the largest share of what
    they may."""
    fill_review(target)
    found = search(target.meter, make_attempts(target.seed, size), target.secrets)
    print(f"\n{'role':<8} {'request':<44} {'kB':>7} {'ms':>8} {'allowed':>8} {'kB/kB':>8} {'Redis':>7} {'said':>4}")
    figures = []
    for role in ("nobody", *ROLES):
        mine = [finding for finding in found if finding.attempt.role == role]
        for finding in mine[:10]:
            print(describe(finding))
        worst = mine[0]
        figures.append(
            figure(
                f"amplification, {role}: processor time of {worst.attempt.name}",
                round(worst.share, 3),
                "of what is allowed",
                f"{len(mine)} requests",
                1.0,
                worst.share <= 1,
            )
        )
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=20_000, help="characters of the texts of the search")
    parser.add_argument("--only", default="", help="only the attacks whose name this is a part of")
    options = parser.parse_args()
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="attack-", ignore_cleanup_errors=True) as name:
        state = Path(name) / "state"
        state.mkdir(mode=0o700)
        secrets = {role: add_credential(state / "credentials.json", role, role) for role in ROLES}
        with start_service(state, Path(name) / "run", **LIMITS) as service:
            service.wait_warm()
            meter = Meter(service)
            target = Target(service, meter, secrets, options.seed)
            assert target.post("admin", "/train", make_verdicts(2)).status_code in (200, 409)
            meter.settle(5.0)
            alone = Neighbour(service.address, target.headers("train"))
            with alone.asking():
                time.sleep(QUIET)
            target = replace(target, usual=alone.p99)
            print(
                f"p99 of others without an attack: {alone.p99:.3f} s; the service takes {meter.idle:.3f} of a processor"
            )
            print(f"{'attack':<40} {'figure':<48} {'cost':>9} {'at most':>9}", flush=True)
            for title, attack in ATTACKS.items():
                if options.only in title:
                    figures += run_attack(title, attack, target)
            if options.only in "amplification":
                figures += amplify(target, options.size)
    return write_figures(figures, None if options.only else "attack")


if __name__ == "__main__":
    sys.exit(main())
