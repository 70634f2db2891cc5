"""What a client asks and how it goes on when the answer is no, or does not come: without any input or output.

Every call is a generator: it yields what to send or how long to pause, is sent what came of it, and returns the answer.
Whoever drives it does the sending and the pausing, in a thread or in an event loop; `sb_api.client` does both.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from sb_api.client.answers import Accepted, Fault, FoundEditors, ReviewAnswer, Reviewed, Trained
from sb_api.errors import (
    InvalidParameter,
    NoAnswerInTime,
    OutcomeUnknown,
    SbApiError,
    Unavailable,
    UnexpectedAnswer,
    UnknownTask,
    error_from_problem,
)
from sb_api.judgements import Neighbour, Reason
from sb_api.records import RECORD_TYPES
from sb_api.review.entries import Action, GiveVerdicts, Release

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds; each is half as long again as the one before
PATHS = {name: each.path for name, each in RECORD_TYPES.items()}  # where the calls of each model are
REFUSED_UNDONE = frozenset({"queue-full", "too-many-failures"})  # the service promises that nothing was done

_REVIEWED: Any = ReviewAnswer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `repeatable` says that done twice it does no more than done once."""

    method: str
    target: str
    body: bytes | None = field(default=None, repr=False)
    repeatable: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. The names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer, and why. `sent`: the service may have had the request."""

    reason: str
    sent: bool


Steps = Generator[Request | float, Reply | Lost | None, T]  # a number is a pause in seconds


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The end of steps, and what they came to."""

    answer: T


def go_on(steps: Steps[T], outcome: Reply | Lost | None) -> Request | float | Done[T]:
    """The next step after one whose outcome this is; none before the first, and after a pause."""
    try:
        return steps.send(outcome)
    except StopIteration as end:
        return Done(end.value)


class Predictions(msgspec.Struct, frozen=True):
    """The answer to `predict`, by the ids of the records; `errors` is by their keys, or positions in a list. `usual` is
    the score that reasons count from, where they were asked for."""

    predictions: dict[str, str | None]
    scores: dict[str, float | dict[str, float]]
    weights: str
    bands: dict[str, str] = {}
    reasons: dict[str, list[Reason]] = {}
    neighbours: dict[str, list[Neighbour]] = {}
    usual: float | None = None
    errors: dict[str, Fault] = {}


def exchange(request: Request, patience: float, now: Callable[[], float] = time.monotonic) -> Steps[Reply]:
    """Ask until there is an answer below 400, with growing pauses that are no shorter than `Retry-After`.

    A request that is not repeatable is sent again only when it was certainly not done. Raises the error that the
    service answered with, Unavailable, OutcomeUnknown or UnexpectedAnswer; of what a repetition may mend, the last one
    when the next try would begin later than `patience` seconds from the start.
    """
    deadline = now() + patience
    for pause in growing_pauses():
        outcome = yield request
        if isinstance(outcome, Reply) and outcome.status < 400:
            return outcome
        if outcome is None:
            raise TypeError("a request is answered with a Reply or with Lost")
        error = failure(request, outcome)
        wait = max(pause, _retry_after(outcome))
        if not _may_repeat(request, outcome, error) or now() + wait > deadline:
            raise error
        yield wait
    raise AssertionError("the pauses never end")


def growing_pauses() -> Iterator[float]:
    """Seconds, each pause longer than the one before up to LONGEST_PAUSE, and none the same for all clients."""
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.8, 1.2)
        pause = min(LONGEST_PAUSE, pause * 1.5)


def _may_repeat(request: Request, outcome: Reply | Lost, error: SbApiError) -> bool:
    if isinstance(outcome, Lost):
        return request.repeatable or not outcome.sent
    if outcome.status not in (429, 502, 503, 504):
        return False
    return request.repeatable or error.type in REFUSED_UNDONE


def failure(request: Request, outcome: Reply | Lost) -> SbApiError:
    """The error that an answer or the lack of one stands for."""
    what = f"{request.method} {request.target.partition('?')[0]}"
    if isinstance(outcome, Lost):
        if outcome.sent and not request.repeatable:
            return OutcomeUnknown(
                f"{what}: {outcome.reason}. The service may have done it or not: see `sb-api weights` before you send "
                "it again."
            )
        return Unavailable(f"{what}: {outcome.reason}.")
    try:
        problem = msgspec.json.decode(outcome.content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = {}
    if str(problem.get("type", "")).startswith("urn:sb_api:"):
        return error_from_problem(problem)
    said = problem.get("detail") or problem.get("title") or "something that is not of sb_api"
    return UnexpectedAnswer(f"{what} was answered with {outcome.status}: {said}")


def _retry_after(outcome: Reply | Lost) -> float:
    """Seconds to wait at least, from a number of seconds or an HTTP date; 0 when nothing is said."""
    said = outcome.headers.get("retry-after", "") if isinstance(outcome, Reply) else ""
    if said.strip().isdigit():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def parse(request: Request, reply: Reply, answer: type[T]) -> T:
    """The document of an answer. Raises UnexpectedAnswer when it is no `answer`."""
    try:
        return msgspec.json.decode(reply.content, type=answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnexpectedAnswer(
            f"{request.method} {request.target.partition('?')[0]} was answered with {reply.status} and something that "
            f"is not of sb_api: {error}."
        ) from None


def ask(request: Request, patience: float, answer: type[T]) -> Steps[T]:
    """One request and its answer as `answer`."""
    reply = yield from exchange(request, patience)
    return parse(request, reply, answer)


Payload = bytes | Sequence[Any] | Mapping[str, Any]


def encode_body(records: Payload) -> bytes:
    """The JSON of records: of a list, of an object by keys, or as it is when it is JSON already."""
    return records if isinstance(records, bytes) else msgspec.json.encode(records)


def target(model: str, path: str, **given: bool | str) -> str:
    """The target of a call to the routes that are a model's own, with the flags that are raised and the texts that are
    not empty. Raises InvalidParameter for an unknown model."""
    if model not in PATHS:
        raise InvalidParameter(f"There is no model {model!r}; there are {', '.join(PATHS)}.")
    query = urlencode([(name, "true" if value is True else value) for name, value in given.items() if value])
    return f"{PATHS[model]}{path}{'?' if query else ''}{query}"


def get(path: str, query: Mapping[str, str] = {}) -> Request:
    """What a path answers to GET."""
    return Request("GET", f"{path}{'?' if query else ''}{urlencode(query)}")


def predict(
    records: Payload, model: str, explain: bool, partial: bool, review: bool = False, weights: str = ""
) -> Request:
    place = target(model, "/predict", explain=explain, partial=partial, review=review, weights=weights)
    return Request("POST", place, encode_body(records))


def rollback(to: str, model: str) -> Request:
    """To the previous weights twice is back again; to any others, it is where the first led."""
    body = msgspec.json.encode({"to": to})
    return Request("POST", f"/rollback?{urlencode({'model': model})}", body, repeatable=to != "previous")


def stage(version: str, model: str) -> Request:
    body = msgspec.json.encode({"version": version})
    return Request("POST", f"/weights/stage?{urlencode({'model': model})}", body, repeatable=False)


def drop(version: str, model: str) -> Request:
    """A second time there is nothing to drop."""
    body = msgspec.json.encode({"version": version})
    return Request("POST", f"/weights/drop?{urlencode({'model': model})}", body, repeatable=False)


def promote(version: str, model: str, as_is: bool, force: bool, patience: float) -> Steps[str]:
    """A second time it is not staged any more."""
    query = urlencode({"model": model, "force": str(force).lower()})
    body = msgspec.json.encode({"version": version, "as_is": as_is})
    request = Request("POST", f"/weights/promote?{query}", body, repeatable=False)
    return (yield from ask(request, patience, Accepted)).task_id


def let_back(credential: str, model: str) -> Request:
    """A second time there is nobody to let back."""
    body = msgspec.json.encode({"credential": credential})
    return Request("POST", f"/let-back?{urlencode({'model': model})}", body, repeatable=False)


def rename_classes(old: Sequence[str], new: str, model: str, force: bool) -> Request:
    """A second time there is nothing to rename."""
    body = msgspec.json.encode({"old": list(old), "new": new})
    query = urlencode({"model": model, "force": str(force).lower()})
    return Request("POST", f"/weights/rename-class?{query}", body, repeatable=False)


def undo(record: int | str, digest: str, reporter: str | None, model: str) -> Request:
    """A second time it takes back what that verdict had replaced."""
    body = msgspec.json.encode({"id": record, "digest": digest, "reporter": reporter})
    return Request("POST", f"/verdicts/undo?{urlencode({'model': model})}", body, repeatable=False)


def review(action: Action, patience: float, timeout: float) -> Steps[ReviewAnswer]:
    """Verdicts are queued and waited for, as `train` does."""
    if isinstance(action, GiveVerdicts):
        request = Request("POST", "/review", msgspec.json.encode(action), False, {"Prefer": "respond-async"})
        return Reviewed(trained=(yield from _learn(request, patience, timeout)))
    # What was claimed by a request whose answer is lost is not claimed again: see `mine`.
    request = Request("POST", "/review", msgspec.json.encode(action), isinstance(action, Release))
    reply = yield from exchange(request, patience)
    answer: ReviewAnswer = parse(request, reply, _REVIEWED)
    return answer


class _Task(msgspec.Struct):
    status: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: dict[str, Any] = {}
    progress: dict[str, Any] = {}


def train(
    records: Payload, model: str, force: bool, new_classes: bool, patience: float, timeout: float
) -> Steps[Trained]:
    """Queued, then waited for: a connection that is cut while the service learns loses nothing.

    Raises OutcomeUnknown when the training was accepted, but nothing more is heard of it.
    """
    request = Request(
        "POST",
        target(model, "/train", force=force, new_classes=new_classes),
        encode_body(records),
        repeatable=False,
        headers={"Prefer": "respond-async"},
    )
    return (yield from _learn(request, patience, timeout))


def _learn(request: Request, patience: float, timeout: float) -> Steps[Trained]:
    accepted = yield from ask(request, patience, Accepted)
    try:
        return (yield from wait(accepted.task_id, Trained, patience, timeout))
    except (Unavailable, NoAnswerInTime, UnknownTask, UnexpectedAnswer) as error:
        raise OutcomeUnknown(
            f"The service accepted the training as task {accepted.task_id}, but what came of it is not known: "
            f"{error.detail} See `sb-api weights` before you send it again.",
            task_id=accepted.task_id,
        ) from error


def classify(records: Payload, model: str, patience: float) -> Steps[str]:
    """The same content is the same task, so this may be repeated."""
    body = msgspec.json.encode({"model": model, "data": msgspec.Raw(encode_body(records))})
    return (yield from ask(Request("POST", "/classify", body), patience, Accepted)).task_id


def look_up(ids: Sequence[int], names: Sequence[str], patience: float) -> Steps[FoundEditors]:
    """MusicBrainz's editors with these numbers or names."""
    query = urlencode([*(("id", number) for number in ids), *(("name", name) for name in names)])
    return (yield from ask(Request("GET", f"/editors?{query}"), patience, FoundEditors))


def replay(model: str, force: bool, with_undone: bool, patience: float) -> Steps[str]:
    flags = {"force": str(force).lower(), "with_undone": str(with_undone).lower()}
    query = urlencode({"model": model, **flags})
    request = Request("POST", f"/replay?{query}", b"", repeatable=False)
    return (yield from ask(request, patience, Accepted)).task_id


def wait(
    task: str,
    answer: type[T],
    patience: float,
    timeout: float,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Steps[T]:
    """Ask for a task's result as often as it may be asked for, until there is one.

    Raises NoAnswerInTime after `timeout` seconds, and the error that the task ended in.
    """
    request = Request("GET", f"/get-result/{quote(task, safe='')}")
    deadline = now() + timeout
    for pause in growing_pauses():
        reply = yield from exchange(request, min(patience, max(0.0, deadline - now())))
        found = parse(request, reply, _Task)
        if found.status == "completed":
            return parse(request, Reply(reply.status, {}, bytes(found.data)), answer)
        if found.status == "failed":
            raise error_from_problem(found.error)
        if found.progress and on_progress is not None:
            on_progress(found.progress)
        rest = max(pause, _retry_after(reply))
        if now() + rest > deadline:
            break
        yield rest
    raise NoAnswerInTime(f"Task {task} has no result within {timeout:g} s; ask for it later, it goes on.")
