"""What a verdict takes back: where its record stood before the first of the wrong ones that led to what it found.

Between a wrong verdict and its correction there may be any number of others, whoever gives them: the wrong one sent
again or taken back, corrections that a rollback has undone, some that were never learned. What counts is what the
weights had learned that each of them found. A colleague puts right what another got wrong as well as that one does: so
nobody's verdict stands in the way of the newest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa

from sb_api.verdicts import lineage
from sb_api.verdicts.log_schema import LEARNINGS, UNLEARNINGS, LoggedVerdict


def find_taken_back(
    connection: sa.Connection,
    classifier: str,
    verdicts: Sequence[LoggedVerdict],
    rows: Sequence[LoggedVerdict],
    own: bool = False,
) -> list[LoggedVerdict | None]:
    """For each of n verdicts the first that it takes back, None where it corrects none; of its own reporter's alone
    where these are asked for. `rows` are those on the same records that any weights have learned, in any order."""
    parents = lineage.read_parents(connection, classifier)
    numbers = sorted(row.number for row in rows)
    learned_in, unlearned_in = (
        lineage.read_versions(connection, table, table.c.number, numbers) for table in (LEARNINGS, UNLEARNINGS)
    )

    def had_learned(weights: str, row: LoggedVerdict) -> bool:
        """Whether weights are one of the versions that have learned a verdict or were made from one, and not from one
        since that was taught it away; also where it is not known what they were made from, as in logs of older
        releases."""
        version: str | None = weights
        for _ in range(len(parents) + 1):
            if version is None or version in unlearned_in[row.number]:
                return False
            if version in learned_in[row.number] or version not in parents:
                return True
            version = parents[version]
        return True

    said: dict[str, list[LoggedVerdict]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: -row.number):
        said[row.record].append(row)
    found = []
    for verdict in verdicts:
        first: LoggedVerdict | None = None
        for row in said[verdict.record]:
            # One that is not logged yet, and so has no number, comes after all.
            is_earlier = not verdict.number or row.number < verdict.number
            # The score of what was found so far is of weights that may have learned earlier ones.
            if not (is_earlier and row.is_about_the_same(verdict) and had_learned((first or verdict).weights, row)):
                continue
            if own and row.reporter != verdict.reporter:
                continue
            if row.label != verdict.label and (first is None or row.label == first.label):
                first = row
            elif row.label == verdict.label and first is not None:
                break  # the record had come back by then
        found.append(first)
    return found
