"""Accounts of a high band, of which receivers are told once the answers are out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from sb_api.broker.jobs import Job
from sb_api.processes.flagged import Flagged, bands_from
from sb_api.records import content_digest
from sb_api.webhooks.messages import Message, make_message
from sb_api.webhooks.outbox import Outbox


@dataclass(frozen=True)
class AccountFeed:
    """Has receivers told of accounts of the chosen band and above, of each content of an account once a day."""

    outbox: Outbox
    name: str = "webhooks"

    @property
    def bands(self) -> Sequence[str]:
        return bands_from(self.outbox.settings.webhook_band)

    def wants(self, _: Job) -> bool:
        """All of them."""
        return True

    def picks(self, _: Flagged) -> bool:
        """All of them."""
        return True

    def take(self, accounts: Sequence[Flagged]) -> None:
        """Have receivers told of accounts."""
        self.outbox.put_once([_tell(flagged) for flagged in accounts])


def _tell(flagged: Flagged) -> tuple[str, Message]:
    """What an account with its content is called, which says nothing of it; and what is told of it."""
    about = f"{flagged.editor.id} {content_digest(flagged.editor)}"
    data = {"id": flagged.editor.id, "band": flagged.band, "score": flagged.score, "weights": flagged.weights}
    return blake2b(about.encode(), digest_size=12).hexdigest(), make_message("account.flagged", data)
