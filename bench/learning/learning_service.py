"""How long `POST /train` of a hundred verdicts takes on a running service, and what predictions do meanwhile."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CLIENTS, EDITORS_A_REQUEST = 4, 5
IDLE_SECONDS, START_SECONDS = 6.0, 120.0

Records = list[dict[str, Any]]


class Address:
    """A connection to the service, kept open."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)

    def ask(self, method: str, path: str, records: Records | None = None) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        body = json.dumps(records) if records is not None else None
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())


@contextmanager
def run_service() -> Iterator[str]:
    """`sb-api run` in a state directory of its own, warm. Yields its address."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SB_API_")}
        command = [sys.executable, "-m", "sb_api", "run", "--port", "0"]
        service = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            env={**kept, "SB_API_STATE_DIR": folder, "SB_API_LOG_LEVEL": "WARNING"},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert service.stdout is not None
            url = next(word for word in service.stdout.readline().split() if word.startswith("http://"))
            deadline = time.monotonic() + START_SECONDS
            while not _warm(url):
                if time.monotonic() > deadline:
                    sys.exit("The service did not get warm.")
                time.sleep(0.2)
            yield url
        finally:
            service.terminate()
            service.wait(30)


def _warm(url: str) -> bool:
    _, ready = Address(url).ask("GET", "/readyz")
    return bool(ready["classify_processes"] and ready["train_processes"])


class Load:
    """Clients that ask for predictions one after the other, all the time; it counts what is answered."""

    def __init__(self, url: str, editors: Records) -> None:
        self._url, self._editors = url, editors
        self._answered = [0] * CLIENTS
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def answered(self) -> int:
        return sum(self._answered)

    def _ask(self, number: int) -> None:
        address, place = Address(self._url), number
        while not self._over.is_set():
            start = place * EDITORS_A_REQUEST % (len(self._editors) - EDITORS_A_REQUEST)
            status, _ = address.ask("POST", "/predict", self._editors[start : start + EDITORS_A_REQUEST])
            # A request that fails is no prediction.
            self._answered[number] += status == 200
            place += CLIENTS


def time_trainings(batches: Sequence[Records], editors: Records) -> tuple[list[float], list[float]]:
    """The seconds that `/train` took for each batch with nothing else to do, and the rate of predictions while a batch
    was learned, as a share of that right before. Every other batch is for the one, the rest for the other."""
    seconds, shares = [], []
    with run_service() as url:
        address = Address(url)
        for batch in batches[::2]:
            seconds.append(_train(address, batch))
        with Load(url, editors) as load:
            time.sleep(IDLE_SECONDS / 2)
            for batch in batches[1::2]:
                before, start = load.answered, time.monotonic()
                time.sleep(IDLE_SECONDS)
                idle = (load.answered - before) / (time.monotonic() - start)
                before = load.answered
                took = _train(address, batch)
                shares.append((load.answered - before) / took / idle)
    return seconds, shares


def _train(address: Address, batch: Records) -> float:
    start = time.monotonic()
    status, answer = address.ask("POST", "/train", batch)
    took = time.monotonic() - start
    if status != 200:
        sys.exit(f"/train: {status} {answer}")
    return took
