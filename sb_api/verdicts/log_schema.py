"""The tables of the verdict log, and the records that its rows are read into."""

from __future__ import annotations

from datetime import datetime

import msgspec
import sqlalchemy as sa

from sb_api.judgements import Status
from sb_api.records import EDITORS
from sb_api.versions import EventKind

METADATA = sa.MetaData()


def _of_versions(name: str) -> sa.Table:
    """A table of which verdicts each version did something with."""
    return sa.Table(
        name,
        METADATA,
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.String(32), primary_key=True),
        sa.Column("classifier", sa.String(32), nullable=False),
        sa.Index(f"{name}_version", "classifier", "version"),
    )


VERDICTS = sa.Table(
    "verdicts",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("classifier", sa.String(32), nullable=False),
    sa.Column("task", sa.String(32), nullable=False),
    sa.Column("record", sa.String(255), nullable=False),
    sa.Column("reporter", sa.String(255), nullable=False),
    sa.Column("label", sa.Integer, nullable=False),
    sa.Column("predicted", sa.Integer, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("weights", sa.String(32), nullable=False),
    sa.Column("received", sa.DateTime, nullable=False),
    sa.Column("tokenizers", sa.String(32), nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("version", sa.String(32)),
    sa.Column("digest", sa.String(32), nullable=False, server_default=""),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("tried", sa.DateTime),
    sa.Column("supersedes", sa.Integer),
    sa.Column("temperature", sa.Float),
    sa.Index("verdicts_same", "classifier", "record", "label", "reporter"),
    sa.Index("verdicts_task", "classifier", "task"),
    sa.Index("verdicts_status", "classifier", "status"),
    sa.Index("verdicts_reporter", "classifier", "reporter", "received"),
    sa.Index("verdicts_received", "classifier", "received"),
    sa.Index("verdicts_quality", "classifier", "weights", "reporter", "label", "predicted"),
)
# Which version has learned which verdict: a replay learns again what trainings before it have learned.
LEARNINGS = _of_versions("learnings")
# Which version was taught away which verdict that its parents had learned; a rollback to those finds it learned.
UNLEARNINGS = _of_versions("unlearnings")
# The version that each one was made from, kept longer than the files of the versions are.
LINEAGE = sa.Table(
    "lineage",
    METADATA,
    sa.Column("classifier", sa.String(32), primary_key=True),
    sa.Column("version", sa.String(32), primary_key=True),
    sa.Column("parent", sa.String(32)),
)
# The version that the states of the verdicts are true of.
FOLLOWED = sa.Table(
    "followed",
    METADATA,
    sa.Column("classifier", sa.String(32), primary_key=True),
    sa.Column("version", sa.String(32), nullable=False),
)
EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("classifier", sa.String(32), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("moment", sa.DateTime, nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("previous", sa.String(32), nullable=False),
    sa.Column("learned", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Index("events_latest", "classifier", "number"),
)

# How many trainings of an account were refused in a row, and since when it is set aside for that.
REFUSALS = sa.Table(
    "refusals",
    METADATA,
    sa.Column("classifier", sa.String(32), primary_key=True),
    sa.Column("account", sa.String(255), primary_key=True),
    sa.Column("refused", sa.Integer, nullable=False),
    sa.Column("since", sa.DateTime),
)
# Who had what done. Rows are added, never changed and never taken out.
AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("moment", sa.DateTime, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("credential", sa.String(64), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("classifier", sa.String(32), nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("detail", sa.String(1000), nullable=False),
    sa.Index("audit_moment", "moment"),
)


class Kept(msgspec.Struct, frozen=True):
    """A verdict that may be learned later, without its numbers: see LoggedVerdict."""

    number: int
    reporter: str
    status: Status
    attempts: int
    tried: datetime | None
    tokenizers: str


def account_of(reporter: str) -> str:
    """Who answers for a reporter: the credential before the `/`, or the reporter."""
    return reporter.partition("/")[0]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The current weights were replaced: `version` took the place of `previous` at `moment` (UTC). `learned` is the
    number of verdicts in it, `seconds` how long it took."""

    kind: EventKind
    moment: datetime
    version: str
    previous: str
    learned: int = 0
    seconds: float = 0.0


class Stretch(msgspec.Struct, frozen=True):
    """Some verdicts in a row: when the last of them came (UTC), and how many there are by `(label, predicted)`."""

    until: datetime
    counts: dict[tuple[int, int], int]


class LoggedVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `label` and `predicted` are numbers of labels, `score` is the probability that the weights named by
    `weights` gave to the verdict's label before it was learned (to no class: what the likeliest one lacks to 1);
    `received` is in UTC, `version` the weights that a training first made of it.

    `digest` is of what was judged, "" in rows of older releases; `attempts` counts the trainings that the guard has
    refused it in (of one learned and taken back: whether it refused to unlearn it), `tried` is when the last of them
    was (UTC), `supersedes` the number of what its reporter said before, `temperature` that of the weights which gave
    the score (None in rows of older releases).
    """

    classifier: str
    task: str
    record: str
    reporter: str
    label: int
    predicted: int
    score: float
    weights: str
    received: datetime
    tokenizers: str
    vector: bytes
    status: Status
    version: str | None = None
    digest: str = ""
    attempts: int = 0
    tried: datetime | None = None
    supersedes: int | None = None
    temperature: float | None = None
    number: int = 0

    @property
    def account(self) -> str:
        """Whose it is: the credential, where it speaks for others as `credential/name`; else the reporter."""
        return account_of(self.reporter)

    @property
    def spam(self) -> float:
        """Of a classifier with two labels: the probability of label 1 before the verdict was learned."""
        return self.score if self.label == 1 else 1 - self.score

    @property
    def is_of_new_class(self) -> bool:
        """Whether its class came with it, so that the weights could not have named it: they gave it 0, which they give
        to no class that they know."""
        return self.classifier != EDITORS.name and self.label >= 0 and self.score == 0

    def is_about_the_same(self, other: LoggedVerdict) -> bool:
        """Whether both are on one record: its id, and what was judged. Where that was not kept, its numbers tell."""
        if self.record != other.record:
            return False
        if self.digest and other.digest:
            return self.digest == other.digest
        return (self.tokenizers, self.vector) == (other.tokenizers, other.vector)
