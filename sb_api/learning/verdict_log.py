"""The verdict log: who said what of which record, what the weights had said before, and the record's numbers.

It holds feature vectors and record ids, never an e-mail address, a website or a bio. SQLite in the state directory by
default; MariaDB, MySQL or PostgreSQL by URL.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Literal

import msgspec
import numpy as np
import sqlalchemy as sa

from sb_api.config import Settings
from sb_api.learning.databases import begin, open_database
from sb_api.versions import EventKind

# learning: taken by a training that is not over yet. held: over its reporter's cap. waiting: for a second reporter.
Status = Literal["learning", "learned", "refused", "held", "waiting"]

_METADATA = sa.MetaData()
VERDICTS = sa.Table(
    "verdicts",
    _METADATA,
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
    sa.Index("verdicts_same", "classifier", "record", "label", "reporter"),
    sa.Index("verdicts_task", "classifier", "task"),
    sa.Index("verdicts_status", "classifier", "status"),
    sa.Index("verdicts_reporter", "classifier", "reporter", "received"),
    sa.Index("verdicts_quality", "classifier", "weights", "reporter", "label", "predicted"),
)

EVENTS = sa.Table(
    "events",
    _METADATA,
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
    `weights` gave to the verdict's label before it was learned; `received` is in UTC, `version` the weights made of it.
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
    number: int = 0


class VerdictLog:
    """The log of one classifier. Raises Unavailable from every method when the database cannot be reached."""

    def __init__(self, engine: sa.Engine, classifier: str) -> None:
        self._engine = engine
        self.classifier = classifier
        with self._begin() as connection:
            _METADATA.create_all(connection)

    def add(self, verdicts: Iterable[LoggedVerdict]) -> None:
        """Log verdicts, all or none."""
        rows = [{k: v for k, v in msgspec.structs.asdict(verdict).items() if k != "number"} for verdict in verdicts]
        if rows:
            with self._begin() as connection:
                connection.execute(VERDICTS.insert(), rows)

    def of_task(self, task: str) -> list[LoggedVerdict]:
        """The verdicts of one training, in the order in which they were sent."""
        return self._select(VERDICTS.c.task == task)

    def unsettled(self, task: str) -> list[LoggedVerdict]:
        """The verdicts that another training than `task` took and never settled."""
        return self._select(VERDICTS.c.status == "learning", VERDICTS.c.task != task)

    def known(self, keys: Iterable[tuple[str, int, str]]) -> dict[tuple[str, int, str], Status]:
        """Which of `(record, label, reporter)` are in the log already, refused ones aside, with their status."""
        wanted = set(keys)
        columns = (VERDICTS.c.record, VERDICTS.c.label, VERDICTS.c.reporter, VERDICTS.c.status)
        found: dict[tuple[str, int, str], Status] = {}
        for part in _parts(sorted({record for record, _, _ in wanted})):
            query = self._query(*columns).where(VERDICTS.c.record.in_(part), VERDICTS.c.status != "refused")
            with self._begin() as connection:
                for record, label, reporter, status in connection.execute(query):
                    if (record, label, reporter) in wanted:
                        found[record, label, reporter] = status
        return found

    def waiting_for(self, records: Iterable[str]) -> list[LoggedVerdict]:
        """The verdicts on these records that wait for a second reporter."""
        return [
            verdict
            for part in _parts(sorted(set(records)))
            for verdict in self._select(VERDICTS.c.status == "waiting", VERDICTS.c.record.in_(part))
        ]

    def learned_since(self, moment: datetime) -> Mapping[str, int]:
        """How many verdicts of each reporter were learned, or are being learned, since `moment` (UTC)."""
        query = (
            self._query(VERDICTS.c.reporter, sa.func.count())
            .where(VERDICTS.c.received >= moment, VERDICTS.c.status.in_(("learned", "learning")))
            .group_by(VERDICTS.c.reporter)
        )
        with self._begin() as connection:
            return {str(reporter): int(count) for reporter, count in connection.execute(query)}

    def settle(self, numbers: Sequence[int], status: Status, version: str | None = None) -> None:
        """Say what became of verdicts."""
        for part in _parts(numbers):
            with self._begin() as connection:
                connection.execute(
                    VERDICTS.update().where(VERDICTS.c.number.in_(part)).values(status=status, version=version)
                )

    def adopt(self, numbers: Sequence[int], task: str) -> None:
        """Make verdicts that waited part of a training."""
        with self._begin() as connection:
            for part in _parts(numbers):
                connection.execute(
                    VERDICTS.update().where(VERDICTS.c.number.in_(part)).values(status="learning", task=task)
                )

    def sample(
        self, label: int, count: int, tokenizers: str, random: np.random.Generator, before: int | None = None
    ) -> list[LoggedVerdict]:
        """`count` learned verdicts of one label, drawn at random from those numbered less than `before`, or as many
        as there are."""
        conditions = [
            VERDICTS.c.status == "learned",
            VERDICTS.c.label == label,
            VERDICTS.c.tokenizers == tokenizers,
        ]
        if before is not None:
            conditions.append(VERDICTS.c.number < before)
        with self._begin() as connection:
            query = self._query(VERDICTS.c.number).where(*conditions).order_by(VERDICTS.c.number)
            numbers = list(connection.scalars(query))
        chosen = random.choice(numbers, min(count, len(numbers)), replace=False).tolist() if numbers else []
        found = [row for part in _parts(chosen) for row in self._select(VERDICTS.c.number.in_(part))]
        return sorted(found, key=lambda verdict: verdict.number)

    def learned(self, tokenizers: str) -> list[LoggedVerdict]:
        """Every learned verdict, oldest first."""
        return self._select(VERDICTS.c.status == "learned", VERDICTS.c.tokenizers == tokenizers)

    def latest(self, count: int) -> list[LoggedVerdict]:
        """The latest verdicts that were scored, oldest of them first."""
        query = self._query(VERDICTS).order_by(VERDICTS.c.number.desc()).limit(count)
        with self._begin() as connection:
            return [_verdict(row) for row in connection.execute(query)][::-1]

    def counts(self) -> list[tuple[str, str, int, int, int]]:
        """`(weights, reporter, label, predicted, count)` over all verdicts, in no order."""
        columns = (VERDICTS.c.weights, VERDICTS.c.reporter, VERDICTS.c.label, VERDICTS.c.predicted)
        with self._begin() as connection:
            return [tuple(row) for row in connection.execute(self._query(*columns, sa.func.count()).group_by(*columns))]

    def history(self, stretches: int, least: int) -> list[Stretch]:
        """All verdicts, oldest first, cut into at most so many stretches of about as many verdicts each, about `least`
        or more. Those that came at one moment stay together."""
        number = VERDICTS.c.number
        with self._begin() as connection:
            columns = (sa.func.min(number), sa.func.max(number), sa.func.count())
            low, high, total = connection.execute(self._query(*columns)).one()
            if not total:
                return []
            stretches = max(1, min(stretches, total // least))
            place = sa.cast(number - low, sa.BigInteger) * stretches // (high - low + 1)
            cells = (place, VERDICTS.c.label, VERDICTS.c.predicted)
            rows = connection.execute(self._query(*cells, sa.func.count(), sa.func.max(number)).group_by(*cells)).all()
            last: dict[int, int] = defaultdict(int)
            for position, _, _, _, highest in rows:
                last[position] = max(last[position], highest)
            moments = self._query(number, VERDICTS.c.received).where(number.in_(last.values()))
            received = {row.number: row.received for row in connection.execute(moments)}
        counts: dict[datetime, dict[tuple[int, int], int]] = defaultdict(lambda: defaultdict(int))
        for position, label, predicted, count, _ in sorted(rows):
            counts[received[last[position]]][label, predicted] += count
        return [Stretch(until, dict(counted)) for until, counted in counts.items()]

    def count_learned(self) -> tuple[int, int]:
        """How many verdicts are learned, and in how many trainings."""
        columns = (sa.func.count(), sa.func.count(VERDICTS.c.task.distinct()))
        with self._begin() as connection:
            verdicts, trainings = connection.execute(self._query(*columns).where(VERDICTS.c.status == "learned")).one()
        return verdicts, trainings

    def note(self, event: Event) -> None:
        """Log that the current weights were replaced."""
        with self._begin() as connection:
            connection.execute(EVENTS.insert(), [{"classifier": self.classifier, **msgspec.structs.asdict(event)}])

    def events(self, limit: int) -> list[Event]:
        """The latest replacements of the current weights, oldest of them first."""
        columns = [EVENTS.c[name] for name in Event.__struct_fields__]
        query = sa.select(*columns).where(EVENTS.c.classifier == self.classifier)
        with self._begin() as connection:
            rows = connection.execute(query.order_by(EVENTS.c.number.desc()).limit(limit)).all()
        return [Event(**row._mapping) for row in reversed(rows)]

    def find(
        self, *, reporter: str | None = None, since: datetime | None = None, record: str | None = None, limit: int = 0
    ) -> list[LoggedVerdict]:
        """The verdicts of a reporter, since a moment (UTC), on a record; newest first, at most `limit` if given."""
        query = self._query(VERDICTS).where(*_conditions(reporter, since, record)).order_by(VERDICTS.c.number.desc())
        with self._begin() as connection:
            return [_verdict(row) for row in connection.execute(query.limit(limit) if limit else query)]

    def purge(self, *, reporter: str | None = None, since: datetime | None = None, record: str | None = None) -> int:
        """Take verdicts out of the log for good; returns how many."""
        conditions = (VERDICTS.c.classifier == self.classifier, *_conditions(reporter, since, record))
        with self._begin() as connection:
            return connection.execute(VERDICTS.delete().where(*conditions)).rowcount

    def close(self) -> None:
        """Give up the connections to the database."""
        self._engine.dispose()

    def _query(self, *columns: Any) -> sa.Select[Any]:
        return sa.select(*columns).where(VERDICTS.c.classifier == self.classifier)

    def _select(self, *conditions: sa.ColumnElement[bool]) -> list[LoggedVerdict]:
        with self._begin() as connection:
            rows = connection.execute(self._query(VERDICTS).where(*conditions).order_by(VERDICTS.c.number))
            return [_verdict(row) for row in rows]

    def _begin(self) -> AbstractContextManager[sa.Connection]:
        return begin(self._engine, "The verdict log")


def open_verdict_log(settings: Settings, classifier: str) -> VerdictLog | None:
    """The log of a classifier; None when `SB_API_VERDICT_LOG` is off. Raises Unavailable."""
    if settings.verdict_log == "off":
        return None
    file = settings.state / "verdicts.sqlite"
    return VerdictLog(open_database(settings.verdict_log, "SB_API_VERDICT_LOG", file), classifier)


def _verdict(row: Any) -> LoggedVerdict:
    return LoggedVerdict(**row._mapping)


def _conditions(reporter: str | None, since: datetime | None, record: str | None) -> tuple[sa.ColumnElement[bool], ...]:
    given = (
        None if reporter is None else VERDICTS.c.reporter == reporter,
        None if since is None else VERDICTS.c.received >= since,
        None if record is None else VERDICTS.c.record == record,
    )
    return tuple(condition for condition in given if condition is not None)


def _parts(values: Sequence[Any], size: int = 500) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
