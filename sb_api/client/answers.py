"""What the service answers, as typed records: the web part builds the OpenAPI document from them, clients read them.

Predictions are not among them: each kind of records has answers of its own in the document, where a client reads both
alike.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sb_api.judgements import Labelled, Outcome, PastVerdict, Shadow
from sb_api.records import RECORD_TYPES, Editor
from sb_api.review.entries import Waiting
from sb_api.versions import Version

Success = Annotated[bool, Meta(extra_json_schema={"const": True})]
Model = Annotated[str, Meta(extra_json_schema={"enum": [*RECORD_TYPES]})]
ModelOfMessages = Annotated[
    str, Meta(extra_json_schema={"enum": [name for name, each in RECORD_TYPES.items() if each.of_messages]})
]
Slots = Annotated[dict[str, str | None], Meta(description="the versions that are original, previous and current")]
Figures = Annotated[
    dict[str, int | float | list[list[int]] | None],
    Meta(
        description="count, accuracy, precision, recall, F1 and the like; the confusion matrix has rows of what is true"
    ),
]
Ignored = Annotated[
    dict[str, str | None],
    Meta(description="members that are no fields and were not used, each with the field most like it, if one is"),
]


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with one record."""

    field: str
    detail: str


class Step(msgspec.Struct, frozen=True):
    """The version of the weights that is current now, and the one before it."""

    version: str
    previous: str | None


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What a training did, in words (`response`) and in numbers. Verdicts that are not `learned` were `known`, or are
    `kept` to be learned later: `held` over their reporter's cap, `waiting` for a second reporter, or refused by the
    guard. `along` counts those that were kept before, of whomever, and were learned along with these. `superseded`
    counts the earlier verdicts that these replace, `records` says what became of each. Figures of the verdicts `before`
    and `after`, and of the reference set; none where nothing was learned.
    """

    success: Success = True
    response: str = ""
    learned: int
    along: int = 0
    known: int = 0
    superseded: int = 0
    kept: int = 0
    held: int = 0
    waiting: int = 0
    records: dict[str, Outcome] = {}
    weights: Step
    before: Figures | msgspec.UnsetType = msgspec.UNSET
    after: Figures | msgspec.UnsetType = msgspec.UNSET
    reference: Figures | msgspec.UnsetType = msgspec.UNSET
    ignored: Ignored | msgspec.UnsetType = msgspec.UNSET


class RolledBack(msgspec.Struct, frozen=True):
    """The weights that are current again."""

    weights: Step
    success: Success = True


class Undone(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a verdict that was to be taken back: how many were `withdrawn`, 0 where there was none. It counts
    no longer; where one was withdrawn and is not `unlearned`, the weights still know it, because the guard refused
    those without it.
    `standing` is the label that the newest verdict on the same record gives which still counts, null where none does:
    the weights follow that, and where none does, say what they said before. What is kept, and not learned yet, does not
    count; where the verdict had replaced such a one, `response` says that it is kept again."""

    success: Success = True
    response: str
    withdrawn: int
    unlearned: bool
    standing: str | None = None
    weights: Step


class LetBack(msgspec.Struct, frozen=True):
    """A credential is learned from again; `kept` of its verdicts may be learned with the trainings that follow."""

    response: str
    kept: int
    success: Success = True


class Renamed(msgspec.Struct, frozen=True, kw_only=True):
    """The `labels` of the weights that are current now, which know what those before them knew; and the figures of the
    reference set."""

    success: Success = True
    response: str
    labels: list[str]
    weights: Step
    reference: Figures = {}


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """Which version is staged now, or was until now."""

    success: Success = True
    response: str
    staged: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The staged version beside the current one: on a `share` of the live requests, and where labels are known. Of the
    verdicts that are learned, the staged one lacks `unlearned`, which a promotion teaches it, and `unteachable` ones,
    which were logged as other numbers than it takes."""

    success: Success = True
    model: Model
    version: str
    current: str
    share: float
    shadow: Shadow
    labelled: list[Labelled]
    unlearned: int
    unteachable: int


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """The staged weights are current. They have `learned` so many verdicts that they lacked; `unlearned` ones they
    could have and were not to, `unteachable` ones were logged as other numbers than they take."""

    success: Success = True
    response: str
    learned: int
    unlearned: int = 0
    unteachable: int = 0
    weights: Step


class WeightsChain(msgspec.Struct, frozen=True, kw_only=True):
    """The slots, the versions with their figures, newest first, the slots whose file is damaged, and the version that
    is staged beside the current one, if any."""

    success: Success = True
    model: Model
    slots: Slots
    versions: list[Version]
    damaged: list[Literal["previous", "current"]] = []
    staged: Version | None = None


class PastVerdicts(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts that were given, newest first, and whether there are `more`, `before` the number of the last of them."""

    success: Success = True
    model: Model
    verdicts: list[PastVerdict]
    more: bool = False


class FoundEditors(msgspec.Struct, frozen=True, kw_only=True):
    """Editors that were looked up, and the numbers and names that nobody has."""

    success: Success = True
    editors: list[Editor]
    missing: list[str]


class ReviewList(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts that wait for a verdict: how many there are, how many of those are `matching` what was asked for, and
    `entries`, some of them. `dropped` counts those that had to make room lately, `unreadable` those that were sealed
    with another key, `languages` those of each language."""

    success: Success = True
    waiting: int
    matching: int
    dropped: int
    unreadable: int = 0
    languages: dict[str, int] = {}
    entries: list[Waiting]


class Claimed(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="claim"):
    """The entries that are claimed now, until their verdicts, their release, or the end of the lease."""

    success: Success = True
    entries: list[Waiting]


class Released(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="release"):
    """How many entries were given back."""

    success: Success = True
    released: int


class Reviewed(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="verdicts"):
    """What became of verdicts: as `/train` tells it."""

    success: Success = True
    trained: Trained


class TakenBack(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", tag="undo"):
    """What became of a verdict that was to be taken back; whether its entry is `waiting` again, for who asked."""

    success: Success = True
    undone: Undone
    waiting: bool


ReviewAnswer = Claimed | Released | Reviewed | TakenBack


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The task is queued; `Location` says where its result will be."""

    success: Success = True
    task_id: str
    message: str = ""
    ignored: Ignored | msgspec.UnsetType = msgspec.UNSET
