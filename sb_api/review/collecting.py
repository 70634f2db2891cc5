"""What classify processes put into the queue, once the answers are out: nobody waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


@dataclass
class Collector:
    """Puts accounts of the chosen band and above into the queue. `reason` is why the last ones could not be."""

    store: ReviewStore
    reason: str = ""

    def collect(self, claims: Sequence[Claim], answers: Sequence[Answer]) -> None:
        """What these answers say of accounts. Nothing that goes wrong here is told to whoever asked."""
        try:
            found = [kept for claim, answer in zip(claims, answers, strict=True) for kept in self._above(claim, answer)]
            if found:
                self.store.add(found)
        except Exception as error:  # the process has others to answer; and what an error says may name an account
            reason = error.detail if isinstance(error, SbApiError) else type(error).__name__
            if reason != self.reason:
                logger.error("accounts are not put into the review queue: %s", reason)
            self.reason = reason
        else:
            self.reason = ""

    def _above(self, claim: Claim, answer: Answer) -> Iterator[Kept]:
        if not claim.job.review or claim.job.classifier != EDITORS.name or answer.status != "completed":
            return
        settings, judged = self.store.settings, answer.data
        wanted = BANDS[: BANDS.index(settings.review_band) + 1]
        bands = judged.bands if isinstance(judged, Judged) else judged.get("bands", {}).values()
        if not any(band in wanted for band in bands):
            return
        now = int(time.time())
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
