"""Every error is RFC 9457 application/problem+json, with `success: false` for clients of the original project."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.config import Settings
from tests.support.service import EDITOR, Service, assert_problem


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/nothing", 404),
        ("GET", "/predict/", 404),
        ("GET", "/static/weights/original_lodbrok.h5", 404),
        ("GET", "/get-result/nothing", 404),
        ("GET", "/predict", 405),
        ("PUT", "/predict", 405),
        ("GET", "/train", 405),
        ("DELETE", "/weights", 405),
        ("GET", "/rollback", 405),
        ("POST", "/readyz", 405),
        ("POST", "/predict", 400),
        ("POST", "/train", 400),
        ("POST", "/rollback", 400),
        ("POST", "/predict?partial=perhaps", 400),
        ("GET", "/weights?model=nonsense", 400),
        ("GET", "/weights", 503),
    ],
)
def test_every_error_is_a_problem_document(method: str, path: str, status: int, lonely_client: FlaskClient) -> None:
    response = lonely_client.open(path, method=method)
    assert_problem(response, status)
    if status == 405:
        assert response.headers["Allow"]


@pytest.mark.parametrize("path", ["/", "/page/quality", "/nothing"])
def test_to_a_host_that_is_none_there_is_no_page_to_show(path: str, lonely_client: FlaskClient) -> None:
    """Its links would need a host."""
    headers = {"Host": "x" * 300, "Accept": "text/html"}
    assert_problem(lonely_client.get(path, headers=headers), 400)


def test_a_fault_of_ours_is_a_500_that_tells_nothing_of_the_inside(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings)

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("the secret of the inside")

    monkeypatch.setattr(app.extensions["sb_api"].producer, "result", broken)
    response = app.test_client().get("/get-result/00000000-0000-0000-0000-000000000000")
    assert_problem(response, 500, "internal")
    assert "secret" not in response.get_data(as_text=True)
    assert "the secret of the inside" in caplog.text


def test_over_the_wire_too(service: Service) -> None:
    for response, status in (
        (service.get("/nothing"), 404),
        (service.get("/predict"), 405),
        (service.post("/predict", {}), 400),
        (service.post("/predict", [{"email": "x"}]), 422),
        (service.post("/predict", [{**EDITOR, "id": number} for number in range(10_001)]), 413),
    ):
        assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
        problem = response.json()
        assert (problem["status"], problem["success"]) == (status, False)
