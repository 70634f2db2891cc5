"""A client that keeps a ledger: it sends all calls at once, wave after wave, whatever came of those before; writes down
what each was answered; and checks in the end every answer against the version that it names, and every verdict against
the verdict log. It has nothing in common with `tests.support.steady_load` but the bare models.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sb_api.client.rows import Judgement
from sb_api.local.judge import load
from sb_api.verdicts.verdict_log import VerdictLog
from tests.conftest import wait_until
from tests.support.service import make_editors, make_verdicts
from tests.support.steady_load import Tally, Versions

WAVE = 1.0  # seconds between two waves
MOST_OPEN = 48  # calls under way; a wave leaves out those that there is no room for
PATIENCE = 90.0  # seconds for an answer: longer than any time limit of the service
TAKEN_WITHIN = 240.0  # seconds in which verdicts are taken, however often they must be sent
LEARNED_WITHIN = 90.0  # seconds after which accepted verdicts whose training was lost are learned from the log
TOLERANCE = 1e-5  # of scores: ONNX Runtime rounds differently with the size of a batch
VERDICTS = 3  # of one training
TRAININGS = 2  # under way at once: one comes after another, and all that wait would have to be waited for in the end
TEXTS = ("how do I change my password?", "great site, thank you", "the page is slow today")
LOOKS = ("/weights", "/quality", "/verdicts?limit=5", "/readyz", "/healthz", "/metrics", "/openapi.json", "/docs")
LOST = ("not-found", "job-failed")  # what is said of a task that Redis has lost


def name_texts() -> list[dict[str, Any]]:
    return [{"id": number, "text": text} for number, text in enumerate(TEXTS)]


def _is_near(scores: dict[str, float], right: Any) -> bool:
    return scores.keys() == right.keys() and all(abs(scores[label] - right[label]) <= TOLERANCE for label in right)


@dataclass
class Judged:
    """An answer with scores, and what it is about."""

    call: str
    names: list[str]
    editors: list[dict[str, Any]]
    answer: dict[str, Any]


@dataclass
class Ledger:
    """The client and what it has written down. `trusting`: an answer of 202 is believed, and the verdicts are not sent
    again when their task is lost; else they are, as the documentation says."""

    address: Callable[[], str]
    versions: Versions
    seed: int
    trusting: bool = False
    tally: Tally = field(default_factory=Tally)
    judged: list[Judged] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)  # the first record of each training that was answered for
    accepted: list[int] = field(default_factory=list)  # of those that were believed to be accepted
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _trainings: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(TRAININGS))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send waves until the end of the block, and wait until all that is under way has ended."""
        waves = threading.Thread(target=self._send_waves, daemon=True)
        waves.start()
        try:
            yield
        finally:
            self._over.set()
            waves.join(TAKEN_WITHIN + PATIENCE)
            if waves.is_alive():
                self.tally.complain("lost", "calls are still under way")
            self.versions.look()

    def _send_waves(self) -> None:
        chance = random.Random(self.seed)
        room = threading.Semaphore(MOST_OPEN)
        number = 0
        with ThreadPoolExecutor(MOST_OPEN) as pool:
            while not self._over.wait(WAVE):
                self.versions.look()
                for call in self._wave(random.Random(chance.random()), number):
                    if room.acquire(blocking=False):
                        pool.submit(call).add_done_callback(lambda done: (room.release(), self._note_fault(done)))
                number += 1

    def _note_fault(self, done: Any) -> None:
        if error := done.exception():
            self.tally.complain("wrong", f"the client itself failed, maybe by an answer: {error!r}")

    def _wave(self, chance: random.Random, number: int) -> list[Callable[[], None]]:
        """All calls, each once; what changes the weights less often."""
        start, path, slot = chance.randrange(1_000_000), chance.choice(LOOKS), chance.choice(("previous", "original"))
        many, long = chance.randint(130, 500), chance.randint(130, 400)
        first = 100_000_000 * (1 + self.seed) + VERDICTS * 2 * number
        calls = [
            lambda: self.predict(make_editors(1, start)),
            lambda: self.predict(make_editors(4, start + 1)),
            lambda: self.predict(make_editors(many, start)),
            lambda: self.predict(make_editors(2, start), "explain=true"),
            lambda: self.predict(make_editors(3, start), "partial=true", wrong=1),
            lambda: self.classify(make_editors(2, start + number)),
            lambda: self.classify(make_editors(long, start + number)),
            self.sort,
            lambda: self.look(path),
        ]
        if number % 3 == 0:
            calls += [lambda: self.train(first), lambda: self.train(first + VERDICTS, later=True)]
        if number % 16 == 8:
            calls.append(lambda: self.roll_back(slot))
        chance.shuffle(calls)
        return calls

    # The calls

    def predict(self, editors: list[dict[str, Any]], query: str = "", wrong: int = 0) -> None:
        """Have editors judged; `wrong` more are sent that cannot be."""
        sent = [*editors, *({"id": f"wrong {number}", "privs": "many"} for number in range(wrong))]
        status, answer = self.ask("POST", f"/predict{'?' if query else ''}{query}", sent)
        if status != 200:
            return
        if wrong and set(answer["errors"]) != {str(len(editors) + number) for number in range(wrong)}:
            self.tally.complain("wrong", f"of {len(sent)} records these are said to be wrong: {list(answer['errors'])}")
        if "explain" in query and set(answer["reasons"]) != {str(editor["id"]) for editor in editors}:
            self.tally.complain("wrong", f"there are reasons for {list(answer['reasons'])[:3]}")
        self._write_down("/predict", editors, answer)

    def classify(self, editors: list[dict[str, Any]]) -> None:
        status, answer = self.ask("POST", "/classify", {"model": "lodbrok", "data": editors})
        if status == 202 and (data := self.fetch(answer["task_id"])) is not None:
            self._write_down("/classify", editors, data)

    def sort(self) -> None:
        status, answer = self.ask("POST", "/intents/predict", name_texts())
        if status == 200:
            with self._lock:
                self.texts.append(answer)

    def look(self, path: str) -> None:
        status, _ = self.ask("GET", path)
        if status == 200:
            self.tally.count_right()

    def roll_back(self, to: str) -> None:
        status, _ = self.ask("POST", "/rollback", {"to": to}, allowed=(404,))  # there may be no previous yet
        if status == 200:
            self.tally.count_right()

    def train(self, first: int, *, later: bool = False) -> None:
        """Have verdicts learned, however often they must be sent; `later`: to be fetched."""
        if self._trainings.acquire(blocking=False):
            try:
                self._train(first, later)
            finally:
                self._trainings.release()

    def _train(self, first: int, later: bool) -> None:
        verdicts = make_verdicts(VERDICTS, first)
        deadline = time.monotonic() + TAKEN_WITHIN
        while time.monotonic() < deadline:
            status, answer = self.ask("POST", "/train", verdicts, {"Prefer": "respond-async"} if later else {})
            if status == 202:
                if self.trusting:
                    with self._lock:
                        self.accepted.append(first)
                answer = self.fetch(answer["task_id"])
                if answer is None and self.trusting:
                    return
            elif status != 200:
                answer = None
            if answer is not None:
                if answer["learned"] + answer["known"] != VERDICTS:
                    self.tally.complain("wrong", f"of {VERDICTS} verdicts, learned and known: {answer}")
                with self._lock:
                    self.taken.append(first)
                self.tally.count_right()
                return
            time.sleep(0.7)
        self.tally.complain("lost", f"the verdicts from {first} were never taken")

    def fetch(self, task: str) -> Any:
        """The data of a task; None when it is lost or has failed, which it says."""
        deadline = time.monotonic() + TAKEN_WITHIN
        while time.monotonic() < deadline:
            status, answer = self.ask("GET", f"/get-result/{task}", allowed=(404,))
            if status == 404:
                return None
            if status == 200 and answer["status"] == "completed":
                return answer["data"]
            if status == 200:
                kind = answer["error"]["type"].rpartition(":")[2]
                if kind in (*LOST, "unavailable"):
                    self.tally.count_honest(f"task: {kind}")
                else:
                    self.tally.complain("wrong", f"a task failed: {answer['error']}")
                return None
            time.sleep(0.4)
        self.tally.complain("lost", f"the task {task} never ended")
        return None

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        allowed: tuple[int, ...] = (),
    ) -> tuple[int, Any]:
        """The status and the answer; 0 where there was none. What is no good answer is counted."""
        with self._lock:
            self.tally.sent += 1
        parts = urlsplit(self.address())
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers or {})
            response = connection.getresponse()
            content = response.read()
        except TimeoutError:
            self.tally.complain("lost", f"no answer to {method} {path} within {PATIENCE:g} s")
            return 0, None
        except (OSError, http.client.HTTPException):
            self.tally.count_honest("no connection")
            return 0, None
        finally:
            connection.close()
        kind = response.headers.get_content_type()
        answer = json.loads(content) if kind.endswith("json") else content
        if response.status >= 400:
            self._check_refusal(f"{method} {path}", response.status, dict(response.headers), kind, answer, allowed)
        return response.status, answer

    def _check_refusal(
        self, call: str, status: int, headers: dict[str, str], kind: str, answer: Any, allowed: tuple[int, ...]
    ) -> None:
        is_ready = call == "GET /readyz" and status == 503 and answer["problems"]
        if is_ready or (
            kind == "application/problem+json"
            and answer["status"] == status
            and answer["success"] is False
            and status in (503, 504, *allowed)
            and (status != 503 or int(headers.get("Retry-After", 0)) > 0)
        ):
            self.tally.count_honest("not ready" if is_ready else answer["type"].rpartition(":")[2])
        else:
            self.tally.complain("wrong", f"{call} gives {status}: {str(answer)[:300]}")

    # The book

    def _write_down(self, call: str, editors: list[dict[str, Any]], answer: dict[str, Any]) -> None:
        with self._lock:
            self.judged.append(Judged(call, [str(editor["id"]) for editor in editors], editors, answer))

    def judge(self, log: VerdictLog) -> Tally:
        """Check all that is written down, once nothing is under way."""
        for entry in sorted(self.judged, key=lambda entry: str(entry.answer["weights"])):
            fault = self._fault_of(entry)
            if fault:
                self.tally.complain("wrong", f"{entry.call}: {fault}")
            else:
                self.tally.count_right()
        self._judge_texts()
        self._judge_verdicts(log)
        return self.tally

    def _judge_texts(self) -> None:
        # Nobody teaches this classifier: its weights are those that ship.
        right = {str(one.id): one for one in load("intent")(name_texts()) if isinstance(one, Judgement)}
        for answer in self.texts:
            fits = answer["scores"].keys() == right.keys() and all(
                one.weights == answer["weights"] and _is_near(answer["scores"][name], one.score)
                for name, one in right.items()
            )
            if fits:
                self.tally.count_right()
            else:
                self.tally.complain("wrong", f"/intents/predict: {answer}")

    def _fault_of(self, entry: Judged) -> str:
        answer = entry.answer
        if answer["weights"] not in self.versions.found:
            return f"it names the version {answer['weights']}, which never was"
        if not list(answer["scores"]) == list(answer["predictions"]) == list(answer["bands"]) == entry.names:
            return f"the answer to {entry.names[:3]} is about {list(answer['scores'])[:3]}"
        expected = self.versions.scores(answer["weights"], entry.editors)
        furthest = max(abs(given - right) for given, right in zip(answer["scores"].values(), expected, strict=True))
        return f"a score by {answer['weights']} is off by {furthest}" if furthest > TOLERANCE else ""

    def _judge_verdicts(self, log: VerdictLog) -> None:
        def learned() -> Counter[str]:
            return Counter(row.record for row in log.learned(self.versions.model.about.features, undone=True))

        wanted = {str(first + number) for first in (*self.taken, *self.accepted) for number in range(VERDICTS)}
        try:
            wait_until(lambda: wanted <= learned().keys(), LEARNED_WITHIN if self.accepted else 2.0, interval=0.5)
        except AssertionError:
            missing = sorted(wanted - learned().keys())
            self.tally.complain("lost", f"{len(missing)} verdicts were answered for and are not learned: {missing[:6]}")
        for record, times in learned().items():
            if times > 1:
                self.tally.complain("doubled", f"the verdict on {record} was learned {times} times")
