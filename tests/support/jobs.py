"""Both ends of the queue in one, for tests that send jobs and do them."""

from __future__ import annotations

import redis

from sb_api.broker.consumer import Consumer
from sb_api.broker.producer import Producer
from sb_api.broker.shared_state import Broker, Registry
from sb_api.config import Settings


class Jobs(Producer, Consumer):
    """The queue through one client, for its senders and for one process of its consumer group."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        broker = Broker.of(client, settings)
        Producer.__init__(self, broker)
        Consumer.__init__(self, broker)

    @property
    def registry(self) -> Registry:
        return self.broker.registry
