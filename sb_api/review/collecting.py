"""What classify processes put into the queue, once the answers are out: nobody waits for more than a piece of it."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sb_api.broker.jobs import Answer, Claim
from sb_api.errors import SbApiError
from sb_api.judgements import Judged
from sb_api.records import EDITORS, Editor, decode_payload
from sb_api.review.entries import Kept
from sb_api.review.languages import guess_language
from sb_api.review.links import find_links
from sb_api.review.store import ReviewStore
from sb_api.versions import BANDS

logger = logging.getLogger(__name__)


AT_ONCE = 20  # accounts of one piece, about 6 ms: for so long what comes meanwhile may wait for it
MOST_RECORDS, MOST_BYTES = 10_000, 32 * 2**20  # of the requests that wait in one process


@dataclass
class Pending:
    """A request whose accounts are not all in the queue yet: those that are left, how many records and bytes it has."""

    accounts: Iterator[Kept]
    records: int
    size: int


@dataclass
class Collector:
    """Puts accounts of the chosen band and above into the queue: few at once, those of larger requests in pieces, while
    no job is there. `reason` is why the last ones could not be."""

    store: ReviewStore
    reason: str = ""
    _backlog: deque[Pending] = field(default_factory=deque)
    _records: int = 0
    _bytes: int = 0

    def collect(self, claims: Sequence[Claim], answers: Sequence[Answer]) -> None:
        """Take in what these answers say of accounts. Nothing that goes wrong is told to whoever asked."""
        now = int(time.time())
        for claim, answer in zip(claims, answers, strict=True):
            if self._has_any(claim, answer):
                waiting = Pending(self._above(claim, answer, now), max(1, claim.job.records), len(claim.job.body))
                self._backlog.append(waiting)
                self._records += waiting.records
                self._bytes += waiting.size
        if self._records <= AT_ONCE:
            self.finish()
        # Rather than lose accounts, what comes next is kept waiting.
        while self._records > MOST_RECORDS or self._bytes > MOST_BYTES:
            self.work()

    def is_due(self) -> bool:
        """Whether any accounts are not in the queue yet."""
        return bool(self._backlog)

    def work(self) -> None:
        """Put the next few accounts in."""
        waiting = self._backlog[0]
        found: list[Kept] = []
        try:
            found = list(islice(waiting.accounts, AT_ONCE))
            if found:
                self.store.add(found)
        except Exception as error:  # the process has others to answer; and what an error says may name an account
            reason = error.detail if isinstance(error, SbApiError) else type(error).__name__
            if reason != self.reason:
                logger.error("accounts are not put into the review queue: %s", reason)
            self.reason = reason
            found = []  # the rest of the request would fail alike
        else:
            self.reason = ""
        if len(found) < AT_ONCE:
            self._backlog.popleft()
            self._records -= waiting.records
            self._bytes -= waiting.size

    def finish(self) -> None:
        """Put in all that waits."""
        while self.is_due():
            self.work()

    def _has_any(self, claim: Claim, answer: Answer) -> bool:
        """Whether any record of a claim is of the chosen band or above."""
        if not claim.job.review or claim.job.classifier != EDITORS.name or answer.status != "completed":
            return False
        judged, wanted = answer.data, self._wanted
        told = judged if isinstance(judged, dict) else {}
        bands = judged.bands if isinstance(judged, Judged) else told.get("bands", {}).values()
        return any(band in wanted for band in bands)

    @property
    def _wanted(self) -> Sequence[str]:
        return BANDS[: BANDS.index(self.store.settings.review_band) + 1]

    def _above(self, claim: Claim, answer: Answer, now: int) -> Iterator[Kept]:
        judged, wanted = answer.data, self._wanted
        for position, editor in enumerate(decode_payload(claim.job.body, list[Editor])):
            told = _told(judged, position, str(editor.id))
            if told is None or told[1] not in wanted or not self._is_in_share(claim, editor):
                continue
            score, band, weights = told
            links = find_links(editor)
            yield Kept(
                editor=editor,
                score=score,
                band=band,
                weights=weights,
                judged=now,
                host=links.host,
                language=guess_language(editor.bio or ""),
                domains=links.domains,
            )

    def _is_in_share(self, claim: Claim, editor: Editor) -> bool:
        """Whether an account is among the share that is queued: the same ones at each request."""
        share = 1.0 if claim.job.review == "all" else self.store.settings.review_share
        return int(self.store.handle(editor.id)[:8], 16) < share * 2**32


def _told(judged: object, position: int, record: str) -> tuple[float, Any, str] | None:
    """The score, the band and the weights of a record, if it was judged."""
    if isinstance(judged, Judged):
        if position in judged.errors:
            return None
        return float(judged.scores[position]), judged.bands[position], judged.version
    if not isinstance(judged, dict) or record not in judged["bands"]:
        return None
    return float(judged["scores"][record]), judged["bands"][record], judged["weights"]
