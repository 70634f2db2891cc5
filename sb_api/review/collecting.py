"""What classify processes put into the queue, once the answers are out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sb_api.broker.jobs import Job
from sb_api.processes.flagged import Flagged, bands_from
from sb_api.review.entries import Kept
from sb_api.review.languages import guess_language
from sb_api.review.links import find_links
from sb_api.review.store import ReviewStore


@dataclass(frozen=True)
class ReviewFeed:
    """Takes accounts of the chosen band and above into the queue: all that somebody puts in, of others the share of the
    settings."""

    store: ReviewStore
    name: str = "the review queue"

    @property
    def bands(self) -> Sequence[str]:
        return bands_from(self.store.settings.review_band)

    def wants(self, job: Job) -> bool:
        """Whether a job may go to the queue."""
        return bool(job.review)

    def picks(self, flagged: Flagged) -> bool:
        """Whether an account is among the share that is queued: the same ones at each request."""
        share = 1.0 if flagged.job.review == "all" else self.store.settings.review_share
        return int(self.store.handle(flagged.editor.id)[:8], 16) < share * 2**32

    def take(self, accounts: Sequence[Flagged]) -> None:
        """Put accounts in."""
        self.store.add([_keep(flagged, int(time.time())) for flagged in accounts])


def _keep(flagged: Flagged, now: int) -> Kept:
    links = find_links(flagged.editor)
    return Kept(
        editor=flagged.editor,
        score=flagged.score,
        band=flagged.band,
        weights=flagged.weights,
        judged=now,
        host=links.host,
        language=guess_language(flagged.editor.bio or ""),
        domains=links.domains,
    )
