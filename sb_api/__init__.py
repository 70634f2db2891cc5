"""sb_api judges MusicBrainz editor accounts, and learns from moderators' verdicts.

`create_app` makes the web part; `sb_api.cli` runs everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from sb_api.config import Settings

__version__ = "0.1.0"


def create_app(config: Settings | None = None) -> Flask:
    """The Flask application, with settings from the environment when none are given.

    It connects to Redis on the first request and needs no model. Raises InvalidSettings.
    """
    import uuid

    from flask import Flask

    from sb_api import routes
    from sb_api.auth.access import protect
    from sb_api.auth.gate import Gate, require_credentials
    from sb_api.broker.connection import connect
    from sb_api.broker.jobs import Jobs
    from sb_api.broker.rpc import Mailbox
    from sb_api.config import load_settings
    from sb_api.pages.blueprint import show_pages
    from sb_api.telemetry.logs import configure_logging
    from sb_api.web import monitoring, problems
    from sb_api.web.api_docs import add_docs
    from sb_api.web.fast_path import take_shortcut
    from sb_api.web.service import Service

    settings = config or load_settings()
    require_credentials(settings)
    configure_logging(settings)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]
    jobs = Jobs(connect(settings), settings)
    # Two processes may share a process number on different hosts, and a restarted one must not read old replies.
    mailbox = Mailbox(jobs, uuid.uuid4().hex)
    service = app.extensions["sb_api"] = Service(settings, jobs, mailbox)
    gate = Gate(settings)
    take_shortcut(app, service, gate)
    monitoring.monitor(app, jobs)
    app.register_blueprint(monitoring.monitoring)
    app.register_blueprint(routes.api)
    show_pages(app, jobs)
    problems.register_error_handlers(app)
    add_docs(app, __version__)
    protect(app, gate)
    return app
