"""How the service does right now: what waits, who works, and how many requests come and how long they take."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from sb_api.broker.connection import PREFIX, unavailable_when_lost
from sb_api.broker.examination import examine
from sb_api.broker.jobs import STREAMS
from sb_api.broker.shared_state import WEB, Broker
from sb_api.telemetry.aggregation import collect_totals
from sb_api.telemetry.gauges import read_stream

WINDOW = 60.0  # seconds that rates and latencies are of, once they have been looked at for so long
ROUTES_SHOWN = 12
ASIDE = ("/assets/", "/page/service", "/metrics", "/healthz", "/readyz", "unmatched")  # those who watch, not work

Key = tuple[str, tuple[tuple[str, str], ...]]
Totals = dict[Key, float]


class Vitals:
    """What one web process knows of the rates of the whole service: the totals as they were when it looked."""

    def __init__(self, broker: Broker, clock: Callable[[], float] = time.monotonic) -> None:
        self._broker = broker
        self._clock = clock
        self._seen: deque[tuple[float, Totals]] = deque()

    def read(self) -> dict[str, Any]:
        """Streams, memory of Redis, processes, and traffic since the first look within the window.

        Raises Unavailable.
        """
        broker = self._broker
        with unavailable_when_lost():
            totals = _flatten(broker)
            streams = {s.removeprefix(PREFIX): read_stream(broker, s) for s in STREAMS}
            redis = examine(broker.redis)
        now = self._clock()
        self._seen.append((now, totals))
        while len(self._seen) > 2 and now - self._seen[1][0] >= WINDOW:
            self._seen.popleft()
        then, before = self._seen[0]
        seconds = now - then
        return {
            "streams": streams,
            "queue_limit": broker.settings.queue_limit,
            "redis": redis,
            "processes": [*broker.registry.alive(WEB), *broker.registry.alive()],
            "seconds": seconds,
            "routes": describe_routes(totals, before if seconds else {}, seconds),
            "judged": _sum_by(_since(totals, before), "sb_api_judged_records_total", "classifier"),
            "failed": sum(
                value
                for (name, labels), value in totals.items()
                if name == "sb_api_jobs_total" and ("status", "failed") in labels
            ),
        }


def describe_routes(totals: Totals, before: Totals, seconds: float) -> list[dict[str, Any]]:
    """Per route: requests since `before`, a second, those of them that failed on our side, and how long they took.

    Of a route that nobody called since, the latencies are those of all its time.
    """
    since = _since(totals, before)
    requests: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for (name, labels), value in totals.items():
        if name == "sb_api_http_requests_total":
            by = dict(labels)
            row = requests[by["method"], by["route"]]
            row["total"] += value
            row["count"] += since[name, labels]
            row["failed"] += value if by["status"].startswith("5") else 0
    rows: list[dict[str, Any]] = []
    for (method, route), row in requests.items():
        if route.startswith(ASIDE):
            continue
        buckets = _buckets(since if row["count"] else totals, method, route)
        rows.append(
            {
                "method": method,
                "route": route,
                "total": int(row["total"]),
                "failed": int(row["failed"]),
                "rate": row["count"] / seconds if seconds else 0.0,
                "median": quantile(buckets, 0.5),
                "p95": quantile(buckets, 0.95),
            }
        )
    return sorted(rows, key=lambda row: (-row["rate"], -row["total"]))[:ROUTES_SHOWN]


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The value below which a share of what a cumulative histogram counted lies, taken to lie evenly in its bucket, as
    Prometheus does; None when nothing was counted, the last finite border when it lies beyond."""
    borders = sorted(buckets)
    total = buckets[borders[-1]] if borders else 0.0
    if not total:
        return None
    lower, below = 0.0, 0.0
    for border in borders:
        if buckets[border] >= share * total:
            if border == float("inf"):
                return lower
            return lower + (border - lower) * (share * total - below) / max(buckets[border] - below, 1e-9)
        lower, below = border, buckets[border]
    return lower


def _flatten(broker: Broker) -> Totals:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): float(sample.value)
        for metric in collect_totals(broker)
        for sample in metric.samples
    }


def _since(totals: Totals, before: Totals) -> Totals:
    return {key: value - before.get(key, 0.0) for key, value in totals.items()}


def _buckets(totals: Totals, method: str, route: str) -> dict[float, float]:
    wanted = {("method", method), ("route", route)}
    return {
        float(dict(labels)["le"]): value
        for (name, labels), value in totals.items()
        if name == "sb_api_http_request_seconds_bucket" and wanted <= set(labels)
    }


def _sum_by(totals: Totals, wanted: str, label: str) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for (name, labels), value in totals.items():
        if name == wanted:
            sums[dict(labels)[label]] += value
    return dict(sums)
