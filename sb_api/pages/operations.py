"""The moderators' and operators' page: quality, weights and service, signing in, and what all its parts share."""

from __future__ import annotations

import uuid
from typing import Any

from flask import current_app, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sb_api.auth.access import current_actor, require
from sb_api.broker.connection import unavailable_when_lost
from sb_api.errors import NoAnswerInTime, Unavailable
from sb_api.pages.blueprint import pages
from sb_api.pages.charts import draw_reliability, draw_series
from sb_api.pages.history import PATIENCE
from sb_api.pages.moderation import checks
from sb_api.pages.review import reviews
from sb_api.pages.staging import describe_staged
from sb_api.records import RECORD_TYPES, RecordType, find_record_type
from sb_api.telemetry.traffic import Vitals
from sb_api.versions import Version
from sb_api.web.calls.trainings import await_rollback, submit_replay
from sb_api.web.service import ask_audit, describe_readiness, find_result, get_service, read_chain, read_quality
from sb_api.webhooks.outbox import Outbox

DEFAULT_PLACE = 3  # in the curve of `measure_bands`
MOST_ENTRIES = 200  # of the audit log; `sb-api audit` has them all

pages.register_blueprint(checks)
pages.register_blueprint(reviews)


@pages.get("/page/quality")
@require("predict")
def show_quality() -> str:
    """How right the weights were on verdicts before they learned them."""
    record_type = _record_type()
    quality = read_quality(get_service(), record_type)
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
    return render_template("quality.html", model=record_type.name, quality=quality, charts=charts, dots=dots)


@pages.get("/page/weights")
@require("predict")
def show_weights() -> str:
    """The chain of versions, two of them side by side, and a replay under way."""
    service, record_type = get_service(), _record_type()
    chain = read_chain(service, record_type)
    known = {about.version: about for about in chain.versions}
    current = known[chain.slots["current"] or ""]
    chosen = [known.get(request.args.get("one", current.parent or "")), known.get(request.args.get("two", ""), current)]
    task = _task_id(request.args.get("task", ""))
    return render_template(
        "weights.html",
        model=record_type.name,
        chain=chain,
        current=current.version,
        slots={version: slot for slot, version in chain.slots.items()},
        chosen=chosen,
        compared=_compare(chosen[0], chosen[1]) if chosen[0] and chosen[1] and len(known) > 1 else [],
        replay=read_quality(service, record_type).get("replay"),
        task=find_result(service, task) if task else None,
        rolled_back="rolled_back" in request.args,
        place=max(0, request.args.get("innocents", DEFAULT_PLACE, type=int)),
        promoting="promoting" in request.args,
        **describe_staged(service, record_type),
    )


@pages.post("/page/rollback")
@require("admin")
def roll_back() -> BaseResponse:
    """Make the version of the form current."""
    record_type = _record_type()
    await_rollback(get_service(), record_type, request.form.get("to", ""), current_actor())
    return redirect(url_for("pages.show_weights", model=record_type.name, rolled_back=1), 303)


@pages.post("/page/replay")
@require("admin")
def replay() -> BaseResponse:
    """Start to rebuild the weights."""
    record_type = _record_type()
    task = submit_replay(get_service(), record_type, current_actor())
    return redirect(url_for("pages.show_weights", model=record_type.name, task=task), 303)


@pages.get("/page/service")
@require("predict")
def show_service() -> str:
    """Who is alive, what waits, and what went wrong."""
    vitals: Vitals = current_app.extensions["sb_api.vitals"]
    service = get_service()
    try:
        measured, errors = vitals.read(), service.broker.registry.errors()
        with unavailable_when_lost():
            webhooks = Outbox(service.broker.redis, service.settings).states_where_allowed()
    except Unavailable as error:  # nothing else is asked of a Redis that is not there, which takes its time each time
        ready = {"success": False, "status": "not ready", "problems": [f"Redis: {error.detail}"], "notes": []}
        return render_template("service.html", ready=ready, vitals=None, errors=None)
    shown = {"vitals": measured, "errors": errors, "webhooks": webhooks}
    return render_template("service.html", ready=describe_readiness(service), **shown)


@pages.get("/page/audit")
@require("admin")
def show_audit() -> tuple[str, int]:
    """Who had what done."""
    service = get_service()
    if service.settings.verdict_log == "off":
        missing = "SB_API_VERDICT_LOG is off: who had what done is in the log lines of sb_api.audit alone."
        return render_template("audit.html", missing=missing, entries=[]), 200
    try:
        entries = ask_audit(service, MOST_ENTRIES, PATIENCE)
    except (Unavailable, NoAnswerInTime):
        missing = "The train process, which keeps the log, is busy or away. Load this page again in a moment."
        return render_template("audit.html", missing=missing, entries=[]), 503
    return render_template("audit.html", missing="", entries=entries, most=MOST_ENTRIES), 200


def _compare(one: Version, two: Version) -> list[tuple[str, Any, Any]]:
    """The figures of two versions on the reference set, and what else differs."""
    left, right = (about.figures.get("reference", about.figures) for about in (one, two))
    rows = [("learned", one.learned, two.learned), ("created", one.created, two.created)]
    names = [name for name, value in {**left, **right}.items() if isinstance(value, int | float) or value is None]
    return rows + [(name, left.get(name), right.get(name)) for name in names]


def _name(event: dict[str, Any]) -> str:
    """What the mark of a training, rollback or replay says."""
    moment = event["moment"].replace("T", " ").removesuffix("Z")
    return f"{event['kind']} at {moment} UTC: {event['previous'] or 'nothing'} to {event['version']}"


def _record_type() -> RecordType:
    return find_record_type(request.values.get("model", next(iter(RECORD_TYPES))))


def _task_id(text: str) -> str:
    try:
        return uuid.UUID(text).hex
    except ValueError:
        return ""
