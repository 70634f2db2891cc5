"""The commands that ask a running service."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import click

from sb_api.cli import exit_codes
from sb_api.cli.output import JSON, show, tell, wants_json
from sb_api.client.http import Client
from sb_api.client.protocol import PATHS, Trained
from sb_api.client.readers import FORMATS
from sb_api.config import load_settings
from sb_api.errors import InvalidSettings, SbApiError

MODELS = click.Choice(list(PATHS))
MODEL = click.option("--model", type=MODELS, default="lodbrok", show_default=True, help="Which classifier.")
Command = Callable[..., Any]


def _split_columns(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(",")) if value else ()
    if names and "id" not in names:
        raise click.BadParameter("names no column `id`")
    if len(set(names)) < len(names):
        raise click.BadParameter("names a column twice")
    return names


_SERVICE = (
    click.option("--url", envvar="SB_API_URL", help="Address of the service. [env: SB_API_URL; default: that of run]"),
    click.option("--token", envvar="SB_API_TOKEN", help="Others see it in the list of processes; rather SB_API_TOKEN."),
    click.option(
        "--token-file",
        envvar="SB_API_TOKEN_FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File with the token, readable by its owner alone. [env: SB_API_TOKEN_FILE]",
    ),
)
_INPUT = (
    click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path), default="-"),
    click.option("--format", "kind", type=click.Choice(FORMATS), help="Of FILE. [default: told by its name or start]"),
    click.option(
        "--columns", callback=_split_columns, help="Names of the columns of CSV or COPY text, with commas; id is one."
    ),
    MODEL,
)


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


with_service = _options(*_SERVICE, JSON)
with_input = _options(*_INPUT)


def open_client(url: str | None, token: str | None, token_file: Path | None, **options: Any) -> Client:
    """A client of the service that the options name. Raises InvalidSettings when others may read the token."""
    if url is None:
        settings = load_settings()
        url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    if token is None and token_file is not None:
        if token_file.stat().st_mode & 0o077:
            raise InvalidSettings(f"{token_file} can be read by others; `chmod 600 {token_file}` first.")
        token = token_file.read_text("utf-8", "replace").strip()
    return Client(url, token, **options)


def client_of(options: dict[str, Any], **more: Any) -> Client:
    """The client that a command's options name."""
    return open_client(options["url"], options["token"], options["token_file"], **more)


def open_input(stack: ExitStack, file: Path) -> BinaryIO:
    """A file, or standard input for `-`."""
    return stack.enter_context(cast(BinaryIO, click.open_file(str(file), "rb")))


@click.command()
@click.argument("to", default="previous")
@MODEL
@with_service
def rollback(to: str, model: str, **options: Any) -> None:
    """Make the weights TO current again: previous (the default), original, or a version by name."""
    with client_of(options) as client:
        done = client.rollback(to, model=model)
    tell(done, f"Current is {done.weights.version}, was {done.weights.previous}.")


@click.command()
@MODEL
@click.option("--force", is_flag=True, help="Promote the rebuilt weights against the guard's word.")
@with_service
def replay(model: str, force: bool, **options: Any) -> None:
    """Rebuild the current weights from the original and the verdict log, while the service runs."""
    start = time.monotonic()
    with (
        client_of(options) as client,
        click.progressbar(length=1, label="replaying", file=sys.stderr, show_eta=False, hidden=wants_json()) as bar,
    ):

        def draw(told: dict[str, Any]) -> None:
            bar.length = told["total"]
            if told["seconds_left"] is not None:
                bar.label = f"replaying, about {told['seconds_left']:.0f} s left"
            bar.update(told["done"] - bar.pos)

        done = client.wait(client.replay(model=model, force=force), Trained, timeout=3600, on_progress=draw)
        bar.finish()
    took = time.monotonic() - start
    tell(done, f"{done.learned} verdicts replayed in {took:.1f} s; current is {done.weights.version}.")


def show_weights(model: str, **options: Any) -> None:
    """The slots and versions of one model."""
    with client_of(options) as client:
        report = client.weights(model=model)
    if wants_json():
        show(report)
        return
    for about in report.versions:
        reference = about.get("figures", {}).get("reference", {})
        f1 = reference.get("f1", reference.get("macro_f1"))
        figure = f", F1 {f1:.4f} on the reference set" if isinstance(f1, float) else ""
        holders = ", ".join(slot for slot, version in report.slots.items() if version == about["version"])
        slot = f"  <- {holders}" if holders else ""
        click.echo(f"{about['version']}  {about['created'][:16]}  {about.get('learned', 0)} learned{figure}{slot}")


@click.command()
@with_service
def status(**options: Any) -> None:
    """How the service is, once."""
    from rich.console import Console

    from sb_api.cli.status import look_around, render

    with client_of(options, timeout=10, patience=0) as client:
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
    with client_of(options, timeout=10, patience=0) as client, ExitStack() as stack:
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


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@JSON
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete sb-api: `eval "$(sb-api completion bash)"` in ~/.bashrc."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    script = found(context.find_root().command, {}, "sb-api", "_SB_API_COMPLETE").source()
    tell({"success": True, "shell": shell, "script": script}, script)
