"""The page's blueprint: templates, assets, errors, and what every view is given."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sb_api.auth.access import csrf_token, current_identity
from sb_api.broker.shared_state import Broker
from sb_api.errors import SbApiError, Unauthenticated
from sb_api.pages.one_account import LABELS, MEANINGS
from sb_api.records import RECORD_TYPES
from sb_api.telemetry.traffic import Vitals
from sb_api.web.problems import answer_error
from sb_api.web.service import get_service

pages = Blueprint("pages", __name__, static_folder="assets", static_url_path="/assets", template_folder="templates")
ASSETS = Path(__file__).parent / "assets"
ASSET_LIFE = 365 * 24 * 3600  # seconds; the address of an asset changes with its content
PLACES = (
    ("pages.checks.check_editors", "Check"),
    ("pages.checks.check_messages", "Text"),
    ("pages.show_quality", "Quality"),
    ("pages.show_weights", "Weights"),
    ("pages.show_service", "Service"),
)
REVIEW = ("pages.reviews.show_review", "Review")  # where the queue is on, for those who may give verdicts
NAMES = {name: each.title for name, each in RECORD_TYPES.items()}
OF_MESSAGES = {name: each.title for name, each in RECORD_TYPES.items() if each.of_messages}


def show_pages(app: Flask, broker: Broker) -> None:
    """Add the page to an application."""
    # Each adds its views to the blueprint above, which it imports.
    from sb_api.pages import operations, sign_in  # noqa: F401

    app.extensions["sb_api.vitals"] = Vitals(broker)
    app.register_blueprint(pages)


@pages.before_request
def read_forms_whole() -> None:
    """A paste may be as large as any other request; a form that is cut off is a 400."""
    request.max_form_memory_size = get_service().settings.max_body_bytes
    if request.content_length is not None:
        # Else Werkzeug takes whatever ends for complete: gunicorn lets a body end with its connection, too.
        request.environ.pop("wsgi.input_terminated", None)


@pages.app_template_filter("moment")
def name_moment(seconds: float) -> str:
    """Seconds since 1970 as a date and time in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


@pages.after_request
def keep_assets(response: Response) -> Response:
    """Assets are kept by browsers for as long as their address stays the same."""
    if request.endpoint == "pages.static" and response.status_code == 200 and "v" in request.args:
        response.cache_control.no_cache = None
        response.cache_control.public = True
        response.cache_control.immutable = True
        response.cache_control.max_age = ASSET_LIFE
    return response


@pages.app_context_processor
def shared() -> dict[str, Any]:
    """What every template may use."""
    values: dict[str, Any] = {"asset": _asset, "places": _places, "csrf_token": _csrf_token, "identity": _identity}
    values |= {"names": NAMES, "names_of_messages": OF_MESSAGES}
    return values | {"can_look_up": bool(get_service().settings.editors_url), "labels": LABELS, "meanings": MEANINGS}


@pages.errorhandler(SbApiError)
def show_error(error: SbApiError) -> BaseResponse:
    """Whoever is not signed in is sent to where that is done."""
    if isinstance(error, Unauthenticated) and request.method == "GET":
        return redirect(url_for("pages.show_sign_in", next=request.script_root + request.full_path.rstrip("?")), 303)
    return answer_error(error)


def _places() -> tuple[tuple[str, str], ...]:
    who = _identity()
    return (REVIEW, *PLACES) if who and who.may("train") and get_service().review is not None else PLACES


def _identity() -> Any:
    """Who is signed in; None on the pages that are there for everybody."""
    try:
        return current_identity()
    except SbApiError:
        return None


def _csrf_token() -> str:
    try:
        return csrf_token()
    except SbApiError:  # a page that says so is shown all the same
        return ""


@cache
def _fingerprint(name: str) -> str:
    return hashlib.sha256((ASSETS / name).read_bytes()).hexdigest()[:12]


def _asset(name: str) -> str:
    """The address of an asset, which changes with its content."""
    return url_for("pages.static", filename=name, v=_fingerprint(name))
