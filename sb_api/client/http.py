"""The typed HTTP client, for threads; `event_loops` has the one for event loops.

    with Client("http://127.0.0.1:4321", token) as client:
        print(client.predict([{"id": 1, "website": "http://example.com"}]).bands)

Every error is a class of `sb_api.errors`, one for each problem type of the service; `OutcomeUnknown` when nobody knows
whether a training was done; `Unavailable` when there is no service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from sb_api.client import protocol
from sb_api.client.answers import (
    Comparison,
    FoundEditors,
    LetBack,
    PastVerdicts,
    Renamed,
    ReviewAnswer,
    ReviewList,
    RolledBack,
    Staged,
    Trained,
    Undone,
    WeightsChain,
)
from sb_api.client.batching import IN_FLIGHT, ROWS, batches, check_sizes, in_order
from sb_api.client.protocol import Lost, Payload, Predictions, Reply, Request, Steps
from sb_api.client.rows import Fault, Judgement, judge_rows, shifted
from sb_api.client.transport import DEFAULT_URL, Transport
from sb_api.errors import Unavailable
from sb_api.judgements import PastVerdict
from sb_api.review.entries import Action

DEFAULT_PATIENCE = 60.0  # seconds

T = TypeVar("T")


class Client:
    """One service, from any number of threads. Close it, or use it as a context manager.

    `token` is of the service's credentials, if it has any. `timeout` is for one answer, `patience` for how long to go
    on asking while the service is away or has no room; both in seconds. Before each pause in which the service is away
    `on_wait` is called with the reason, in whatever thread that is. Trainings, replays and rollbacks to "previous" are
    sent again only when they were certainly not done.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        patience: float = DEFAULT_PATIENCE,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._transport = Transport(url, token, timeout)
        self.url = self._transport.url
        self.patience = patience
        self._on_wait = on_wait

    def predict(
        self,
        records: Payload,
        *,
        model: str = "lodbrok",
        explain: bool = False,
        partial: bool = False,
        weights: str = "",
    ) -> Predictions:
        """Have records judged: a list, an object by keys, or the JSON of either. With `weights` at most 64 of them are
        judged by others than the current ones: a slot's ("original", "previous") or a version; for the role train.

        Raises InvalidRecords when one is wrong; with `partial` the wrong ones are among the answer's `errors`.
        """
        request = protocol.predict(records, model, explain, partial, weights=weights)
        return self._run(protocol.ask(request, self.patience, Predictions))

    def judge(
        self,
        records: Iterable[Any],
        *,
        model: str = "lodbrok",
        explain: bool = False,
        rows: int = ROWS,
        in_flight: int = IN_FLIGHT,
    ) -> Iterator[Judgement | Fault]:
        """Judge any number of records, in order, in bounded memory: `rows` a request, `in_flight` requests at a time.

        A record is a mapping, a msgspec struct, or JSON as bytes. Wrong ones come out as a Fault with their place.
        Raises InvalidParameter when `rows` or `in_flight` is less than 1.
        """
        check_sizes(rows, in_flight)

        def judged(batch: Sequence[bytes]) -> list[Judgement | Fault]:
            return self.judge_rows(batch, model=model, explain=explain)

        def outcomes() -> Iterator[Judgement | Fault]:
            place = 0
            for some in in_order(judged, batches(records, rows), in_flight):
                yield from (shifted(outcome, place) for outcome in some)
                place += len(some)

        return outcomes()

    def judge_rows(
        self, rows: Sequence[bytes], *, model: str = "lodbrok", explain: bool = False, review: bool = False
    ) -> list[Judgement | Fault]:
        """Judge n rows, each the JSON of one record, with one request; n outcomes, in order. With `review` those whose
        band is high enough wait for moderators from then on."""
        return self._run(judge_rows(rows, model, explain, self.patience, review))

    def train(
        self,
        records: Payload,
        *,
        model: str = "lodbrok",
        force: bool = False,
        new_classes: bool = False,
        timeout: float = 3600.0,
    ) -> Trained:
        """Have labelled records learned, and wait until they are. `force` promotes against the guard's word;
        `new_classes` lets messages bring classes that are not known yet, with at least 5 examples each.

        Raises TrainingRefused, InvalidRecords, or OutcomeUnknown: then look before you send them again.
        """
        return self._run(protocol.train(records, model, force, new_classes, self.patience, timeout))

    def rollback(self, to: str = "previous", *, model: str = "lodbrok") -> RolledBack:
        """Make "previous", "original" or a version by name current. Raises UnknownVersion."""
        return self._run(protocol.ask(protocol.rollback(to, model), self.patience, RolledBack))

    def let_back(self, credential: str, *, model: str = "lodbrok") -> LetBack:
        """Have a credential learned from again that is set aside. Raises InvalidParameter where it is not."""
        return self._run(protocol.ask(protocol.let_back(credential, model), self.patience, LetBack))

    def weights(self, *, model: str = "lodbrok") -> WeightsChain:
        """The slots and the versions."""
        return self.get("/weights", WeightsChain, model=model)

    def stage(self, version: str, *, model: str = "lodbrok") -> Staged:
        """Stage a kept version, to be judged by in shadow. Raises UnknownVersion, InvalidParameter for the current."""
        return self._run(protocol.ask(protocol.stage(version, model), self.patience, Staged))

    def compare(self, *, model: str = "lodbrok") -> Comparison:
        """The staged weights beside the current ones. Raises NothingStaged."""
        return self.get("/weights/staged", Comparison, model=model)

    def promote(self, version: str, *, model: str = "lodbrok", as_is: bool = False, force: bool = False) -> str:
        """Begin to make the staged `version` current, taught the verdicts that it lacks unless `as_is`; the id of the
        task, which comes to `Promoted`. Raises NothingStaged."""
        return self._run(protocol.promote(version, model, as_is, force, self.patience))

    def drop(self, version: str, *, model: str = "lodbrok") -> Staged:
        """Stage `version` no longer. Raises NothingStaged."""
        return self._run(protocol.ask(protocol.drop(version, model), self.patience, Staged))

    def rename_classes(self, old: Sequence[str], new: str, *, model: str = "intent", force: bool = False) -> Renamed:
        """Call classes of messages otherwise; several are one then. Raises InvalidParameter, TrainingRefused."""
        return self._run(protocol.ask(protocol.rename_classes(old, new, model, force), self.patience, Renamed))

    def verdicts(self, *, model: str = "lodbrok", **query: str) -> list[PastVerdict]:
        """The verdicts that were given, newest first: those on the record `id`, of a `reporter`, of one `status`,
        `since` a moment, `before` the verdict with a number, at most `limit` (50, up to 1,000). Where so many come
        there may be more; `get("/verdicts", PastVerdicts)` says so."""
        return self.get("/verdicts", PastVerdicts, model=model, **query).verdicts

    def undo(
        self, record: int | str, *, digest: str = "", reporter: str | None = None, model: str = "lodbrok"
    ) -> Undone:
        """Take back the newest verdict of a reporter on a record; on what was judged with that `digest`, if given."""
        return self._run(protocol.ask(protocol.undo(record, digest, reporter, model), self.patience, Undone))

    def look_up(self, *, ids: Sequence[int] = (), names: Sequence[str] = ()) -> FoundEditors:
        """MusicBrainz's editors with these numbers or names. Raises NotOffered where the service has no database."""
        return self._run(protocol.look_up(ids, names, self.patience))

    def waiting(self, **query: str) -> ReviewList:
        """Accounts that wait for review, by the fields of `sb_api.review.entries.ListQuery`. Raises NotOffered."""
        return self.get("/review", ReviewList, **query)

    def review(self, action: Action, *, timeout: float = 3600.0) -> ReviewAnswer:
        """Claim accounts that wait, release them, give verdicts or take one back: `Claim(count=5)` and the like of
        `sb_api.review.entries`. Raises UnknownEntry, ClaimedByAnother, and for verdicts ContentChanged and what
        `train` raises."""
        return self._run(protocol.review(action, self.patience, timeout))

    def classify(self, records: Payload, *, model: str = "lodbrok") -> str:
        """Queue records to be judged; the id of the task. The same content again is the same task."""
        return self._run(protocol.classify(records, model, self.patience))

    def replay(self, *, model: str = "lodbrok", force: bool = False, with_undone: bool = False) -> str:
        """Begin to rebuild the weights from the verdict log, `with_undone` also from what rollbacks have undone; the id
        of the task."""
        return self._run(protocol.replay(model, force, with_undone, self.patience))

    def wait(
        self,
        task: str,
        answer: type[T],
        *,
        timeout: float = 300.0,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> T:
        """The result of a task, as `Predictions`, `Trained` or whatever `answer` names, once there is one."""
        return self._run(protocol.wait(task, answer, self.patience, timeout, on_progress))

    def get(self, path: str, answer: type[T], **query: str) -> T:
        """What a path answers to GET, such as `/quality` or `/readyz`."""
        return self._run(protocol.ask(protocol.get(path, query), self.patience, answer))

    def text(self, path: str) -> str:
        """What a path answers to GET, as text, such as `/metrics`."""
        return self._run(protocol.exchange(protocol.get(path), self.patience)).content.decode("utf-8", "replace")

    def look(self, path: str, answer: type[T]) -> T:
        """What a path answers to one GET, be it 503: `/readyz` of a service that is not ready tells why."""
        request = protocol.get(path)
        reply = self._transport.send(request)
        if isinstance(reply, Lost):
            raise Unavailable(f"GET {path}: {reply.reason}.")
        if reply.status not in (200, 503):
            raise protocol.failure(request, reply)
        return protocol.parse(request, reply, answer)

    def close(self) -> None:
        """Give the connections back, and let threads that wait to ask again give up."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exception: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        outcome: Reply | Lost | None = None
        while not isinstance(step := protocol.go_on(steps, outcome), protocol.Done):
            if isinstance(step, Request):
                outcome = self._transport.send(step)
                continue
            if isinstance(outcome, Lost):
                self._on_wait(outcome.reason)
            outcome = self._transport.pause(step)
        return step.answer
