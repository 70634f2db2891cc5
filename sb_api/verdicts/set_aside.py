"""Credentials whose trainings the guard refuses again and again: counted, set aside, and let back.

What one that is set aside sends is kept and not learned, and says nothing for another's verdict, until an admin lets it
back. A training that is learned ends the row; those before it are forgotten.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec
import sqlalchemy as sa

from sb_api.verdicts.log_schema import REFUSALS, VERDICTS

MOST_TOLD = 100  # credentials that are set aside and told of by name


class SetAside(msgspec.Struct, frozen=True):
    """A credential that is set aside since a moment (UTC), after so many refused trainings in a row."""

    account: str
    since: datetime
    refused: int


def of_account(account: str) -> sa.ColumnElement[bool]:
    """The condition that a verdict is an account's, whomever it speaks for."""
    return sa.or_(VERDICTS.c.reporter == account, VERDICTS.c.reporter.startswith(f"{account}/", autoescape=True))


def note_refusal(connection: sa.Connection, classifier: str, account: str, moment: datetime, most: int) -> int:
    """Count a refused training of an account; how many those in a row are now. With `most` of them (0: never) it is set
    aside at `moment` (UTC), with all of its verdicts that may be learned later."""
    mine = (REFUSALS.c.classifier == classifier, REFUSALS.c.account == account)
    count = (connection.scalar(sa.select(REFUSALS.c.refused).where(*mine)) or 0) + 1
    if count == 1:
        connection.execute(REFUSALS.insert().values(classifier=classifier, account=account, refused=1))
    else:
        connection.execute(REFUSALS.update().where(*mine).values(refused=count))
    if most and count >= most:
        connection.execute(REFUSALS.update().where(*mine, REFUSALS.c.since.is_(None)).values(since=moment))
        _mark(connection, classifier, account, ("refused", "held"), "set aside")
    return count


def forget_refusals(connection: sa.Connection, classifier: str, accounts: Collection[str]) -> None:
    """End the rows of accounts of which a training was learned. Those that are set aside stay so."""
    there = select_counted(connection, classifier) & set(accounts)
    for account in there:
        mine = (REFUSALS.c.classifier == classifier, REFUSALS.c.account == account)
        connection.execute(REFUSALS.delete().where(*mine, REFUSALS.c.since.is_(None)))


def select_counted(connection: sa.Connection, classifier: str) -> set[str]:
    """The accounts with refused trainings since their last learned one."""
    return set(connection.scalars(sa.select(REFUSALS.c.account).where(REFUSALS.c.classifier == classifier)))


def list_set_aside(connection: sa.Connection, classifier: str) -> list[SetAside]:
    """Those that are set aside, the latest first."""
    columns = (REFUSALS.c.account, REFUSALS.c.since, REFUSALS.c.refused)
    query = sa.select(*columns).where(REFUSALS.c.classifier == classifier, REFUSALS.c.since.is_not(None))
    return [SetAside(*row) for row in connection.execute(query.order_by(REFUSALS.c.since.desc(), REFUSALS.c.account))]


def let_back(connection: sa.Connection, classifier: str, account: str) -> int | None:
    """Let an account back that is set aside; how many of its verdicts may be learned again. None where it is not."""
    mine = (REFUSALS.c.classifier == classifier, REFUSALS.c.account == account, REFUSALS.c.since.is_not(None))
    if not connection.execute(REFUSALS.delete().where(*mine)).rowcount:
        return None
    return _mark(connection, classifier, account, ("set aside",), "held")


def _mark(connection: sa.Connection, classifier: str, account: str, before: Collection[str], after: str) -> int:
    mine = (VERDICTS.c.classifier == classifier, VERDICTS.c.status.in_(before), of_account(account))
    return connection.execute(VERDICTS.update().where(*mine).values(status=after)).rowcount
