"""Log lines: text or JSON, about which request, and nothing of what editors wrote."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.broker.jobs import SMALL, Answer, Job
from sb_api.classify import judge_claims
from sb_api.config import Settings, load_settings
from sb_api.processes.claiming import SmallFirst
from sb_api.processes.worker import Worker
from sb_api.telemetry.logs import (
    JsonFormatter,
    TextFormatter,
    about_requests,
    choose_request_id,
    configure_logging,
    current_request,
    is_logged,
    logging_about,
)
from tests.conftest import join, wait_until
from tests.support.jobs import Jobs
from tests.support.service import Service, Shipped, assert_problem, clean_environment, make_editors, make_verdicts


def make_record(message: str, *arguments: Any, **more: Any) -> logging.LogRecord:
    return logging.getLogger("sb_api.test").makeRecord(
        "sb_api.test", logging.WARNING, __file__, 1, message, arguments, None, **more
    )


@pytest.fixture(autouse=True)
def outside_requests() -> Iterator[None]:
    with logging_about(()):
        yield


@pytest.mark.parametrize(
    "sent",
    [
        "1",
        "abc-1",
        "5c0bd41e-9f0c-4c8e-8a3e-6a2f3dfb2b1d",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "Root=1-67891233-abcdef",
        "a" * 128,
    ],
)
def test_a_sound_id_of_a_client_is_kept(sent: str) -> None:
    assert choose_request_id(sent) == sent


@pytest.mark.parametrize(
    "sent", [None, "", "a b", "a\n", "a\r\nSet-Cookie: x", "é", '"', "<b>", "a" * 129, "\x1b[2J", "a,b"]
)
def test_any_other_gets_a_new_one(sent: str | None) -> None:
    chosen = {choose_request_id(sent) for _ in range(100)}
    assert len(chosen) == 100
    assert all(len(request) == 32 and request.isalnum() for request in chosen)


def test_text_is_one_line_though_a_client_sent_control_characters() -> None:
    with logging_about(["r1"]):
        line = TextFormatter().format(
            make_record("%s failed", "/x\n2026-01-01 ERROR forged\x1b[2J\x85", extra={"fields": {"a": "b\nc"}})
        )
    assert line.endswith("sb_api.test: /x\\x0a2026-01-01 ERROR forged\\x1b[2J\\x85 failed a=b\\x0ac request=r1")
    assert len(line.splitlines()) == 1


ODD = "\x1b]52;c;eA==\x07\x9b31m\x7f\u2028\u202e\u2066\u200f\r"


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_no_line_moves_a_terminal_or_turns_its_text(formatter: logging.Formatter) -> None:
    line = formatter.format(make_record("%s failed", ODD, extra={"fields": {"a": ODD}}))
    assert line.isprintable()
    assert "failed" in line
    if isinstance(formatter, JsonFormatter):
        assert json.loads(line)["a"] == ODD


def test_json_is_one_object_a_line() -> None:
    with logging_about(["r1"]):
        line = JsonFormatter().format(
            make_record("%s\n%s", "über", b"\xff", extra={"fields": {"status": 200, "odd": {1}}})
        )
    assert "\n" not in line
    document = json.loads(line)
    assert document.pop("time").endswith("+00:00")
    assert isinstance(document.pop("process"), int)
    assert document == {
        "level": "WARNING",
        "logger": "sb_api.test",
        "message": "über\nb'\\xff'",
        "status": 200,
        "odd": [1],
        "request": "r1",
    }


def test_json_has_the_traceback() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        record = make_record("failed")
        record.exc_info = sys.exc_info()
    assert json.loads(JsonFormatter().format(record))["exception"].endswith("ValueError: why")


def test_a_batch_is_named_by_its_first_requests() -> None:
    with logging_about([*(f"r{number}" for number in range(200)), ""]):
        document = json.loads(JsonFormatter().format(make_record("x")))
    assert document["requests"] == "r0,r1,r2,r3,r4,r5,r6,r7"
    assert document["request_count"] == 200
    assert "requests" not in JsonFormatter().format(make_record("x"))


def test_a_request_is_that_of_its_own_thread() -> None:
    with logging_about(["r1"]):
        assert current_request() == "r1"
        about_requests(("r2",))
        assert current_request() == "r2"
    assert current_request() == ""


CONFIGURED = """
import logging, sys
from sb_api.config import load_settings
from sb_api.telemetry.logs import configure_logging
configure_logging(load_settings())
configure_logging(load_settings())
logging.getLogger("a").info("hello")
logging.getLogger("gunicorn.error").warning("worker")
logging.getLogger("a").debug("never")
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_process_logs_as_the_settings_say(form: str) -> None:
    environment = clean_environment(SB_API_LOG_FORMAT=form)
    done = subprocess.run(
        [sys.executable, "-c", CONFIGURED], env=environment, capture_output=True, text=True, check=True
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    if form == "json":
        assert [json.loads(line)["message"] for line in lines] == ["hello", "worker"]
    else:
        assert lines[0].endswith("a: hello")


def test_logging_that_is_there_already_is_left_alone() -> None:
    before = list(logging.getLogger().handlers)
    assert before  # pytest's
    configure_logging(load_settings({}, log_format="json"))
    assert logging.getLogger().handlers == before


# Over HTTP


def test_every_answer_has_its_id(lonely_client: FlaskClient) -> None:
    for path in ("/healthz", "/nothing", "/metrics", "/readyz"):
        assert lonely_client.get(path, headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
        made = {lonely_client.get(path, headers={"X-Request-ID": "not mine"}).headers["X-Request-ID"] for _ in range(2)}
        assert len(made) == 2
        assert "not mine" not in made
    assert len(lonely_client.get("/healthz").headers.getlist("X-Request-ID")) == 1


def test_a_problem_says_which_request_it_is_of(lonely_client: FlaskClient) -> None:
    response = lonely_client.post("/predict", data=b"", headers={"X-Request-ID": "mine-2"})
    assert assert_problem(response, 400)["instance"] == "urn:sb_api:request:mine-2"
    assert lonely_client.get("/nothing", headers={"X-Request-ID": "m"}).get_json()["instance"] == "urn:sb_api:request:m"


def test_the_id_goes_through_redis_to_the_log_of_the_process_that_trains(service: Service) -> None:
    request = uuid.uuid4().hex
    response = service.post("/train", make_verdicts(4, start=9000), headers={"X-Request-ID": request})
    assert response.headers["X-Request-ID"] == request
    wait_until(lambda: f"request={request}" in service.log)
    (line,) = [line for line in service.log.splitlines() if "learned 4 verdicts" in line and request in line]
    assert " sb_api.learning.trainer: " in line


@pytest.mark.parametrize("path", ["/predict", "/classify"])
def test_the_id_travels_in_the_job(path: str, jobs: Jobs, settings: Settings) -> None:
    client = create_app(msgspec.structs.replace(settings, predict_timeout=0.05)).test_client()
    data: Any = make_editors(1)
    client.post(
        path, json=data if path == "/predict" else {"model": "lodbrok", "data": data}, headers={"X-Request-ID": "r9"}
    )
    jobs.ensure_groups([SMALL])
    (claim,) = jobs.claim([SMALL], 5, 0).claims
    assert claim.job.request == "r9"


def test_lines_of_a_batch_are_about_its_requests(jobs: Jobs) -> None:
    seen: list[str] = []

    def do(claims: Any) -> list[Answer]:
        seen.append(JsonFormatter().format(make_record("working")))
        worker.stopping.set()
        return [Answer(status="completed") for _ in claims]

    worker = Worker(jobs, "classify", SmallFirst(), do=do, refresh=lambda _: {"lodbrok": "1"})
    jobs.submit(
        SMALL, [Job(task=t, operation="predict", classifier="lodbrok", body=b"", request=f"r{t}") for t in "12"]
    )
    worker.run()
    assert json.loads(seen[0])["requests"] == "r1,r2"
    assert current_request() == ""


@pytest.mark.parametrize(("share", "lines"), [(0.0, 0), (1.0, 2)])
def test_as_many_requests_are_logged_as_the_settings_say(
    share: float, lines: int, settings: Settings, jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    client = create_app(msgspec.structs.replace(settings, access_log=share)).test_client()
    with caplog.at_level(logging.INFO, "sb_api.web.monitoring"):
        client.get("/healthz?secret=1")
        client.get("/get-result/5")
    found = [record for record in caplog.records if record.name == "sb_api.web.monitoring"]
    assert len(found) == lines
    if lines:
        fields = [getattr(record, "fields") for record in found]  # noqa: B009
        assert [(f["method"], f["route"], f["status"]) for f in fields] == [
            ("GET", "/healthz", 200),
            ("GET", "/get-result/<task_id>", 404),
        ]
        assert all(0 < f["seconds"] < 10 for f in fields)


def test_a_request_can_be_followed_to_the_process_that_judges_and_back(
    jobs: Jobs, settings: Settings, shipped: Shipped, caplog: pytest.LogCaptureFixture
) -> None:
    """One id in the line of the web process, in that of the classify process, and in the answer."""
    settings = msgspec.structs.replace(settings, access_log=1.0)
    worker = Worker(
        Jobs(jobs.redis, settings),
        "classify",
        SmallFirst(),
        do=lambda claims: judge_claims({"lodbrok": shipped.model}, claims),
        refresh=lambda _: {"lodbrok": "1"},
    )
    lines: list[dict[str, Any]] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(json.loads(JsonFormatter().format(record)))  # type: ignore[method-assign]
    caplog.set_level(logging.INFO, "sb_api")
    logging.getLogger("sb_api").addHandler(handler)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        headers = {"X-Request-ID": "followed-1"}
        response = create_app(settings).test_client().post("/predict", json=make_editors(2), headers=headers)
    finally:
        worker.stopping.set()
        join(thread)
        logging.getLogger("sb_api").removeHandler(handler)
    assert (response.status_code, response.headers["X-Request-ID"]) == (200, "followed-1")
    about = {line["logger"]: line for line in lines if line.get("request") == "followed-1"}
    assert about.keys() == {"sb_api.web.monitoring", "sb_api.processes.worker"}
    judged = about["sb_api.processes.worker"]
    expected = {"operation": "predict", "classifier": "lodbrok", "status": "completed", "batch_jobs": 1}
    assert expected.items() <= judged.items()
    assert 0 <= judged["waited"] < 20
    # The classify process goes on for a moment when the answer is on its way, so neither is the longer one.
    assert judged["seconds"] > 0
    assert about["sb_api.web.monitoring"]["seconds"] > 0


def test_every_process_logs_the_same_share_of_the_requests() -> None:
    ids = [choose_request_id(None) for _ in range(4000)]
    logged = {share: {request for request in ids if is_logged(request, share)} for share in (0.0, 0.1, 0.5, 1.0)}
    assert not logged[0.0]
    assert logged[0.1] < logged[0.5] < logged[1.0] == set(ids)
    assert 250 < len(logged[0.1]) < 550


def test_nothing_that_an_editor_wrote_is_in_the_log(service: Service) -> None:
    marks = {field: uuid.uuid4().hex for field in ("email", "website", "bio")}
    editor = {
        "id": 1,
        "email": f"{marks['email']}@example.org",
        "website": f"http://{marks['website']}.example.com",
        "bio": marks["bio"],
    }
    service.post("/predict", [editor])
    service.post("/predict?explain=true", [editor])
    service.post("/predict", [{**editor, "birth_date": marks["bio"]}])
    service.post("/train", [{**editor, "verdict": 1}])
    service.post("/predict", [{**editor, "email": [marks["email"]]}])
    assert service.get("/healthz").ok
    assert not [mark for mark in marks.values() if mark in service.log]
