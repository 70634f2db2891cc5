"""The commands for the log of what was learned: look at verdicts and take some out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from sb_api.cli.options import MODEL
from sb_api.cli.output import JSON, show, show_line, tell, wants_json
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
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(0), help="At most so many, newest first; 0: all."
)
@JSON
def list_verdicts(reporter: str | None, since: datetime | None, record: str | None, model: str, limit: int) -> None:
    """Show verdicts, newest first."""
    from sb_api.models.weights_store import WeightsStore

    found = _open_log(model).find(reporter=reporter, since=since, record=record, limit=limit)
    labels = WeightsStore.of(load_settings(), model).load_current().about.labels if found else []
    for verdict in found:
        label, predicted = labels[verdict.label], labels[verdict.predicted]
        shown = {name: getattr(verdict, name) for name in _SHOWN}
        if wants_json():
            show(shown | {"label_name": label, "predicted_name": predicted})
        else:
            who = f"{verdict.record} by {verdict.reporter or 'nobody named'}"
            said = "the same" if predicted == label else predicted
            before = f"{verdict.weights} had said {said}, and gave {verdict.score:.3f} to the verdict"
            outcome = f"{verdict.status} {verdict.version or ''}"
            show_line(f"{verdict.received:%Y-%m-%d %H:%M}  {who}: {label}; {before}; {outcome}")
    if not found and not wants_json():
        click.echo("No such verdicts.", err=True)


@verdicts.command("purge")
@_filters
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
def purge_verdicts(reporter: str | None, since: datetime | None, record: str | None, model: str, yes: bool) -> None:
    """Take verdicts out of the log for good. `sb-api replay` then rebuilds the weights from the rest."""
    if reporter is None and since is None and record is None:
        raise click.UsageError("Say which: --reporter, --since or --id.")
    log = _open_log(model)
    count = len(log.find(reporter=reporter, since=since, record=record))
    if count and not yes:
        click.confirm(f"Take {count} verdicts out of the log for good?", abort=True, err=True)
    purged = log.purge(reporter=reporter, since=since, record=record)
    text = f"{purged} verdicts taken out. The weights still know them; `sb-api replay` rebuilds them without."
    tell({"purged": purged}, text)


def _open_log(model: str) -> Any:
    from sb_api.learning.verdict_log import open_verdict_log

    log = open_verdict_log(load_settings(), model)
    if log is None:
        raise click.ClickException("SB_API_VERDICT_LOG is off: there is no verdict log.")
    return log
