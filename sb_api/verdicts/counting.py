"""How much of their caps reporters and accounts have used, by the verdict log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sb_api.verdicts.log_schema import VERDICTS, account_of
from sb_api.verdicts.set_aside import of_account

Select = Callable[..., sa.Select[*tuple[Any, ...]]]  # of columns of one classifier's verdicts


def count_learned(connection: sa.Connection, select: Select, moment: datetime, least: int) -> Mapping[str, int]:
    """How many verdicts of each reporter with `least` of them were learned, or are being learned, since `moment` (UTC).
    Those that were taken back count too, or who takes back could go on for ever."""
    learned = sa.or_(VERDICTS.c.status.in_(("learned", "learning")), VERDICTS.c.version.is_not(None))
    query = (
        select(VERDICTS.c.reporter, sa.func.count())
        .where(VERDICTS.c.received >= moment, learned)
        .group_by(VERDICTS.c.reporter)
        .having(sa.func.count() >= least)
    )
    return {str(reporter): int(count) for reporter, count in connection.execute(query)}


def count_unlearned(
    connection: sa.Connection, select: Select, moment: datetime, accounts: Collection[str]
) -> Mapping[str, int]:
    """How many verdicts of each of some accounts were logged since `moment` (UTC), or are kept from before, and were
    never learned."""
    never = select(VERDICTS.c.reporter, sa.func.count()).where(VERDICTS.c.version.is_(None))
    if len(accounts) == 1:
        never = never.where(of_account(*accounts))
    late = never.where(VERDICTS.c.received >= moment)
    kept = never.where(VERDICTS.c.received < moment, VERDICTS.c.status.in_(("refused", "held", "waiting", "set aside")))
    counts: dict[str, int] = defaultdict(int)
    for query in (late, kept):
        for reporter, count in connection.execute(query.group_by(VERDICTS.c.reporter)):
            counts[account_of(reporter)] += count
    return {account: counts[account] for account in accounts}
