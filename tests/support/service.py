"""A whole service of its own for a test, started and stopped as an operator would, and the bare model beside it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import psutil
import redis
import requests

from sb_api.broker.connection import connect
from sb_api.broker.jobs import STREAMS
from sb_api.config import Settings, load_settings
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.recipe import RETRAINING
from sb_api.learning.reference_set import Reference, load_reference, with_scores
from sb_api.models.classifiers import CLASSIFIERS, WIDE_DEEP
from sb_api.models.predictor import Predictor
from sb_api.models.weights_file import Weights
from sb_api.models.weights_store import WeightsStore
from sb_api.processes.redis_server import find_redis_server
from sb_api.records import Editor, Verdict
from sb_api.verdicts.verdict_log import VerdictLog, open_verdict_log
from tests.conftest import wait_until
from tests.support.jobs import Jobs

ROOT = Path(__file__).parents[2]
SHIPPED = WIDE_DEEP  # the classifier whose original weights of editors ship
SPAM, NOT_SPAM = "Spam Editor Account", "Non Spam Editor Account"
BUDGET = 0.05  # of the shared service
# Few known records beside each verdict: a training costs a quarter of the shipped recipe's, step by step the same way.
RECIPE = replace(RETRAINING, replay_rows=16)
# What the shared service starts with. Tests teach it nonsense, which its guard would refuse; tests of the guard have
# services of their own. TensorFlow stays, however long the tests between two trainings take.
SHARED = {"SB_API_GUARD_TOLERANCE": "1", "SB_API_FP_BUDGET": str(BUDGET), "SB_API_TRAINER_IDLE": "86400"}
SHARED |= {"SB_API_REVIEW": "on", "SB_API_REVIEW_SHARE": "0"}  # what tests add to the review queue, and nothing else
SHARED["SB_API_SHADOW_SHARE"] = "1"
RUN = (sys.executable, "-m", "sb_api", "run", "--port", "0")

# One of so many records of the shipped reference sets, by classifier and part.
THINNED = {
    "lodbrok": {"vectors": 8, "calibration": 12, "replay": 20},
    "intent": {"vectors": 1, "replay": 10},
    "sentiment": {"vectors": 5, "replay": 20},
}

EDITOR = {
    "id": 2478,
    "email": "someone@example.org",
    "website": "https://example.org/music",
    "bio": "I collect records and add their covers, see https://example.org",
    "area": None,
    "privs": 0,
    "gender": None,
    "birth_date": None,
    "member_since": "2000-07-05T14:22:08",
    "email_confirm_date": "2000-07-05T14:22:09",
    "last_updated": "2000-07-05T14:23:08",
    "last_login_date": "2000-07-06T14:23:08",
}


# Bodies that hold no records, each with what is wrong with it.
MALFORMED_BODIES = {
    "empty": b"",
    "blank": b" \n",
    "not JSON": b"id=1",
    "cut off": b'[{"id": 1}',
    "null": b"null",
    "a number": b"5",
    "a string": b'"editors"',
    "no record in a list": b"[]",
    "no record in an object": b"{}",
    "NaN": b'[{"id": 1, "privs": NaN}]',
    "Infinity": b'[{"id": 1, "privs": -Infinity}]',
    "a lone surrogate": b'[{"id": 1, "bio": "\\ud800"}]',
    "a lone surrogate in an unknown field": b'[{"id": 1, "other": "\\udc00"}]',
    "not UTF-8": b'[{"id": 1, "bio": "\xff"}]',
    "nested without end": b"[" * 200_000,
    "an object nested without end": b'{"a":' * 200_000,
    "a field nested without end": b'[{"id": 1, "bio": ' + b"[" * 200_000,
    "an unknown field nested without end": b'[{"id": 1, "other": ' + b'{"a":' * 200_000,
}
# Records that are wrong in one field, as JSON, and that field.
WRONG_RECORDS = {
    "no id": (b"{}", "id"),
    "id null": (b'{"id": null}', "id"),
    "id empty": (b'{"id": ""}', "id"),
    "id a fraction": (b'{"id": 1.5}', "id"),
    "id true": (b'{"id": true}', "id"),
    "id a list": (b'{"id": [1]}', "id"),
    "id of more than 64 bits": (b'{"id": 18446744073709551616}', "id"),
    "id of 400 digits": (b'{"id": %s}' % (b"9" * 400), "id"),
    "id of 256 characters": (b'{"id": "%s"}' % (b"x" * 256), "id"),
    "email a number": (b'{"id": 1, "email": 5}', "email"),
    "website a list": (b'{"id": 1, "website": ["http://example.com"]}', "website"),
    "bio an object": (b'{"id": 1, "bio": {"text": "x"}}', "bio"),
    "area a fraction": (b'{"id": 1, "area": 1.5}', "area"),
    "area of 400 digits": (b'{"id": 1, "area": %s}' % (b"9" * 400), "area"),
    "area of an endless exponent": (b'{"id": 1, "area": 1e999}', "area"),
    "privs a word": (b'{"id": 1, "privs": "all"}', "privs"),
    "privs of 400 digits": (b'{"id": 1, "privs": -%s}' % (b"9" * 400), "privs"),
    "gender true": (b'{"id": 1, "gender": true}', "gender"),
    "birth_date a word": (b'{"id": 1, "birth_date": "yesterday"}', "birth_date"),
    "member_since no day": (b'{"id": 1, "member_since": "2000-02-30T00:00:00"}', "member_since"),
    "email_confirm_date a number": (b'{"id": 1, "email_confirm_date": 962806928}', "email_confirm_date"),
    "last_updated of 10,000 digits": (b'{"id": 1, "last_updated": "%s"}' % (b"2" * 10_000), "last_updated"),
    "last_login_date in words": (b'{"id": 1, "last_login_date": "5 July 2000"}', "last_login_date"),
}


def carries(process: psutil.Process, *libraries: str) -> bool:
    """Whether one of these is in its memory. psutil adds up the pages of every region, which takes longer than what is
    waited for."""
    regions = Path(f"/proc/{process.pid}/maps").read_text("utf-8")
    return any(f"/{library}" in regions for library in libraries)


def assert_stays(condition: Callable[[], object], seconds: float, interval: float = 0.02) -> None:
    """Fail as soon as `condition()` is not true within the next `seconds`."""
    end = time.monotonic() + seconds

    def still() -> bool:
        assert condition()
        return time.monotonic() > end

    wait_until(still, seconds + 20, interval)


def assert_problem(response: Any, status: int, kind: str = "") -> dict[str, Any]:
    """Fail unless a response is the RFC 9457 document that every error is; returns it."""
    assert response.status_code == status, response.get_data(as_text=True)[:500]
    assert response.content_type == "application/problem+json"
    problem: dict[str, Any] = response.get_json()
    assert {"type", "title", "status", "detail", "success"} <= problem.keys()
    assert problem["status"] == status
    assert problem["success"] is False
    assert problem["type"].endswith(kind)
    assert all(problem[member] for member in ("type", "title", "detail"))
    return problem


def waiting(jobs: Jobs) -> int:
    """How many jobs wait or are under way in all streams."""
    return sum(jobs.redis.xlen(stream) for stream in STREAMS)


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment without any setting of sb_api but `variables`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SB_API_")}
    return {**kept, **variables}


def make_editors(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Editors of different ids, hosts, domains, bios and dates, whose scores differ."""
    return [
        {
            "id": number,
            "email": f"a{number}@{('gmail.com', 'example.org', 'mail.ru')[number % 3]}" if number % 5 else None,
            "website": f"http://shop-{number % 7}.example.com/{number}" if number % 2 else "",
            "bio": "cheap casino bonus http://win.example.com " * (number % 4) + "music " * (number % 11),
            "privs": number % 2,
            "gender": number % 3 or None,
            "member_since": f"20{number % 20:02d}-03-0{1 + number % 9}T10:00:00",
            "last_login_date": f"20{number % 20:02d}-04-0{1 + number % 7}T11:30:00" if number % 3 else None,
        }
        for number in range(start, start + count)
    ]


def make_verdicts(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{**editor, "verdict": editor["id"] % 2} for editor in make_editors(count, start)]


def as_editors(records: Sequence[dict[str, Any]]) -> list[Editor]:
    return [Editor(**record) for record in records]


def as_verdicts(records: Sequence[dict[str, Any]]) -> list[Verdict]:
    return [Verdict(**record) for record in records]


@cache
def _thinned(classifier: str) -> dict[str, Any]:
    thinned = THINNED[classifier]
    with np.load(ROOT / "static" / "reference" / f"{classifier}.npz") as shipped:
        return {name: shipped[name][:: thinned[name.partition("_")[0]]].copy() for name in shipped}


def thin_reference(state: Path) -> None:
    """Give a state directory few of the records of the shipped reference sets (`THINNED`), so that a training costs
    half. Tests of what trainings are worth do with all of them."""
    folder = state / "reference"
    folder.mkdir(parents=True, mode=0o700)
    state.chmod(0o700)
    for classifier in THINNED:
        file = folder / f"{classifier}.npz"
        np.savez(file, **_thinned(classifier))
        file.chmod(0o600)


@dataclass
class Service:
    """A running service, its first process and what it has written."""

    process: subprocess.Popen[bytes]
    address: str
    state: Path
    folder: Path

    @property
    def redis_url(self) -> str:
        return f"unix://{quote(str(self.state / 'redis' / 'redis.sock'))}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    @property
    def settings(self) -> Settings:
        return load_settings({}, redis_url=self.redis_url, state_dir=str(self.state))

    def verdict_log(self, classifier: str = "lodbrok") -> VerdictLog:
        log = open_verdict_log(self.settings, classifier)
        assert log is not None
        return log

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.address + path, timeout=150, **options)

    def post(self, path: str, body: Any, **options: Any) -> requests.Response:
        return requests.post(self.address + path, json=body, timeout=150, **options)

    def ready(self) -> dict[str, Any]:
        """What /readyz says, the status among it as `code`."""
        response = self.get("/readyz")
        return {"code": response.status_code, **response.json()}

    def wait_warm(self, timeout: float = 150.0) -> None:
        """Wait until a classify and a train process are warm."""

        def warm() -> bool:
            ready = self.ready()
            return bool(ready["classify_processes"] and ready["train_processes"])

        wait_until(warm, timeout, interval=0.25)

    @contextmanager
    def queue(self) -> Iterator[Jobs]:
        """Its queue, as a process of it sees it."""
        settings = load_settings({}, redis_url=self.redis_url, state_dir=str(self.state))
        with connect(settings) as client:
            yield Jobs(client, settings)

    def children(self) -> list[psutil.Process]:
        """Its processes, without those that Redis forks to write its files, which soon end."""
        own = psutil.Process(self.process.pid).children()
        lasting = [child.children(recursive=True) for child in own if "redis" not in child.name()]
        return own + list(chain.from_iterable(lasting))

    def child(self, part: str) -> psutil.Process:
        """The process of the service whose command line has `part` in it."""
        return next(child for child in self.children() if part in " ".join(child.cmdline()))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those of `processes` that still run."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # it ended while it was looked at
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@contextmanager
def start_service(
    state: Path,
    folder: Path,
    command: Sequence[str] = RUN,
    cwd: Path = ROOT,
    timeout: float = 30.0,
    **variables: str,
) -> Iterator[Service]:
    """Start a service with its own state directory, one process of a kind, TensorFlow only while it trains and few
    known records beside each verdict, unless `variables` say otherwise; what it writes goes to `folder`. Yields it once
    it listens."""
    few = {"SB_API_WEB_PROCESSES": "1", "SB_API_CLASSIFY_PROCESSES": "1", "SB_API_TRAINER_IDLE": "0"}
    few["SB_API_REPLAY_ROWS"] = str(RECIPE.replay_rows)
    environment = clean_environment(**{**few, "SB_API_STATE_DIR": str(state), **variables})
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "out"
    with out.open("wb") as stdout, (folder / "log").open("wb") as stderr:
        process = subprocess.Popen(
            list(command), cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
    service = Service(process, "", state, folder)
    try:
        wait_until(lambda: b"\n" in out.read_bytes() or process.poll() is not None, timeout)
        announced = re.search(r"sb_api listens on (http://\S+)", out.read_text())
        assert announced, f"it did not start: {service.log}"
        service.address = announced[1]
        yield service
    finally:
        left = service.children() if process.poll() is None else []
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            for child in alive(left):
                child.kill()
            raise


class Beginning:
    """Takes the shared service back to its beginning, hundreds of times: what that looks at is opened once, because
    opening a log takes longer than the shortest tests."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.logs = [service.verdict_log(name) for name in CLASSIFIERS]
        self.stores = [WeightsStore.of(service.settings, name) for name in CLASSIFIERS]

    def restore(self) -> None:
        """Have the original weights be current again, and nothing be in the verdict logs."""
        for log in self.logs:
            log.purge([row.number for row in log.find()], {})
        for store in self.stores:
            slots = store.chain().slots
            if slots["current"] != slots["original"]:
                answer = self.service.post(f"/rollback?model={store.classifier}", {"to": "original"})
                assert answer.status_code == 200, answer.text

    def close(self) -> None:
        for log in self.logs:
            log.close()


class RedisServer:
    """A redis-server of a test's own, which may be killed and started again on the same data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder / 'redis.sock'}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [find_redis_server(), "--port", "0", "--unixsocket", str(self.folder / "redis.sock")]
        command += ["--dir", str(self.folder), "--logfile", str(self.folder / "log"), "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", "always"]
        self.process = subprocess.Popen(command)
        with redis.Redis.from_url(self.url) as client:
            wait_until(lambda: _answers(client))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@dataclass
class Bare:
    """The model without any service around it: what every answer of the service is measured against."""

    original: Weights
    reference: Reference
    model: Predictor
    fitting: Fitting

    def reset(self) -> None:
        self.model.swap(self.original, self.model.vocabularies)
        self.fitting.load(self.original)


@dataclass
class Shipped:
    """The shipped weights and a model that judges by them, as processes have it that only judge: without Keras, whose
    import takes seconds. That it says what Keras says is held by tests/models/test_engine.py."""

    original: Weights
    model: Predictor

    def reset(self) -> None:
        self.model.swap(self.original, self.model.vocabularies)


def load_shipped() -> Shipped:
    settings = load_settings({}, state_dir="/nonexistent")
    original = WeightsStore.of(settings, SHIPPED.name).load("original")
    return Shipped(original, Predictor(SHIPPED, original, SHIPPED.load_vocabularies(settings)))


def make_bare(state: Path) -> Bare:
    """With the reference set of a state directory."""
    settings = load_settings({}, state_dir=str(state))
    original = WeightsStore.of(settings, SHIPPED.name).load("original")
    # Keras is the truth, also of what the service's engine says.
    model = Predictor(SHIPPED, original, SHIPPED.load_vocabularies(settings), "keras")
    fitting = Fitting(SHIPPED, original.about.labels, model.vocabularies)
    fitting.load(original)
    reference = load_reference(settings.find("reference/lodbrok.npz"), SHIPPED)
    return Bare(original, with_scores(reference, fitting, original), model, fitting)


def shown_score(score: float) -> str:
    """A probability as the page shows it."""
    if score < 0.0001:
        return "<0.01%"
    if score > 0.9999:
        return ">99.99%"
    return f"{100 * score:.{1 if 0.01 <= score <= 0.99 else 2}f}%"
