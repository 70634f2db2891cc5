"""What a verdict takes back: where its record stood before the first of the wrong ones that led to what it found.

Between a wrong verdict and its correction there may be any number of others of the same reporter: the wrong one sent
again, corrections that a rollback has undone, some that were never learned. What counts is what the weights had learned
that each of them found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import sqlalchemy as sa

from sb_api.verdicts import lineage
from sb_api.verdicts.log_schema import LEARNINGS, LoggedVerdict


def find_taken_back(
    connection: sa.Connection,
    classifier: str,
    verdicts: Sequence[LoggedVerdict],
    rows: Mapping[int, LoggedVerdict],
) -> dict[int, LoggedVerdict]:
    """By the number of those of `verdicts` that correct any: the first that they take back. `rows` are by their numbers
    those that may have come before, in any order."""
    parents = lineage.read_parents(connection, classifier)
    learned_in: dict[int, set[str]] = defaultdict(set)
    for part in lineage.parts(sorted(rows)):
        query = sa.select(LEARNINGS.c.number, LEARNINGS.c.version).where(LEARNINGS.c.number.in_(part))
        for number, version in connection.execute(query):
            learned_in[number].add(version)

    def had_learned(weights: str, row: LoggedVerdict) -> bool:
        return row.version is not None and _come_from(weights, learned_in[row.number], parents)

    found = {}
    for verdict in verdicts:
        first: LoggedVerdict | None = None
        for row in _replaced(verdict, rows):
            # The score of what was found so far is of weights that may have learned earlier ones.
            if not had_learned((first or verdict).weights, row):
                continue
            if row.label != verdict.label and (first is None or row.label == first.label):
                first = row
            elif row.label == verdict.label and first is not None:
                break  # the record had come back by then
        if first is not None:
            found[verdict.number] = first
    return found


def _replaced(verdict: LoggedVerdict, rows: Mapping[int, LoggedVerdict]) -> Iterator[LoggedVerdict]:
    """What a verdict has replaced, and what that had, and so on."""
    row: LoggedVerdict | None = verdict
    while row is not None and row.supersedes is not None:
        row = rows.get(row.supersedes)
        if row is not None:
            yield row


def _come_from(weights: str, versions: Collection[str], parents: Mapping[str, str | None]) -> bool:
    """Whether weights are one of some versions or were made from one; also where it is not known what they were made
    from, as in logs of older releases."""
    version: str | None = weights
    for _ in range(len(parents) + 1):
        if version is None or version in versions or version not in parents:
            break
        version = parents[version]
    return version is not None
