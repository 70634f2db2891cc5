"""Logs that an older release has written, brought to the tables of this one.

Rows stay as they are; what is added is what they imply: which version learned them, which ones their reporter has
replaced since, and which ones a rollback has undone.
"""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa

from sb_api.errors import Unavailable
from sb_api.verdicts import lineage
from sb_api.verdicts.databases import name_place
from sb_api.verdicts.log_schema import EVENTS, FOLLOWED, LEARNINGS, LINEAGE, METADATA, VERDICTS, LoggedVerdict

ORIGINAL = "000000-"  # the number of an original in its chain


def migrate(connection: sa.Connection) -> None:
    """Make the tables that are missing, and the columns, and fill them. What is there already is left alone.

    Raises Unavailable when a table of that name is another program's.
    """
    there = sa.inspect(connection)
    refuse_foreign(there, name_place(connection.engine))
    tables = set(there.get_table_names())
    is_old = VERDICTS.name in tables and FOLLOWED.name not in tables
    if tables >= METADATA.tables.keys() and not is_old:
        return
    if VERDICTS.name in tables:
        columns = {column["name"] for column in there.get_columns(VERDICTS.name)}
        for column in VERDICTS.columns:
            if column.name not in columns:
                _add_column(connection, column)
    METADATA.create_all(connection)
    for index in VERDICTS.indexes:
        index.create(connection, checkfirst=True)
    if is_old:
        query = sa.select(VERDICTS.c.classifier).distinct().union(sa.select(EVENTS.c.classifier).distinct())
        for classifier in sorted(connection.scalars(query)):
            _supersede(connection, classifier)
            _retrace(connection, classifier)


def refuse_foreign(there: sa.Inspector, place: str) -> None:
    """Raises Unavailable when a table of the database at `place` has the name of one of ours, and is another's."""
    tables = set(there.get_table_names())
    for table in METADATA.tables.values():
        if table.name not in tables:
            continue
        columns = {column["name"] for column in there.get_columns(table.name)}
        # Those that every release has had.
        wanted = {column.name for column in table.columns if not (column.nullable or column.server_default)}
        if missing := sorted(wanted - columns):
            raise Unavailable(
                f"The table {table.name} of {place} is not one of sb_api: it has no column {', '.join(missing)}. Have "
                f"SB_API_VERDICT_LOG name a database of sb_api's own."
            )


def _add_column(connection: sa.Connection, column: sa.Column[object]) -> None:
    described = sa.schema.CreateColumn(column).compile(connection)
    connection.execute(sa.text(f"ALTER TABLE {VERDICTS.name} ADD COLUMN {described}"))


def _supersede(connection: sa.Connection, classifier: str) -> None:
    """Mark all but the newest of a reporter's verdicts on the same record."""
    mine = VERDICTS.c.classifier == classifier
    several = (
        sa.select(VERDICTS.c.record)
        .where(mine)
        .group_by(VERDICTS.c.record, VERDICTS.c.reporter)
        .having(sa.func.count() > 1)
        .distinct()
    )
    for part in lineage.parts(list(connection.scalars(several))):
        query = sa.select(VERDICTS).where(mine, VERDICTS.c.record.in_(part)).order_by(VERDICTS.c.number.desc())
        newest: dict[tuple[str, str], list[LoggedVerdict]] = defaultdict(list)
        replaced = []
        for row in connection.execute(query):
            verdict = LoggedVerdict(**row._mapping)
            later = newest[verdict.record, verdict.reporter]
            if any(verdict.is_about_the_same(other) for other in later):
                replaced.append(verdict.number)
            else:
                later.append(verdict)
        for numbers in lineage.parts(replaced):
            connection.execute(VERDICTS.update().where(VERDICTS.c.number.in_(numbers)).values(status="superseded"))


def _retrace(connection: sa.Connection, classifier: str) -> None:
    """Go once more through what has replaced the weights, and follow it."""
    learned = sa.select(VERDICTS.c.number, VERDICTS.c.version, VERDICTS.c.classifier).where(
        VERDICTS.c.classifier == classifier, VERDICTS.c.version.is_not(None)
    )
    connection.execute(LEARNINGS.insert().from_select(["number", "version", "classifier"], learned))
    events = connection.execute(sa.select(EVENTS).where(EVENTS.c.classifier == classifier).order_by(EVENTS.c.number))
    parents: dict[str, str | None] = {}
    moves = []
    for event in events:
        if event.kind == "training":
            parents[event.version] = event.previous
        if event.previous not in parents and event.previous.startswith(ORIGINAL):
            parents[event.previous] = None
        moves.append(event)
    root = next((version for version, parent in parents.items() if parent is None), None)
    for event in moves:
        if event.kind == "replay" and event.version not in parents:
            parents[event.version] = root
    rows = [{"classifier": classifier, "version": v, "parent": p} for v, p in parents.items()]
    if rows:
        connection.execute(LINEAGE.insert(), rows)
    for event in moves:
        if event.kind == "replay" and event.version != root:
            known = (
                VERDICTS.c.classifier == classifier,
                VERDICTS.c.version.is_not(None),
                VERDICTS.c.received <= event.moment,
            )
            numbers = connection.scalars(sa.select(VERDICTS.c.number).where(*known))
            lineage.add_learnings(connection, classifier, event.version, list(numbers))
        lineage.follow(connection, classifier, event.previous, {})
        lineage.follow(connection, classifier, event.version, {})
