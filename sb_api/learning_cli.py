"""The commands for the log of what was learned: look at verdicts and take some out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
import msgspec

from sb_api.client_cli import MODEL
from sb_api.config import load_settings

_FILTERS = (
    click.option("--reporter", help="Only those of this reporter."),
    click.option("--since", type=click.DateTime(), help="Only those received since this moment (UTC)."),
    click.option("--id", "record", help="Only those on this record."),
    MODEL,
)
_SHOWN = ("number", "record", "reporter", "label", "predicted", "score", "weights", "received", "status", "version")


def _filters(command: Any) -> Any:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group()
def verdicts() -> None:
    """The log of moderators' verdicts."""


@verdicts.command("list")
@_filters
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first; 0: all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_verdicts(
    reporter: str | None, since: datetime | None, record: str | None, model: str, limit: int, as_json: bool
) -> None:
    """Show verdicts, newest first."""
    found = _open_log(model).find(reporter=reporter, since=since, record=record, limit=limit)
    for verdict in found:
        shown = {name: getattr(verdict, name) for name in _SHOWN}
        if as_json:
            click.echo(msgspec.json.encode(shown))
        else:
            who = f"{verdict.record} by {verdict.reporter or 'nobody named'}"
            before = f"{verdict.weights} had said {verdict.predicted}, and {verdict.score:.3f} for {verdict.label}"
            outcome = f"{verdict.status} {verdict.version or ''}"
            click.echo(f"{verdict.received:%Y-%m-%d %H:%M}  {who}: {verdict.label}; {before}; {outcome}")
    if not found and not as_json:
        click.echo("No such verdicts.", err=True)


@verdicts.command("purge")
@_filters
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def purge_verdicts(
    reporter: str | None, since: datetime | None, record: str | None, model: str, yes: bool, as_json: bool
) -> None:
    """Take verdicts out of the log for good. `sb-api replay` then rebuilds the weights from the rest."""
    if reporter is None and since is None and record is None:
        raise click.UsageError("Say which: --reporter, --since or --id.")
    log = _open_log(model)
    count = len(log.find(reporter=reporter, since=since, record=record))
    if count and not yes:
        click.confirm(f"Take {count} verdicts out of the log for good?", abort=True, err=True)
    purged = log.purge(reporter=reporter, since=since, record=record)
    if as_json:
        click.echo(msgspec.json.encode({"purged": purged}))
        return
    click.echo(f"{purged} verdicts taken out. The weights still know them; `sb-api replay` rebuilds them without.")


def _open_log(model: str) -> Any:
    from sb_api.verdicts import open_verdict_log

    log = open_verdict_log(load_settings(), model)
    if log is None:
        raise click.ClickException("SB_API_VERDICT_LOG is off: there is no verdict log.")
    return log
