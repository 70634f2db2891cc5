"""What the train process tells the queue: on which accounts there is a verdict, and which of them was taken back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis

from sb_api.broker.shared_state import Broker
from sb_api.errors import SbApiError
from sb_api.records import EDITORS
from sb_api.review.store import ReviewStore

logger = logging.getLogger(__name__)


def note_verdicts(broker: Broker, classifier: str, verdicts: Sequence[Any]) -> None:
    """These verdicts are in the log: their accounts wait no longer. The queue is no reason for a training to fail."""
    if store := _store(broker, classifier):
        with _no_failure():
            store.decide(verdicts)


def note_withdrawal(broker: Broker, classifier: str, record: str, digest: str) -> None:
    """The last verdict on a record with content of this digest was taken back: its account waits again."""
    if store := _store(broker, classifier):
        with _no_failure():
            store.restore(record, digest)


def _store(broker: Broker, classifier: str) -> ReviewStore | None:
    is_on = broker.settings.review == "on" and classifier == EDITORS.name
    return ReviewStore(broker.redis, broker.settings) if is_on else None


@contextmanager
def _no_failure() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, SbApiError) as error:
        reason = error.detail if isinstance(error, SbApiError) else type(error).__name__
        logger.error("the review queue was not told of verdicts, and their accounts still wait there: %s", reason)
