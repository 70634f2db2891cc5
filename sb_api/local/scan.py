"""A scan without a service: batches of rows are judged by processes of this machine, each with its own weights."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache

import msgspec

from sb_api.client.rows import Fault, Judgement
from sb_api.errors import Unavailable
from sb_api.local.judge import Judge, Reference, load


@contextmanager
def judging_processes(
    reference: Reference, count: int, *, explain: bool = False
) -> Iterator[Callable[[Sequence[bytes]], list[Judgement | Fault]]]:
    """A function like `Judge.judge_rows` that `count` processes carry out, so many calls at a time. It raises
    Unavailable when one of them dies, by a kill or for want of memory."""
    # Ctrl-C reaches all processes of a terminal: the one that stores results decides what is still done.
    pool = ProcessPoolExecutor(
        count,
        multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )

    def judge(rows: Sequence[bytes]) -> list[Judgement | Fault]:
        try:
            return _decode(pool.submit(_judge_rows, reference, rows, explain).result())
        except BrokenProcessPool:
            raise Unavailable("A judging process has died; with fewer --processes less memory is needed.") from None

    try:
        yield judge
    finally:
        pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=2)
def load_once(reference: Reference) -> Judge:
    """The judge of a reference, which stays in the memory of this process."""
    return load(reference.model, reference.source, reference.version)


def _judge_rows(reference: Reference, rows: Sequence[bytes], explain: bool) -> bytes:
    """The outcomes as `_decode` reads them: that takes a fraction of what pickling does."""
    outcomes = load_once(reference).judge_rows(rows, explain=explain)
    judged = [outcome if isinstance(outcome, Judgement) else None for outcome in outcomes]
    return _encode((judged, [outcome for outcome in outcomes if isinstance(outcome, Fault)]))


_encode = msgspec.msgpack.Encoder().encode
_read = msgspec.msgpack.Decoder(tuple[list[Judgement | None], list[Fault]]).decode


def _decode(content: bytes) -> list[Judgement | Fault]:
    judged, faults = _read(content)
    rest = iter(faults)
    return [next(rest) if outcome is None else outcome for outcome in judged] if faults else judged  # type: ignore[return-value]
