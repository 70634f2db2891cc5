"""sb_api judges MusicBrainz editor accounts, and learns from moderators' verdicts.

`create_app` makes the web part, `load` a classifier without a service; `sb_api.cli` runs everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed.wsgi import WSGIApplication
    from flask import Flask

    from sb_api.config import Settings
    from sb_api.local.judge import Judge

__version__ = "0.1.0"


def load(model: str = "lodbrok", source: str | Path | None = None, version: str | None = None) -> Judge:
    """A classifier that judges in this process, without a service: `load()(records)`. See `sb_api.local.judge.load`."""
    from sb_api.local import judge

    return judge.load(model, source, version)


def create_app(config: Settings | None = None) -> Flask:
    """The Flask application, with settings from the environment when none are given.

    It connects to Redis on the first request and needs no model. Raises InvalidSettings.
    """
    from flask import Flask

    from sb_api import routes
    from sb_api.auth.access import limit_open_bodies
    from sb_api.auth.gate import Gate, require_credentials
    from sb_api.auth.headers import secure, trust_proxies
    from sb_api.broker.connection import connect
    from sb_api.broker.jobs import SMALL
    from sb_api.broker.limiter import Room
    from sb_api.broker.producer import Producer
    from sb_api.broker.rpc import Mailbox
    from sb_api.broker.shared_state import Broker
    from sb_api.config import load_settings
    from sb_api.pages.blueprint import show_pages
    from sb_api.review.store import ReviewStore
    from sb_api.telemetry.logs import configure_logging
    from sb_api.web.api_docs import add_docs
    from sb_api.web.fast_path import answer_small_requests
    from sb_api.web.monitoring import monitor, monitoring
    from sb_api.web.problems import register_error_handlers
    from sb_api.web.results import ResultMemory
    from sb_api.web.service import Service
    from sb_api.web.shedding import shed_load
    from sb_api.webhooks.endpoints import parse_endpoints

    settings = config or load_settings()
    require_credentials(settings)
    parse_endpoints(settings)  # what is wrong with them would only show when others are to be told of something
    configure_logging(settings)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]
    broker = Broker.of(connect(settings), settings)
    producer = Producer(broker)
    mailbox = Mailbox(producer)
    largest = settings.max_body_bytes
    service = app.extensions["sb_api"] = Service(
        settings,
        producer,
        mailbox,
        ResultMemory(broker.redis, settings.result_ttl, settings.web_count),
        reading=Room(2 * largest),
        working=Room(largest),
        review=ReviewStore(broker.redis, settings) if settings.review == "on" else None,
    )
    gate = app.extensions["sb_api.auth"] = Gate(settings)
    app.before_request(limit_open_bodies)
    app.register_blueprint(monitoring)
    app.register_blueprint(routes.api)
    show_pages(app, broker)
    register_error_handlers(app)
    add_docs(app, __version__)
    # The layers around Flask; a request comes through them from the last line to the first.
    layers: WSGIApplication = app.wsgi_app
    layers = answer_small_requests(layers, app, service, gate)  # the innermost: what it answers needs all the others
    layers = shed_load(layers, mailbox.limiters[SMALL])  # before a request is looked at, which is what costs
    layers = monitor(layers, app, broker)  # counts what is refused and what fails, too
    layers = secure(layers)  # every answer has the headers, also a refusal
    # The outermost: all others use the client's address, scheme and host.
    layers = trust_proxies(layers, settings.proxies, settings.proxy_addresses)
    app.wsgi_app = layers  # type: ignore[method-assign, assignment]
    return app
