"""A web worker that waits for nobody long, so that tests need not either."""

from __future__ import annotations

from sb_api.web.gunicorn_worker import WebWorker


class ImpatientWorker(WebWorker):
    grace = 1.0
    head_seconds = 1.0
    per_address = 60
