"""Rates and latencies are those since the last looks, from the totals of all processes."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram

from sb_api.telemetry.aggregation import Publisher
from sb_api.telemetry.metrics import Instruments
from sb_api.telemetry.traffic import WINDOW, Vitals, quantile
from tests.support.jobs import Jobs


def buckets(values: list[float]) -> dict[float, float]:
    histogram = Histogram("h", "h", registry=CollectorRegistry(), buckets=(1, 2, 4))
    for value in values:
        histogram.observe(value)
    return {
        float(sample.labels["le"]): sample.value
        for metric in histogram.collect()
        for sample in metric.samples
        if sample.name == "h_bucket"
    }


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([0.5, 0.5], 0.5, 0.5), ([1.5, 1.5, 3, 3], 0.75, 3.0), ([9], 0.95, 4.0), ([0.1, 9], 0.5, 1.0)],
)
def test_a_quantile_lies_evenly_in_its_bucket(values: list[float], share: float, expected: float | None) -> None:
    assert quantile(buckets(values), share) == (None if expected is None else pytest.approx(expected))


def test_rates_are_those_since_the_first_look_within_the_window(jobs: Jobs) -> None:
    now = [100.0]
    instruments = Instruments()
    publisher = Publisher(jobs.broker, instruments)
    vitals = Vitals(jobs.broker, clock=lambda: now[0])

    def serve(count: int, seconds: float, status: int = 200) -> None:
        for _ in range(count):
            instruments.requests.labels("POST", "/predict", status).inc()
            instruments.request_seconds.labels("POST", "/predict").observe(seconds)
            instruments.judged.labels("lodbrok", "spam").inc(3)
        publisher.publish()

    serve(10, 0.04)
    first = vitals.read()
    (row,) = first["routes"]
    assert (row["total"], row["rate"], first["seconds"]) == (10, 0.0, 0.0)
    assert 0.025 <= row["median"] <= 0.05
    now[0] += 10
    serve(20, 0.9, 500)
    second = vitals.read()
    (row,) = second["routes"]
    assert (row["total"], row["failed"], row["rate"]) == (30, 20, 2.0)
    assert 0.5 <= row["median"] <= 1
    assert second["judged"] == {"lodbrok": 60}
    now[0] += WINDOW
    vitals.read()
    now[0] += 1
    later = vitals.read()
    assert later["seconds"] == WINDOW + 1
    assert later["routes"][0]["rate"] == 0.0


def test_streams_and_processes_are_told_of(jobs: Jobs) -> None:
    jobs.registry.beat("classify", {"lodbrok": "000001-aaaaaaaa"}, 5)
    seen = Vitals(jobs.broker).read()
    assert {name: state.length for name, state in seen["streams"].items()} == {
        "predict:small": 0,
        "predict:bulk": 0,
        "train": 0,
        "lookups": 0,
    }
    assert [(beat.role, beat.resident) for beat in seen["processes"]] == [("classify", 5)]
    assert seen["redis"].used > 0


def test_errors_are_kept_newest_first_and_not_for_ever(jobs: Jobs) -> None:
    for number in range(30):
        jobs.registry.note_error("web", f"error {number} " + "x" * 1000)
    errors = jobs.registry.errors()
    assert len(errors) == 20
    assert errors[0].text.startswith("error 29 ")
    assert len(errors[0].text) == 500
