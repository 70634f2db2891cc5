"""What is to be sent, in Redis: bounded, each message until its endpoint has taken it or it is given up."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from redis.exceptions import NoPermissionError

from sb_api.broker.connection import PREFIX
from sb_api.config import Settings
from sb_api.webhooks import scripts
from sb_api.webhooks.endpoints import Endpoint, parse_endpoints
from sb_api.webhooks.messages import Message, decode_message, encode_message
from sb_api.webhooks.signing import load_secrets, make_secret

logger = logging.getLogger(__name__)

WEBHOOKS = f"{PREFIX}webhooks:"
ALARMS = f"{WEBHOOKS}alarms"
MOST_WAITING = 10_000  # messages of one endpoint
MOST_ASIDE = 100  # given up ones of one endpoint, that are shown
LEASE = 60.0  # seconds for which a claimed message is nobody else's: longer than an attempt
KEYS_TTL, ASIDE_TTL = 30 * 24 * 3600, 7 * 24 * 3600  # seconds
UNREADABLE = "unreadable"
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
    """A message that was given up: when (seconds since 1970), after how many tries, and why the last one failed.

    Of one that cannot be read the type is UNREADABLE, and `unread` has it as it was found.
    """

    message: Message
    moment: int
    tries: int
    reason: str
    unread: bytes = b""


class Retried(NamedTuple):
    """How many messages that were given up are sent again, and how many stay given up: too many wait, or nothing of
    them can be read."""

    again: int
    left: int


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
        named = ("ADD", "CLAIM", "DELIVERED", "FAILED", "SET_ASIDE", "RETRY")
        self._scripts = {name: redis.register_script(getattr(scripts, name)) for name in named}

    def prepare_secret(self) -> None:
        """Have a file of the secrets that can be read: the first is made. Where receivers have taken messages, they
        know one already, and what a new one signs they would refuse. Raises InvalidSettings."""
        file = self.settings.webhook_secret_file
        if not file.exists() and not any(state.sent for state in self.states()):
            make_secret(file)
        load_secrets(file)

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
        when none is due. Those that cannot be read are set aside."""
        while found := self._run("CLAIM", endpoint.name, round(1000 * LEASE)):
            name, content, tries = found[0].decode(errors="replace"), found[1], int(found[2])
            try:
                return Claimed(decode_message(content), tries)
            except msgspec.DecodeError as error:
                logger.error("the webhook %s to %s cannot be read, and is set aside: %s", name, endpoint.name, error)
                reason = f"it cannot be read: {error}"
                unread = Message(name, UNREADABLE, 0, b"")
                self._give_up(endpoint, Aside(unread, int(time.time()), tries, reason, content))
        return None

    def note_delivered(self, endpoint: Endpoint, message: Message) -> None:
        """A message was taken, and is sent no more."""
        self._run("DELIVERED", endpoint.name, message.id)

    def note_failed(self, endpoint: Endpoint, message: Message, delay: float, reason: str) -> None:
        """A message was not taken, and is sent again after so many seconds."""
        self._run("FAILED", endpoint.name, message.id, round(1000 * delay), reason)

    def set_aside(self, endpoint: Endpoint, aside: Aside) -> None:
        """A message that was not taken is given up."""
        self._run("FAILED", endpoint.name, aside.message.id, round(1000 * LEASE), aside.reason)
        self._give_up(endpoint, aside)

    def _give_up(self, endpoint: Endpoint, aside: Aside) -> None:
        told = msgspec.msgpack.encode(aside)
        self._run("SET_ASIDE", endpoint.name, aside.message.id, told, MOST_ASIDE, ASIDE_TTL)

    def aside(self, endpoint: Endpoint) -> list[Aside]:
        """The messages that were given up lately, newest first."""
        return [_read_aside(told) for told in self._told_aside(endpoint)]

    def try_again(self, endpoint: Endpoint) -> Retried:
        """Have the messages that were given up sent again, each in one step: what is given up meanwhile stays."""
        again = left = 0
        for told in reversed(self._told_aside(endpoint)):
            aside = _read_aside(told)
            content = aside.unread if aside.message.type == UNREADABLE else encode_message(aside.message)
            about = (endpoint.name, aside.message.id, content, MOST_WAITING, told)
            done = self._run("RETRY", *about) if content else -1
            again, left = again + (done > 0), left + (done < 0)
        return Retried(again, left)

    def _told_aside(self, endpoint: Endpoint) -> list[bytes]:
        found: list[bytes] = self.redis.lrange(self._key("aside", endpoint.name), 0, -1)
        return found

    def states_where_allowed(self) -> list[State]:
        """The same as `states`; none where the user of Redis lacks a right that only webhooks need, which is logged."""
        try:
            return self.states()
        except NoPermissionError as error:
            logger.warning("no figures of webhooks: %s", error)
            return []

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


def _read_aside(told: bytes) -> Aside:
    """What is told of a message that was given up; of moment 0 when that cannot be read."""
    try:
        return msgspec.msgpack.decode(told, type=Aside)
    except msgspec.DecodeError as error:
        return Aside(Message("-", UNREADABLE, 0, b""), 0, 0, f"what is told of it cannot be read: {error}")
