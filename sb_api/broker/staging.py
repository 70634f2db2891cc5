"""Weights that are staged beside the current ones, where every process finds them, and what came of judging by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from typing import Any

import msgspec
import redis

from sb_api.broker.connection import PREFIX, unavailable_when_lost
from sb_api.judgements import Difference, Shadow, Sides
from sb_api.records import decode_payload, encode_payload

STAGED_TTL, TALLY_TTL = 7 * 24 * 3600, 30 * 24 * 3600  # seconds
MOST_DIFFERENCES = 50  # that are kept, the largest

# Nothing is counted for weights that are staged no longer. Of a record that is judged again and again the largest
# difference is kept.
_ADD = """
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return 0 end
local at = 5
for _ = 1, tonumber(ARGV[4]) do
  redis.call('HINCRBYFLOAT', KEYS[2], ARGV[at], ARGV[at + 1])
  at = at + 2
end
while ARGV[at] do
  local before = redis.call('ZSCORE', KEYS[3], ARGV[at])
  if not before or tonumber(before) < tonumber(ARGV[at + 1]) then
    redis.call('ZADD', KEYS[3], ARGV[at + 1], ARGV[at])
    redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 2])
  end
  at = at + 3
end
for _, id in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1 - tonumber(ARGV[3]))) do
  redis.call('ZREM', KEYS[3], id)
  redis.call('HDEL', KEYS[4], id)
end
for i = 2, 4 do redis.call('EXPIRE', KEYS[i], ARGV[2]) end
return 1
"""


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """Staged weights as every process can fetch them: the file, its vocabularies, what is known of the version (JSON),
    and since when (seconds since 1970) they are staged."""

    version: str
    since: float
    about: bytes
    file: bytes
    vocabularies: dict[str, bytes]


def cell(current: str, staged: str) -> str:
    """The name of what counts the records of a band of the current weights and one of the staged."""
    return msgspec.json.encode([current, staged]).decode()


class StagedWeights:
    """The staged weights of all classifiers in Redis, and the tallies of what came of them."""

    def __init__(self, client: redis.Redis) -> None:
        self.redis: Any = client
        self._add = self.redis.register_script(_ADD)

    def publish(self, classifier: str, staged: Staged) -> None:
        """Stage weights; what was counted of others is forgotten."""
        key, *tallies = _keys(classifier)
        fields = {
            "version": staged.version,
            "since": staged.since,
            "about": staged.about,
            "all": encode_payload(staged),
        }
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.delete(key, *tallies).hset(key, mapping=fields).expire(key, STAGED_TTL).execute()

    def drop(self, classifier: str, since: float) -> None:
        """Say that none are staged any more, nor those that were staged on any host before `since`."""
        key, *tallies = _keys(classifier)
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.delete(key, *tallies).hset(key, mapping={"version": "", "since": since}).expire(key, STAGED_TTL)
        pipeline.execute()

    def versions(self, classifiers: Sequence[str]) -> dict[str, tuple[str, float]]:
        """Of each classifier the version that is staged, "" for none, and since when; without those of which nothing is
        known. As long as anybody looks, they stay."""
        pipeline = self.redis.pipeline(transaction=False)
        for name in classifiers:
            pipeline.hmget(_keys(name)[0], "version", "since")
        for name in classifiers:
            pipeline.expire(_keys(name)[0], STAGED_TTL)
        found = zip(classifiers, pipeline.execute(), strict=False)
        return {name: (version.decode(), float(since)) for name, (version, since) in found if version is not None}

    def find(self, classifier: str) -> Staged | None:
        """The staged weights, None where there are none."""
        stored = self.redis.hget(_keys(classifier)[0], "all")
        staged: Staged | None = decode_payload(stored, Staged) if stored else None
        return staged

    def about(self, classifier: str) -> bytes | None:
        """What is known of the version that is staged, as JSON; None where there is none."""
        with unavailable_when_lost():
            about: bytes | None = self.redis.hget(_keys(classifier)[0], "about")
        return about

    def add(
        self, classifier: str, version: str, counts: Mapping[str, float], largest: Iterable[Difference] = ()
    ) -> bool:
        """Add to what is counted of staged weights; False where these are no longer staged."""
        numbers = [part for item in counts.items() for part in item]
        found = [part for one in largest for part in (one.id, one.difference, msgspec.json.encode(one))]
        added = self._add(_keys(classifier), [version, TALLY_TTL, MOST_DIFFERENCES, len(counts), *numbers, *found])
        return bool(added)

    def read(self, classifier: str) -> Shadow | None:
        """What is counted of the staged weights; None where there are none."""
        key, tally, order, details = _keys(classifier)
        with unavailable_when_lost():
            pipeline = self.redis.pipeline(transaction=False)
            pipeline.hmget(key, "version", "since").hgetall(tally).zrange(order, 0, -1, desc=True).hgetall(details)
            (version, since), counts, ids, found = pipeline.execute()
        if not version:
            return None
        largest = [msgspec.json.decode(found[one], type=Difference) for one in ids if one in found]
        return _describe(float(since), {name.decode(): float(count) for name, count in counts.items()}, largest)


def _describe(since: float, counts: Mapping[str, float], largest: list[Difference]) -> Shadow:
    bands: dict[str, dict[str, int]] = defaultdict(dict)
    for name, count in sorted(counts.items()):
        if name.startswith("["):
            current, staged = msgspec.json.decode(name)
            bands[current][staged] = round(count)
    judged = round(counts.get("judged", 0))
    same = sum(row.get(band, 0) for band, row in bands.items())
    return Shadow(
        since=since,
        judged=judged,
        skipped=round(counts.get("skipped", 0)),
        failed=round(counts.get("failed", 0)),
        bands=dict(bands),
        same=same / judged if judged else None,
        mean_difference=counts.get("difference", 0.0) / judged if judged else None,
        correlation=_correlate(judged, *(counts.get(name, 0.0) for name in ("x", "y", "xx", "yy", "xy"))),
        largest=largest,
        verdicts=Sides(**{side: round(counts.get(f"verdicts {side}", 0)) for side in Sides.__struct_fields__}),
    )


def _correlate(count: int, x: float, y: float, xx: float, yy: float, xy: float) -> float | None:
    """Pearson's correlation of `count` pairs from their sums, sums of squares and sum of products; None where one of
    the two does not vary."""
    of_x, of_y = count * xx - x * x, count * yy - y * y
    if count < 2 or min(of_x, of_y) <= 1e-9 * count * count:
        return None
    return max(-1.0, min(1.0, (count * xy - x * y) / sqrt(of_x * of_y)))


def _keys(classifier: str) -> list[str]:
    """Where the staged weights stand, what is counted of them, and the largest differences: in order, and told of."""
    key = f"{PREFIX}staged:{classifier}"
    return [key, f"{key}:tally", f"{key}:largest", f"{key}:differences"]
