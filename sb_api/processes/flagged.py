"""Accounts of a high band, handed on once their answers are out: nobody waits for more than a piece of it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

from sb_api.broker.jobs import Answer, Claim, Job
from sb_api.errors import SbApiError
from sb_api.judgements import Judged
from sb_api.records import EDITORS, Editor, decode_payload
from sb_api.versions import BANDS

logger = logging.getLogger(__name__)

AT_ONCE = 20  # accounts of one piece, about 6 ms: for so long what comes meanwhile may wait for it
MOST_RECORDS, MOST_BYTES = 10_000, 32 * 2**20  # of the requests that wait in one process


class Flagged(NamedTuple):
    """An account as it was judged: in which job, its score (P(spam)), its band, and the weights that said so."""

    job: Job
    editor: Editor
    score: float
    band: Any
    weights: str


class Feed(Protocol):
    """Who takes accounts of some bands."""

    @property
    def name(self) -> str:
        """What the accounts go to."""
        ...

    @property
    def bands(self) -> Sequence[str]:
        """The bands."""
        ...

    def wants(self, job: Job, /) -> bool:
        """Whether the accounts of a job are wanted."""
        ...

    def picks(self, flagged: Flagged, /) -> bool:
        """Whether an account of such a job and band is."""
        ...

    def take(self, accounts: Sequence[Flagged]) -> None:
        """Have these. May raise RedisError, SbApiError."""
        ...


@dataclass
class Pending:
    """A request whose accounts are not all handed on yet: those that are left, how many records and bytes it has."""

    accounts: Iterator[Flagged]
    records: int
    size: int


@dataclass
class Collector:
    """Hands accounts on to a feed: few at once, those of larger requests in pieces, while no job is there. `reason` is
    why the last ones could not be."""

    feed: Feed
    reason: str = ""
    _backlog: deque[Pending] = field(default_factory=deque)
    _records: int = 0
    _bytes: int = 0

    def collect(self, claims: Sequence[Claim], answers: Sequence[Answer]) -> None:
        """Take in what these answers say of accounts. Nothing that goes wrong is told to whoever asked."""
        for claim, answer in zip(claims, answers, strict=True):
            if self._has_any(claim, answer):
                waiting = Pending(self._above(claim, answer), max(1, claim.job.records), len(claim.job.body))
                self._backlog.append(waiting)
                self._records += waiting.records
                self._bytes += waiting.size
        if self._records <= AT_ONCE:
            self.finish()
        # Rather than lose accounts, what comes next is kept waiting.
        while self._records > MOST_RECORDS or self._bytes > MOST_BYTES:
            self.work()

    def is_due(self) -> bool:
        """Whether any accounts are not handed on yet."""
        return bool(self._backlog)

    def work(self) -> None:
        """Hand on the next few accounts."""
        waiting = self._backlog[0]
        found: list[Flagged] = []
        try:
            found = list(islice(waiting.accounts, AT_ONCE))
            if found:
                self.feed.take(found)
        except Exception as error:  # the process has others to answer; and what an error says may name an account
            reason = error.detail if isinstance(error, SbApiError) else type(error).__name__
            if reason != self.reason:
                logger.error("accounts are not put into %s: %s", self.feed.name, reason)
            self.reason = reason
            found = []  # the rest of the request would fail alike
        else:
            self.reason = ""
        if len(found) < AT_ONCE:
            self._backlog.popleft()
            self._records -= waiting.records
            self._bytes -= waiting.size

    def finish(self) -> None:
        """Hand on all that waits."""
        while self.is_due():
            self.work()

    def _has_any(self, claim: Claim, answer: Answer) -> bool:
        """Whether any record of a claim is of the bands."""
        job = claim.job
        if job.classifier != EDITORS.name or answer.status != "completed" or not self.feed.wants(job):
            return False
        judged, wanted = answer.data, self.feed.bands
        told = judged if isinstance(judged, dict) else {}
        bands = judged.bands if isinstance(judged, Judged) else told.get("bands", {}).values()
        return any(band in wanted for band in bands)

    def _above(self, claim: Claim, answer: Answer) -> Iterator[Flagged]:
        judged, wanted = answer.data, self.feed.bands
        for position, editor in enumerate(decode_payload(claim.job.body, list[Editor])):
            told = _told(judged, position, str(editor.id))
            if told is not None and told[1] in wanted:
                flagged = Flagged(claim.job, editor, *told)
                if self.feed.picks(flagged):
                    yield flagged


def bands_from(lowest: str) -> Sequence[str]:
    """A band and those above it."""
    return BANDS[: BANDS.index(lowest) + 1]


def _told(judged: object, position: int, record: str) -> tuple[float, Any, str] | None:
    """The score, the band and the weights of a record, if it was judged."""
    if isinstance(judged, Judged):
        if position in judged.errors:
            return None
        return float(judged.scores[position]), judged.bands[position], judged.version
    if not isinstance(judged, dict) or record not in judged["bands"]:
        return None
    return float(judged["scores"][record]), judged["bands"][record], judged["weights"]
