"""Messages are sent to one endpoint, one after the other; those that are not taken again, ever more rarely."""

from __future__ import annotations

import logging
import random
import ssl
import threading
import time
from dataclasses import dataclass, field

import redis

from sb_api.errors import SbApiError
from sb_api.processes.worker import Outage
from sb_api.webhooks.endpoints import Endpoint
from sb_api.webhooks.outbox import Aside, Claimed, Outbox
from sb_api.webhooks.sending import LIMIT, Attempt, send, trusted
from sb_api.webhooks.signing import load_secrets

logger = logging.getLogger(__name__)

LOOK = 0.5  # seconds between two looks whether a message is due
FIRST_DELAY, GROWTH, LONGEST_DELAY = 5.0, 3.0, 3600.0  # seconds before a message is sent again
LONGEST_REST = 60.0  # seconds that an endpoint is left alone after failures


def delay_after(tries: int, chance: float) -> float:
    """Seconds until a message that was tried so often is tried again: exponential back-off, of which `chance` (0 to 1)
    takes up to a half, so that not all come at once."""
    growth: float = GROWTH ** min(tries - 1, 20)
    return min(LONGEST_DELAY, FIRST_DELAY * growth) * (1 - chance / 2)


@dataclass
class Delivery:
    """What waits for one endpoint is sent, to whom `tls` trusts. `failures` are those in a row, of whatever message."""

    outbox: Outbox
    endpoint: Endpoint
    limit: float = LIMIT
    failures: int = 0
    tls: ssl.SSLContext = field(default_factory=trusted)

    def work(self) -> bool:
        """Send the message that is due for longest; False when none is. Raises RedisError, and InvalidSettings when it
        cannot be signed."""
        keys = load_secrets(self.outbox.settings.webhook_secret_file)  # at each, so that new ones hold at once
        claimed = self.outbox.claim(self.endpoint)
        if claimed is None:
            return False
        attempt = send(self.endpoint, claimed.message, keys, self.tls, self.limit)
        if attempt.reason:
            self._note_failure(claimed, attempt)
        else:
            self.outbox.note_delivered(self.endpoint, claimed.message)
            if self.failures:
                logger.warning("%s takes webhooks again", self.endpoint.name)
            self.failures = 0
        return True

    @property
    def rest(self) -> float:
        """Seconds that the endpoint is left alone now."""
        return min(LONGEST_REST, 2.0**self.failures) if self.failures else 0.0

    def _note_failure(self, claimed: Claimed, attempt: Attempt) -> None:
        if not self.failures:
            logger.warning("%s does not take a webhook, and gets it again: %s", self.endpoint.name, attempt.reason)
        self.failures += 1
        message, tries = claimed
        delay = max(attempt.pause, delay_after(tries, random.random()))
        now = int(time.time())
        if attempt.is_final or now + delay > message.created + self.outbox.settings.webhook_keep:
            logger.error("%s did not take the webhook %s, which is given up", self.endpoint.name, message.id)
            self.outbox.set_aside(self.endpoint, Aside(message, now, tries, attempt.reason))
        else:
            self.outbox.note_failed(self.endpoint, message, delay, attempt.reason)

    def run(self, stop: threading.Event) -> None:
        """Send what is due until `stop` is set."""
        outage = Outage()
        while not stop.is_set():
            try:
                has_sent = self.work()
                outage.end(time.monotonic())
            except (redis.RedisError, SbApiError) as error:
                outage.note(error.detail if isinstance(error, SbApiError) else str(error), time.monotonic())
                has_sent = False
            stop.wait(self.rest if has_sent else LOOK)
