"""How things are now, as Redis knows them, as gauges: queue, processes, weights, quality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
import redis
from prometheus_client.core import GaugeMetricFamily, Metric

from sb_api.broker.connection import PREFIX
from sb_api.broker.examination import examine
from sb_api.broker.jobs import GROUP, STREAMS
from sb_api.broker.shared_state import WEB, Broker
from sb_api.broker.staging import StagedWeights
from sb_api.records import RECORD_TYPES
from sb_api.versions import Chain

LABELS_SHOWN = 20  # a confusion matrix of more labels is left to GET /quality
SERIES_SHOWN = 20  # so are the figures of more versions and reporters
QUALITY = ("accuracy", "precision", "recall", "f1", "false_positives_per_thousand")


def redis_up(up: int) -> Metric:
    return GaugeMetricFamily("sb_api_redis_up", "Whether Redis can be reached.", up)


def collect_state(broker: Broker) -> Iterator[Metric]:
    """How things are now, as Redis knows them: queue, processes, weights, quality. Raises RedisError, Unavailable."""
    yield from _collect_queue(broker)
    yield from _collect_processes(broker)
    yield from _collect_weights(broker)
    yield from _collect_quality(broker)
    yield from _collect_shadow(broker)


def _collect_queue(broker: Broker) -> Iterator[Metric]:
    length = GaugeMetricFamily("sb_api_queue_jobs", "Jobs that wait or are under way.", labels=["stream"])
    pending = GaugeMetricFamily("sb_api_queue_claimed_jobs", "Jobs that a process has claimed.", labels=["stream"])
    oldest = GaugeMetricFamily("sb_api_queue_oldest_seconds", "Age of the oldest job.", labels=["stream"])
    for stream in STREAMS:
        state = read_stream(broker, stream)
        name = [stream.removeprefix(PREFIX)]
        length.add_metric(name, state.length)
        pending.add_metric(name, state.claimed)
        oldest.add_metric(name, state.oldest)
    limit = GaugeMetricFamily("sb_api_queue_limit_jobs", "Jobs that a stream may hold.", broker.settings.queue_limit)
    yield from (length, pending, oldest, limit)
    server = examine(broker.redis)
    if server.used is not None:  # a user of Redis without the right to INFO has no such figures
        yield GaugeMetricFamily("sb_api_redis_memory_bytes", "Memory that Redis uses.", server.used)
        yield GaugeMetricFamily("sb_api_redis_memory_limit_bytes", "Memory limit of Redis; 0: none.", server.limit)


def _collect_processes(broker: Broker) -> Iterator[Metric]:
    count = GaugeMetricFamily("sb_api_workers", "Processes that are alive and warm.", labels=["role"])
    resident = GaugeMetricFamily(
        "sb_api_process_resident_bytes", "Memory that a process has in RAM.", labels=["role", "process"]
    )
    alive = [*broker.registry.alive(WEB), *broker.registry.alive()]
    # Where nobody is told of anything, that no process does it is nothing to be woken for.
    for role in ("web", "classify", "train", *(["webhooks"] if broker.settings.webhooks else [])):
        count.add_metric([role], sum(beat.role == role for beat in alive))
    for beat in alive:
        resident.add_metric([beat.role, beat.name], beat.resident)
    yield from (count, resident)


def _collect_weights(broker: Broker) -> Iterator[Metric]:
    slots = GaugeMetricFamily(
        "sb_api_weights_info", "The version of weights in each slot.", labels=["classifier", "slot", "version"]
    )
    created = GaugeMetricFamily(
        "sb_api_weights_created_timestamp_seconds", "When the current weights were made.", labels=["classifier"]
    )
    damaged = GaugeMetricFamily(
        "sb_api_weights_damaged_files",
        "Slots whose file is damaged, so that earlier weights stand in for it.",
        labels=["classifier"],
    )
    kept = GaugeMetricFamily("sb_api_weights_versions", "Versions of weights kept.", labels=["classifier"])
    outdated = GaugeMetricFamily(
        "sb_api_workers_outdated", "Processes that work with other weights than the current.", labels=["classifier"]
    )
    alive = broker.registry.alive()
    for name in RECORD_TYPES:
        published = broker.registry.published_about(name, "chain")
        if published is None:
            continue
        chain = msgspec.json.decode(published, type=Chain)
        current = chain.slots["current"]
        for slot, version in chain.slots.items():
            if version is not None:
                slots.add_metric([name, slot, version], 1)
        kept.add_metric([name], len(chain.versions))
        damaged.add_metric([name], len(chain.damaged))
        for about in chain.versions:
            if about.version == current:
                moment = msgspec.convert(about.created, datetime, strict=False)
                created.add_metric([name], moment.timestamp())
        outdated.add_metric([name], sum(beat.versions.get(name) != current for beat in alive))
    yield from (slots, created, kept, damaged, outdated)


def _collect_quality(broker: Broker) -> Iterator[Metric]:
    """The running figures on moderators' verdicts, each scored before it was learned: of all verdicts and the latest,
    of the latest versions of the weights, and of the reporters with the most verdicts."""
    of_all = _quality_families("sb_api_quality", "window", "")
    of_weights = _quality_families("sb_api_weights_quality", "version", ", by the weights that judged them")
    of_reporters = _quality_families("sb_api_reporter_quality", "reporter", ", by who gave them")
    drift = GaugeMetricFamily("sb_api_drift", "Whether errors have risen (1) or not (0).", labels=["classifier"])
    for name in RECORD_TYPES:
        published = broker.registry.published_about(name, "quality")
        measured: dict[str, Any] = msgspec.json.decode(published) if published else {}
        if "drift" not in measured:
            continue
        drift.add_metric([name], measured["drift"]["detected"])
        # Version names begin with their number. Reporters are whom clients name, so their number needs a bound.
        versions = sorted(measured["weights"].items())[-SERIES_SHOWN:]
        reporters = sorted(measured["reporters"].items(), key=lambda item: (-item[1]["count"], item[0]))[:SERIES_SHOWN]
        windows = [("all_time", measured["all_time"]), ("latest", measured["window"])]
        for families, parts in ((of_all, windows), (of_weights, versions), (of_reporters, reporters)):
            for of, part in parts:
                _add_quality(families, [name, of], measured["labels"], part)
    yield from (*of_all.values(), *of_weights.values(), *of_reporters.values(), drift)


def _collect_shadow(broker: Broker) -> Iterator[Metric]:
    """What came of judging live requests by staged weights too. The counts begin anew with each staging."""
    info = GaugeMetricFamily("sb_api_staged_weights_info", "The staged version.", labels=["classifier", "version"])
    by_band = GaugeMetricFamily(
        "sb_api_shadow_records",
        "Records that current and staged weights have judged, by the band (of messages: the class) of each.",
        labels=["classifier", "current", "staged"],
    )
    skipped = GaugeMetricFamily(
        "sb_api_shadow_skipped_records",
        "Records of the share for the staged weights that there was no time or no room for.",
        labels=["classifier"],
    )
    failed = GaugeMetricFamily(
        "sb_api_shadow_failed_records", "Records that the staged weights could not judge.", labels=["classifier"]
    )
    difference = GaugeMetricFamily(
        "sb_api_shadow_mean_difference",
        "By how much the scores of current and staged weights differ on average (0 to 1).",
        labels=["classifier"],
    )
    verdicts = GaugeMetricFamily(
        "sb_api_shadow_verdicts",
        "Verdicts since the staging, by which weights were right before they learned them.",
        labels=["classifier", "right"],
    )
    weights = StagedWeights(broker.redis)
    for name, (version, _) in weights.versions(list(RECORD_TYPES)).items():
        shadow = weights.read(name)
        if not version or shadow is None:
            continue
        info.add_metric([name, version], 1)
        skipped.add_metric([name], shadow.skipped)
        failed.add_metric([name], shadow.failed)
        if shadow.mean_difference is not None:
            difference.add_metric([name], shadow.mean_difference)
        for side, count in msgspec.structs.asdict(shadow.verdicts).items():
            verdicts.add_metric([name, side], count)
        if len(shadow.bands) <= LABELS_SHOWN:
            for current, row in shadow.bands.items():
                for staged, count in row.items():
                    by_band.add_metric([name, current, staged], count)
    yield from (info, by_band, skipped, failed, difference, verdicts)


def _quality_families(prefix: str, label: str, by: str) -> dict[str, GaugeMetricFamily]:
    """A metric for each figure, with what they are figures of as a label."""
    labels = ["classifier", label]
    counts = {
        "count": GaugeMetricFamily(f"{prefix}_verdicts", f"Verdicts that the figures are of{by}.", labels=labels),
        "confusion": GaugeMetricFamily(
            f"{prefix}_confusion",
            f"Verdicts by what was true and what was predicted{by}.",
            labels=[*labels, "true", "predicted"],
        ),
    }
    return counts | {
        name: GaugeMetricFamily(
            f"{prefix}_{name}", f"{name.replace('_', ' ').capitalize()} on verdicts not learned yet{by}.", labels=labels
        )
        for name in QUALITY
    }


def _add_quality(
    families: dict[str, GaugeMetricFamily], values: list[str], labels: Sequence[str], part: dict[str, Any]
) -> None:
    for figure in ("count", *QUALITY):
        if part.get(figure) is not None:
            families[figure].add_metric(values, part[figure])
    if len(labels) <= LABELS_SHOWN:
        for true, row in zip(labels, part["confusion"], strict=True):
            for predicted, count in zip(labels, row, strict=True):
                families["confusion"].add_metric([*values, true, predicted], count)


class StreamState(msgspec.Struct, frozen=True):
    """How many jobs a stream holds, how many of them are claimed, and the age of the oldest in seconds."""

    length: int
    claimed: int
    oldest: float


def read_stream(broker: Broker, stream: str) -> StreamState:
    """The state of a stream. Raises RedisError."""
    pipeline = broker.redis.pipeline(transaction=False)
    pipeline.time().xlen(stream).xrange(stream, count=1).xinfo_groups(stream)
    found = pipeline.execute(raise_on_error=False)
    for response in found:
        # The last fails when there is no such stream yet.
        if isinstance(response, redis.RedisError) and "no such key" not in str(response):
            raise response
    (seconds, micros), length, first, groups = found
    claimed = 0 if isinstance(groups, Exception) else sum(g["pending"] for g in groups if g["name"] == GROUP.encode())
    sent = int(first[0][0].partition(b"-")[0]) / 1000 if first else None
    return StreamState(length, claimed, max(0.0, seconds + micros / 1e6 - sent) if sent else 0.0)
