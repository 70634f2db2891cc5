"""Prometheus instruments: what each process counts and times. `totals` sums them over all processes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from sb_api.broker.connection import PREFIX
from sb_api.broker.jobs import Answer, Claim
from sb_api.errors import LeaseLost, TrainingRefused

_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
_STEP_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_TRAINING_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_RECORDS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)

_JOB_STATUSES = ("completed", "failed")
_TRAINING_RESULTS = ("done", "refused", "failed", "lost")


class Instruments:
    """What one process counts and times. docs/metrics.md says what each is for."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "sb_api_http_requests_total", "HTTP requests answered.", ("method", "route", "status"), registry=registry
        )
        self.request_seconds = Histogram(
            "sb_api_http_request_seconds",
            "Time from a request to its answer.",
            ("method", "route"),
            registry=registry,
            buckets=_REQUEST_BUCKETS,
        )
        self.jobs = Counter(
            "sb_api_jobs_total", "Jobs answered.", ("classifier", "operation", "status"), registry=registry
        )
        self.wait_seconds = Histogram(
            "sb_api_wait_seconds",
            "Time that a job waited in its stream.",
            ("stream",),
            registry=registry,
            buckets=(*_STEP_BUCKETS, 30, 120, 600),
        )
        self.batch_records = Histogram(
            "sb_api_batch_records",
            "Records judged in one call.",
            ("classifier",),
            registry=registry,
            buckets=_RECORDS_BUCKETS,
        )
        self.preprocess_seconds = Histogram(
            "sb_api_preprocess_seconds",
            "Time to turn the records of a batch into arrays.",
            ("classifier",),
            registry=registry,
            buckets=_STEP_BUCKETS,
        )
        self.predict_seconds = Histogram(
            "sb_api_predict_seconds",
            "Time of the network on a batch.",
            ("classifier",),
            registry=registry,
            buckets=_STEP_BUCKETS,
        )
        self.judged = Counter(
            "sb_api_judged_records_total",
            "Records judged, by the most probable label.",
            ("classifier", "label"),
            registry=registry,
        )
        self.training_seconds = Histogram(
            "sb_api_training_seconds",
            "Time of a training, rollback or replay.",
            ("classifier", "operation"),
            registry=registry,
            buckets=_TRAINING_BUCKETS,
        )
        self.trainings = Counter(
            "sb_api_trainings_total",
            "Trainings, rollbacks and replays that ended.",
            ("classifier", "operation", "result"),
            registry=registry,
        )

    def count_jobs(self, claims: Sequence[Claim], answers: Sequence[Answer], claimed: float) -> None:
        """Count answered jobs, claimed at `claimed` (seconds since 1970)."""
        waits = {stream: self.wait_seconds.labels(stream.removeprefix(PREFIX)) for stream in {c.stream for c in claims}}
        kinds: dict[tuple[str, str, str], int] = defaultdict(int)
        for claim, answer in zip(claims, answers, strict=True):
            kinds[claim.job.classifier, claim.job.operation, answer.status] += 1
            waits[claim.stream].observe(max(0.0, claimed - claim.sent))
        for (classifier, operation, status), count in kinds.items():
            # Both from the start: Prometheus sees a counter rise only once it has seen it before.
            counters = {one: self.jobs.labels(classifier, operation, one) for one in _JOB_STATUSES}
            counters[status].inc(count)

    def count_records(self, classifier: str, size: int, counts: Mapping[str, int]) -> None:
        """Count records judged in one call: how many there were, and of how many each label was the most probable."""
        self.batch_records.labels(classifier).observe(size)
        for label, count in counts.items():
            self.judged.labels(classifier, label).inc(count)

    @contextmanager
    def training(self, classifier: str, operation: str) -> Iterator[None]:
        """Time a training, and count what becomes of it."""
        # All from the start, as above.
        outcomes = {result: self.trainings.labels(classifier, operation, result) for result in _TRAINING_RESULTS}
        result = "failed"
        start = time.perf_counter()
        try:
            yield
            result = "done"
        except TrainingRefused:
            result = "refused"
            raise
        except LeaseLost:
            result = "lost"
            raise
        finally:
            outcomes[result].inc()
            self.training_seconds.labels(classifier, operation).observe(time.perf_counter() - start)
