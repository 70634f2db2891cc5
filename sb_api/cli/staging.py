"""The commands for weights that are staged beside the current ones: stage, compare, promote, drop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from sb_api.cli.terminal.options import MODEL, client_of, with_service
from sb_api.cli.terminal.output import show, show_line, tell, wants_json
from sb_api.client.answers import Comparison, Promoted
from sb_api.client.http import Client
from sb_api.errors import NothingStaged
from sb_api.judgements import Sides

SHOWN = 10  # of the largest differences
FIGURES = ("accuracy", "precision", "recall", "f1", "false_positives_per_thousand")


@click.command()
@click.argument("what")
@MODEL
@with_service
def stage(what: str, model: str, **options: Any) -> None:
    """Stage weights beside the current ones: a share of the live requests is judged by them too, in shadow.

    WHAT is a kept version of a running service, or previous or original; or a directory that `sb-api weights export`
    wrote, for the service that works with the state directory of this machine. No answer changes.
    `sb-api weights compare` shows what came of it.
    """
    if Path(what).is_dir():
        stage_folder(Path(what))
        return
    with client_of(options) as client:
        done = client.stage(what, model=model)
    tell(done, f"{done.response}; `sb-api weights compare` shows what comes of it.")


def stage_folder(folder: Path) -> None:
    """Stage the weights of a directory on this machine."""
    from sb_api.bootstrap.archive import stage_artefact
    from sb_api.cli.audit import write_down
    from sb_api.cli.terminal.output import read_settings

    settings = read_settings()
    about = stage_artefact(settings, folder)
    write_down(settings, "staged", f"{about.version} from {folder.name}", classifier=about.classifier)
    tell(
        {"success": True, "response": f"{about.version} is staged", "staged": about.version},
        f"{about.version} is staged; the train process takes it up within a second, and "
        f"`sb-api weights compare --model {about.classifier}` shows what comes of it.",
    )


@click.command()
@MODEL
@with_service
def compare(model: str, **options: Any) -> None:
    """Show current and staged weights side by side: on live requests, and where labels are known."""
    with client_of(options) as client:
        found = client.compare(model=model)
    if wants_json():
        show(found)
        return
    for line in describe(found):
        show_line(line)


def describe(found: Comparison) -> list[str]:
    """A comparison in lines for people."""
    shadow = found.shadow
    lines = [f"staged {found.version} beside current {found.current}"]
    lines.append(
        f"live requests: {shadow.judged:,} records judged by both, of a share of {found.share:g}; "
        f"{shadow.skipped:,} skipped for want of time, {shadow.failed:,} that the staged weights could not judge"
    )
    if shadow.judged:
        told = [f"{shadow.same:.2%} in the same band" if shadow.same is not None else ""]
        told.append(f"scores differ by {shadow.mean_difference:.4f} on average")
        told.append(f"correlation {shadow.correlation:.4f}" if shadow.correlation is not None else "")
        lines.append("  " + ", ".join(part for part in told if part))
        lines += _table(shadow.bands)
        lines += [
            f"  {one.id}: {one.current} ({one.current_score:.4f}) -> {one.staged} ({one.staged_score:.4f})"
            for one in shadow.largest[:SHOWN]
        ]
    lines += _labelled("verdicts since it is staged", shadow.verdicts, {}, {})
    for one in found.labelled:
        lines += _labelled(one.source, one.right, one.current, one.staged)
    if found.unlearned:
        lines.append(f"{found.unlearned:,} learned verdicts are not in it; `sb-api weights promote` teaches it these.")
    if found.unteachable:
        lines.append(f"{found.unteachable:,} learned verdicts cannot be taught: they were logged as other numbers.")
    return lines


def _table(bands: dict[str, dict[str, int]]) -> list[str]:
    """Counts by the band of the current weights (rows) and of the staged ones (columns)."""
    names = list(dict.fromkeys([*bands, *(name for row in bands.values() for name in row)]))
    if len(names) > SHOWN:
        return [f"  {one} -> {other}: {n:,}" for one, row in bands.items() for other, n in row.items() if one != other]
    wide = max(12, *(len(name) for name in names))
    lines = ["  " + "current / staged".ljust(wide + 6) + "".join(name.rjust(wide + 2) for name in names)]
    for name in names:
        row = bands.get(name, {})
        lines.append("  " + name.ljust(wide + 6) + "".join(f"{row.get(other, 0):,}".rjust(wide + 2) for other in names))
    return lines


def _labelled(source: str, right: Sides | None, current: dict[str, Any], staged: dict[str, Any]) -> list[str]:
    """Who is right where labels are known."""
    lines = []
    if right is not None and sum(msgspec.structs.astuple(right)):
        lines.append(
            f"{source}: both right {right.both:,}, current alone {right.current:,}, staged alone {right.staged:,}, "
            f"neither {right.neither:,}"
        )
    elif right is None:
        lines.append(f"{source}:")
    told = [
        f"{name.replace('_', ' ')} {current[name]:.4f} -> {staged[name]:.4f}"
        for name in FIGURES
        if isinstance(current.get(name), float) and isinstance(staged.get(name), float)
    ]
    return [*lines, f"  {', '.join(told)}"] if told else lines


@click.command()
@click.argument("version", default="")
@MODEL
@click.option("--as-is", is_flag=True, help="Without the learned verdicts that it lacks.")
@click.option("--force", is_flag=True, help="Teach it those against the guard's word.")
@click.option(
    "--stopped",
    is_flag=True,
    help="Make it the original of this machine's state directory, while no service works with that.",
)
@with_service
def promote(version: str, model: str, as_is: bool, force: bool, stopped: bool, **options: Any) -> None:
    """Make the staged weights current, once they have learned the verdicts that they lack.

    VERSION is what you have compared; without it, what is staged now. `sb-api rollback` goes back. Weights with
    tokenizers or labels of their own are promoted --stopped, and `sb-api bootstrap --restore` goes back.
    """
    if stopped:
        promote_here(version, model)
        return
    if as_is and force:
        raise click.UsageError("--force goes with what is taught, and --as-is teaches nothing.")
    with (
        client_of(options) as client,
        click.progressbar(length=1, label="promoting", file=sys.stderr, show_eta=False, hidden=wants_json()) as bar,
    ):

        def draw(told: dict[str, Any]) -> None:
            bar.length = told["total"]
            bar.update(told["done"] - bar.pos)

        task = client.promote(version or staged_of(client, model), model=model, as_is=as_is, force=force)
        done = client.wait(task, Promoted, timeout=3600, on_progress=draw)
        bar.finish()
    tell(done, f"{done.response}. Current is {done.weights.version}, was {done.weights.previous}.")


def promote_here(version: str, model: str) -> None:
    """Make the staged weights the original of this machine's state directory."""
    from sb_api.bootstrap.archive import SHIPPED, archived, promote_stopped
    from sb_api.cli.audit import write_down
    from sb_api.cli.terminal.output import read_settings
    from sb_api.models.weights_store import WeightsStore
    from sb_api.processes.serve import hold_state

    settings = read_settings()
    with hold_state(settings):
        store = WeightsStore.of(settings, model)
        staged, in_use = store.load_staged()[0].about.version, store.load_current().about.version
        if version not in ("", staged):
            raise NothingStaged(f"{version[:40]!r} is not what is staged: that is {staged}. Nothing was changed.")
        promote_stopped(settings, model)
        back = next((name for name in archived(settings, model) if name == in_use), SHIPPED)
        write_down(settings, "promoted", f"{staged} in the place of {in_use}, as the original", classifier=model)
    tell(
        {"success": True, "model": model, "weights": staged, "previous": in_use},
        f"{staged} is the new original, in the place of {in_use}; `sb-api bootstrap --model {model} --restore {back}` "
        "brings that back. The next `sb-api run` works with it. Verdicts that were learned it lacks: send them again.",
    )


@click.command()
@click.argument("version", default="")
@MODEL
@with_service
def drop(version: str, model: str, **options: Any) -> None:
    """Let go of the staged weights; VERSION, or whatever is staged now."""
    with client_of(options) as client:
        done = client.drop(version or staged_of(client, model), model=model)
    tell(done, f"{done.response}.")


def staged_of(client: Client, model: str) -> str:
    """The version that is staged now. Raises NothingStaged."""
    about = client.weights(model=model).staged
    if about is None:
        raise NothingStaged(f"No weights of {model} are staged.")
    return about.version
