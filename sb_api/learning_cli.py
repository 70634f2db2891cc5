"""The commands for what was learned: look at verdicts, take some out, and rebuild the weights from the rest."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import Any

import click
import msgspec

from sb_api.classifiers import CLASSIFIERS
from sb_api.config import load_settings
from sb_api.errors import Unavailable

PATIENCE = 60.0  # seconds to wait for the service to take a task
MODEL = click.option("--model", type=click.Choice(list(CLASSIFIERS)), default="lodbrok", show_default=True)
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
def purge_verdicts(reporter: str | None, since: datetime | None, record: str | None, model: str, yes: bool) -> None:
    """Take verdicts out of the log for good. `sb-api replay` then rebuilds the weights from the rest."""
    if reporter is None and since is None and record is None:
        raise click.UsageError("Say which: --reporter, --since or --id.")
    log = _open_log(model)
    count = len(log.find(reporter=reporter, since=since, record=record))
    if count and not yes:
        click.confirm(f"Take {count} verdicts out of the log for good?", abort=True)
    purged = log.purge(reporter=reporter, since=since, record=record)
    click.echo(f"{purged} verdicts taken out. The weights still know them; `sb-api replay` rebuilds them without.")


@click.command()
@MODEL
@click.option("--url", help="Address of the service (default: that of the settings).")
@click.option("--force", is_flag=True, help="Promote the rebuilt weights against the guard's word.")
def replay(model: str, url: str | None, force: bool) -> None:
    """Rebuild the current weights from the original and the verdict log, while the service runs."""
    from sb_api.polling import ask, follow_task

    settings = load_settings()
    address = url or f"http://{settings.host}:{settings.port}"
    start = time.monotonic()
    task = ask(f"{address}/replay?model={model}&force={str(force).lower()}", b"", start + PATIENCE)["task_id"]
    with click.progressbar(length=1, label="replaying", file=sys.stderr, show_eta=False) as bar:
        for progress in follow_task(address, task):
            bar.length = progress["total"]
            bar.label = f"replaying, {progress['seconds_left']:.0f} s left"
            bar.update(progress["done"] - bar.pos)
        bar.finish()
    answer = ask(f"{address}/get-result/{task}", None, time.monotonic() + PATIENCE)["data"]
    took = time.monotonic() - start
    click.echo(f"{answer['learned']} verdicts replayed in {took:.1f} s; current is {answer['weights']['version']}.")


def _open_log(model: str) -> Any:
    from sb_api.verdicts import open_verdict_log

    log = open_verdict_log(load_settings(), model)
    if log is None:
        raise Unavailable("SB_API_VERDICT_LOG is off: there is no verdict log.")
    return log
