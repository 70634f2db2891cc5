"""What is said of judged records: on the queue, and to clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from sb_api.errors import InvalidRecords
from sb_api.json_bodies import decode_records
from sb_api.records import RecordType


class Reason(msgspec.Struct, frozen=True):
    """One feature in a moderator's words, its value, and what it adds to the probability of spam, or of the likeliest
    class of a message (`effect`), and to the natural logarithm of its odds (`log_odds`: 2.3 makes them ten times as
    high)."""

    feature: str
    value: str | int | float | None
    effect: float
    log_odds: float


class Neighbour(msgspec.Struct, frozen=True):
    """A learned message that is like one that was judged: its text, the class it was learned as, and the cosine of both
    (1: the same)."""

    text: str
    label: str | None
    likeness: float


NO_CLASS = -1  # the number of no label: of a message that belongs to no class

State = Literal["learned", "known", "kept"]


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one verdict: it is learned, the weights knew it already, or it is kept and not learned yet, for a
    `reason`. `superseded` counts earlier verdicts of the same reporter on the same record, which it replaces. `still`
    is what the weights say of the record though they have learned otherwise, now or before, where a training could not
    bring them all the way."""

    state: State
    reason: str = ""
    superseded: int = 0
    still: str = ""


def say_overruled(count: int) -> str:
    """What is said where so many verdicts named a reporter and are their credential's own all the same."""
    return f"{count} named a reporter, which this credential may not: they are its own" if count else ""


# learning: taken by a training that is not over yet. refused: by the guard, to be tried again. held: over its
# reporter's cap. waiting: for a second reporter. superseded: its reporter has said something since. withdrawn: its
# reporter has taken it back. undone: learned once, by weights that were rolled back. set aside: its credential's
# trainings were refused again and again.
Status = Literal["learning", "learned", "refused", "held", "waiting", "superseded", "withdrawn", "undone", "set aside"]


class PastVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict that was given, as the log has it, and what became of it: its `status`, and the `reason` where it is
    not learned. `label` and `predicted` are numbers of labels, -1 is no class. `score` is the probability that the
    weights named by `weights` gave to its own label before it was learned, and `spam` that of spam, as `/predict` says
    it: with a verdict of not spam the one is what the other lacks to 1. `received` is in UTC, `version` the weights
    that a training first made of it, `supersedes` the number of the verdict that it took the place of, `attempts` how
    many trainings with it were refused, `digest` what was judged: of two with the same one, the account was the same,
    "" in rows of older releases. `known` says of one that was taken back that the current weights know it all the same:
    the guard refused to unlearn it, or a rollback has brought back weights from before, and they have learned no
    verdict on the same account that counts still, which would have the last word."""

    number: int
    record: str
    reporter: str
    label: int
    label_name: str
    predicted: int
    predicted_name: str
    score: Annotated[float, Meta(description="the probability of the label of the verdict, before it was learned")]
    weights: str
    received: str
    status: Status
    reason: str = ""
    version: str | None = None
    supersedes: int | None = None
    attempts: int = 0
    digest: str = ""
    known: Annotated[bool, Meta(description="taken back, and the current weights know it all the same")] = False
    spam: Annotated[
        float | None,
        Meta(description="of an editor: the score as /predict says it, that of spam, before the verdict was learned"),
    ] = None


AuditKind = Literal[
    "verdicts",
    "withdrawal",
    "rollback",
    "replay",
    "promotion",
    "staged",
    "promoted",
    "dropped",
    "purge",
    "set aside",
    "let back",
    "renaming",
    "token added",
    "token revoked",
    "start",
]


def now() -> datetime:
    """This moment, in UTC, as logs have it."""
    return datetime.now(UTC).replace(tzinfo=None)


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who had what done: at `moment` (UTC), by a `credential`, under a `name` where that is another, from an `address`;
    `count` verdicts, `version` current afterwards. No detail of an account is in it."""

    kind: AuditKind
    moment: datetime
    credential: str = ""
    name: str = ""
    address: str = ""
    classifier: str = ""
    count: int = 0
    outcome: Literal["done", "refused", "failed"] = "done"
    version: str = ""
    detail: str = ""
    number: int = 0


class VerdictQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which verdicts are asked for: of a reporter ("" for nobody named), since a moment (UTC), with numbers before one,
    on a record or on any of several, with one of some statuses; the newest `limit` of them, all with 0."""

    reporter: str | None = None
    since: datetime | None = None
    before: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    record: str | None = None
    records: list[str] = []
    statuses: list[str] = []
    limit: int = 50


class Sides(msgspec.Struct, frozen=True):
    """Of how many records with known labels both weights, the current or the staged ones alone, or neither were
    right."""

    both: int = 0
    current: int = 0
    staged: int = 0
    neither: int = 0


class Difference(msgspec.Struct, frozen=True):
    """A record that current and staged weights judge differently: its id, by how much (0 to 1), the score of each and
    the band or class. For messages, the scores are the probabilities of the class that is likeliest to the current."""

    id: str
    difference: float
    current_score: float
    staged_score: float
    current: str
    staged: str


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """What came of judging live requests by staged weights too, since they are staged (seconds since 1970).

    `bands` counts the `judged` records by the band (of messages: the class) of the current weights and that of the
    staged ones; `same` is the share with the same one. `mean_difference` (0 to 1) and `correlation` are of the scores.
    `verdicts` are those that came meanwhile, as both judged them before they were learned.
    `skipped` records were in the share and not judged, because there was no time or no room, `failed` ones could not
    be judged by the staged weights. `largest` has the ids of the largest differences, the largest first.
    """

    since: float
    judged: int = 0
    skipped: int = 0
    failed: int = 0
    bands: dict[str, dict[str, int]] = {}
    same: float | None = None
    mean_difference: float | None = None
    correlation: float | None = None
    largest: list[Difference] = []
    verdicts: Sides = Sides()


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """Current and staged weights on records whose labels are known; `source` says which records. `right` says which of
    the two was; None where each was measured on records of its own. `current` and `staged` are their figures."""

    source: str
    right: Sides | None = None
    current: dict[str, Any] = {}
    staged: dict[str, Any] = {}


class Judged(msgspec.Struct, frozen=True):
    """What n records are by one version of the weights: their predictions and scores as clients are told them, and by
    position why one could not be judged (what else is said of it means nothing).

    `bands` has the band of each record where the classifier has bands, `reasons` those of each when they were asked
    for, `neighbours` learned messages like each where such are kept; all are empty otherwise. `usual` is with reasons
    the score of an editor with all as usual, from which they count.
    """

    version: str
    predictions: Sequence[Any]
    scores: Sequence[Any]
    errors: Mapping[int, str] = {}
    bands: Sequence[str] = ()
    reasons: Sequence[Any] = ()
    neighbours: Sequence[Any] = ()
    usual: float | None = None


def describe_answers(records: Sequence[Any], judged: Judged) -> dict[str, Any]:
    """What a client is told of n records; those that could not be judged are left out."""
    columns = {"predictions": judged.predictions, "scores": judged.scores}
    columns |= {name: column for name in ("bands", "reasons", "neighbours") if (column := getattr(judged, name))}
    keys = [str(record.id) for record in records]
    wrong = {keys[position] for position in judged.errors}
    answer: dict[str, Any] = {
        name: {key: value for key, value in zip(keys, column, strict=True) if key not in wrong}
        if wrong
        else dict(zip(keys, column, strict=True))
        for name, column in columns.items()
    }
    usual = {} if judged.usual is None else {"usual": judged.usual}
    return answer | usual | {"weights": judged.version}


def answer_body(
    body: bytes,
    record_type: RecordType,
    limit: int,
    judge: Callable[[Sequence[Any]], Judged],
    *,
    partial: bool = False,
) -> dict[str, Any]:
    """The answer to a body of at most `limit` records, of which `judge` judges those that are sound.

    Raises what `decode_records` and `judge` raise, and InvalidRecords; when it is `partial`, not for records of which
    only some are wrong.
    """
    records = decode_records(body, record_type.record, limit)
    sound = list(records.sound.values()) if partial and records.sound else records.all_sound()
    judged = judge(sound)
    errors = records.errors
    if judged.errors:
        keys = list(records.sound)
        errors |= {keys[place]: {"field": "", "detail": detail} for place, detail in sorted(judged.errors.items())}
    if errors and not partial:
        raise InvalidRecords("Some records could not be judged; leave out those listed.", errors=errors)
    answer: dict[str, Any] = {"success": True} | describe_answers(sound, judged) | records.describe_ignored()
    if partial:
        answer["errors"] = errors
    return answer
