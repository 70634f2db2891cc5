"""What other processes have told of, when it happens. Nothing that goes wrong here is a reason for them to fail."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import redis

from sb_api.broker.shared_state import Broker
from sb_api.errors import SbApiError
from sb_api.webhooks.messages import make_message
from sb_api.webhooks.outbox import Outbox

logger = logging.getLogger(__name__)


def note_event(broker: Broker, kind: str, data: Mapping[str, Any]) -> None:
    """Have receivers told of an event."""
    if not broker.settings.webhooks:
        return
    try:
        Outbox(broker.redis, broker.settings).put(make_message(kind, data))
    except (redis.RedisError, SbApiError) as error:
        reason = error.detail if isinstance(error, SbApiError) else type(error).__name__
        logger.error("nobody is told of %s: %s", kind, reason)
