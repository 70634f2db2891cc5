"""A steady load on a service whose every answer is checked: against the bare model of the version that it names, and
trainings against the verdict log.

Clients behave as the documentation says: after an error they send the same again, until it is done.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests

from sb_api.config import load_settings
from sb_api.models.predictor import Predictor
from sb_api.models.weights_file import Weights, parse_weights
from sb_api.models.weights_store import WeightsStore
from sb_api.verdicts.verdict_log import VerdictLog
from tests.support.service import NOT_SPAM, SHIPPED, SPAM, as_editors, make_editors, make_verdicts

TOLERANCE = 1e-5  # ONNX Runtime rounds differently with the size of a batch
LOST_AFTER = 90.0  # seconds without an answer; longer than any time limit of the service under test
TAKEN_WITHIN = 240.0  # seconds in which a training is taken, however often it must be sent
VERDICTS = 4  # of one training


@dataclass
class Tally:
    """What became of requests; several threads may count at once."""

    sent: int = 0
    right: int = 0
    honest: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    wrong: int = 0
    doubled: int = 0
    notes: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, other: Tally) -> None:
        for name in ("sent", "right", "lost", "wrong", "doubled"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.honest += other.honest
        self.notes += other.notes

    def count_right(self) -> None:
        with self._lock:
            self.right += 1

    def count_honest(self, kind: str) -> None:
        with self._lock:
            self.honest[kind] += 1

    def complain(self, kind: str, note: str) -> None:
        with self._lock:
            setattr(self, kind, getattr(self, kind) + 1)
            self.notes.append(f"{kind}: {note}")


class Versions:
    """Every version of weights that a service makes, taken as soon as its file is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = load_settings({}, state_dir="/nonexistent")
        original = WeightsStore.of(self.settings, SHIPPED.name).load("original")
        self.model = Predictor(SHIPPED, original, SHIPPED.load_vocabularies(self.settings))
        self.found = {original.about.version: original}
        self._seen: set[Path] = set()

    def look(self) -> None:
        for path in self.folder.glob("*.h5"):
            if path in self._seen:
                continue
            try:
                weights = parse_weights(path.read_bytes(), str(path))
            except Exception:
                continue  # damaged on purpose
            self._seen.add(path)
            self.found[weights.about.version] = Weights(weights.about, weights.arrays, {})

    def scores(self, version: str, editors: Sequence[dict[str, Any]]) -> np.ndarray[Any, Any]:
        """P(spam) of editors by the bare model of a version."""
        if self.model.version != version:
            self.model.swap(self.found[version], self.model.vocabularies)
        scores, errors = self.model.judge(as_editors(editors))
        assert not errors
        column: np.ndarray[Any, Any] = scores[:, 1]
        return column


class SteadyLoad:
    """Clients that predict (one record or many), train and roll back, all at once, until told to stop."""

    def __init__(self, address: Callable[[], str], versions: Versions, seed: int, pace: float = 0.02) -> None:
        self.address = address
        self.versions = versions
        self.pace = pace
        self.tally = Tally()
        self.trainings: dict[str, int] = {}  # the records of each training that was answered 200, with their count
        self._random = random.Random(seed)
        self._first_record = 10_000_000 * (1 + seed)
        self._answers: list[tuple[list[dict[str, Any]], dict[str, Any]]] = []
        self._lock = threading.Lock()
        self._over = threading.Event()

    @contextmanager
    def running(self, singles: int = 3, bulks: int = 1, trainers: int = 1, rollbacks: int = 1) -> Iterator[None]:
        clients = [self._predict_few] * singles + [self._predict_many] * bulks
        clients += [self._train] * trainers + [self._roll_back] * rollbacks
        threads = [
            threading.Thread(target=self._repeat, args=(client, random.Random(self._random.random())), daemon=True)
            for client in clients
        ]
        watcher = threading.Thread(target=self._watch, daemon=True)
        for thread in (*threads, watcher):
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(TAKEN_WITHIN + LOST_AFTER)
                if thread.is_alive():
                    self.tally.complain("lost", "a client still waits")
            watcher.join()
            self.versions.look()

    def _repeat(self, client: Callable[[random.Random], None], chance: random.Random) -> None:
        while not self._over.wait(self.pace * (0.5 + chance.random())):
            client(chance)

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.versions.look()

    # The clients

    def _predict_few(self, chance: random.Random) -> None:
        self.predict(make_editors(chance.randint(1, 5), chance.randrange(1_000_000)))

    def _predict_many(self, chance: random.Random) -> None:
        self.predict(make_editors(chance.randint(130, 400), chance.randrange(1_000_000)))

    def predict(self, editors: list[dict[str, Any]]) -> bool:
        """Whether it was answered."""
        response = self._send("POST", "/predict", json=editors)
        if response is None:
            return False
        with self._lock:
            self._answers.append((editors, response.json()))
        return True

    def _train(self, chance: random.Random) -> None:
        with self._lock:
            first = self._first_record
            self._first_record += VERDICTS
        verdicts = make_verdicts(VERDICTS, first)
        asynchronous = chance.random() < 0.3
        headers = {"Prefer": "respond-async"} if asynchronous else {}
        deadline = time.monotonic() + TAKEN_WITHIN
        while time.monotonic() < deadline:
            response = self._send("POST", "/train", json=verdicts, headers=headers)
            answer = None if response is None else response.json()
            if answer is not None and response is not None and response.status_code == 202:
                self.tally.count_right()
                answer = self._fetch(answer["task_id"], deadline)
            elif answer is not None:
                self.tally.count_right()
            if answer is not None:
                if answer["learned"] + answer["known"] != VERDICTS:
                    self.tally.complain("wrong", f"a training of {VERDICTS} verdicts answers {answer}")
                with self._lock:
                    self.trainings[str(first)] = VERDICTS
                return
            time.sleep(0.5)
        self.tally.complain("lost", f"the training of the records from {first} was never taken")

    def _fetch(self, task: str, deadline: float) -> dict[str, Any] | None:
        while time.monotonic() < deadline:
            response = self._send("GET", f"/get-result/{task}")
            if response is not None:
                if response.status_code == 404:
                    return None  # Redis has lost it
                document: dict[str, Any] = response.json()
                if document["status"] == "failed":
                    self.tally.count_honest(str(document["error"]["type"]).rpartition(":")[2])
                    return None
                self.tally.count_right()
                if document["status"] == "completed":
                    data: dict[str, Any] = document["data"]
                    return data
            time.sleep(0.3)
        self.tally.complain("lost", f"the task {task} never ended")
        return None

    def _roll_back(self, chance: random.Random) -> None:
        self._over.wait(1.5 * chance.random())
        response = self._send("POST", "/rollback", json={"to": chance.choice(["previous", "original", "previous"])})
        if response is not None:
            self.tally.count_right()

    def _send(self, method: str, path: str, **options: Any) -> requests.Response | None:
        """The answer when it is a good one; everything else is counted."""
        with self._lock:
            self.tally.sent += 1
        try:
            response = requests.request(method, self.address() + path, timeout=LOST_AFTER, **options)
        except requests.Timeout:
            self.tally.complain("lost", f"no answer to {method} {path} within {LOST_AFTER:g} s")
            return None
        except requests.RequestException as error:
            self.tally.count_honest("connection refused" if "refused" in str(error) else "connection cut")
            return None
        if response.status_code in (200, 202):
            return response
        if path == "/rollback" and response.status_code == 404:
            return response  # there is no previous yet
        self._check_error(method, path, response)
        return response if path.startswith("/get-result/") and response.status_code == 404 else None

    def _check_error(self, method: str, path: str, response: requests.Response) -> None:
        try:
            problem = response.json()
            honest = (
                response.headers["Content-Type"] == "application/problem+json"
                and problem["success"] is False
                and problem["status"] == response.status_code
                and response.status_code in (404, 503, 504)
                and (response.status_code != 503 or int(response.headers["Retry-After"]) > 0)
            )
        except (ValueError, KeyError, TypeError):
            honest = False
        if honest:
            self.tally.count_honest(problem["type"].rpartition(":")[2])
        else:
            self.tally.complain("wrong", f"{method} {path} gives {response.status_code}: {response.text[:300]}")

    # The judgement

    def judge(self, log: VerdictLog) -> Tally:
        """Check every answer that there was, once no client is at work any more."""
        by_version = defaultdict(list)
        for editors, answer in self._answers:
            by_version[answer["weights"]].append((editors, answer))
        for version, answers in by_version.items():
            if version not in self.versions.found:
                self.tally.complain("wrong", f"{len(answers)} answers name the version {version}, which never was")
                continue
            for editors, answer in answers:
                if fault := self._fault(version, editors, answer):
                    self.tally.complain("wrong", fault)
                else:
                    self.tally.count_right()
        self._answers.clear()
        self._judge_trainings(log)
        return self.tally

    def _fault(self, version: str, editors: list[dict[str, Any]], answer: dict[str, Any]) -> str:
        names = [str(editor["id"]) for editor in editors]
        if list(answer["scores"]) != names or list(answer["predictions"]) != names:
            return f"the answer to {names[:3]}... is about {list(answer['scores'])[:3]}..."
        expected = self.versions.scores(version, editors)
        given = np.array(list(answer["scores"].values()))
        if not np.allclose(given, expected, atol=TOLERANCE, rtol=0):
            return f"scores by {version} are off by {np.abs(given - expected).max()}"
        labels = [SPAM if score > 0.5 else NOT_SPAM for score in given]
        clear = np.abs(given - 0.5) > TOLERANCE
        if any(c and label != answer["predictions"][n] for c, label, n in zip(clear, labels, names, strict=True)):
            return "a prediction is not what its score says"
        return ""

    def _judge_trainings(self, log: VerdictLog) -> None:
        # With those that the rollbacks of this load have undone: they were learned all the same.
        rows = log.learned(self.versions.model.about.features, undone=True)
        learned = Counter(row.record for row in rows)
        for record, times in learned.items():
            if times > 1:
                self.tally.complain("doubled", f"the verdict on {record} was learned {times} times")
        for first, count in self.trainings.items():
            missing = [n for n in range(int(first), int(first) + count) if not learned[str(n)]]
            if missing:
                self.tally.complain("lost", f"the verdicts on {missing} were answered 200 and are not learned")
        made = Counter(weights.about.task for weights in self.versions.found.values() if weights.about.task)
        for task, times in made.items():
            if times > 1:
                self.tally.complain("doubled", f"the training {task} made {times} versions")
        for version in {row.version for row in rows} - self.versions.found.keys():
            self.tally.complain("lost", f"the version {version} is in the log and nowhere else")
