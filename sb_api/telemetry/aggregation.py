"""What all processes have counted, summed in Redis, and how the queue stands.

Every process adds what its instruments have counted since the last time to one hash, each second and when it ends.
So `/metrics` of any web process has the figures of all processes on all hosts, and no counter falls when one ends.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import msgspec
import redis
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from sb_api.broker.connection import PREFIX
from sb_api.broker.identity import Identity
from sb_api.broker.shared_state import BEAT_INTERVAL, WEB, Broker
from sb_api.memory import release_memory, resident_bytes
from sb_api.telemetry.metrics import Instruments

logger = logging.getLogger(__name__)

# Its number goes up when labels or buckets change: what an older release has counted does not fit them.
TOTALS = f"{PREFIX}totals:1"
TOTALS_TTL = 30 * 24 * 3600
SENT_TTL = 3600

# Adds nothing when this delta was added already, and only the answer to that was lost.
_ADD = """
if redis.call('GET', KEYS[2]) == ARGV[1] then return end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[3])
for i = 4, #ARGV, 2 do redis.call('HINCRBYFLOAT', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}

Sample = tuple[str, dict[str, str]]


class Publisher:
    """Adds what this process has counted to the totals, and in a web process says each second that it is alive."""

    def __init__(self, broker: Broker, instruments: Instruments) -> None:
        self.broker = broker
        self.instruments = instruments
        self._identity = Identity()
        self._number = 0
        self._published: dict[bytes, float] = {}
        self._sending: list[bytes | float] = []
        self._add = broker.redis.register_script(_ADD)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def start(self) -> None:
        """Publish each second from now on, in a thread of its own; once started, nothing more."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="figures", daemon=True)
                    self._thread.start()

    def stop(self) -> None:
        """Let the thread end."""
        self._over.set()

    def close(self) -> None:
        """Publish the last figures, and say that this web process is gone."""
        self.stop()
        if self._thread is not None:
            self._thread.join(BEAT_INTERVAL)
        try:
            self.publish()
            self.broker.registry.leave(WEB)
        except (redis.RedisError, OSError) as error:
            logger.debug("the last figures are lost: %s", error)

    def _run(self) -> None:
        busy = False
        while not self._over.is_set():
            try:
                self.broker.registry.beat("web", {}, resident_bytes(), WEB)
                was_busy, busy = busy, self.publish()
                if was_busy and not busy:
                    release_memory()
            except (redis.RedisError, OSError) as error:
                logger.debug("the figures are not published yet: %s", error)
            self._over.wait(BEAT_INTERVAL)

    def publish(self) -> bool:
        """Add what is new, if anything is. Raises RedisError or OSError; then nothing is lost, nor counted twice the
        next time."""
        with self._lock:
            # What may have come, though the answer was lost, is sent as it was, until it is known to have come.
            if not self._sending:
                self._sending = self._take()
            is_new = bool(self._sending)
            if is_new:
                keys = [TOTALS, f"{PREFIX}totals:sent:{self._identity.name}"]
                self._add(keys, [self._number, TOTALS_TTL, SENT_TTL, *self._sending])
            self._sending = []
            return is_new

    def _take(self) -> list[bytes | float]:
        counted = dict(_samples(self.instruments.registry))
        # New ones with nothing in them too: a histogram needs all its buckets.
        new = {
            key: value - self._published.get(key, 0.0)
            for key, value in counted.items()
            if value != self._published.get(key)
        }
        self._published = counted
        self._number += 1
        return [part for item in new.items() for part in item]


def _samples(registry: CollectorRegistry) -> Iterator[tuple[bytes, float]]:
    for metric in registry.collect():
        for sample in metric.samples:
            if not sample.name.endswith("_created"):
                yield msgspec.json.encode((sample.name, sample.labels)), sample.value


def collect_totals(broker: Broker) -> list[Metric]:
    """The totals of all processes, one metric for every instrument. Raises RedisError."""
    metrics = {metric.name: metric for metric in Instruments().registry.collect()}
    owners = {f"{name}{suffix}": metric for name, metric in metrics.items() for suffix in _SUFFIXES[metric.type]}
    stored = [
        (msgspec.json.decode(key, type=Sample), float(value)) for key, value in broker.redis.hgetall(TOTALS).items()
    ]
    for (name, labels), value in sorted(stored, key=_exposition_order):
        if name in owners:
            owners[name].add_sample(name, labels, value)
    return list(metrics.values())


def _exposition_order(sample: tuple[Sample, float]) -> tuple[list[tuple[str, str]], str, float]:
    # The parts of one histogram together, its buckets from the smallest.
    (name, labels), _ = sample
    return sorted((k, v) for k, v in labels.items() if k != "le"), name, float(labels.get("le", 0))
