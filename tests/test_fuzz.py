"""Nothing that a client sends gives a 500, a hang, or a lost or swollen process."""

from __future__ import annotations

import logging

import pytest
from flask import Flask
from fuzzer import Finding, Request, make_request, run, send
from service import Bare, Service, as_editors, make_editors

COUNT = 20_000  # requests; `make fuzz` sends a million


def test_a_request_depends_on_the_seed_and_its_number_alone() -> None:
    assert make_request(1, 7) == make_request(1, 7)
    assert make_request(1, 7) != make_request(1, 8)
    assert make_request(1, 7) != make_request(2, 7)


def test_a_fault_of_ours_would_be_found(service_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(service_app.view_functions, "api.healthz", lambda: 1 / 0)
    with pytest.raises(Finding, match="500"):
        send(service_app, Request("GET", "/healthz"))


def test_raw_requests_are_answered_and_leave_the_service_as_it_was(
    service: Service, service_app: Flask, bare: Bare, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    outcomes = run(service, service_app, seed=1, start=0, count=COUNT)
    assert outcomes.total() == COUNT
    # Sound ones came through to the classify and train processes, others were refused for every kind of reason.
    assert {"200", "202", "400 malformed-body", "400 invalid-parameter", "422 invalid-records"} <= outcomes.keys()
    assert {"404 not-found", "404 unknown-version", "405 about:blank", "413 too-large"} & outcomes.keys()
    service.post("/rollback", {"to": "original"})
    editors = make_editors(20)
    scores, _ = bare.model.judge(as_editors(editors))
    answer = service.post("/predict", editors).json()["scores"]
    assert list(answer.values()) == pytest.approx(scores[:, 1].tolist(), abs=1e-6)
