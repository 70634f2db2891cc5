"""A helping classify process on standby: little in memory, until large requests wait, or others that nobody takes."""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import NoReturn

import redis

from sb_api.broker.connection import connect
from sb_api.broker.consumer import Consumer
from sb_api.broker.jobs import BULK, PREDICT_STREAMS, SMALL
from sb_api.broker.shared_state import Broker
from sb_api.config import Settings
from sb_api.processes.supervisor import PYTHON

logger = logging.getLogger(__name__)

LOOK = 0.5  # seconds between two looks at the queue


def stand_by() -> NoReturn:
    """Start this process anew, without what it has in memory; it is the same process to its parent."""
    logger.info("no large request for long: this helper stands by until the next")
    os.execv(PYTHON[0], [*PYTHON, "sb_api", "worker", "--helper", "--standby"])


def await_need(settings: Settings) -> None:
    """Return when requests wait for longer than others take to claim them, or somebody died with them. SIGTERM and
    SIGINT end the process, which holds nothing."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    consumer = Consumer(Broker.of(connect(settings), settings))
    claimed: bytes | None = None
    waited = False
    while True:
        try:
            before, (claimed, waits) = claimed, consumer.progress(SMALL)
            waited_before, (_, waited) = waited, consumer.progress(BULK)
            if (
                (waits and claimed == before)
                or (waited and waited_before)
                or any(map(consumer.has_stale, PREDICT_STREAMS))
            ):
                return
        except redis.RedisError as error:
            logger.debug("the queue cannot be looked at: %s", error)
        time.sleep(LOOK)
