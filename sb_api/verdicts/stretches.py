"""The history of a verdict log, cut into stretches, by few queries however many verdicts there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sb_api.verdicts.log_schema import VERDICTS, Stretch


def cut_history(
    connection: sa.Connection,
    select: Callable[..., sa.Select[Any]],
    measured: Sequence[sa.ColumnElement[bool]],
    stretches: int,
    least: int,
) -> list[Stretch]:
    """The verdicts that are `measured`, oldest first, cut into at most so many stretches of about as many verdicts
    each, about `least` or more. `select` selects columns of the log."""
    number = VERDICTS.c.number
    columns = (sa.func.min(number), sa.func.max(number), sa.func.count())
    low, high, total = connection.execute(select(*columns).where(*measured)).one()
    if not total:
        return []
    stretches = max(1, min(stretches, total // least))
    place = sa.cast(number - low, sa.BigInteger) * stretches // (high - low + 1)
    cells = (place, VERDICTS.c.label, VERDICTS.c.predicted)
    rows = connection.execute(
        select(*cells, sa.func.count(), sa.func.max(number)).where(*measured).group_by(*cells)
    ).all()
    last: dict[int, int] = defaultdict(int)
    for position, _, _, _, highest in rows:
        last[position] = max(last[position], highest)
    moments = select(number, VERDICTS.c.received).where(number.in_(last.values()))
    received = {row.number: row.received for row in connection.execute(moments)}
    counts: dict[datetime, dict[tuple[int, int], int]] = defaultdict(lambda: defaultdict(int))
    for position, label, predicted, count, _ in sorted(rows):
        counts[received[last[position]]][label, predicted] += count
    return [Stretch(until, dict(counted)) for until, counted in counts.items()]
