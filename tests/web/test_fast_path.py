"""Small requests for predictions take a short way past Flask, and nobody can tell it by the answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sb_api import create_app
from sb_api.auth.credentials import add_credential, revoke_credential
from sb_api.config import Settings, load_settings
from sb_api.web.shedding import SMALL_BYTES
from tests.support.jobs import Jobs
from tests.support.service import EDITOR, MALFORMED_BODIES, WRONG_RECORDS, assert_problem, make_editors

LONG_WAY = "?partial=false"  # says no more than what goes without saying
MESSAGE = {"id": 1, "text": "How do I merge two artists?"}
SOUND = {
    "/predict": json.dumps([EDITOR, *make_editors(5)]).encode(),
    "/intents/predict": json.dumps({"first": MESSAGE}).encode(),
}


def watch_flask(app: Flask) -> list[str]:
    """The paths of the requests for which Flask looks for a view, in a list that grows."""
    seen: list[str] = []
    preprocess = app.preprocess_request

    def preprocess_watched(*context: Any) -> Any:  # Flask gives it its context from 3.2 on
        seen.append(request.path)
        return preprocess(*context)

    app.preprocess_request = preprocess_watched  # type: ignore[method-assign]
    return seen


def without_ids(response: TestResponse) -> tuple[int, list[tuple[str, str]], str]:
    """Status, headers and text, without what no two answers have in common: the request's id."""
    headers = sorted((name, value) for name, value in response.headers if name != "X-Request-ID")
    return response.status_code, headers, re.sub(r"urn:sb_api:request:\w+", "", response.text)


def assert_same_both_ways(client: FlaskClient, path: str, body: bytes, **headers: str) -> None:
    """The long way says what the short one says."""
    seen = watch_flask(client.application)
    try:
        short = client.post(path, data=body, headers=headers)
        assert not seen
        long = client.post(path + LONG_WAY, data=body, headers=headers)
        assert seen
    finally:
        del client.application.preprocess_request
    assert without_ids(short) == without_ids(long)


@pytest.mark.parametrize("path", SOUND)
def test_a_good_answer_is_the_same_both_ways(client: FlaskClient, path: str) -> None:
    assert_same_both_ways(client, path, SOUND[path])


@pytest.mark.parametrize("path", SOUND)
@pytest.mark.parametrize("name", [name for name, body in MALFORMED_BODIES.items() if 0 < len(body) <= SMALL_BYTES])
def test_a_malformed_body_is_answered_the_same_both_ways(client: FlaskClient, path: str, name: str) -> None:
    assert_same_both_ways(client, path, MALFORMED_BODIES[name])


@pytest.mark.parametrize("name", WRONG_RECORDS)
def test_a_wrong_record_is_answered_the_same_both_ways(client: FlaskClient, name: str) -> None:
    assert_same_both_ways(client, "/predict", b"[%s]" % WRONG_RECORDS[name][0])


def test_a_page_of_another_site_is_refused_both_ways(client: FlaskClient) -> None:
    assert_same_both_ways(client, "/predict", SOUND["/predict"], **{"Sec-Fetch-Site": "cross-site"})


def test_a_browser_that_asks_for_a_page_gets_the_problem_both_ways(client: FlaskClient) -> None:
    assert_same_both_ways(client, "/predict", b"{", Accept="text/html")


def test_without_redis_it_is_unavailable_both_ways(tmp_path: Path) -> None:
    settings = load_settings({}, redis_url=f"unix://{tmp_path}/none.sock", state_dir=str(tmp_path / "state"))
    assert_same_both_ways(create_app(settings).test_client(), "/predict", SOUND["/predict"])


def test_a_fault_of_ours_is_said_aloud_both_ways(
    lonely_client: FlaskClient, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError("made up")

    monkeypatch.setattr("sb_api.web.service.judge", fail)
    assert_same_both_ways(lonely_client, "/predict", SOUND["/predict"])
    assert [record.exc_info is not None for record in caplog.records if "POST /predict failed" in record.message] == [
        True,
        True,
    ]
    assert len([error for error in jobs.registry.errors() if "POST /predict failed" in error.text]) == 2


def test_errors_need_nothing_of_flask_that_changes_with_its_version(
    lonely_client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 3.2 on these methods take a context besides; the fast path calls none of them."""

    def changed(*_: Any) -> Any:
        raise TypeError("missing 1 required positional argument")

    for name in ("handle_user_exception", "finalize_request", "process_response", "make_response"):
        monkeypatch.setattr(lonely_client.application, name, changed)
    assert_problem(lonely_client.post("/predict", data=b"{"), 400, "malformed-body")


def test_both_ways_are_counted_as_one_route(lonely_client: FlaskClient) -> None:
    for query in ("", LONG_WAY):
        lonely_client.post(f"/predict{query}", data=b"{")
    counted = 'sb_api_http_requests_total{method="POST",route="/predict",status="400"} 2.0'
    assert counted in lonely_client.get("/metrics").text


def test_a_body_that_ends_too_early_is_refused(lonely_client: FlaskClient) -> None:
    response = lonely_client.post("/predict", data=b"[", headers={"Content-Length": "100"})
    assert response.status_code == 400


def test_a_body_over_the_limit_of_the_settings_is_no_small_one(settings: Settings, jobs: Jobs) -> None:
    app = create_app(msgspec.structs.replace(settings, max_body_bytes=1024))
    body = json.dumps([EDITOR | {"bio": "x" * 1024}]).encode()
    assert_problem(app.test_client().post("/predict", data=body), 413, "too-large")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/predict", b""),
        ("POST", "/predict", b"[" + b" " * SMALL_BYTES + b"]"),
        ("POST", "/predict?explain=true", b"["),
        ("POST", "/predict/", b"["),
        ("POST", "/train", b"["),
    ],
    ids=["other method", "large", "query", "other path", "other route"],
)
def test_what_is_not_plain_goes_the_long_way(lonely_client: FlaskClient, method: str, path: str, body: bytes) -> None:
    seen = watch_flask(lonely_client.application)
    response = lonely_client.open(path, method=method, data=body)
    assert 400 <= response.status_code < 500
    assert len(seen) == 1


def test_who_must_prove_who_they_are_does_so_once_and_not_again_until_revoked(tmp_path: Path) -> None:
    settings = load_settings({}, redis_url=f"unix://{tmp_path}/none.sock", state_dir=str(tmp_path / "state"))
    settings.state.mkdir()
    token = add_credential(settings.credentials_file, "spamninja", "predict")
    other = add_credential(settings.credentials_file, "other", "predict")
    client = create_app(settings).test_client()
    seen = watch_flask(client.application)

    def ask(secret: str | None) -> TestResponse:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return client.post("/predict", data=b"{", headers=headers)

    assert_problem(ask(None), 401, "unauthenticated")
    assert_problem(ask(f"{token}x"), 401, "unauthenticated")
    assert len(seen) == 2
    for _ in range(3):
        assert_problem(ask(token), 400, "malformed-body")
    assert len(seen) == 3
    revoke_credential(settings.credentials_file, "spamninja")
    assert_problem(ask(token), 401, "unauthenticated")
    assert_problem(ask(other), 400, "malformed-body")
    assert len(seen) == 5
