"""`sb-api audit`: who had what done."""

from __future__ import annotations

import getpass
import os
from datetime import datetime
from typing import get_args

import click

from sb_api.cli.terminal.output import JSON, count, show, show_line, wants_json
from sb_api.config import Settings, load_settings
from sb_api.judgements import AuditEntry, AuditKind, now
from sb_api.telemetry.logs import log_entry


@click.command()
@click.option("--since", type=click.DateTime(), help="Only entries since this moment (UTC).")
@click.option("--kind", type=click.Choice(get_args(AuditKind)), help="Only entries of this kind.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(0), help="At most so many, newest first; 0: all."
)
@JSON
def audit(since: datetime | None, kind: str | None, limit: int) -> None:
    """Show who had what done, newest first: verdicts, rollbacks, replays, purges, tokens, starts.

    The audit log lies beside the verdict log, in the same database. No detail of an account is in it.
    """
    from sb_api.verdicts.audit import open_audit_log

    settings = load_settings()
    if settings.verdict_log == "off":
        raise click.ClickException("SB_API_VERDICT_LOG is off: the audit log is in the log lines alone.")
    entries = open_audit_log(settings).latest(limit, since, kind)
    for entry in entries:
        if wants_json():
            show(entry)
        else:
            show_line(describe_entry(entry))
    if not entries and not wants_json():
        click.echo("No such entries.", err=True)


def describe_entry(entry: AuditEntry) -> str:
    """One line for people."""
    who = entry.credential or ("the service" if not entry.address else "nobody signed in")
    named = f" for {entry.name}" if entry.name and entry.credential else f" {entry.name}" if entry.name else ""
    place = f" from {entry.address}" if entry.address else ""
    told = [entry.classifier, count(entry.count, "verdict") if entry.count else "", entry.version, entry.detail]
    outcome = "" if entry.outcome == "done" else f" {entry.outcome}"
    what = "; ".join(part for part in told if part)
    return f"{entry.moment:%Y-%m-%d %H:%M:%S}  {entry.kind}{outcome}, by {who}{named}{place}: {what}".rstrip(": ")


def write_down(settings: Settings, kind: AuditKind, detail: str, count: int = 0, classifier: str = "") -> None:
    """Note in the audit log what a command on this machine has done, by the user of the operating system."""
    entry = AuditEntry(
        kind=kind,
        moment=now(),
        name=_user(),
        address="this machine",
        count=count,
        classifier=classifier,
        detail=detail,
    )
    try:
        from sb_api.verdicts.audit import open_audit_log
    except ModuleNotFoundError:  # where only what serves is installed there is no database
        log_entry(entry)
    else:
        open_audit_log(settings).append(entry)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return f"user {os.getuid()}"
