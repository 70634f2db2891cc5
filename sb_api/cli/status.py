"""What a running service says of itself at one moment, for `sb-api status` and `sb-api top`."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, suppress
from typing import Any

import click
import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Group
from rich.table import Table
from rich.text import Text

from sb_api.cli.terminal import exit_codes
from sb_api.cli.terminal.options import client_of, with_service
from sb_api.cli.terminal.output import count as count_of
from sb_api.cli.terminal.output import escape_controls, show, wants_json
from sb_api.client.answers import WeightsChain
from sb_api.client.http import Client
from sb_api.client.protocol import PATHS
from sb_api.errors import SbApiError

STATUS_TIMEOUT = 4.0  # seconds for each answer: whoever looks wants to know whether there is one

Series = dict[str, dict[str, float]]  # by the name of the metric, then by its labels


class Overview(msgspec.Struct, frozen=True):
    """`metrics` are by name and labels (`bulk`, `train, 3`); empty where the service shows none to this caller."""

    url: str
    moment: float  # seconds, of a monotonic clock
    ready: dict[str, Any]
    weights: dict[str, WeightsChain]
    metrics: Series = {}


def look_around(client: Client) -> Overview:
    """Raises Unavailable without a service, UnexpectedAnswer when it is another one, and what a token must not see."""
    ready = client.look("/readyz", dict[str, Any])
    weights = {}
    for model in PATHS:
        try:
            weights[model] = client.weights(model=model)
        except SbApiError as error:
            if error.status in (401, 403):
                raise
    try:
        metrics = parse_metrics(client.text("/metrics"))
    except SbApiError:
        metrics = {}
    return Overview(client.url, time.monotonic(), ready, weights, metrics)


def parse_metrics(text: str) -> Series:
    """The samples of a Prometheus text, by name, then by the values of their labels."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[", ".join(sample.labels.values())] = sample.value
    return found


def rate(now: Overview, before: Overview | None, name: str) -> float | None:
    """How fast the sum of a counter grew between two looks, per second; None where that is not known."""
    if before is None or name not in now.metrics or name not in before.metrics or now.moment <= before.moment:
        return None
    grown = sum(now.metrics[name].values()) - sum(before.metrics[name].values())
    return max(0.0, grown) / (now.moment - before.moment)


def render(now: Overview, before: Overview | None = None) -> Group:
    """A screen for people."""
    ready = now.ready
    state = Text(
        escape_controls(f"{now.url}  {ready.get('status', 'unknown')}"),
        "bold green" if ready.get("success") else "bold red",
    )
    facts = Table.grid(padding=(0, 2))
    facts.add_row("classify processes", str(ready.get("classify_processes", "?")))
    facts.add_row("train processes", str(ready.get("train_processes", "?")))
    for name, title in (
        ("sb_api_judged_records_total", "records judged a second"),
        ("sb_api_http_requests_total", "requests a second"),
    ):
        speed = rate(now, before, name)
        if speed is not None:
            facts.add_row(title, f"{speed:,.1f}")
    for stream, waiting in sorted(now.metrics.get("sb_api_queue_jobs", {}).items()):
        oldest = now.metrics.get("sb_api_queue_oldest_seconds", {}).get(stream, 0.0)
        facts.add_row(f"queue {stream}", f"{count_of(int(waiting), 'job')}, the oldest {oldest:.1f} s")
    for endpoint, waiting in sorted(now.metrics.get("sb_api_webhook_waiting", {}).items()):
        facts.add_row(f"webhooks {escape_controls(endpoint)}", _describe_webhooks(now.metrics, endpoint, int(waiting)))
    for process, size in sorted(now.metrics.get("sb_api_process_resident_bytes", {}).items()):
        facts.add_row(f"memory of {process}", f"{size / 2**20:,.0f} MiB")
    # A line a slot: side by side, the slots or the classifiers would be too wide for a terminal of 80 columns.
    weights = Table("weights", "slot", "version", "verdicts learned", "kept")
    for model, report in now.weights.items():
        current = next((v for v in report.versions if v.version == report.slots.get("current")), None)
        facts_of_it = (str(current.learned if current else "-"), str(len(report.versions)))
        for place, slot in enumerate(("current", "previous", "original")):
            version = escape_controls(report.slots.get(slot) or "-")
            weights.add_row(*(("", slot, version) if place else (model, slot, version, *facts_of_it)))
    told = [Text(escape_controls(f"problem: {line}"), "red") for line in ready.get("problems", [])]
    told += [Text(escape_controls(f"note: {line}"), "yellow") for line in ready.get("notes", [])]
    return Group(state, facts, weights, *told)


def _describe_webhooks(metrics: Series, endpoint: str, waiting: int) -> str:
    """What waits for an endpoint, and what came of the rest."""
    results = metrics.get("sb_api_webhook_results_total", {})
    told = [f"{waiting:,} waiting"]
    if waiting:
        told.append(f"the oldest {metrics.get('sb_api_webhook_oldest_seconds', {}).get(endpoint, 0.0):.0f} s")
    for name, title in (("sent", "sent"), ("dropped", "dropped"), ("set_aside", "given up")):
        number = int(results.get(f"{endpoint}, {name}", 0))
        if number or name == "sent":
            told.append(f"{number:,} {title}")
    return ", ".join(told)


@click.command()
@with_service
def status(**options: Any) -> None:
    """How the service is, once."""
    from rich.console import Console

    from sb_api.cli.status import look_around, render

    with client_of(options, timeout=STATUS_TIMEOUT, patience=0) as client:
        now = look_around(client)
    if wants_json():
        show(now)
    else:
        Console().print(render(now))
    if not now.ready.get("success"):
        sys.exit(exit_codes.AWAY)


@click.command()
@click.option("--interval", default=2.0, show_default=True, type=click.FloatRange(0.1), help="Seconds between looks.")
@click.option("--count", default=0, type=click.IntRange(0), help="Looks in all; 0: until Ctrl-C.")
@with_service
def top(interval: float, count: int, **options: Any) -> None:
    """How the service is, again and again: queue, processes, rates, weights."""
    from rich.console import Console
    from rich.live import Live

    from sb_api.cli.status import Overview, look_around, render

    console = Console()
    before: Overview | None = None
    with client_of(options, timeout=STATUS_TIMEOUT, patience=0) as client, ExitStack() as stack:
        live = None
        if console.is_terminal and not wants_json():
            live = stack.enter_context(Live(console=console, screen=count == 0, auto_refresh=False))
        stack.enter_context(suppress(KeyboardInterrupt))  # the usual way to end it
        looks = 0
        while True:
            try:
                now = look_around(client)
            except SbApiError as error:  # away, or a proxy that says so
                if before is None:
                    raise
                now = Overview(client.url, time.monotonic(), {"status": error.detail}, before.weights)
            if wants_json():
                show(now)
            elif live is not None:
                live.update(render(now, before), refresh=True)
            else:
                console.print(render(now, before))
            before, looks = now, looks + 1
            if looks == count:
                return
            time.sleep(interval)
