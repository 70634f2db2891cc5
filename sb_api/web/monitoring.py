"""What the web part reports of itself and of the whole service: /metrics, request ids, access lines, spans."""

from __future__ import annotations

import atexit
import logging
import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from redis.exceptions import NoPermissionError

from sb_api.auth.access import require_unless_open
from sb_api.broker.connection import unavailable_when_lost
from sb_api.broker.shared_state import Broker
from sb_api.errors import Unavailable
from sb_api.review.store import ReviewStore
from sb_api.telemetry import tracing
from sb_api.telemetry.aggregation import Publisher, collect_totals
from sb_api.telemetry.gauges import collect_state, redis_up
from sb_api.telemetry.logs import about_requests, choose_request_id, is_logged
from sb_api.telemetry.metrics import Instruments
from sb_api.web.service import get_service
from sb_api.web.shedding import ROUTE
from sb_api.webhooks.outbox import Outbox

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

monitoring = Blueprint("monitoring", __name__)

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


@monitoring.get("/metrics")
@require_unless_open("open_metrics", "predict")
def metrics() -> Response:
    """The figures of all processes, for Prometheus.

    Where SB_API_OPEN_METRICS is on, whoever reaches the service needs no credential.
    """
    publisher: Publisher = current_app.extensions["sb_api_publisher"]
    try:
        with unavailable_when_lost():
            publisher.publish()
            found = [redis_up(1), *collect_totals(publisher.broker), *collect_state(publisher.broker)]
            queue, broker = get_service().review, publisher.broker
            found += [*_collect_review(queue), *_collect_webhooks(broker)]
    except Unavailable as error:
        # A gap, and not zeros that Prometheus would take for a restart of everything.
        logger.warning("no figures but one: %s", error.detail)
        found = [redis_up(0)]
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(Collected(found)), content_type=content_type)


def _collect_review(queue: ReviewStore | None) -> list[Metric]:
    """How full the review queue is, where it is on, and the user of Redis has the rights that only it needs. Raises
    RedisError."""
    if queue is None:
        return []
    try:
        waiting, dropped = queue.count()
    except NoPermissionError as error:
        logger.warning("no figures of the review queue: %s", error)
        return []
    return [
        GaugeMetricFamily("sb_api_review_accounts", "Accounts that wait for review.", waiting),
        GaugeMetricFamily("sb_api_review_dropped_accounts", "Accounts that had to make room lately.", dropped),
    ]


def _collect_webhooks(broker: Broker) -> list[Metric]:
    """How many webhooks wait, and what came of others. Raises RedisError."""
    waiting = GaugeMetricFamily("sb_api_webhook_waiting", "Webhooks that wait to be sent.", labels=["endpoint"])
    oldest = GaugeMetricFamily("sb_api_webhook_oldest_seconds", "Age of the oldest of them.", labels=["endpoint"])
    results = CounterMetricFamily(
        "sb_api_webhook_results", "What came of webhooks, and of attempts to send them.", labels=["endpoint", "result"]
    )
    for state in Outbox(broker.redis, broker.settings).states_where_allowed():
        waiting.add_metric([state.endpoint], state.waiting)
        oldest.add_metric([state.endpoint], state.oldest)
        for name in ("sent", "failed", "dropped", "set_aside"):
            results.add_metric([state.endpoint, name], getattr(state, name))
    return [waiting, oldest, results]


@dataclass(frozen=True)
class Collected:
    """Metrics as prometheus_client wants them to be handed over."""

    metrics: Sequence[Metric]

    def collect(self) -> Sequence[Metric]:
        return self.metrics


def monitor(application: WSGIApplication, app: Flask, broker: Broker) -> WSGIApplication:
    """The application with every request counted, timed and named; what was counted is published each second, from
    the first request until `app` ends.

    Raises InvalidSettings when traces are wanted and cannot be had.
    """
    instruments = Instruments()
    publisher = app.extensions["sb_api_publisher"] = Publisher(broker, instruments)
    _publish_while(app, publisher)
    tracer = tracing.open_tracer("web")
    if tracer is not None:
        atexit.register(tracer.close)
    share = broker.settings.access_log
    known: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    # Below Flask, whose hooks and proxies would cost eight times as much.
    def answer_monitored(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        request_id = choose_request_id(environ.get("HTTP_X_REQUEST_ID"))
        about_requests((request_id,))
        publisher.start()
        span = tracer.begin_request(environ) if tracer is not None else None

        def start_monitored(line: str, headers: Any, exc_info: Any = None) -> Any:
            seconds = time.perf_counter() - began
            method, route, status = key = (_method(environ), _route(environ), line[:3])
            if key not in known:
                known[key] = (instruments.requests.labels(*key), instruments.request_seconds.labels(method, route))
            count, duration = known[key]
            count.inc()
            duration.observe(seconds)
            if is_logged(request_id, share):
                fields = {"method": method, "route": route, "status": int(status), "seconds": round(seconds, 6)}
                logger.info("request", extra={"fields": fields})
            if tracer is not None:
                tracer.end_request(span, method, route, int(status), request_id)
            return start_response(line, [*headers, ("X-Request-ID", request_id)], exc_info)

        return application(environ, start_monitored)

    return answer_monitored


def _route(environ: WSGIEnvironment) -> str:
    if ROUTE in environ:
        return str(environ[ROUTE])
    rule = environ["werkzeug.request"].url_rule
    return rule.rule if rule else "unmatched"


def _method(environ: WSGIEnvironment) -> str:
    # A client may send any word; labels must stay few.
    method: str = environ["REQUEST_METHOD"]
    return method if method in METHODS else "other"


def _publish_while(app: Flask, publisher: Publisher) -> None:
    """Let a publisher end with its app, and publish the last figures at the end of the process."""
    weakref.finalize(app, publisher.stop).atexit = False
    publisher_if_any = weakref.ref(publisher)

    def close() -> None:
        if left := publisher_if_any():
            left.close()

    atexit.register(close)
