"""Whether the service is ready to judge, as Redis knows it, and why not."""

from __future__ import annotations

from typing import NamedTuple

from sb_api.broker.connection import unavailable_when_lost
from sb_api.broker.examination import Examined, examine
from sb_api.broker.shared_state import Broker, WorkerBeat
from sb_api.errors import Unavailable
from sb_api.records import RECORD_TYPES

AWAITED = [name for name, each in RECORD_TYPES.items() if each.awaited]


class Looked(NamedTuple):
    """The processes that are alive and warm, the published version of each classifier, what is known of Redis, and why
    the service is not ready, nothing if it is; whether Redis is there."""

    alive: list[WorkerBeat]
    published: dict[str, str | None]
    redis: Examined
    problems: list[str]
    has_redis: bool

    @property
    def classify(self) -> list[WorkerBeat]:
        return [beat for beat in self.alive if beat.role == "classify"]


def look_at_service(broker: Broker) -> Looked:
    """How the service is now."""
    alive: list[WorkerBeat] = []
    published: dict[str, str | None] = dict.fromkeys(RECORD_TYPES)
    redis, problems = Examined(), []
    try:
        alive = broker.registry.alive()
        with unavailable_when_lost():
            published |= broker.registry.published_versions(RECORD_TYPES)
            redis = examine(broker.redis)
    except Unavailable as error:
        problems.append(f"Redis: {error.detail}")
    looked = Looked(alive, published, redis, problems, not problems)
    problems += redis.problems()
    if not looked.classify:
        problems.append("no classify process is alive and warm; `sb-api run` or `sb-api worker` starts one")
    elif not all(name in beat.versions for beat in looked.classify for name in AWAITED):
        problems.append("a classifier has no weights yet")
    return looked
