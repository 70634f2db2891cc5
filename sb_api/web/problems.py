"""Errors leave a web process as RFC 9457 problem documents, or as a page where a browser shows them."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from flask import Flask, Response, make_response, render_template, request
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge

from sb_api.auth.access import challenge
from sb_api.errors import SbApiError, TooLarge
from sb_api.telemetry.logs import current_request
from sb_api.web.service import get_service

logger = logging.getLogger(__name__)

_KINDS = ("application/problem+json", "text/html")  # the first, for whoever takes either


def register_error_handlers(app: Flask) -> None:
    """Every error leaves as RFC 9457 `application/problem+json`; of the page's addresses, and of those that a browser
    looked for in vain, as a page that says the same."""
    app.register_error_handler(Exception, answer_exception)


def answer_exception(error: Exception) -> Response:
    """The answer to the request under way, which ended in an error: one of ours, of HTTP, or one nobody expected."""
    if isinstance(error, SbApiError):
        return answer_error(error)
    if isinstance(error, RequestEntityTooLarge):
        limit = request.max_content_length
        return _problem(TooLarge(f"The body is larger than {limit} bytes; send it in several requests.").problem())
    if isinstance(error, HTTPException):
        return _answer_http(error)
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    get_service().broker.registry.note_error("web", f"{request.method} {request.path} failed; the log says why")
    return _problem(SbApiError("The service failed for a reason of its own, which is in its log.").problem())


def _answer_http(error: HTTPException) -> Response:
    document = {"type": "about:blank", "title": error.name, "status": error.code, "detail": error.description}
    response = _problem({**document, "success": False})
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    return response


def answer_error(error: SbApiError) -> Response:
    """The answer to an error of ours."""
    _report(error)
    response = _problem(error.problem())
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = challenge(request.environ)
    return response


def _report(error: SbApiError) -> None:
    """Log an error that is ours. What is unavailable, and how full the queue is, shows elsewhere on the page."""
    if error.status >= 500:
        logger.warning("%s %s: %s", request.method, request.path, error.detail)
        if error.status != 503:
            get_service().broker.registry.note_error("web", f"{request.method} {request.path}: {error.detail}")


def _problem(document: dict[str, Any]) -> Response:
    document = {**document, "instance": f"urn:sb_api:request:{current_request()}"}
    if _is_for_people():
        return make_response(render_template("problem.html", problem=document), document["status"])
    return Response(msgspec.json.encode(document), document["status"], mimetype="application/problem+json")


def _is_for_people() -> bool:
    """Whether a browser shows the answer to this request, and a page can be made: one has links, which need a host."""
    if isinstance(request.routing_exception, BadRequest):
        return False
    if request.path == "/" or request.path.startswith("/page/"):
        return True
    return request.url_rule is None and request.accept_mimetypes.best_match(_KINDS) == "text/html"
