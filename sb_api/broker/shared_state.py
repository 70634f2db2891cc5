"""What processes share in Redis: who is alive, which weights are published, what went wrong lately."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import redis

from sb_api.broker.connection import PREFIX, unavailable_when_lost
from sb_api.broker.identity import Identity
from sb_api.config import Settings
from sb_api.records import decode_payload, encode_payload

logger = logging.getLogger(__name__)

WORKERS, WEB = f"{PREFIX}workers", f"{PREFIX}web"
ERRORS = f"{PREFIX}errors"

BEAT_INTERVAL, BEAT_LIFE, BEATS_TTL = 1.0, 3.0, 60  # seconds
PUBLISHED_TTL = 7 * 24 * 3600  # seconds
ERRORS_KEPT, ERRORS_TTL = 20, 7 * 24 * 3600

# Every beat has a time to live, which a field of a hash has not by itself: the living remove the dead. A beat of the
# future is of a clock that was set back since; whoever lives beats again.
_BEAT = """
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2])
local beats = redis.call('HGETALL', KEYS[1])
for i = 1, #beats, 2 do
  local age = now - tonumber(string.match(beats[i + 1], '^%d+'))
  if age > tonumber(ARGV[3]) or age < -1 then
    redis.call('HDEL', KEYS[1], beats[i])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""


class WorkerBeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a live process says of itself: its role, the versions it works with, by classifier, the bytes of memory that
    it has in RAM, and whether it is a helper for large requests."""

    name: str
    role: str
    host: str
    pid: int
    versions: dict[str, str]
    resident: int = 0
    helper: bool = False


class NotedError(msgspec.Struct, frozen=True):
    """What went wrong in a process, and when (seconds since 1970)."""

    moment: int
    role: str
    text: str


class Published(msgspec.Struct, frozen=True):
    """The current weights of a classifier as every process can fetch them: the file, without the state of the
    optimizer, of which there is the name; their vocabularies, the chain of versions, and how right they were on
    verdicts (both JSON)."""

    version: str
    file: bytes
    vocabularies: dict[str, bytes]
    chain: bytes
    quality: bytes
    state: str = ""


class Registry:
    """The beats, weights and errors of all processes, through one client; `identity` is that of this process."""

    def __init__(self, client: redis.Redis, identity: Identity) -> None:
        self.redis: Any = client
        self.identity = identity
        self._keep_beat = self.redis.register_script(_BEAT)

    @property
    def name(self) -> str:
        """What this process is called among all."""
        return self.identity.name

    def beat(
        self, role: str, versions: dict[str, str], resident: int = 0, among: str = WORKERS, *, helper: bool = False
    ) -> None:
        """Say that this process is alive."""
        about = WorkerBeat(
            name=self.name,
            role=role,
            host=socket.gethostname(),
            pid=os.getpid(),
            versions=versions,
            resident=resident,
            helper=helper,
        )
        self._keep_beat([among], [self.name, msgspec.json.encode(about), BEATS_TTL])

    def leave(self, among: str = WORKERS) -> None:
        """Say that this process ends."""
        self.redis.hdel(among, self.name)

    def alive(self, among: str = WORKERS) -> list[WorkerBeat]:
        """The processes that have beaten within the last three seconds, by the clock of Redis."""
        with unavailable_when_lost():
            pipeline = self.redis.pipeline(transaction=False)
            (seconds, _), beats = pipeline.time().hgetall(among).execute()
        alive = []
        for value in beats.values():
            moment, _, about = value.partition(b" ")
            if -1 <= seconds - int(moment) <= BEAT_LIFE:
                alive.append(msgspec.json.decode(about, type=WorkerBeat))
        return sorted(alive, key=lambda beat: (beat.role, beat.name))

    def note_error(self, role: str, text: str) -> None:
        """Keep an error of ours for the page, if Redis is there. No editor's details may be in it."""
        try:
            noted = NotedError(int(time.time()), role, text[:500])
            pipeline = self.redis.pipeline(transaction=True)
            pipeline.lpush(ERRORS, msgspec.json.encode(noted)).ltrim(ERRORS, 0, ERRORS_KEPT - 1)
            pipeline.expire(ERRORS, ERRORS_TTL).execute()
        except redis.RedisError as error:
            logger.debug("an error is not kept: %s", error)

    def errors(self) -> list[NotedError]:
        """The latest errors, newest first."""
        with unavailable_when_lost():
            return [msgspec.json.decode(noted, type=NotedError) for noted in self.redis.lrange(ERRORS, 0, -1)]

    def publish(self, classifier: str, published: Published, state: bytes | None = None) -> None:
        """Make these the weights that every process works with from now on. The `state` of their optimizer goes along,
        which is as much again and none but trainers need; None where the one of that name is there."""
        key = _published_key(classifier)
        fields = {
            "version": published.version,
            "all": encode_payload(published),
            "chain": published.chain,
            "quality": published.quality,
        }
        if state is not None:
            fields |= {"state": published.state, "state_file": state}
        self.redis.pipeline(transaction=True).hset(key, mapping=fields).expire(key, PUBLISHED_TTL).execute()

    def publish_quality(self, classifier: str, quality: bytes) -> None:
        """Make these the figures of the published weights."""
        self.redis.hset(_published_key(classifier), "quality", quality)

    def published_versions(self, classifiers: Iterable[str]) -> dict[str, str]:
        """The version that is published, of each classifier that has one."""
        pipeline = self.redis.pipeline(transaction=False)
        ask_versions(pipeline, names := list(classifiers))
        return name_versions(names, pipeline.execute())

    def published(self, classifier: str) -> Published | None:
        """The published weights, None when there are none."""
        stored = self.redis.hget(_published_key(classifier), "all")
        published: Published | None = decode_payload(stored, Published) if stored else None
        return published

    def published_state(self, classifier: str) -> str | None:
        """The name of the optimizer's state that is published, None when there is none."""
        name = self.redis.hget(_published_key(classifier), "state")
        return None if name is None else str(name.decode())

    def published_with_state(self, classifier: str) -> tuple[Published, bytes | None] | None:
        """The published weights, and the file of their optimizer's state (None where that is not there); None when
        there are none."""
        stored, name, state = self.redis.hmget(_published_key(classifier), "all", "state", "state_file")
        if stored is None:
            return None
        published: Published = decode_payload(stored, Published)
        return published, state if name == published.state.encode() else None

    def published_about(self, classifier: str, what: Literal["chain", "quality"]) -> bytes | None:
        """The chain of versions behind the published weights, or their quality, as JSON."""
        with unavailable_when_lost():
            about: bytes | None = self.redis.hget(_published_key(classifier), what)
        return about


@dataclass(frozen=True)
class Broker:
    """What a process has of Redis: a client, the settings, and what all processes share."""

    redis: Any
    settings: Settings
    registry: Registry

    @classmethod
    def of(cls, client: redis.Redis, settings: Settings) -> Broker:
        return cls(client, settings, Registry(client, Identity(f"{socket.gethostname()}:")))


def ask_versions(pipeline: Any, classifiers: Iterable[str]) -> None:
    """Add to what a pipeline does what `name_versions` needs."""
    for classifier in classifiers:
        pipeline.hget(_published_key(classifier), "version")


def name_versions(classifiers: Iterable[str], found: Sequence[bytes | None]) -> dict[str, str]:
    """The version that is published, of each classifier that has one."""
    return {name: version.decode() for name, version in zip(classifiers, found, strict=True) if version}


def _published_key(classifier: str) -> str:
    return f"{PREFIX}weights:{classifier}"
