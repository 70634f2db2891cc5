"""What is to be sent, in Redis: bounded, each message until its endpoint has taken it or it is given up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from sb_api.broker.connection import PREFIX
from sb_api.config import Settings
from sb_api.webhooks import scripts
from sb_api.webhooks.endpoints import Endpoint, parse_endpoints
from sb_api.webhooks.messages import Message, decode_message, encode_message

WEBHOOKS = f"{PREFIX}webhooks:"
ALARMS = f"{WEBHOOKS}alarms"
MOST_WAITING = 10_000  # messages of one endpoint
MOST_ASIDE = 100  # given up ones of one endpoint, that are shown
LEASE = 60.0  # seconds for which a claimed message is nobody else's: longer than an attempt
KEYS_TTL, ASIDE_TTL = 30 * 24 * 3600, 7 * 24 * 3600  # seconds
TOLD_SECONDS, MOST_TOLD = 24 * 3600, 100_000  # how long, and of how many, it is known that they were told of


class Edge(StrEnum):
    """What a message says of an alarm: that it is on from now on; no longer; or no longer, whatever Redis knows."""

    ON = "on"
    OFF = "off"
    OFF_FOR_SURE = "off for sure"


class Claimed(NamedTuple):
    """A message and how often it was tried, this time included."""

    message: Message
    tries: int


class Aside(msgspec.Struct, frozen=True):
    """A message that was given up: when (seconds since 1970), after how many tries, and why the last one failed."""

    message: Message
    moment: int
    tries: int
    reason: str


class State(msgspec.Struct, frozen=True):
    """How things are with one endpoint: how many messages wait and the age of the oldest (seconds); how many were sent,
    how often that failed, how many were dropped because too many waited and how many set aside, since the counts began;
    when one was last taken or not taken (seconds since 1970; 0: never), and why not."""

    endpoint: str
    topics: list[str]
    waiting: int
    oldest: float
    sent: int = 0
    failed: int = 0
    dropped: int = 0
    set_aside: int = 0
    sent_at: int = 0
    failed_at: int = 0
    reason: str = ""


class Outbox:
    """The queue of messages, as one process sees it. Every method raises RedisError."""

    def __init__(self, redis: Any, settings: Settings, endpoints: Sequence[Endpoint] | None = None) -> None:
        self.redis = redis
        self.settings = settings
        self.endpoints = parse_endpoints(settings) if endpoints is None else endpoints
        named = ("ADD", "CLAIM", "DELIVERED", "FAILED", "SET_ASIDE")
        self._scripts = {name: redis.register_script(getattr(scripts, name)) for name in named}

    def told_of(self, topic: str) -> list[str]:
        """The endpoints that are told of a topic."""
        return [endpoint.name for endpoint in self.endpoints if topic in endpoint.topics]

    def put(self, message: Message, alarm: str = "", edge: Edge | None = None) -> int:
        """Have a message sent to whoever is told of its topic; to how many. Where too many wait, the oldest gives way.
        One that says that an alarm is on, or no longer is, is sent to nobody where that is known: then it is -1."""
        return self._put(message, self.told_of(message.topic), alarm=alarm, edge=edge)

    def put_for(self, message: Message, endpoints: Sequence[Endpoint]) -> int:
        """The same, for some endpoints."""
        return self._put(message, [endpoint.name for endpoint in endpoints])

    def alarms(self) -> set[str]:
        """The alarms that are on, as receivers were told; whoever asks keeps that from being forgotten."""
        found, _ = self.redis.pipeline(transaction=False).hkeys(ALARMS).expire(ALARMS, KEYS_TTL).execute()
        return {name.decode() for name in found}

    def put_once(self, messages: Iterable[tuple[str, Message]]) -> int:
        """Have messages sent which are some of many, each by the name of what it is told of, once in TOLD_SECONDS; how
        many are. Where too many wait, they are dropped."""
        return sum(self._put(message, self.told_of(message.topic), once=name) > 0 for name, message in messages)

    def _put(
        self, message: Message, names: Sequence[str], *, once: str = "", alarm: str = "", edge: Edge | None = None
    ) -> int:
        if not names:
            return 0
        about = (MOST_WAITING, message.id, encode_message(message), once, TOLD_SECONDS, MOST_TOLD)
        return int(self._run("ADD", *about, alarm, edge or "", *names))

    def claim(self, endpoint: Endpoint) -> Claimed | None:
        """The message that is due for longest, one of no account before all that are of one, for LEASE seconds; None
        when none is due."""
        found = self._run("CLAIM", endpoint.name, round(1000 * LEASE))
        return Claimed(decode_message(found[0]), int(found[1])) if found and found[0] else None

    def note_delivered(self, endpoint: Endpoint, message: Message) -> None:
        """A message was taken, and is sent no more."""
        self._run("DELIVERED", endpoint.name, message.id)

    def note_failed(self, endpoint: Endpoint, message: Message, delay: float, reason: str) -> None:
        """A message was not taken, and is sent again after so many seconds."""
        self._run("FAILED", endpoint.name, message.id, round(1000 * delay), reason)

    def set_aside(self, endpoint: Endpoint, aside: Aside) -> None:
        """A message is given up."""
        self._run("FAILED", endpoint.name, aside.message.id, round(1000 * LEASE), aside.reason)
        told = msgspec.msgpack.encode(aside)
        self._run("SET_ASIDE", endpoint.name, aside.message.id, told, MOST_ASIDE, ASIDE_TTL)

    def aside(self, endpoint: Endpoint) -> list[Aside]:
        """The messages that were given up lately, newest first."""
        found = self.redis.lrange(self._key("aside", endpoint.name), 0, -1)
        return [msgspec.msgpack.decode(one, type=Aside) for one in found]

    def try_again(self, endpoint: Endpoint) -> int:
        """Have the messages that were given up sent again; how many."""
        given_up = self.aside(endpoint)
        for aside in reversed(given_up):
            self.put_for(aside.message, [endpoint])
        self.redis.delete(self._key("aside", endpoint.name))
        return len(given_up)

    def states(self) -> list[State]:
        """How things are with each endpoint."""
        if not self.endpoints:
            return []
        pipeline = self.redis.pipeline(transaction=False).time()
        for endpoint in self.endpoints:
            made = self._key("made", endpoint.name)
            pipeline.zcard(made).zrange(made, 0, 0, withscores=True).hgetall(self._key("counts", endpoint.name))
        (seconds, micros), *found = pipeline.execute()
        states = []
        for endpoint, waiting, first, counts in zip(self.endpoints, *[iter(found)] * 3, strict=True):
            oldest = max(0.0, seconds + micros / 1e6 - first[0][1] / 1000) if first else 0.0
            told = {name.decode(): value.decode(errors="replace") for name, value in counts.items()}
            about = {"endpoint": endpoint.name, "topics": sorted(endpoint.topics), "waiting": waiting, "oldest": oldest}
            states.append(msgspec.convert({**told, **about}, State, strict=False))
        return states

    def _key(self, what: str, endpoint: str) -> str:
        return f"{WEBHOOKS}{what}:{endpoint}"

    def _run(self, script: str, *arguments: Any) -> Any:
        keep = max(KEYS_TTL, 2 * self.settings.webhook_keep)
        return self._scripts[script]([f"{WEBHOOKS}told"], [WEBHOOKS, keep, *arguments])
