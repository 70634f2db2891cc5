"""Verdicts taken out of the log for good. What they had replaced counts again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa

from sb_api.judgements import Status
from sb_api.verdicts import lineage, set_aside
from sb_api.verdicts.log_schema import LEARNINGS, UNLEARNINGS, VERDICTS, account_of, spam_of

Waits = Callable[[int, float], bool]


def nobody_waits(_label: int, _spam: float) -> bool:
    return False


def purge(
    connection: sa.Connection, classifier: str, conditions: Sequence[sa.ColumnElement[bool]], waits: Waits
) -> tuple[int, int]:
    """Take out the verdicts of a classifier that meet all conditions; how many these are, and how many count again.

    Such as were never learned are kept then: for a second reporter where a verdict of a label on an account with such a
    score of label 1 `waits` for one, else to be learned with those that follow.
    """
    query = sa.select(VERDICTS.c.number, VERDICTS.c.supersedes).where(VERDICTS.c.classifier == classifier, *conditions)
    taken = {row.number: row.supersedes for row in connection.execute(query)}
    for part in lineage.parts(sorted(taken)):
        for table in (LEARNINGS, UNLEARNINGS, VERDICTS):
            connection.execute(table.delete().where(table.c.number.in_(part)))
    replaced = sorted({number for number in taken.values() if number is not None} - taken.keys())
    states = _states(connection, classifier, replaced, waits)
    restate(connection, states)
    return len(taken), len(states)


def restate(connection: sa.Connection, states: Mapping[int, Status]) -> None:
    """Give verdicts other states, by their numbers."""
    for number, status in states.items():
        connection.execute(VERDICTS.update().where(VERDICTS.c.number == number).values(status=status))


def _states(connection: sa.Connection, classifier: str, replaced: Sequence[int], waits: Waits) -> dict[int, Status]:
    """By their numbers, the states of those of some verdicts that are superseded, once they count again."""
    if not replaced:
        return {}
    followed = lineage.read_followed(connection, classifier)
    ancestry = lineage.trace(followed, lineage.read_parents(connection, classifier)).versions
    learned = lineage.learned_by(connection, classifier, ancestry)
    aside = {one.account for one in set_aside.list_set_aside(connection, classifier)}
    names = ("number", "version", "attempts", "reporter", "label", "score")
    columns = [VERDICTS.c[name] for name in names]
    states: dict[int, Status] = {}
    for part in lineage.parts(replaced):
        query = sa.select(*columns).where(VERDICTS.c.number.in_(part), VERDICTS.c.status == "superseded")
        for number, version, attempts, reporter, label, score in connection.execute(query):
            if version is not None:
                states[number] = "learned" if number in learned else "undone"
            elif account_of(reporter) in aside:
                states[number] = "set aside"
            elif attempts:
                states[number] = "refused"
            else:
                states[number] = "waiting" if waits(label, spam_of(label, score)) else "held"
    return states
