"""The known faults of the original implementation that would show at the service, each absent."""

from __future__ import annotations

import time
from pathlib import Path

import redis
from conftest import wait_until
from service import ROOT, Service, make_editors

import sb_api


def test_the_model_is_not_loaded_for_every_request(service: Service) -> None:
    """The original took 0.4 s a request for that; here the same process answers, in milliseconds."""
    worker = service.child("worker").pid
    service.post("/predict", make_editors(1))
    took = []
    for number in range(20):
        start = time.perf_counter()
        assert service.post("/predict", make_editors(1, start=number)).status_code == 200
        took.append(time.perf_counter() - start)
    assert sorted(took)[len(took) // 2] < 0.2
    assert service.child("worker").pid == worker


def test_results_are_not_kept_for_ever(service: Service) -> None:
    """Every key in Redis but the streams has a time to live, also after asynchronous work."""
    service.post("/predict", make_editors(3))
    service.post("/train", [{"id": 1, "verdict": 0}], headers={"Prefer": "respond-async"})
    with redis.Redis.from_url(service.redis_url) as queue:
        kept = {key: queue.ttl(key) for key in queue.scan_iter() if queue.type(key) != b"stream"}
    assert kept
    assert all(seconds > 0 for seconds in kept.values()), kept


def test_a_missing_email_is_judged(service: Service) -> None:
    for email in (None, "", "no-at-sign", "two@at@signs"):
        answer = service.post("/predict", [{"id": 1, "email": email}])
        assert answer.status_code == 200, answer.text
    assert service.post("/predict", [{"id": 1}]).status_code == 200


def test_no_pickle_is_shipped_and_none_is_loaded() -> None:
    """Tokenizers are JSON; no module of ours unpickles."""
    shipped = [path for path in (ROOT / "static").rglob("*") if path.suffix in (".pickle", ".pkl")]
    assert shipped == []
    sources = [path.read_text("utf-8") for path in Path(sb_api.__file__).parent.glob("*.py")]
    assert not any("pickle.load" in source or "Unpickler" in source for source in sources)


def test_nothing_waits_behind_after_a_request(service: Service) -> None:
    """The original left other requests' editors in its queue."""
    service.post("/predict", make_editors(700))
    with service.jobs().redis as queue:
        wait_until(lambda: not any(queue.xlen(stream) for stream in queue.scan_iter(_type="stream")))
