"""The moderators' and operators' page: quality, weights and service, signing in, and what all its parts share."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, current_app, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sb_api.auth.access import csrf_token, current_identity, end_session, require, sign_in, start_session
from sb_api.broker.jobs import Jobs
from sb_api.errors import SbApiError, Unauthenticated, Unavailable
from sb_api.kinds import KINDS, Kind, find_kind
from sb_api.pages.charts import draw_reliability, draw_series
from sb_api.pages.moderation import checks
from sb_api.telemetry.traffic import Vitals
from sb_api.versions import Version
from sb_api.web.problems import answer_error
from sb_api.web.service import await_rollback, describe_readiness, get_service, read_chain, read_quality, submit_replay

pages = Blueprint("pages", __name__, static_folder="assets", static_url_path="/assets", template_folder="templates")
pages.register_blueprint(checks)

ASSETS = Path(__file__).parent / "assets"
ASSET_LIFE = 365 * 24 * 3600  # seconds; the address of an asset changes with its content
PLACES = (
    ("pages.checks.check_editors", "Check"),
    ("pages.checks.check_messages", "Text"),
    ("pages.show_quality", "Quality"),
    ("pages.show_weights", "Weights"),
    ("pages.show_service", "Service"),
)
NAMES = {"lodbrok": "Editors", "intent": "Messages"}


def show_pages(app: Flask, jobs: Jobs) -> None:
    """Add the page to an application."""
    app.extensions["sb_api.vitals"] = Vitals(jobs)
    app.register_blueprint(pages)


@pages.before_request
def allow_large_forms() -> None:
    """A paste may be as large as any other request."""
    request.max_form_memory_size = get_service().settings.max_body_bytes


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
    return {"asset": _asset, "places": PLACES, "names": NAMES, "csrf_token": _csrf_token, "identity": _identity}


@pages.errorhandler(SbApiError)
def show_error(error: SbApiError) -> BaseResponse:
    """Whoever is not signed in is sent to where that is done."""
    if isinstance(error, Unauthenticated) and request.method == "GET":
        return redirect(url_for("pages.show_sign_in", next=request.full_path.rstrip("?")), 303)
    return answer_error(error)


@pages.get("/page/quality")
@require("predict")
def show_quality() -> str:
    """How right the weights were on verdicts before they learned them."""
    kind = _kind()
    quality = read_quality(get_service(), kind)
    series = quality.get("series", [])
    moments = [row["until"] for row in series]
    events = [(event["moment"], event["kind"], _name(event)) for event in quality.get("events", [])]
    charts = {}
    if series:
        over_time = {name: [row[name] for row in series] for name in ("precision", "recall")}
        charts["over_time"] = draw_series(moments, over_time, events, highest=1.0)
        if "false_positives_per_thousand" in series[0]:
            alarms = {"false positives per 1,000": [row["false_positives_per_thousand"] for row in series]}
            charts["alarms"] = draw_series(moments, alarms, events)
    calibration = quality.get("calibration")
    dots = draw_reliability(calibration["bins"]) if calibration else []
    return render_template("quality.html", model=kind.name, quality=quality, charts=charts, dots=dots)


@pages.get("/page/weights")
@require("predict")
def show_weights() -> str:
    """The chain of versions, two of them side by side, and a replay under way."""
    service, kind = get_service(), _kind()
    chain = read_chain(service, kind)
    known = {about.version: about for about in chain.versions}
    current = known[chain.slots["current"] or ""]
    chosen = [known.get(request.args.get("one", current.parent or "")), known.get(request.args.get("two", ""), current)]
    task = _task_id(request.args.get("task", ""))
    return render_template(
        "weights.html",
        model=kind.name,
        chain=chain,
        current=current.version,
        slots={version: slot for slot, version in chain.slots.items()},
        chosen=chosen,
        compared=_compare(chosen[0], chosen[1]) if chosen[0] and chosen[1] and len(known) > 1 else [],
        replay=read_quality(service, kind).get("replay"),
        task=service.jobs.result(task) if task else None,
        rolled_back="rolled_back" in request.args,
    )


@pages.post("/page/rollback")
@require("admin")
def roll_back() -> BaseResponse:
    """Make the version of the form current."""
    kind = _kind()
    await_rollback(get_service(), kind, request.form.get("to", ""))
    return redirect(url_for("pages.show_weights", model=kind.name, rolled_back=1), 303)


@pages.post("/page/replay")
@require("admin")
def replay() -> BaseResponse:
    """Start to rebuild the weights."""
    kind = _kind()
    task = submit_replay(get_service(), kind, force=False)
    return redirect(url_for("pages.show_weights", model=kind.name, task=task), 303)


@pages.get("/page/service")
@require("predict")
def show_service() -> str:
    """Who is alive, what waits, and what went wrong."""
    vitals: Vitals = current_app.extensions["sb_api.vitals"]
    service = get_service()
    try:
        measured, errors = vitals.read(), service.jobs.registry.errors()
    except Unavailable as error:  # nothing else is asked of a Redis that is not there, which takes its time each time
        ready = {"success": False, "status": "not ready", "problems": [f"Redis: {error.detail}"], "notes": []}
        return render_template("service.html", ready=ready, vitals=None, errors=None)
    return render_template("service.html", ready=describe_readiness(service), vitals=measured, errors=errors)


@pages.get("/page/sign-in")
def show_sign_in() -> str:
    return render_template("sign_in.html", problem=None, name="", next=_own(request.args.get("next", "")))


@pages.post("/page/sign-in")
def do_sign_in() -> BaseResponse | tuple[str, int]:
    """Start a session, and go where the person wanted to."""
    name, wanted = request.form.get("name", "").strip(), _own(request.form.get("next", ""))
    try:
        identity = sign_in(name, request.form.get("secret", ""))
    except SbApiError as error:
        return render_template("sign_in.html", problem=error.problem(), name=name, next=wanted), error.status
    response = make_response(redirect(wanted, 303))
    start_session(response, identity)
    return response


@pages.post("/page/sign-out")
def do_sign_out() -> BaseResponse:
    current_identity()  # refuses what another site's page sends
    response = make_response(redirect(url_for("pages.show_sign_in"), 303))
    end_session(response)
    return response


def _compare(one: Version, two: Version) -> list[tuple[str, Any, Any]]:
    """The figures of two versions on the reference set, and what else tells them apart."""
    left, right = (about.figures.get("reference", about.figures) for about in (one, two))
    rows = [("learned", one.learned, two.learned), ("created", one.created, two.created)]
    names = [name for name, value in {**left, **right}.items() if isinstance(value, int | float) or value is None]
    return rows + [(name, left.get(name), right.get(name)) for name in names]


def _name(event: dict[str, Any]) -> str:
    """What the mark of a training, rollback or replay says."""
    moment = event["moment"].replace("T", " ").removesuffix("Z")
    return f"{event['kind']} at {moment} UTC: {event['previous'] or 'nothing'} to {event['version']}"


def _kind() -> Kind:
    return find_kind(request.values.get("model", next(iter(KINDS))))


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


def _own(address: str) -> str:
    """An address of this page; another site's is not followed."""
    parts = urlsplit(address)
    sound = address.startswith("/") and not address.startswith(("//", "/\\")) and not (parts.scheme or parts.netloc)
    return address if sound else url_for("pages.checks.check_editors")


def _task_id(text: str) -> str:
    try:
        return uuid.UUID(text).hex
    except ValueError:
        return ""


@cache
def _fingerprint(name: str) -> str:
    return hashlib.sha256((ASSETS / name).read_bytes()).hexdigest()[:12]


def _asset(name: str) -> str:
    """The address of an asset, which changes with its content."""
    return url_for("pages.static", filename=name, v=_fingerprint(name))
