"""What made or measured weights, as runs of an MLflow server: with `SB_API_MLFLOW_URL`.

By MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html). Nothing waits for the server in a service, and
nothing fails because of it: what it does not take is an error in the log.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Url, parse_url

from sb_api.errors import Unavailable

logger = logging.getLogger(__name__)

TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)
MOST_WAITING = 8  # runs; more are not kept
MOST_PARAMETERS, MOST_FIGURES = 100, 1000  # of a run, as MLflow takes them at once
LONGEST_VALUE = 500  # characters of a parameter or a tag
_API = "/api/2.0/mlflow"
_ARTEFACTS = "mlflow-artifacts:"


@dataclass(frozen=True)
class Run:
    """What was done (`kind`) for a classifier, and the `version` that came of it; `seconds` it took; its parameters,
    its figures, which may lie in one another, and files by name."""

    kind: str
    classifier: str
    version: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0


class Recorder:
    """Hands runs to a thread of its own, which tells the server of them, one after the other."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._waiting: queue.Queue[Run] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None

    def record(self, run: Run) -> None:
        """Have a run told to the server, if there is one."""
        if not self.url:
            return
        try:
            self._waiting.put_nowait(run)
        except queue.Full:
            logger.error("MLflow is too slow: the %s of %s is not recorded there", run.kind, run.version)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sb_api mlflow", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            record_run(self.url, self._waiting.get())


def record_run(url: str, run: Run) -> bool:
    """Tell the MLflow server at `url`, if there is one, of a run; whether it took all of it. Raises nothing."""
    if not url:
        return False
    try:
        _tell(url, run)
    except (HTTPError, Unavailable, ValueError) as error:
        said = error.detail if isinstance(error, Unavailable) else type(error).__name__
        logger.error("MLflow does not know of the %s of %s %s: %s", run.kind, run.classifier, run.version, said)
        return False
    return True


def flatten(figures: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The finite numbers in figures, by their path: `reference.precision`."""
    flat: dict[str, float] = {}
    for name, value in figures.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{path}.")
        elif isinstance(value, int | float) and math.isfinite(value):
            flat[_as_key(path)] = float(value)
    return flat


def _as_key(name: str) -> str:
    """A name with nothing in it but what MLflow takes in one."""
    return "".join(each if (each.isalnum() and each.isascii()) or each in "_-. " else "_" for each in name)[:250]


def _tell(url: str, run: Run) -> None:
    server = _Server.at(url)
    now = int(time.time() * 1000)
    began = now - int(run.seconds * 1000)
    tags = {
        "mlflow.runName": f"{run.kind} {run.version}",
        "kind": run.kind,
        "classifier": run.classifier,
        "version": run.version,
    }
    made = server.ask(
        "POST",
        "/runs/create",
        experiment_id=server.find_experiment(f"sb_api {run.classifier}"),
        run_name=tags["mlflow.runName"],
        start_time=began,
        tags=_pairs(tags),
    )
    info = made["run"]["info"]
    metrics = [
        {"key": name, "value": value, "timestamp": now, "step": 0}
        for name, value in list(flatten(run.figures).items())[:MOST_FIGURES]
    ]
    parameters = {_as_key(name): value for name, value in list(run.parameters.items())[:MOST_PARAMETERS]}
    server.ask("POST", "/runs/log-batch", run_id=info["run_id"], metrics=metrics, params=_pairs(parameters))
    for name, content in run.files.items():
        server.put(info["artifact_uri"], name, content)
    server.ask("POST", "/runs/update", run_id=info["run_id"], status="FINISHED", end_time=now)


def _pairs(values: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"key": name, "value": str(value)[:LONGEST_VALUE]} for name, value in values.items() if value is not None]


@dataclass(frozen=True)
class _Server:
    """An MLflow server: its address without user and password, and the headers that these come to."""

    address: str
    headers: dict[str, str]
    pool: urllib3.PoolManager

    @classmethod
    def at(cls, url: str) -> _Server:
        parts = parse_url(url)
        headers = urllib3.make_headers(basic_auth=unquote(parts.auth)) if parts.auth else {}
        plain = Url(parts.scheme, None, parts.host, parts.port, parts.path)
        return cls(plain.url.rstrip("/"), headers, urllib3.PoolManager(timeout=TIMEOUT, retries=False))

    def find_experiment(self, name: str) -> str:
        """The id of an experiment, which is made if it is not there."""
        found = self._send("GET", f"{_API}/experiments/get-by-name?experiment_name={quote(name)}")
        if found.status == 404:
            made: str = self.ask("POST", "/experiments/create", name=name)["experiment_id"]
            return made
        identity: str = self._read(found)["experiment"]["experiment_id"]
        return identity

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """What the server answers to a call of its API. Raises Unavailable, HTTPError."""
        return self._read(self._send(method, f"{_API}{path}", msgspec.json.encode(body)))

    def put(self, place: str, name: str, content: bytes) -> None:
        """Store a file of a run at its `place`, through the server. Raises Unavailable, also where it stores none."""
        if not place.startswith(_ARTEFACTS):
            raise Unavailable(f"its files lie in {place.partition(':')[0]}, and not behind it (--serve-artifacts)")
        path = place.removeprefix(_ARTEFACTS).lstrip("/")
        self._read(self._send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}/{quote(name)}", content))

    def _send(self, method: str, path: str, body: bytes | None = None) -> urllib3.BaseHTTPResponse:
        headers = self.headers | {"Content-Type": "application/json" if path.startswith(_API + "/") else _BYTES}
        return self.pool.request(method, f"{self.address}{path}", body=body, headers=headers)

    def _read(self, answer: urllib3.BaseHTTPResponse) -> Any:
        if answer.status != 200:
            raise Unavailable(f"{answer.status} {answer.data[:200].decode('utf-8', 'replace')!r}")
        try:
            return msgspec.json.decode(answer.data or b"{}")
        except msgspec.DecodeError:
            raise Unavailable("what answers there is no MLflow server") from None


_BYTES = "application/octet-stream"
