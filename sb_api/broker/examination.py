"""What a Redis says of itself, and whether it is fit for the queue. A user who may not ask one thing is asked less."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import redis
from redis.exceptions import NoPermissionError

from sb_api.broker.connection import PREFIX
from sb_api.broker.redis_version import LEAST_TEXT, is_too_old

# Each command that some process sends, by itself or in a script, as its words and the arguments after the key.
RIGHTS: dict[str, tuple[str, ...]] = {
    "PING": (),
    "TIME": (),
    "MULTI": (),
    "EXEC": (),
    "GET": ("key",),
    "SET": ("key", "value"),
    "DEL": ("key",),
    "EXPIRE": ("key", "1"),
    "PEXPIRE": ("key", "1"),
    "PTTL": ("key",),
    "HGET": ("key", "field"),
    "HGETALL": ("key",),
    "HMGET": ("key", "field"),
    "HSET": ("key", "field", "value"),
    "HDEL": ("key", "field"),
    "HINCRBYFLOAT": ("key", "field", "1"),
    "LPUSH": ("key", "value"),
    "RPUSH": ("key", "value"),
    "LTRIM": ("key", "0", "1"),
    "LRANGE": ("key", "0", "1"),
    "BLMOVE": ("key", "key", "LEFT", "RIGHT", "0"),
    "ZADD": ("key", "1", "member"),
    "ZRANGE": ("key", "0", "1"),
    "ZREM": ("key", "member"),
    "ZSCORE": ("key", "member"),
    "XADD": ("key", "*", "field", "value"),
    "XLEN": ("key",),
    "XRANGE": ("key", "-", "+"),
    "XDEL": ("key", "0-1"),
    "XACK": ("key", "group", "0-1"),
    "XCLAIM": ("key", "group", "consumer", "0", "0-1"),
    "XPENDING": ("key", "group"),
    "XREADGROUP": ("GROUP", "group", "consumer", "STREAMS", "key", ">"),
    "XGROUP CREATE": ("key", "group", "0"),
    "XGROUP DELCONSUMER": ("key", "group", "consumer"),
    "XINFO GROUPS": ("key",),
    "XINFO STREAM": ("key",),
    "EVALSHA": ("0" * 40, "1", "key"),
    "SCRIPT LOAD": ("return 1",),
    "SCRIPT EXISTS": ("0" * 40,),
}
NOT_QUEUED = frozenset({"MULTI", "EXEC"})  # in a transaction they would be carried out


class Examined(msgspec.Struct, frozen=True):
    """What is known of a Redis: its version, its eviction policy, and the bytes of memory that it uses and may use (0:
    no limit). None is what its user may not ask."""

    version: str | None = None
    policy: str | None = None
    used: int | None = None
    limit: int | None = None

    def problems(self) -> list[str]:
        """Why the queue cannot work with it."""
        if self.version is not None and is_too_old(self.version):
            return [f"Redis {self.version} is older than {LEAST_TEXT}, which the queue needs: install a newer one"]
        return []

    @property
    def evicts(self) -> bool:
        """Whether it may throw away what waits, as far as is known."""
        return self.policy is not None and self.policy.startswith("allkeys")

    def warnings(self) -> list[str]:
        """What may lose jobs."""
        if self.evicts:
            return [
                f"Redis may evict what waits (maxmemory-policy {self.policy}), so that requests are lost: "
                "set maxmemory-policy noeviction, or use a Redis of its own"
            ]
        return []


def examine(client: redis.Redis) -> Examined:
    """What a Redis says of itself. Raises RedisError when it cannot be reached."""
    try:
        # Two calls: before Redis 7, INFO takes one section.
        about: dict[str, Any] = {}
        for section in ("server", "memory"):
            about |= client.info(section)
    except NoPermissionError:
        return Examined(version=_greeted_version(client), policy=_configured_policy(client))
    policy = about.get("maxmemory_policy")
    return Examined(str(about["redis_version"]), policy, int(about["used_memory"]), int(about["maxmemory"]))


def _greeted_version(client: Any) -> str | None:
    try:
        said = client.execute_command("HELLO")
    except redis.ResponseError:
        return None
    pairs = said.items() if isinstance(said, dict) else zip(said[::2], said[1::2], strict=True)
    return next((value.decode() for name, value in pairs if name == b"version"), None)


def _configured_policy(client: redis.Redis) -> str | None:
    try:
        found: Any = client.config_get("maxmemory-policy")
    except redis.ResponseError:
        return None
    policy: str | None = found.get("maxmemory-policy")
    return policy


def missing_rights(client: redis.Redis) -> list[str]:
    """The commands that the client's user needs and may not send on the keys of sb_api, in the order of RIGHTS.

    Nothing is carried out: each is sent within a transaction, which is discarded; Redis refuses what is not allowed at
    once. Raises RedisError when it cannot be reached.
    """
    key = f"{PREFIX}doctor:{uuid.uuid4().hex}"
    connection: Any = client.connection_pool.get_connection()
    try:
        missing = [] if _allows(connection, "MULTI") else ["MULTI"]
        if missing:
            return missing
        for words, arguments in RIGHTS.items():
            given = [key if argument == "key" else argument for argument in arguments]
            if words not in NOT_QUEUED and not _allows(connection, *words.split(), *given):
                missing.append(words)
        _allows(connection, "DISCARD")
        return missing
    finally:
        # What the transaction may have left of its state goes with the connection.
        connection.disconnect()
        client.connection_pool.release(connection)


def _allows(connection: Any, *words: str) -> bool:
    connection.send_command(*words)
    try:
        connection.read_response()
    except NoPermissionError:
        return False
    except redis.ResponseError:
        return True  # wrong for another reason
    return True
