"""OpenTelemetry traces, as a real receiver gets them: the request, the wait and the work in one trace; else nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sb_api import create_app
from sb_api.broker.jobs import Answer, Claim
from sb_api.classify import judge_claims
from sb_api.config import Settings
from sb_api.errors import InvalidSettings, JobFailed
from sb_api.processes.claiming import SmallFirst
from sb_api.processes.worker import Worker
from sb_api.telemetry.tracing import open_tracer
from tests.conftest import join, wait_until
from tests.support.jobs import Jobs
from tests.support.service import Shipped, clean_environment, make_editors

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
ERROR = 2


class Receiver:
    """An OTLP receiver: the spans that came, with the role of the process that sent each."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        self.services: set[str] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, request: Any) -> None:
        for resource in request.resource_spans:
            about = {item.key: item.value.string_value for item in resource.resource.attributes}
            self.services.add(about["service.name"])
            self.spans += [(about["sb_api.role"], span) for scope in resource.scope_spans for span in scope.spans]

    def named(self, name: str) -> Any:
        """The one span of a name, once it has come."""
        wait_until(lambda: any(span.name == name for _, span in self.spans))
        (span,) = [span for _, span in self.spans if span.name == name]
        return span


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that every tracer opened in the test sends to."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    yield receiver
    receiver.server.shutdown()
    join(thread)
    receiver.server.server_close()


@pytest.fixture
def work(jobs: Jobs) -> Iterator[Callable[[Callable[[list[Claim]], list[Answer]]], None]]:
    """Starts a process's work in a thread."""
    started: list[tuple[Worker, threading.Thread]] = []

    def start(do: Any) -> None:
        worker = Worker(jobs, "classify", SmallFirst(), do=do, refresh=lambda _: {"lodbrok": "1"})
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        started.append((worker, thread))

    yield start
    for worker, thread in started:
        worker.stopping.set()
        join(thread)


def attributes(span: Any) -> dict[str, Any]:
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


def test_a_request_its_wait_and_its_work_are_one_trace(
    receiver: Receiver, work: Any, shipped: Shipped, settings: Settings
) -> None:
    """Also one with the client's own span above it."""
    work(lambda claims: judge_claims({"lodbrok": shipped.model}, claims))
    client = create_app(settings).test_client()
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "r1"}
    assert client.post("/predict", json=make_editors(3), headers=headers).status_code == 200
    request, queue, predict = (receiver.named(name) for name in ("POST /predict", "queue", "predict"))
    assert {span.trace_id.hex() for span in (request, queue, predict)} == {TRACE}
    assert request.parent_span_id.hex() == PARENT
    assert queue.parent_span_id == predict.parent_span_id == request.span_id
    assert request.start_time_unix_nano <= queue.end_time_unix_nano == predict.start_time_unix_nano
    assert queue.start_time_unix_nano <= queue.end_time_unix_nano
    assert predict.start_time_unix_nano < predict.end_time_unix_nano
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "sb_api.request": "r1",
    }
    assert attributes(predict)["sb_api.request"] == "r1"
    assert attributes(predict)["sb_api.classifier"] == "lodbrok"
    assert {role for role, span in receiver.spans if span.name == "predict"} == {"classify"}
    assert {role for role, span in receiver.spans if span.name == "POST /predict"} == {"web"}
    assert receiver.services == {"sb_api"}


def test_nothing_that_an_editor_wrote_is_in_a_trace(
    receiver: Receiver, work: Any, shipped: Shipped, settings: Settings
) -> None:
    work(lambda claims: judge_claims({"lodbrok": shipped.model}, claims))
    client = create_app(settings).test_client()
    body = [{"id": 1, "bio": "hush-bio", "email": "hush-mail@example.org"}]
    assert client.post("/intents/predict?note=hush-query", json=body).status_code == 400
    assert client.post("/predict", json=body).status_code == 200
    receiver.named("POST /intents/predict")
    receiver.named("POST /predict")
    receiver.named("predict")
    assert "hush" not in str([span for _, span in receiver.spans])


def test_what_failed_is_marked(receiver: Receiver, work: Any, settings: Settings) -> None:
    def fail(claims: Any) -> Any:
        raise JobFailed("on purpose")

    work(fail)
    assert create_app(settings).test_client().post("/predict", json=make_editors(1)).status_code == 500
    assert receiver.named("POST /predict").status.code == ERROR
    predict = receiver.named("predict")
    assert (predict.status.code, predict.status.message) == (ERROR, "urn:sb_api:problem:job-failed")


def test_a_request_that_is_not_sampled_leaves_no_trace(
    receiver: Receiver, work: Any, shipped: Shipped, settings: Settings
) -> None:
    """The client's sampling decision holds for the work, too."""
    work(lambda claims: judge_claims({"lodbrok": shipped.model}, claims))
    client = create_app(settings).test_client()
    client.post("/predict", json=make_editors(1), headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    client.get("/healthz")
    receiver.named("GET /healthz")
    assert {span.name for _, span in receiver.spans} == {"GET /healthz"}


def test_the_standard_name_of_the_service_wins(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "spam judge")
    create_app(settings).test_client().get("/healthz")
    receiver.named("GET /healthz")
    assert receiver.services == {"spam judge"}


def test_a_receiver_that_is_away_does_no_harm(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    client = create_app(settings).test_client()
    assert [client.get("/healthz").status_code for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=["nothing", "a name only", "an empty endpoint", "disabled", "no exporter"],
)
def test_without_an_endpoint_nothing_for_traces_is_imported(variables: dict[str, str], settings: Settings) -> None:
    """The Redis client, too, imports parts of OpenTelemetry where it is installed; none of them makes traces."""
    code = """
import json, sys
from sb_api import create_app
client = create_app().test_client()
assert client.get("/healthz").status_code == 200
tracing = ("opentelemetry.exporter", "opentelemetry.sdk.trace")
print(json.dumps([name for name in sys.modules if name.startswith(tracing)]))
"""
    environment = clean_environment(SB_API_STATE_DIR=settings.state_dir, **variables)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_traces_without_their_packages_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/v1/traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(InvalidSettings, match=r"pip install 'sb_api\[tracing\]'"):
        open_tracer("web")
