"""A small request that there is no room for is refused before anything is spent on it, in the words of every error."""

from __future__ import annotations

import io
from contextlib import closing

import gevent
import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder

from sb_api import create_app
from sb_api.broker.jobs import SMALL, SMALL_RECORDS
from sb_api.broker.limiter import Limiter
from sb_api.broker.rpc import BATCH
from sb_api.config import Settings
from sb_api.web.shedding import LONGEST_TURN, SMALL_BYTES
from tests.support.jobs import Jobs
from tests.support.service import EDITOR, assert_problem, waiting


@pytest.fixture
def full_app(settings: Settings, jobs: Jobs) -> Flask:
    """An application that has let in as many records of small requests as it may."""
    app = create_app(settings)
    assert app.extensions["sb_api"].mailbox.limiters[SMALL].enter(BATCH)
    return app


@pytest.mark.parametrize("path", ["/predict", "/intents/predict", "/classify"])
def test_it_gets_a_problem_document_that_says_when_to_come_again(full_app: Flask, path: str, jobs: Jobs) -> None:
    response = full_app.test_client().post(path, json=[EDITOR], headers={"X-Request-ID": "mine-1"})
    problem = assert_problem(response, 503, "queue-full")
    assert response.headers["Retry-After"] == "1"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert problem["instance"] == f"urn:sb_api:request:{response.headers['X-Request-ID']}"
    assert waiting(jobs) == 0


def test_it_is_counted(full_app: Flask) -> None:
    client = full_app.test_client()
    client.post("/predict", json=[EDITOR])
    counted = 'sb_api_http_requests_total{method="POST",route="/predict",status="503"} 1.0'
    assert counted in client.get("/metrics").text


def test_its_body_is_not_even_looked_at(full_app: Flask) -> None:
    assert_problem(full_app.test_client().post("/predict", data=b"{"), 503, "queue-full")


def test_its_body_is_discarded_at_once(full_app: Flask) -> None:
    """gunicorn would do so a kilobyte at a time."""
    body = io.BytesIO(b"x" * SMALL_BYTES)
    response = full_app.test_client().post("/predict", input_stream=body, content_length=SMALL_BYTES)
    assert_problem(response, 503, "queue-full")
    assert body.tell() == SMALL_BYTES


def test_it_is_refused_at_once_and_others_have_their_turn_afterwards(
    full_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is quick to ask again would else be refused many times before another is refused once."""
    events: list[str] = []
    monkeypatch.setattr("sb_api.web.shedding.time.sleep", lambda _: events.append("others have their turn"))
    environ = EnvironBuilder(path="/predict", method="POST", data=b"{").get_environ()
    with closing(full_app.wsgi_app(environ, lambda *_: lambda _: None)) as answer:  # type: ignore[type-var]
        events += ["answered" for _ in answer]
    assert events == ["answered", "others have their turn"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/predict", b"", 405),
        ("POST", "/predict", b"{" * (SMALL_BYTES + 1), 400),
        ("POST", "/train", b"{", 400),
        ("GET", "/healthz", b"", 200),
    ],
)
def test_whatever_else_comes_is_looked_at(full_app: Flask, method: str, path: str, body: bytes, status: int) -> None:
    assert full_app.test_client().open(path, method=method, data=body).status_code == status


def test_with_room_again_it_is_taken(full_app: Flask) -> None:
    full_app.extensions["sb_api"].mailbox.limiters[SMALL].leave(BATCH, done=True)
    assert_problem(full_app.test_client().post("/predict", data=b"{"), 400, "malformed-body")


def test_it_is_refused_unread_as_soon_as_the_largest_small_request_would_find_no_room(
    settings: Settings, jobs: Jobs
) -> None:
    """Else requests that are larger than what room is left would each be read, checked and only then refused."""
    app = create_app(settings)
    assert app.extensions["sb_api"].mailbox.limiters[SMALL].enter(BATCH - SMALL_RECORDS + 1)
    assert_problem(app.test_client().post("/predict", data=b"{"), 503, "queue-full")
    assert waiting(jobs) == 0


def make_busy(app: Flask) -> Limiter:
    """The limiter of an application that has done so much that its rate lets in more than the least."""
    limiter: Limiter = app.extensions["sb_api"].mailbox.limiters[SMALL]
    limiter.rate = 100 * BATCH / limiter.longest
    assert limiter.enter(BATCH)
    return limiter


def test_where_the_rate_allows_more_than_the_least_it_is_taken(
    settings: Settings, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine its turn may come late, for which it would be refused.
    monkeypatch.setattr("sb_api.web.shedding.LONGEST_TURN", 60.0)
    app = create_app(settings)
    make_busy(app)
    assert_problem(app.test_client().post("/predict", data=b"{"), 400, "malformed-body")


def test_whose_turn_comes_late_is_refused_whatever_the_rate(
    settings: Settings, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the web process itself is what is short, and the rate of the answers does not tell."""
    app = create_app(settings)
    limiter = make_busy(app)
    monkeypatch.setattr("sb_api.web.shedding.time.sleep", lambda _: gevent.sleep(2 * LONGEST_TURN))
    assert_problem(app.test_client().post("/predict", data=b"{"), 503, "queue-full")
    limiter.leave(BATCH, done=True)
    assert_problem(app.test_client().post("/predict", data=b"{"), 400, "malformed-body")
