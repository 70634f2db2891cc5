"""Which weights came from which, and so which verdicts the current ones have learned.

A verdict is learned by the weights that a training made of it, and by all that were made from those. A rollback leaves
that line: what only the left part had learned is undone. A rollback forth finds it learned again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sb_api.verdicts.log_schema import FOLLOWED, LEARNINGS, LINEAGE, UNLEARNINGS, VERDICTS

PART = 500  # values in one query


@dataclass(frozen=True)
class Ancestry:
    """A version, what it came from, and so on to its `root`; "" where that is not known."""

    versions: frozenset[str]
    root: str


def trace(version: str, parents: Mapping[str, str | None]) -> Ancestry:
    """The ancestry of a version. `parents` has that of each version that is known, None for an original."""
    found: dict[str, None] = {}
    while version and version not in found:
        found[version] = None
        if version in parents and parents[version] is None:
            return Ancestry(frozenset(found), version)
        version = parents.get(version) or ""
    return Ancestry(frozenset(found), "")


def read_parents(connection: sa.Connection, classifier: str) -> dict[str, str | None]:
    """The parent of each version that the log knows of, None for an original."""
    query = sa.select(LINEAGE.c.version, LINEAGE.c.parent).where(LINEAGE.c.classifier == classifier)
    return {row.version: row.parent for row in connection.execute(query)}


def add_parents(connection: sa.Connection, classifier: str, parents: Mapping[str, str | None]) -> dict[str, str | None]:
    """Make the parents of versions known; returns those of all."""
    known = read_parents(connection, classifier)
    new = {version: parent for version, parent in parents.items() if version not in known}
    if new:
        rows = [{"classifier": classifier, "version": v, "parent": p} for v, p in new.items()]
        connection.execute(LINEAGE.insert(), rows)
    return known | new


def add_learnings(connection: sa.Connection, classifier: str, version: str, numbers: Iterable[int]) -> None:
    """Make it known that a version has learned these verdicts. May be repeated."""
    _add(connection, LEARNINGS, classifier, version, numbers)


def add_unlearnings(connection: sa.Connection, classifier: str, version: str, numbers: Iterable[int]) -> None:
    """Make it known that a version was taught away these verdicts. May be repeated."""
    _add(connection, UNLEARNINGS, classifier, version, numbers)


def _add(connection: sa.Connection, table: sa.Table, classifier: str, version: str, numbers: Iterable[int]) -> None:
    query = sa.select(table.c.number).where(table.c.classifier == classifier, table.c.version == version)
    known = set(connection.scalars(query))
    rows = [{"number": n, "version": version, "classifier": classifier} for n in numbers if n not in known]
    if rows:
        connection.execute(table.insert(), rows)


def learned_by(connection: sa.Connection, classifier: str, versions: Iterable[str]) -> set[int]:
    """The numbers of the verdicts that any of these versions, each made from another of them, has learned, and none
    after it was taught away."""
    names = sorted(versions)
    learned, unlearned = (
        read_versions(connection, table, table.c.version, names, table.c.classifier == classifier)
        for table in (LEARNINGS, UNLEARNINGS)
    )
    known = read_parents(connection, classifier) if unlearned else {}

    def latest(versions: Iterable[str]) -> int:
        return max((len(trace(version, known).versions) for version in versions), default=0)

    return {
        number for number, by in learned.items() if number not in unlearned or latest(by) > latest(unlearned[number])
    }


def read_versions(
    connection: sa.Connection,
    table: sa.Table,
    column: sa.Column[Any],
    values: Sequence[Any],
    *conditions: sa.ColumnElement[bool],
) -> defaultdict[int, set[str]]:
    """By the number of a verdict the versions that a table has with it, none by default: of its rows with these values
    in a column that meet all conditions."""
    found = defaultdict[int, set[str]](set)
    for part in parts(values):
        query = sa.select(table.c.number, table.c.version).where(column.in_(part), *conditions)
        for number, version in connection.execute(query):
            found[number].add(version)
    return found


def read_followed(connection: sa.Connection, classifier: str) -> str:
    """The version that the states of the verdicts are true of; "" before any."""
    return connection.scalar(sa.select(FOLLOWED.c.version).where(FOLLOWED.c.classifier == classifier)) or ""


def follow(connection: sa.Connection, classifier: str, version: str, parents: Mapping[str, str | None]) -> None:
    """Make the states of the verdicts true of `version`, which is current now: those that only weights which it did not
    come from have learned are undone, and those that were undone and that it has learned are learned.

    Nothing is undone by a new original, nor where the way from the one version to the other is not known.
    """
    followed = read_followed(connection, classifier)
    if followed == version:
        return
    known = add_parents(connection, classifier, parents)
    old, new = trace(followed, known), trace(version, known)
    if old.root and old.root == new.root:
        left, entered = old.versions - new.versions, new.versions - old.versions
        kept = learned_by(connection, classifier, new.versions) if left else set()
        undone = learned_by(connection, classifier, left) - kept
        mark(connection, sorted(undone), "learned", "undone")
        mark(connection, sorted(learned_by(connection, classifier, entered)), "undone", "learned")
    if followed:
        connection.execute(FOLLOWED.update().where(FOLLOWED.c.classifier == classifier).values(version=version))
    else:
        connection.execute(FOLLOWED.insert().values(classifier=classifier, version=version))


def mark(connection: sa.Connection, numbers: Sequence[int], before: str, after: str) -> None:
    """Give those of some verdicts that have the one status the other one."""
    for part in parts(numbers):
        connection.execute(
            VERDICTS.update().where(VERDICTS.c.number.in_(part), VERDICTS.c.status == before).values(status=after)
        )


def parts(values: Sequence[Any], size: int = PART) -> Iterator[Sequence[Any]]:
    """Values in as many queries as they need."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
