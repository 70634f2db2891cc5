"""The audit log: who had what done, beside the verdict log and as lines of the process's log.

Entries are added, never changed and never taken out; there is no way to do so here, and `sb-api verdicts purge` leaves
them. None holds a detail of an account.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from sb_api.config import PREFIX, Settings
from sb_api.errors import Unavailable
from sb_api.judgements import AuditEntry
from sb_api.telemetry.logs import log_entry
from sb_api.verdicts.databases import begin, open_database
from sb_api.verdicts.log_schema import AUDIT
from sb_api.verdicts.migrations import migrate

logger = logging.getLogger(__name__)

LONGEST_DETAIL, LONGEST_NAME = 1000, 255


class AuditLog:
    """The audit log of one database; without one, its entries are log lines alone."""

    def __init__(self, engine: sa.Engine | None) -> None:
        self._engine = engine
        self._ready = False

    def append(self, entry: AuditEntry) -> None:
        """Add an entry. What has been done is not undone because it cannot be written down: that is an error in the
        log, where the entry is too."""
        log_entry(entry)
        if self._engine is None:
            return
        row = msgspec.structs.asdict(entry)
        row |= {"detail": entry.detail[:LONGEST_DETAIL], "name": entry.name[:LONGEST_NAME]}
        row.pop("number")
        try:
            with self._begin(self._engine) as connection:
                connection.execute(AUDIT.insert(), [row])
        except Unavailable as error:
            logger.error("the audit log lacks the entry above: %s", error.detail)

    def latest(self, limit: int, since: datetime | None = None, kind: str | None = None) -> list[AuditEntry]:
        """The latest entries, newest first, at most `limit`, all with 0; since a moment (UTC), of one kind. Raises
        Unavailable."""
        if self._engine is None:
            return []
        query = sa.select(AUDIT).order_by(AUDIT.c.number.desc())
        if since is not None:
            query = query.where(AUDIT.c.moment >= since)
        if kind is not None:
            query = query.where(AUDIT.c.kind == kind)
        with self._begin(self._engine) as connection:
            rows = connection.execute(query.limit(limit) if limit else query).all()
        return [AuditEntry(**row._mapping) for row in rows]

    def _begin(self, engine: sa.Engine) -> AbstractContextManager[sa.Connection]:
        if not self._ready:
            with begin(engine, "The audit log") as connection:
                migrate(connection)
            self._ready = True
        return begin(engine, "The audit log")


def open_audit_log(settings: Settings) -> AuditLog:
    """The audit log beside the verdict log, in the same database."""
    if settings.verdict_log == "off":
        return AuditLog(None)
    return AuditLog(open_database(settings.verdict_log, "SB_API_VERDICT_LOG", settings.state / "verdicts.sqlite"))


def describe_changes(settings: Settings, defaults: Mapping[str, Any] | None = None) -> str:
    """The settings that are not the defaults, without passwords."""
    usual = msgspec.structs.asdict(Settings()) if defaults is None else defaults
    changed = {
        f"{PREFIX}{name.upper()}": "(not shown)" if name == "webhooks" else _hide_password(str(value))
        for name, value in msgspec.structs.asdict(settings).items()
        if value != usual[name]
    }
    return " ".join(f"{name}={value}" for name, value in changed.items()) or "all settings as they are by default"


def _hide_password(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if not separator:
        return value
    # Whatever may be a password: what stands before the last `@`, and the options.
    _, at, place = rest.rpartition("@")
    return f"{scheme}://{'(not shown)@' if at else ''}{place.partition('?')[0]}"
