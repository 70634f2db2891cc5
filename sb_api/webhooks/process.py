"""The process that delivers webhooks: one thread an endpoint, so that a slow one holds up no other."""

from __future__ import annotations

import logging
import signal
import threading
from time import monotonic

import redis

from sb_api.broker.connection import connect, unavailable_when_lost
from sb_api.broker.shared_state import BEAT_INTERVAL, WEB, Broker
from sb_api.config import PREFIX, Settings
from sb_api.errors import InvalidSettings
from sb_api.memory import resident_bytes
from sb_api.processes.supervisor import ends
from sb_api.processes.worker import Outage
from sb_api.webhooks.delivery import Delivery
from sb_api.webhooks.endpoints import parse_endpoints
from sb_api.webhooks.outbox import Outbox
from sb_api.webhooks.sending import trusted
from sb_api.webhooks.signing import load_secrets
from sb_api.webhooks.watch import Watch

logger = logging.getLogger(__name__)

ROLE = "webhooks"
LOOK_EACH = 5.0  # seconds between two looks at the service
DRAIN = 5.0  # seconds that attempts under way have at the end; what is not done then is sent once more


def deliver_process(settings: Settings) -> None:
    """Deliver until SIGTERM, SIGINT or SIGHUP. Raises InvalidSettings, and Unavailable when there is no secret yet and
    Redis, which knows whether receivers have one, is away."""
    endpoints = parse_endpoints(settings)
    if not endpoints:
        raise InvalidSettings(f"{PREFIX}WEBHOOKS names no URL that would be told of anything.")
    stop = threading.Event()
    for number in ends():
        signal.signal(number, lambda *_: stop.set())
    broker = Broker.of(connect(settings), settings)
    outbox = Outbox(broker.redis, settings, endpoints)
    with unavailable_when_lost():
        outbox.prepare_secret()
    tls = trusted()
    failed: list[BaseException] = []

    def run(delivery: Delivery) -> None:
        try:
            delivery.run(stop)
        except BaseException as error:
            failed.append(error)
            stop.set()

    threads = [
        threading.Thread(target=run, args=[Delivery(outbox, endpoint, tls=tls)], name=endpoint.name, daemon=True)
        for endpoint in endpoints
    ]
    for thread in threads:
        thread.start()
    logger.info("webhooks go to %s", ", ".join(endpoint.name for endpoint in endpoints))
    _watch(Watch(broker, outbox, tls=tls), stop)
    deadline = monotonic() + DRAIN
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    if failed:
        raise failed[0]


def _watch(watch: Watch, stop: threading.Event) -> None:
    """Say that this process sends, and watch, until `stop` is set. One that cannot sign is not there."""
    outage, registry, due = Outage(), watch.broker.registry, 0.0
    while not stop.is_set():
        try:
            if monotonic() >= due:
                due = monotonic() + LOOK_EACH
                watch.look(monotonic())
            load_secrets(watch.outbox.settings.webhook_secret_file)
            registry.beat(ROLE, {}, resident_bytes(), WEB)
            outage.end(monotonic())
        except (redis.RedisError, InvalidSettings) as error:
            outage.note(error.detail if isinstance(error, InvalidSettings) else str(error), monotonic())
        stop.wait(BEAT_INTERVAL)
    try:
        registry.leave(WEB)
    except redis.RedisError as error:
        logger.debug("Redis does not know that this process ends: %s", error)
