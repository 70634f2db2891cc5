"""The place of the verdict log, looked at before anything is changed there."""

from __future__ import annotations

import sqlalchemy as sa

from sb_api.config import Settings
from sb_api.verdicts.databases import begin, check_whole, name_place, open_database
from sb_api.verdicts.migrations import refuse_foreign


def examine_verdict_log(settings: Settings) -> str:
    """Where the log is, once it is found whole; nothing is changed. Raises Unavailable, which says what is wrong."""
    file = settings.state / "verdicts.sqlite"
    if not settings.verdict_log and not file.exists():
        return f"{file} is not there yet"
    engine = open_database(settings.verdict_log, "SB_API_VERDICT_LOG", file)
    try:
        with begin(engine, "The verdict log") as connection:
            if engine.dialect.name == "sqlite":
                check_whole(connection)
            refuse_foreign(sa.inspect(connection), name_place(engine))
        return name_place(engine)
    finally:
        engine.dispose()
