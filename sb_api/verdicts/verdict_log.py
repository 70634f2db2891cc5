"""The verdict log: who said what of which record, what the weights had said before, and the record's numbers.

It holds feature vectors and record ids, never an e-mail address, a website or a bio. SQLite in the state directory by
default; MariaDB, MySQL or PostgreSQL by URL.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from sb_api.config import Settings
from sb_api.judgements import Status
from sb_api.records import EDITORS
from sb_api.verdicts import lineage, set_aside
from sb_api.verdicts.corrections import find_taken_back
from sb_api.verdicts.counting import count_learned, count_unlearned
from sb_api.verdicts.databases import begin, open_database
from sb_api.verdicts.lineage import parts
from sb_api.verdicts.log_schema import EVENTS, LEARNINGS, VERDICTS, Event, Kept, LoggedVerdict, Stretch
from sb_api.verdicts.migrations import migrate
from sb_api.verdicts.outcomes import as_merged
from sb_api.verdicts.purging import purge, restate
from sb_api.verdicts.set_aside import SetAside
from sb_api.verdicts.stretches import cut_history
from sb_api.versions import number_of

MOST_AT_ONCE = 500  # rows that are read ahead
# What no longer counts: its reporter has said something since, or has taken it back.
_GONE = ("superseded", "withdrawn")
_STANDING = VERDICTS.c.status.not_in(_GONE)
_LATER = VERDICTS.alias("later")
_OVERRULED = sa.exists().where(
    *(_LATER.c[name] == VERDICTS.c[name] for name in ("classifier", "record", "digest")),
    *(_LATER.c[name] != VERDICTS.c[name] for name in ("label", "reporter")),
    _LATER.c.number > VERDICTS.c.number,
    _LATER.c.digest != "",
    _LATER.c.status.in_(("learned", "learning", "refused", "held")),
)
_MAY_BE_TRIED = sa.and_(VERDICTS.c.status.in_(("refused", "held")), ~_OVERRULED)
# The vector of a verdict is most of it, and only of use where nothing else says what it is about.
_WITHOUT_VECTOR = [
    sa.case((VERDICTS.c.digest == "", VERDICTS.c.vector), else_=sa.literal(b"", sa.LargeBinary)).label("vector")
    if column is VERDICTS.c.vector
    else column
    for column in VERDICTS.c
]


class VerdictLog:
    """The log of one classifier. Raises Unavailable from every method when the database cannot be reached."""

    def __init__(self, engine: sa.Engine, classifier: str) -> None:
        self._engine = engine
        self.classifier = classifier
        with self._begin() as connection:
            migrate(connection)

    def add(self, verdicts: Iterable[LoggedVerdict], superseded: Sequence[int] = ()) -> None:
        """Log verdicts, and mark the numbers of those that they supersede; all or none."""
        rows = [{k: v for k, v in msgspec.structs.asdict(verdict).items() if k != "number"} for verdict in verdicts]
        with self._begin() as connection:
            if rows:
                connection.execute(VERDICTS.insert(), rows)
            for part in parts(superseded):
                connection.execute(VERDICTS.update().where(VERDICTS.c.number.in_(part)).values(status="superseded"))

    def of_task(self, task: str) -> list[LoggedVerdict]:
        """The verdicts of one training, in the order in which they were sent."""
        return self._select(VERDICTS.c.task == task)

    def unsettled(self, task: str) -> list[LoggedVerdict]:
        """The verdicts that another training than `task` took and never settled."""
        return self._select(VERDICTS.c.status == "learning", VERDICTS.c.task != task)

    def standing(self, records: Iterable[str]) -> list[LoggedVerdict]:
        """The verdicts on these records that no later one of the same reporter supersedes, oldest first; of those that
        have a digest without their vectors."""
        query = self._query(*_WITHOUT_VECTOR).where(_STANDING)
        with self._begin() as connection:
            found = [
                _verdict(row)
                for part in parts(sorted(set(records)))
                for row in connection.execute(query.where(VERDICTS.c.record.in_(part)))
            ]
        return sorted(found, key=lambda verdict: verdict.number)

    def newest(self, record: str, digest: str, reporter: str) -> LoggedVerdict | None:
        """What a reporter says now of what was judged under an id, whatever that was without a digest; None where they
        say nothing of it."""
        said = [
            verdict
            for verdict in self.standing([record])
            if verdict.reporter == reporter and (not digest or verdict.digest in ("", digest))
        ]
        return self.numbered([said[-1].number])[0] if said else None

    def withdraw(
        self,
        numbers: Sequence[int],
        again: Mapping[int, Status],
        task: str | None = None,
        taught_away: Collection[int] = (),
        version: str = "",
        refused: bool = False,
    ) -> None:
        """Take back verdicts, as the work of a task if one is given; by their numbers, what they superseded counts
        `again`, in these states. Verdicts that were `taught_away`, all that no longer count, are not learned by
        `version` and what is made from it. Of those that were learned it is noted whether the guard has `refused` to
        unlearn them."""
        attempts = sa.case((VERDICTS.c.version.is_(None), VERDICTS.c.attempts), else_=int(refused))
        withdrawn = {"status": "withdrawn", "attempts": attempts} | ({} if task is None else {"task": task})
        with self._begin() as connection:
            lineage.add_unlearnings(connection, self.classifier, version, taught_away)
            for part in parts(numbers):
                connection.execute(VERDICTS.update().where(VERDICTS.c.number.in_(part)).values(**withdrawn))
            restate(connection, again)

    def restate(self, states: Mapping[int, Status]) -> None:
        """Give verdicts other states, by their numbers."""
        with self._begin() as connection:
            restate(connection, states)

    def learned_with(self, verdict: LoggedVerdict) -> int:
        """How many verdicts the version that first learned this one has learned in that training, this one included."""
        query = sa.select(sa.func.count()).where(
            LEARNINGS.c.classifier == self.classifier, LEARNINGS.c.version == verdict.version
        )
        with self._begin() as connection:
            return int(connection.scalar(query) or 0)

    def kept(self) -> Generator[Kept, None, None]:
        """The verdicts that the guard has refused or that are over a cap, and so may be learned later, oldest first;
        read as they are looked at. Not those against which a newer one of another has the last word, that is learned or
        may be learned itself."""
        query = self._query(*(VERDICTS.c[name] for name in Kept.__struct_fields__))
        query = query.where(_MAY_BE_TRIED).order_by(VERDICTS.c.number)
        with self._begin() as connection:
            for row in connection.execution_options(yield_per=MOST_AT_ONCE).execute(query):
                yield Kept(*row)

    def has_kept(self) -> bool:
        """Whether there are any of `kept`, or of a training that was never settled."""
        query = self._query(VERDICTS.c.number).where(sa.or_(_MAY_BE_TRIED, VERDICTS.c.status == "learning")).limit(1)
        with self._begin() as connection:
            return connection.scalar(query) is not None

    def taken_back(
        self, verdicts: Sequence[LoggedVerdict], labels: Sequence[str] = (), own: bool = False
    ) -> list[LoggedVerdict | None]:
        """For each of n verdicts, logged or not yet, that corrects one: the first of what anybody, or with `own` its
        reporter, said before, otherwise than now, and weights had learned that it goes back to; without its vector
        where it has a digest. `labels` are those of now, in which classes may have been merged."""
        query = self._query(*_WITHOUT_VECTOR).where(VERDICTS.c.version.is_not(None))
        with self._begin() as connection:
            rows = [
                _verdict(row)
                for part in parts(sorted({verdict.record for verdict in verdicts}))
                for row in connection.execute(query.where(VERDICTS.c.record.in_(part)))
            ]
            now, then = as_merged(verdicts, labels), as_merged(rows, labels)
            return find_taken_back(connection, self.classifier, now, then, own)

    def learned_by(self, versions: Iterable[str], numbers: Iterable[int]) -> set[int]:
        """Which of some verdicts any of these versions has learned."""
        with self._begin() as connection:
            return lineage.learned_by(connection, self.classifier, versions) & set(numbers)

    def first_learned(self, versions: Collection[str], numbers: Sequence[int]) -> dict[int, str]:
        """By their numbers, the first of these versions that has learned each of some verdicts."""
        with self._begin() as connection:
            owned = LEARNINGS.c.classifier == self.classifier
            found = lineage.read_versions(connection, LEARNINGS, LEARNINGS.c.number, numbers, owned)
        return {number: min(by & set(versions), key=number_of) for number, by in found.items() if by & set(versions)}

    def learned_since(self, moment: datetime, least: int = 1) -> Mapping[str, int]:
        """How many were learned of each reporter: `counting.count_learned`."""
        with self._begin() as connection:
            return count_learned(connection, self._query, moment, least)

    def unlearned_since(self, moment: datetime, accounts: Collection[str]) -> Mapping[str, int]:
        """How many were never learned of each of some accounts: `counting.count_unlearned`."""
        with self._begin() as connection:
            return count_unlearned(connection, self._query, moment, accounts)

    def settle_learned(self, numbers: Sequence[int], version: str) -> None:
        """Say that `version` has learned verdicts, those purged meanwhile aside: others will have their numbers. May be
        repeated."""
        with self._begin() as connection:
            wanted = sa.select(VERDICTS.c.number)
            there = [
                number
                for part in parts(numbers)
                for number in connection.scalars(wanted.where(VERDICTS.c.number.in_(part)))
            ]
            lineage.add_learnings(connection, self.classifier, version, there)
            for part in parts(there):
                mine = VERDICTS.update().where(VERDICTS.c.number.in_(part))
                # Superseded meanwhile, it stays so.
                connection.execute(mine.where(_STANDING).values(status="learned"))
                connection.execute(mine.where(VERDICTS.c.version.is_(None)).values(version=version))

    def settle_refused(self, numbers: Sequence[int], moment: datetime) -> None:
        """Say that verdicts could not be learned at `moment` (UTC); they are kept, to be tried again."""
        refused = {"status": "refused", "attempts": VERDICTS.c.attempts + 1, "tried": moment}
        with self._begin() as connection:
            for part in parts(numbers):
                mine = VERDICTS.update().where(VERDICTS.c.number.in_(part), VERDICTS.c.status == "learning")
                connection.execute(mine.values(**refused))

    def unlearned(self, task: str, others_from: int | None = None) -> list[LoggedVerdict]:
        """The verdicts that count and were never learned: those of a task, or of all others those of labels from a
        number on."""
        whose = VERDICTS.c.task == task
        if others_from is not None:
            whose = sa.and_(VERDICTS.c.task != task, VERDICTS.c.label >= others_from)
        return self._select(whose, VERDICTS.c.version.is_(None), _STANDING)

    def highest_label(self, tokenizers: str) -> int:
        """The highest number of a label that any verdict has which weights with these numbers learned; -1 for none."""
        learned = (VERDICTS.c.tokenizers == tokenizers, VERDICTS.c.version.is_not(None))
        with self._begin() as connection:
            highest = connection.scalar(self._query(sa.func.max(VERDICTS.c.label)).where(*learned))
        return -1 if highest is None else int(highest)

    def note_refusal(self, account: str, moment: datetime, most: int) -> int:
        """Count a refused training: `set_aside.note_refusal`."""
        with self._begin() as connection:
            return set_aside.note_refusal(connection, self.classifier, account, moment, most)

    def forget_refusals(self, accounts: Collection[str]) -> None:
        """End the rows of refused trainings of accounts."""
        with self._begin() as connection:
            set_aside.forget_refusals(connection, self.classifier, accounts)

    def set_aside(self) -> list[SetAside]:
        """The accounts that are set aside, the latest first."""
        with self._begin() as connection:
            return set_aside.list_set_aside(connection, self.classifier)

    def let_back(self, account: str) -> int | None:
        """Let an account back: `set_aside.let_back`."""
        with self._begin() as connection:
            return set_aside.let_back(connection, self.classifier, account)

    def follow(self, version: str, parents: Mapping[str, str | None]) -> None:
        """Make the states of the verdicts true of `version`, the current one: `lineage.follow`."""
        with self._begin() as connection:
            lineage.follow(connection, self.classifier, version, parents)

    def ancestry(self, version: str = "", parents: Mapping[str, str | None] | None = None) -> frozenset[str]:
        """A version, by default the one that `follow` was told, and all that it came from, as far as it is known."""
        with self._begin() as connection:
            known = lineage.read_parents(connection, self.classifier) | dict(parents or {})
            return lineage.trace(version or lineage.read_followed(connection, self.classifier), known).versions

    def adopt(self, numbers: Sequence[int], task: str) -> None:
        """Make verdicts that were kept part of a training."""
        with self._begin() as connection:
            for part in parts(numbers):
                connection.execute(
                    VERDICTS.update().where(VERDICTS.c.number.in_(part)).values(status="learning", task=task)
                )

    def learned_numbers(self, tokenizers: str) -> list[tuple[int, int]]:
        """The number and the label of every learned verdict, oldest first."""
        conditions = (VERDICTS.c.status == "learned", VERDICTS.c.tokenizers == tokenizers)
        query = self._query(VERDICTS.c.number, VERDICTS.c.label).where(*conditions).order_by(VERDICTS.c.number)
        with self._begin() as connection:
            return [(number, label) for number, label in connection.execute(query)]

    def numbered(self, numbers: Iterable[int]) -> list[LoggedVerdict]:
        """The verdicts of these numbers, oldest first."""
        return [row for part in parts(sorted(numbers)) for row in self._select(VERDICTS.c.number.in_(part))]

    def learned(self, tokenizers: str, undone: bool = False) -> list[LoggedVerdict]:
        """Every learned verdict, oldest first; with those that rollbacks have undone, if asked for."""
        statuses = ("learned", "undone") if undone else ("learned",)
        return self._select(VERDICTS.c.status.in_(statuses), VERDICTS.c.tokenizers == tokenizers)

    def latest(self, count: int) -> list[LoggedVerdict]:
        """The latest verdicts that were scored and that nothing supersedes, oldest of them first."""
        columns = (VERDICTS.c.number, VERDICTS.c.classifier, VERDICTS.c.status)
        # By the number alone: with more than that databases take an index, and sort all that there is.
        late = sa.select(*columns).order_by(VERDICTS.c.number.desc())
        with self._begin() as connection:
            highest = connection.scalar(sa.select(sa.func.max(VERDICTS.c.number))) or 0
            numbers: list[int] = []
            span = 4 * count
            while len(numbers) < count and not span > 8 * (highest + count):
                rows = connection.execute(late.where(VERDICTS.c.number > highest - span))
                numbers = [n for n, owner, status in rows if owner == self.classifier and status not in _GONE]
                span *= 8
        return self.numbered(numbers[:count])

    def counts(self) -> list[tuple[str, str, int, int, int]]:
        """`(weights, reporter, label, predicted, count)` over all verdicts that nothing supersedes, in no order; but
        for those of a class that came with them."""
        columns = (VERDICTS.c.weights, VERDICTS.c.reporter, VERDICTS.c.label, VERDICTS.c.predicted)
        with self._begin() as connection:
            query = self._query(*columns, sa.func.count()).where(*self._measured()).group_by(*columns)
            return [tuple(row) for row in connection.execute(query)]

    def history(self, stretches: int, least: int) -> list[Stretch]:
        """All verdicts of `counts`, oldest first, cut into at most so many stretches of about as many
        verdicts each, about `least` or more. Those that came at one moment stay together."""
        with self._begin() as connection:
            return cut_history(connection, self._query, self._measured(), stretches, least)

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
        self,
        *,
        reporter: str | None = None,
        since: datetime | None = None,
        before: int | None = None,
        record: str | None = None,
        records: Sequence[str] = (),
        statuses: Sequence[str] = (),
        limit: int = 0,
    ) -> list[LoggedVerdict]:
        """The verdicts of a reporter, since a moment (UTC), with numbers `before` one, on a record or any of some, in
        one of some states; newest first, at most `limit` if given."""
        conditions = []
        if reporter is not None:
            conditions.append(VERDICTS.c.reporter == reporter)
        if since is not None:
            conditions.append(VERDICTS.c.received >= since)
        if record is not None:
            conditions.append(VERDICTS.c.record == record)
        if before is not None:
            conditions.append(VERDICTS.c.number < before)
        if records:
            conditions.append(VERDICTS.c.record.in_(records))
        if statuses:
            conditions.append(VERDICTS.c.status.in_(statuses))
        query = self._query(VERDICTS).where(*conditions).order_by(VERDICTS.c.number.desc())
        with self._begin() as connection:
            return [_verdict(row) for row in connection.execute(query.limit(limit) if limit else query)]

    def purge(self, numbers: Sequence[int], again: Mapping[int, Status]) -> None:
        """Take verdicts out of the log for good; what they had replaced counts `again`, in these states."""
        with self._begin() as connection:
            purge(connection, numbers)
            restate(connection, again)

    def close(self) -> None:
        """Give up the connections to the database."""
        self._engine.dispose()

    def _measured(self) -> tuple[sa.ColumnElement[bool], ...]:
        """What `LoggedVerdict.is_of_new_class` is not, and nothing supersedes. Editors have two labels for good."""
        known = sa.or_(VERDICTS.c.score > 0, VERDICTS.c.label < 0)
        return (_STANDING,) if self.classifier == EDITORS.name else (_STANDING, known)

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
