"""The commands for the log of what was learned: look at verdicts and take some out."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, get_args

import click

from sb_api.cli.audit import write_down
from sb_api.cli.terminal.options import MODEL, client_of, with_options, with_service
from sb_api.cli.terminal.output import JSON, count, show, show_line, show_note, tell, wants_json
from sb_api.config import Settings, load_settings
from sb_api.errors import SbApiError
from sb_api.judgements import Status, VerdictQuery

_filters = with_options(
    click.option("--reporter", help="Only those of this reporter."),
    click.option("--since", type=click.DateTime(), help="Only those received since this moment (UTC)."),
    click.option("--id", "record", help="Only those on this record."),
    MODEL,
)


@click.group()
def verdicts() -> None:
    """The log of moderators' verdicts."""


@verdicts.command("list")
@_filters
@click.option("--status", multiple=True, type=click.Choice(get_args(Status)), help="Only those of this status.")
@click.option("--kept", is_flag=True, help="Only those that are kept and not learned yet.")
@click.option("--before", type=click.IntRange(1, 2**63 - 1), help="Only those with numbers below this one.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(0), help="At most so many, newest first; 0: all."
)
@JSON
def list_verdicts(
    reporter: str | None,
    since: datetime | None,
    record: str | None,
    model: str,
    status: tuple[str, ...],
    kept: bool,
    before: int | None,
    limit: int,
) -> None:
    """Show verdicts, newest first, and what became of each."""
    from sb_api.models.weights_store import WeightsStore
    from sb_api.verdicts.history import find_verdicts
    from sb_api.verdicts.outcomes import KEPT

    log = _open_log(model)
    chain = WeightsStore.of(load_settings(), model).chain()
    statuses = [*status, *(KEPT if kept else ())]
    query = VerdictQuery(reporter=reporter, since=since, before=before, record=record, statuses=statuses, limit=limit)
    found, more = find_verdicts(log, chain, query)
    for verdict in found:
        if wants_json():
            show(verdict)
        else:
            who = f"{verdict.record} by {verdict.reporter or 'nobody named'}"
            said = "the same" if verdict.predicted == verdict.label else verdict.predicted_name
            share = f"gave {verdict.score:.3f} to the verdict" if verdict.spam is None else f"{verdict.spam:.3f} spam"
            earlier = f"{verdict.weights} had said {said}, {share}"
            outcome = f"{verdict.status} {verdict.version or ''}".strip()
            reason = f" ({verdict.reason})" if verdict.reason else ""
            moment = verdict.received[:16].replace("T", " ")
            show_line(f"{moment}  {who}: {verdict.label_name}; {earlier}; {outcome}{reason}")
    if more:
        show_note(f"there are more; `--before {found[-1].number}` shows those before")
    if not found and not wants_json():
        click.echo("No such verdicts.", err=True)


@verdicts.command("purge")
@_filters
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
def purge_verdicts(reporter: str | None, since: datetime | None, record: str | None, model: str, yes: bool) -> None:
    """Take verdicts out of the log for good. `sb-api replay` then rebuilds the weights from the rest."""
    from sb_api.learning.ingest import Intake
    from sb_api.learning.undo.restoration import purge
    from sb_api.models.classifiers import find_classifier
    from sb_api.models.weights_store import WeightsStore

    if reporter is None and since is None and record is None:
        raise click.UsageError("Say which: --reporter, --since or --id.")
    settings, log = load_settings(), _open_log(model)
    chosen = {"reporter": reporter, "since": since, "record": record}
    found = len(log.find(**chosen))
    if found and not yes:
        click.confirm(f"Take {count(found, 'verdict')} out of the log for good?", abort=True, err=True)
    about = WeightsStore.of(settings, model).chain().find("current")
    wanted = log.find(**chosen)
    purged, again = len(wanted), purge(Intake(settings, find_classifier(about), log), wanted, about)
    if purged:
        # Not the id: the audit log stays, and would name whoever is to be forgotten.
        by = [f"{name} {value}" for name, value in (("reporter", reporter), ("since", since)) if value is not None]
        by += ["id"] if record is not None else []
        write_down(settings, "purge", f"by {', '.join(by)}", count=purged, classifier=model)
    told = f"{count(purged, 'verdict')} taken out"
    if again:
        told += f"; {count(again, 'verdict')} that they had replaced count{'s' if again == 1 else ''} again"
    told += ". The weights keep what they have learned; `sb-api replay` rebuilds them without."
    tell({"purged": purged, "counting_again": again}, told if purged else "No such verdicts; none was taken out.")
    if purged:
        _have_measured(settings, model)


def _have_measured(settings: Settings, model: str) -> None:
    """Have the train process publish the figures of quality anew, once it has time."""
    from sb_api.broker.connection import connect
    from sb_api.broker.jobs import TRAIN, Job
    from sb_api.broker.producer import Producer
    from sb_api.broker.shared_state import Broker

    try:
        with connect(settings) as client:
            job = Job(task=uuid.uuid4().hex, operation="measure", classifier=model, body=b"")
            Producer(Broker.of(client, settings)).submit(TRAIN, [job])
    except SbApiError as error:
        show_note(f"the figures of quality follow when the train process starts or learns: {error.detail}")


@verdicts.command("undo")
@click.argument("record", metavar="ID")
@click.option("--reporter", help="Whose verdict. [default: whoever asks]")
@click.option("--digest", default="", help="What was judged, as `GET /verdicts` tells it. [default: whatever was]")
@MODEL
@with_service
def undo_verdict(record: str, reporter: str | None, digest: str, model: str, **options: Any) -> None:
    """Take back the newest verdict on the record ID, of a running service.

    It counts no longer, what it had replaced counts again, and what the weights have learned of it is undone.
    """
    with client_of(options) as client:
        done = client.undo(record, digest=digest, reporter=reporter, model=model)
    tell(done, f"{done.response}. Current is {done.weights.version}.")


def _open_log(model: str) -> Any:
    from sb_api.verdicts.verdict_log import open_verdict_log

    log = open_verdict_log(load_settings(), model)
    if log is None:
        raise click.ClickException("SB_API_VERDICT_LOG is off: there is no verdict log.")
    return log
