"""The part of the Weights tab that is about staged weights: what came of judging by them, and what becomes of them."""

from __future__ import annotations

from typing import Any

from flask import redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sb_api.auth.access import current_actor, current_identity, require
from sb_api.broker.jobs import Promotion
from sb_api.errors import NoAnswerInTime, NothingStaged, QueueFull
from sb_api.pages.blueprint import pages
from sb_api.records import RecordType, find_record_type
from sb_api.versions import BANDS
from sb_api.web.service import Service, get_service
from sb_api.web.staging import (
    await_drop,
    await_staging,
    compare_staged,
    read_shadow,
    read_staged,
    submit_promotion,
)

PATIENCE = 1.5  # seconds: a page does not wait for a training
BUSY = "Who is right where labels are known is not shown yet: the train process is busy or away."


def describe_staged(service: Service, record_type: RecordType) -> dict[str, Any]:
    """What the page shows of the staged weights: the version (`staged`, None for none), what came of it (`beside`) and
    why some of that is `missing`. Raises Unavailable."""
    staged = read_staged(service, record_type)
    about: dict[str, Any] = {"staged": staged, "share": service.settings.shadow_share, "beside": {}, "bands": []}
    if staged is None or not current_identity().may("train"):
        return about
    try:
        if not any(beat.role == "train" for beat in service.broker.registry.alive()):
            raise NoAnswerInTime(BUSY)
        about["beside"] = compare_staged(service, record_type, PATIENCE)
    except (NoAnswerInTime, QueueFull):
        about |= {"beside": {"shadow": read_shadow(service, record_type)}, "missing": BUSY}
    except NothingStaged:  # dropped meanwhile
        return {**about, "staged": None}
    shadow = about["beside"]["shadow"]
    counted = shadow["bands"] if isinstance(shadow, dict) else shadow.bands if shadow else {}
    names = [*counted, *(name for row in counted.values() for name in row)]
    about["bands"] = sorted(dict.fromkeys(names), key=lambda name: BANDS.index(name) if name in BANDS else len(BANDS))
    return about


@pages.post("/page/weights/stage")
@require("admin")
def stage() -> BaseResponse:
    """Stage the version of the form."""
    record_type = _record_type()
    await_staging(get_service(), record_type, request.form.get("version", ""), current_actor())
    return redirect(url_for("pages.show_weights", model=record_type.name, _anchor="staged"), 303)


@pages.post("/page/weights/promote")
@require("admin")
def promote() -> BaseResponse:
    """Start to promote the version of the form."""
    record_type = _record_type()
    wanted = Promotion(request.form.get("version", ""), as_is="as_is" in request.form)
    task = submit_promotion(get_service(), record_type, wanted, current_actor())
    return redirect(url_for("pages.show_weights", model=record_type.name, task=task, promoting=1), 303)


@pages.post("/page/weights/drop")
@require("admin")
def drop() -> BaseResponse:
    """Drop the version of the form."""
    record_type = _record_type()
    await_drop(get_service(), record_type, request.form.get("version", ""), current_actor())
    return redirect(url_for("pages.show_weights", model=record_type.name, _anchor="staged"), 303)


def _record_type() -> RecordType:
    return find_record_type(request.values.get("model", "lodbrok"))
