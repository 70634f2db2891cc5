"""What is watched for others: whether the service is ready, and whether errors rise. They are told of changes alone."""

from __future__ import annotations

import logging
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import redis

from sb_api.broker.shared_state import Broker
from sb_api.errors import InvalidSettings, Unavailable
from sb_api.records import RECORD_TYPES
from sb_api.telemetry.readiness import look_at_service
from sb_api.versions import Drift
from sb_api.webhooks.endpoints import Endpoint
from sb_api.webhooks.messages import Message, make_message
from sb_api.webhooks.outbox import Edge, Outbox
from sb_api.webhooks.sending import send, trusted
from sb_api.webhooks.signing import load_secrets

logger = logging.getLogger(__name__)

READY_FOR = 10.0  # seconds for which the service must be ready again before that is told
DRIFT_OVER_FOR = 600.0  # seconds for which errors must be down again: with each training there are new figures
FIRST_REST, LONGEST_REST = 5.0, 60.0  # seconds between two attempts to tell without Redis
MOST_UNQUEUED = 20


@dataclass
class Alarm:
    """Whether something is wrong. It is from when that has been seen for `rise` seconds, until the contrary has been
    for `fall` seconds; times are monotonic. `is_recorded`: Redis knows that it is on, if it has lost nothing since."""

    rise: float
    fall: float
    is_on: bool = False
    is_recorded: bool = False
    _other: float | None = None  # since when the contrary is seen

    def see(self, is_wrong: bool, now: float) -> bool:
        """Whether it changes by what is seen now."""
        if is_wrong == self.is_on:
            self._other = None
            return False
        self._other = now if self._other is None else self._other
        if now - self._other < (self.rise if is_wrong else self.fall):
            return False
        self.is_on, self._other = is_wrong, None
        return True


@dataclass
class Unqueued:
    """A message that Redis could not take, to whom it is still to be sent, and when that is tried (monotonic)."""

    message: Message
    endpoints: list[Endpoint]
    rest: float = FIRST_REST
    due: float = 0.0


@dataclass
class Watch:
    """Looks at the service, and has receivers told when it is not ready, when errors rise, and when that is over.

    While Redis is away, which is when most want to know, they are told without it. Several may watch: Redis knows
    what was told of, and so does one that is started anew.
    """

    broker: Broker
    outbox: Outbox
    alarms: dict[str, Alarm] = field(default_factory=dict)
    unqueued: deque[Unqueued] = field(default_factory=lambda: deque(maxlen=MOST_UNQUEUED))
    tls: ssl.SSLContext = field(default_factory=trusted)
    _knows: bool = False  # what was told of before

    def __post_init__(self) -> None:
        self.alarms["service"] = Alarm(self.broker.settings.webhook_not_ready, READY_FOR)
        self.alarms |= {f"drift:{name}": Alarm(0.0, DRIFT_OVER_FOR) for name in RECORD_TYPES}

    def look(self, now: float) -> None:
        """Look once, at a moment (monotonic seconds)."""
        self._recall()
        if self.outbox.told_of("service"):
            self._look_at_service(now)
        if self.outbox.told_of("drift"):
            self._look_at_drift(now)
        self._tell_unqueued(now)

    def _recall(self) -> None:
        try:
            told = self.outbox.alarms()
        except redis.RedisError:
            return
        if not self._knows:
            self._knows = True
            for name in told & self.alarms.keys():
                self.alarms[name].is_on = self.alarms[name].is_recorded = True

    def _look_at_service(self, now: float) -> None:
        looked, alarm = look_at_service(self.broker), self.alarms["service"]
        if not looked.has_redis:
            alarm.is_recorded = False
        if alarm.see(bool(looked.problems), now):
            if alarm.is_on:
                self._tell("service", "service.not_ready", {"problems": looked.problems})
            else:
                self._tell("service", "service.ready", {})

    def _look_at_drift(self, now: float) -> None:
        for name in RECORD_TYPES:
            try:
                published = self.broker.registry.published_about(name, "quality")
            except Unavailable:
                return
            found = msgspec.convert(msgspec.json.decode(published or b"{}").get("drift", {"detected": False}), Drift)
            if self.alarms[f"drift:{name}"].see(found.detected, now):
                about: dict[str, Any] = {"classifier": name}
                if found.detected:
                    rates = {"error_rate": found.error_rate, "error_rate_before": found.error_rate_before}
                    about |= {**rates, "sound": found.sound}
                self._tell(f"drift:{name}", "drift.began" if found.detected else "drift.ended", about)

    def _tell(self, name: str, kind: str, about: Mapping[str, Any]) -> None:
        alarm, message = self.alarms[name], make_message(kind, about)
        logger.warning("%s: receivers are told", kind)
        edge = Edge.ON if alarm.is_on else Edge.OFF if alarm.is_recorded else Edge.OFF_FOR_SURE
        try:
            self.outbox.put(message, name, edge)
            alarm.is_recorded = alarm.is_on
        except redis.RedisError:
            to = [endpoint for endpoint in self.outbox.endpoints if message.topic in endpoint.topics]
            self.unqueued.append(Unqueued(message, to))

    def _tell_unqueued(self, now: float) -> None:
        """Queue what could not be, or send it from here while Redis is still away."""
        for one in [one for one in self.unqueued if now >= one.due]:
            try:
                self.outbox.put_for(one.message, one.endpoints)
                one.endpoints = []
            except redis.RedisError:
                self._send(one)
            one.due, one.rest = now + one.rest, min(LONGEST_REST, 2 * one.rest)
            if not one.endpoints:
                self.unqueued.remove(one)

    def _send(self, one: Unqueued) -> None:
        try:
            keys = load_secrets(self.outbox.settings.webhook_secret_file)
        except InvalidSettings as error:
            logger.error("%s is told to nobody: %s", one.message.type, error.detail)
            return
        one.endpoints = [endpoint for endpoint in one.endpoints if send(endpoint, one.message, keys, self.tls).reason]
