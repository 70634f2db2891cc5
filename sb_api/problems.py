"""Errors leave a web process as RFC 9457 problem documents."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from sb_api.auth import challenge
from sb_api.errors import SbApiError, TooLarge
from sb_api.logs import current_request
from sb_api.service import get_service

logger = logging.getLogger(__name__)


def register_error_handlers(app: Flask) -> None:
    """Every error leaves as RFC 9457 `application/problem+json`."""

    @app.errorhandler(SbApiError)
    def on_own(error: SbApiError) -> Response:
        report_error(error)
        response = _problem(error.problem())
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
        if error.status == 401:
            response.headers["WWW-Authenticate"] = challenge(request.environ)
        return response

    @app.errorhandler(RequestEntityTooLarge)
    def on_too_large(_: RequestEntityTooLarge) -> Response:
        limit = get_service().settings.max_body_bytes
        return _problem(TooLarge(f"The body is larger than {limit} bytes; send it in several requests.").problem())

    @app.errorhandler(HTTPException)
    def on_http(error: HTTPException) -> Response:
        document = {"type": "about:blank", "title": error.name, "status": error.code, "detail": error.description}
        response = _problem({**document, "success": False})
        for name, value in error.get_headers():
            if name != "Content-Type":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def on_unexpected(_: Exception) -> Response:
        logger.exception("%s %s failed", request.method, request.path)
        get_service().jobs.registry.note_error("web", f"{request.method} {request.path} failed; the log says why")
        return _problem(SbApiError("The service failed for a reason of its own, which is in its log.").problem())


def report_error(error: SbApiError) -> None:
    """Log an error that is ours. What is unavailable, and how full the queue is, shows elsewhere on the page."""
    if error.status >= 500:
        logger.warning("%s %s: %s", request.method, request.path, error.detail)
        if error.status != 503:
            get_service().jobs.registry.note_error("web", f"{request.method} {request.path}: {error.detail}")


def _problem(document: dict[str, Any]) -> Response:
    document = {**document, "instance": f"urn:sb_api:request:{current_request()}"}
    return Response(msgspec.json.encode(document), document["status"], mimetype="application/problem+json")
