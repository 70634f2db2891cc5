"""Verdicts taken out of the log for good, and given other states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from sb_api.judgements import Status
from sb_api.verdicts import lineage
from sb_api.verdicts.log_schema import LEARNINGS, UNLEARNINGS, VERDICTS


def purge(connection: sa.Connection, numbers: Sequence[int]) -> None:
    """Take out verdicts by their numbers, and that any version has learned them."""
    for part in lineage.parts(numbers):
        for table in (LEARNINGS, UNLEARNINGS, VERDICTS):
            connection.execute(table.delete().where(table.c.number.in_(part)))


def restate(connection: sa.Connection, states: Mapping[int, Status]) -> None:
    """Give verdicts other states, by their numbers."""
    for number, status in states.items():
        connection.execute(VERDICTS.update().where(VERDICTS.c.number == number).values(status=status))
