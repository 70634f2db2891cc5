"""The typed HTTP client for event loops: the same calls as `Client` has for threads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from sb_api.client.batching import IN_FLIGHT, ROWS, async_batches, check_sizes
from sb_api.client.http import DEFAULT_PATIENCE
from sb_api.client.protocol import Lost, Payload, Predictions, Reply, Request, Steps
from sb_api.client.rows import Fault, Judgement, judge_rows, shifted
from sb_api.client.transport import DEFAULT_URL, Transport
from sb_api.judgements import PastVerdict
from sb_api.review.entries import Action

T = TypeVar("T")


class AsyncClient:
    """As `Client`, for an event loop: the same calls to be awaited, `judge` to be iterated with `async for`.

    Its records may come from an iterable of either kind.

    Requests are made in threads of its own and pauses in the event loop, so a task that is cancelled stops at once.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        patience: float = DEFAULT_PATIENCE,
        threads: int = 16,
    ) -> None:
        self._transport = Transport(url, token, timeout)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sb_api client")
        self.url = self._transport.url
        self.patience = patience

    async def predict(
        self,
        records: Payload,
        *,
        model: str = "lodbrok",
        explain: bool = False,
        partial: bool = False,
        weights: str = "",
    ) -> Predictions:
        request = protocol.predict(records, model, explain, partial, weights=weights)
        return await self._run(protocol.ask(request, self.patience, Predictions))

    async def judge(
        self,
        records: Iterable[Any] | AsyncIterable[Any],
        *,
        model: str = "lodbrok",
        explain: bool = False,
        rows: int = ROWS,
        in_flight: int = IN_FLIGHT,
    ) -> AsyncIterator[Judgement | Fault]:
        check_sizes(rows, in_flight)
        waiting: deque[asyncio.Task[list[Judgement | Fault]]] = deque()
        coming = async_batches(records, rows)
        more = True
        place = 0
        try:
            while True:
                while more and len(waiting) < in_flight:
                    batch: list[bytes] = await anext(coming, [])
                    more = bool(batch)
                    if more:
                        steps = judge_rows(batch, model, explain, self.patience)
                        waiting.append(asyncio.create_task(self._run(steps)))
                if not waiting:
                    return
                outcomes = await waiting.popleft()
                for outcome in outcomes:
                    yield shifted(outcome, place)
                place += len(outcomes)
        finally:
            for task in waiting:
                task.cancel()

    async def train(
        self,
        records: Payload,
        *,
        model: str = "lodbrok",
        force: bool = False,
        new_classes: bool = False,
        timeout: float = 3600.0,
    ) -> Trained:
        return await self._run(protocol.train(records, model, force, new_classes, self.patience, timeout))

    async def rollback(self, to: str = "previous", *, model: str = "lodbrok") -> RolledBack:
        return await self._run(protocol.ask(protocol.rollback(to, model), self.patience, RolledBack))

    async def let_back(self, credential: str, *, model: str = "lodbrok") -> LetBack:
        return await self._run(protocol.ask(protocol.let_back(credential, model), self.patience, LetBack))

    async def weights(self, *, model: str = "lodbrok") -> WeightsChain:
        return await self.get("/weights", WeightsChain, model=model)

    async def stage(self, version: str, *, model: str = "lodbrok") -> Staged:
        return await self._run(protocol.ask(protocol.stage(version, model), self.patience, Staged))

    async def compare(self, *, model: str = "lodbrok") -> Comparison:
        return await self.get("/weights/staged", Comparison, model=model)

    async def promote(self, version: str, *, model: str = "lodbrok", as_is: bool = False, force: bool = False) -> str:
        return await self._run(protocol.promote(version, model, as_is, force, self.patience))

    async def drop(self, version: str, *, model: str = "lodbrok") -> Staged:
        return await self._run(protocol.ask(protocol.drop(version, model), self.patience, Staged))

    async def rename_classes(
        self, old: Sequence[str], new: str, *, model: str = "intent", force: bool = False
    ) -> Renamed:
        return await self._run(protocol.ask(protocol.rename_classes(old, new, model, force), self.patience, Renamed))

    async def verdicts(self, *, model: str = "lodbrok", **query: str) -> list[PastVerdict]:
        return (await self.get("/verdicts", PastVerdicts, model=model, **query)).verdicts

    async def undo(
        self, record: int | str, *, digest: str = "", reporter: str | None = None, model: str = "lodbrok"
    ) -> Undone:
        return await self._run(protocol.ask(protocol.undo(record, digest, reporter, model), self.patience, Undone))

    async def look_up(self, *, ids: Sequence[int] = (), names: Sequence[str] = ()) -> FoundEditors:
        return await self._run(protocol.look_up(ids, names, self.patience))

    async def waiting(self, **query: str) -> ReviewList:
        return await self.get("/review", ReviewList, **query)

    async def review(self, action: Action, *, timeout: float = 3600.0) -> ReviewAnswer:
        return await self._run(protocol.review(action, self.patience, timeout))

    async def classify(self, records: Payload, *, model: str = "lodbrok") -> str:
        return await self._run(protocol.classify(records, model, self.patience))

    async def replay(self, *, model: str = "lodbrok", force: bool = False, with_undone: bool = False) -> str:
        return await self._run(protocol.replay(model, force, with_undone, self.patience))

    async def wait(
        self,
        task: str,
        answer: type[T],
        *,
        timeout: float = 300.0,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> T:
        return await self._run(protocol.wait(task, answer, self.patience, timeout, on_progress))

    async def get(self, path: str, answer: type[T], **query: str) -> T:
        return await self._run(protocol.ask(protocol.get(path, query), self.patience, answer))

    async def close(self) -> None:
        self._transport.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exception: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        loop = asyncio.get_running_loop()
        outcome: Reply | Lost | None = None
        while not isinstance(step := protocol.go_on(steps, outcome), protocol.Done):
            if isinstance(step, Request):
                outcome = await loop.run_in_executor(self._pool, self._transport.send, step)
            else:
                outcome = await asyncio.sleep(step, None)
        return step.answer
