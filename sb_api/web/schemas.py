"""What goes over HTTP besides the records, as typed structs: the OpenAPI document is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import Meta

from sb_api.client.answers import Fault, Figures, Ignored, Model, Slots, Success
from sb_api.judgements import Neighbour, Reason
from sb_api.records import RECORD_TYPES, ClassName, Editor, IntegerId, RecordType, StringId, Verdict
from sb_api.versions import MOST_LABELS, Drift, EventKind

Failure = Annotated[bool, Meta(extra_json_schema={"const": False})]
FiguresUntil = Annotated[
    dict[str, str | int | float | list[list[int]] | None],
    Meta(description="figures of some verdicts in a row, and `until` when the last of them came (ISO 8601, UTC)"),
]


def records_of(struct: type[Any]) -> Any:
    """Of one type, by any key or as an array, at least one; or one alone. As JSON Schema, because msgspec has no type
    for one object or several."""
    record = {"$ref": f"#/components/schemas/{struct.__name__}"}
    by_key = {"type": "object", "additionalProperties": record, "minProperties": 1}
    either = [by_key, {"type": "array", "items": record, "minItems": 1}, record]
    return Annotated[Any, Meta(extra_json_schema={"anyOf": either})]


def task_of(record_type: RecordType) -> type[msgspec.Struct]:
    """What is judged without waiting."""
    text = f"{record_type.title}, which are judged without waiting."
    return msgspec.defstruct(
        f"{record_type.name.title()}Task",
        [("data", records_of(record_type.record))],
        namespace={"__doc__": text},
        tag_field="model",
        tag=record_type.name,
    )


Editors = records_of(Editor)
Verdicts = records_of(Verdict)
Task: Any = Union[*map(task_of, RECORD_TYPES.values())]


class Rollback(msgspec.Struct):
    """Which weights to make current: "previous", "original" or the name of a version."""

    to: str


class LetBack(msgspec.Struct):
    """Which credential, or reporter without credentials, to learn from again."""

    credential: Annotated[str, Meta(max_length=255)]


class WantedVersion(msgspec.Struct, frozen=True):
    """The version that is to be staged, or the staged one that is to be dropped."""

    version: str


class WantedPromotion(msgspec.Struct, frozen=True):
    """The staged version that is to be promoted; `as_is`, without the verdicts that it lacks."""

    version: str
    as_is: bool = False


class WantedNames(msgspec.Struct, frozen=True):
    """Which classes are called `new` from now on; several are one then, and so is a class that has that name."""

    old: Annotated[list[ClassName], Meta(min_length=1, max_length=MOST_LABELS)]
    new: ClassName


class Undo(msgspec.Struct, forbid_unknown_fields=True):
    """Which verdict to take back: the newest of a reporter on the record `id`; where a `digest` of `GET /verdicts` is
    given, on what was judged then. With credentials the reporter is the credential, or one that it may name. Another
    member is an error: a mistyped one would have another verdict taken back."""

    id: IntegerId | StringId
    digest: Annotated[str, Meta(max_length=32)] = ""
    reporter: Annotated[str, Meta(max_length=255)] | None = None


class EditorPredictions(msgspec.Struct, kw_only=True):
    """By the editor's id: the label, the calibrated probability of spam, its band, and when asked for the reasons,
    strongest first. These count from `usual`, the score of an account with all as usual. `errors` lists by key the
    records that could not be judged, with `partial=true` alone."""

    success: Success
    predictions: dict[str, Literal["Non Spam Editor Account", "Spam Editor Account"]]
    scores: dict[str, Annotated[float, Meta(ge=0, le=1)]]
    bands: dict[str, Literal["certain spam", "likely spam", "unsure", "likely fine"]] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    reasons: dict[str, list[Reason]] | msgspec.UnsetType = msgspec.UNSET
    usual: Annotated[float, Meta(ge=0, le=1)] | msgspec.UnsetType = msgspec.UNSET
    errors: dict[str, Fault] | msgspec.UnsetType = msgspec.UNSET
    ignored: Ignored | msgspec.UnsetType = msgspec.UNSET
    weights: str


class MessagePredictions(msgspec.Struct, kw_only=True):
    """By the message's id: its class, null when it fits none, the probability of every class, and when asked for the
    words that speak for the likeliest class or against it, strongest first; with SB_API_NEIGHBOURS and the role `train`
    also learned messages like it."""

    success: Success
    predictions: dict[str, str | None]
    scores: dict[str, dict[str, Annotated[float, Meta(ge=0, le=1)]]]
    reasons: dict[str, list[Reason]] | msgspec.UnsetType = msgspec.UNSET
    neighbours: dict[str, list[Neighbour]] | msgspec.UnsetType = msgspec.UNSET
    errors: dict[str, Fault] | msgspec.UnsetType = msgspec.UNSET
    ignored: Ignored | msgspec.UnsetType = msgspec.UNSET
    weights: str


class TaskQueued(msgspec.Struct, tag_field="status", tag="queued"):
    """The task waits for a process."""

    success: Success
    task_id: str


class TaskProcessing(msgspec.Struct, tag_field="status", tag="processing"):
    """A process works on the task; long ones report their progress."""

    success: Success
    task_id: str
    progress: dict[str, float] | msgspec.UnsetType = msgspec.UNSET


class TaskCompleted(msgspec.Struct, tag_field="status", tag="completed"):
    """The result: what the call that waits would have answered."""

    success: Success
    task_id: str
    data: dict[str, Any]


class Problem(msgspec.Struct):
    """Every error: RFC 9457, with `success: false` for clients of the original project."""

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    success: Failure


class TaskFailed(msgspec.Struct, tag_field="status", tag="failed"):
    """The task could not be done; `error` says why."""

    success: Failure
    task_id: str
    error: Problem


class Replaced(msgspec.Struct):
    """The current weights were replaced: `version` took the place of `previous`. `seconds` is how long that took."""

    kind: EventKind
    moment: str
    version: str
    previous: str
    learned: int
    seconds: float


class ReplayEstimate(msgspec.Struct):
    """What a replay would learn again, and about how many seconds it would take; null before any training."""

    verdicts: int
    trainings: int
    seconds: float | None


class CalibrationBin(msgspec.Struct):
    """A tenth of the scores: their mean, the share that was spam, and how many there are."""

    sure: float
    right: float
    count: int


class Calibration(msgspec.Struct):
    """How far scores could be taken at their word, on the verdicts of the window."""

    bins: list[CalibrationBin]
    expected_calibration_error: float


class SetAside(msgspec.Struct):
    """A credential that nothing is learned from `since` a moment (UTC), because so many of its trainings in a row were
    refused by the guard."""

    credential: str
    since: str
    refused: int


class ToldOf(msgspec.Struct):
    """Of how many weights and reporters there are verdicts: figures of their own have the latest 100 weights, and the
    100 reporters with the most verdicts."""

    weights: int
    reporters: int


class Quality(msgspec.Struct, kw_only=True):
    """How right the weights were on verdicts before they learned them. Only `log: off` when there is no log."""

    success: Success
    model: Model
    log: Literal["off"] | msgspec.UnsetType = msgspec.UNSET
    labels: list[str] | msgspec.UnsetType = msgspec.UNSET
    all_time: Figures | msgspec.UnsetType = msgspec.UNSET
    window: Figures | msgspec.UnsetType = msgspec.UNSET
    weights: dict[str, Figures] | msgspec.UnsetType = msgspec.UNSET
    reporters: dict[str, Figures] | msgspec.UnsetType = msgspec.UNSET
    told_of: ToldOf | msgspec.UnsetType = msgspec.UNSET
    calibration: Calibration | msgspec.UnsetType | None = msgspec.UNSET
    drift: Drift | msgspec.UnsetType = msgspec.UNSET
    series: list[FiguresUntil] | msgspec.UnsetType = msgspec.UNSET
    events: list[Replaced] | msgspec.UnsetType = msgspec.UNSET
    replay: ReplayEstimate | msgspec.UnsetType = msgspec.UNSET
    set_aside: list[SetAside] | msgspec.UnsetType = msgspec.UNSET


class Alive(msgspec.Struct):
    """This web process answers."""

    success: Success
    status: Literal["alive"]


class Readiness(msgspec.Struct):
    """Whether records can be judged, and what is in the way."""

    success: bool
    status: Literal["ready", "not ready"]
    problems: list[str]
    notes: list[str]
    classify_processes: int
    train_processes: int
    weights: Slots
    drift: list[Model]
