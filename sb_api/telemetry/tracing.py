"""OpenTelemetry traces: a request, the wait of its jobs, and the work on them. Nothing is imported unless configured.

Configured by the standard variables, of which `OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`) turns it on.
The context travels in a job as a W3C `traceparent`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from sb_api.broker.jobs import Answer, Claim
from sb_api.errors import InvalidSettings

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_trace: ContextVar[str] = ContextVar("trace", default="")


def current_trace() -> str:
    """The W3C traceparent of the request that is being answered; "" when it is not traced."""
    return _trace.get()


def open_tracer(role: str) -> Tracer | None:
    """The tracer of this process, a `web`, `classify` or `train` process; None when no traces are wanted.

    Raises InvalidSettings when they are wanted and the packages for them are missing.
    """
    environment = os.environ
    if not any(environment.get(name) for name in _ENDPOINTS):
        return None
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise InvalidSettings(
            f"{' or '.join(_ENDPOINTS)} asks for traces; install what they need: pip install 'sb_api[tracing]'."
        ) from None
    attributes = {"sb_api.role": role}
    if "OTEL_SERVICE_NAME" not in environment and "service.name=" not in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        attributes["service.name"] = "sb_api"
    provider = TracerProvider(resource=Resource.create(attributes))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracer(provider)


class Tracer:
    """Makes the spans of one process."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("sb_api")
        self._propagator = TraceContextTextMapPropagator()
        self._kind = SpanKind

    def begin_request(self, environ: Mapping[str, Any]) -> Any:
        """The span of a request (WSGI), in the trace that the client's `traceparent` names, if any; current_trace() is
        within it from now on."""
        from opentelemetry.trace import set_span_in_context

        names = {"traceparent": "HTTP_TRACEPARENT", "tracestate": "HTTP_TRACESTATE"}
        sent = {name: environ[key] for name, key in names.items() if key in environ}
        method = str(environ["REQUEST_METHOD"])
        span = self._tracer.start_span(method, self._propagator.extract(sent), kind=self._kind.SERVER)
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        _trace.set(carrier.get("traceparent", ""))
        return span

    def end_request(self, span: Any, method: str, route: str, status: int, request: str) -> None:
        """Close the span of a request."""
        from opentelemetry.trace import StatusCode

        span.update_name(f"{method} {route}")
        span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "sb_api.request": request,
            }
        )
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def record_jobs(self, claims: Sequence[Claim], answers: Sequence[Answer], claimed: float) -> None:
        """Two spans for every traced job, claimed at `claimed` and done now: its wait in the queue, and the work."""
        from opentelemetry.trace import StatusCode

        claimed_ns, done_ns = int(claimed * 1e9), time.time_ns()
        for claim, answer in zip(claims, answers, strict=True):
            job = claim.job
            if not job.trace:
                continue
            context = self._propagator.extract({"traceparent": job.trace})
            about = {
                "sb_api.classifier": job.classifier,
                "sb_api.task": job.task,
                "sb_api.request": job.request,
                "sb_api.stream": claim.stream,
                "sb_api.deliveries": claim.deliveries,
                "sb_api.batch_jobs": len(claims),
            }
            sent_ns = min(int(claim.sent * 1e9), claimed_ns)
            wait = self._tracer.start_span("queue", context, attributes=about, start_time=sent_ns)
            wait.end(claimed_ns)
            work = self._tracer.start_span(
                job.operation, context, kind=self._kind.CONSUMER, attributes=about, start_time=claimed_ns
            )
            if answer.status == "failed":
                work.set_status(StatusCode.ERROR, str((answer.problem or {}).get("type", "")))
            work.end(done_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()
