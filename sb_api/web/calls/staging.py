"""The calls of weights that are staged beside the current ones, and of what the current ones call their classes."""

from __future__ import annotations

from flask import Blueprint, Response

from sb_api.auth.access import current_actor, require
from sb_api.broker.jobs import Promotion, Renaming
from sb_api.errors import InvalidParameter
from sb_api.web.calls.parameters import accept_task, read_flag, read_record_type, read_shape
from sb_api.web.calls.trainings import await_renaming
from sb_api.web.http import answer_json, takes
from sb_api.web.schemas import WantedNames, WantedPromotion, WantedVersion
from sb_api.web.service import get_service
from sb_api.web.staging import await_drop, await_staging, compare_staged, submit_promotion

calls = Blueprint("staging", __name__)


@calls.get("/weights/staged")
@require("train")
@takes("model")
def staged() -> Response:
    """The staged weights beside the current ones: on live requests, and where labels are known."""
    service, record_type = get_service(), read_record_type()
    return answer_json({"success": True, "model": record_type.name, **compare_staged(service, record_type)})


@calls.post("/weights/stage")
@require("admin")
@takes("model")
def stage() -> Response:
    """Stage a kept version: a share of the live requests is judged by it too, in shadow."""
    service, record_type = get_service(), read_record_type()
    answer = await_staging(service, record_type, read_shape(WantedVersion).version, current_actor())
    return answer_json({"success": True, "response": answer["response"], "staged": answer["staged"]})


@calls.post("/weights/promote")
@require("admin")
@takes("model", "force")
def promote() -> Response:
    """Make the staged weights current, once they have learned the verdicts that they lack."""
    service, record_type = get_service(), read_record_type()
    sent = read_shape(WantedPromotion)
    wanted = Promotion(sent.version, sent.as_is, read_flag("force"))
    return accept_task(submit_promotion(service, record_type, wanted, current_actor()))


@calls.post("/weights/rename-class")
@require("admin")
@takes("model", "force")
def rename_class() -> Response:
    """Call classes of messages otherwise; several under one name are one class from then on."""
    service, record_type = get_service(), read_record_type()
    if not record_type.of_messages:
        raise InvalidParameter(
            f"The classes of {record_type.name} are called what they are; name a classifier of messages."
        )
    sent = read_shape(WantedNames)
    wanted = Renaming(sent.old, sent.new, read_flag("force"))
    return answer_json({"success": True, **await_renaming(service, record_type, wanted, current_actor())})


@calls.post("/weights/drop")
@require("admin")
@takes("model")
def drop() -> Response:
    """Let go of the staged weights."""
    service, record_type = get_service(), read_record_type()
    answer = await_drop(service, record_type, read_shape(WantedVersion).version, current_actor())
    return answer_json({"success": True, "response": answer["response"], "staged": answer["staged"]})
