"""The commands that ask a running service."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

import click
import msgspec

from sb_api import exits
from sb_api.blocks import read_blocks
from sb_api.client import Client
from sb_api.config import load_settings
from sb_api.errors import InvalidRecords, InvalidSettings, Unavailable
from sb_api.exchange import PATHS, Trained
from sb_api.readers import FORMATS, Batch, Format, WrongRow, guess_format, read_batches

MODELS = click.Choice(list(PATHS))
MODEL = click.option("--model", type=MODELS, default="lodbrok", show_default=True, help="Which classifier.")
Command = Callable[..., Any]


def _note_json(context: click.Context, _: click.Parameter, value: bool) -> bool:
    context.meta["sb_api.json"] = value
    return value


JSON = click.option("--json", "as_json", is_flag=True, callback=_note_json, help="Print JSON, errors too.")
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
    click.option("--columns", help="Names of the columns of CSV or COPY text, with commas."),
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
        token = token_file.read_text("utf-8").strip()
    return Client(url, token, **options)


def client_of(options: dict[str, Any], **more: Any) -> Client:
    """The client that a command's options name."""
    return open_client(options["url"], options["token"], options["token_file"], **more)


def open_input(stack: ExitStack, file: Path) -> BinaryIO:
    """A file, or standard input for `-`."""
    return stack.enter_context(cast(BinaryIO, click.open_file(str(file), "rb")))


def split_columns(columns: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in columns.split(",")) if columns else ()


def show(document: Any) -> None:
    """Print a document as one line of JSON."""
    click.echo(msgspec.json.encode(document))


@click.command()
@with_input
@click.option("--rows", default=1000, show_default=True, type=click.IntRange(1, 10_000), help="Records in a training.")
@click.option("--wrong", type=click.Path(dir_okay=False, path_type=Path), help="[default: FILE.wrong]")
@click.option("--force", is_flag=True, help="Promote what is learned against the guard's word.")
@with_service
def train(
    file: Path, kind: Format | None, columns: str | None, model: str, rows: int, wrong: Path | None, **options: Any
) -> None:
    """Have the labelled records of FILE learned, in one training after the other.

    None is ever sent twice blindly. To send a file again does no harm while the verdict log is on: what is known is not
    learned again.
    """
    faults: list[dict[str, Any]] = []
    with ExitStack() as stack:
        client = stack.enter_context(client_of(options))
        blocks = read_blocks(open_input(stack, file))
        start = next(blocks, b"")
        kind = kind or guess_format(str(file), start)
        for batch in read_batches(chain([start], blocks), kind, size=rows, columns=split_columns(columns)):
            faults += [_fault(row) for row in batch.wrong]
            trained = _train_batch(client, batch, model, options["force"], faults)
            if trained is not None and options["as_json"]:
                show(trained)
            elif trained is not None:
                now, was = trained.weights.version, trained.weights.previous
                click.echo(f"{trained.learned} learned, {trained.known} known before; current is {now}, was {was}.")
    if faults:
        path = wrong or Path("wrong.jsonl" if str(file) == "-" else f"{file}.wrong")
        path.touch(0o600)
        path.write_bytes(msgspec.json.Encoder().encode_lines(faults))
        click.echo(f"{len(faults)} rows are wrong and were not learned; see {path}.", err=True)
        sys.exit(exits.SOME_WRONG)


def _train_batch(client: Client, batch: Batch, model: str, force: bool, faults: list[dict[str, Any]]) -> Trained | None:
    rows, lines, texts = batch.rows, batch.lines, batch.texts or batch.rows
    sound = []
    for place, row in enumerate(rows):
        try:
            msgspec.json.decode(row, type=msgspec.Raw)
            sound.append(place)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            faults.append(_fault(WrongRow(lines[place], f"is not JSON: {error}", texts[place])))
    while sound:
        body = b"[%b]" % b",".join(rows[place] for place in sound)
        try:
            return client.train(body, model=model, force=force)
        except InvalidRecords as error:
            told = error.members.get("errors", {})
            if not told or not all(key.isdecimal() and int(key) < len(sound) for key in told):
                raise
            for key, fault in told.items():
                place = sound[int(key)]
                faults.append(_fault(WrongRow(lines[place], fault["detail"], texts[place]), fault["field"]))
            sound = [place for number, place in enumerate(sound) if str(number) not in told]
    return None


def _fault(row: WrongRow, field: str = "") -> dict[str, Any]:
    return {"line": row.line, "field": field, "detail": row.detail, "row": row.text.decode("utf-8", "replace")}


@click.command()
@click.argument("to", default="previous")
@MODEL
@with_service
def rollback(to: str, model: str, as_json: bool, **options: Any) -> None:
    """Make the weights TO current again: previous (the default), original, or a version by name."""
    with client_of(options) as client:
        done = client.rollback(to, model=model)
    if as_json:
        show(done)
    else:
        click.echo(f"Current is {done.weights.version}, was {done.weights.previous}.")


@click.command()
@MODEL
@click.option("--force", is_flag=True, help="Promote the rebuilt weights against the guard's word.")
@with_service
def replay(model: str, force: bool, as_json: bool, **options: Any) -> None:
    """Rebuild the current weights from the original and the verdict log, while the service runs."""
    start = time.monotonic()
    with (
        client_of(options) as client,
        click.progressbar(length=1, label="replaying", file=sys.stderr, show_eta=False) as bar,
    ):

        def draw(told: dict[str, Any]) -> None:
            bar.length = told["total"]
            if told["seconds_left"] is not None:
                bar.label = f"replaying, about {told['seconds_left']:.0f} s left"
            bar.update(told["done"] - bar.pos)

        done = client.wait(client.replay(model=model, force=force), Trained, timeout=3600, on_progress=draw)
        bar.finish()
    if as_json:
        show(done)
    else:
        took = time.monotonic() - start
        click.echo(f"{done.learned} verdicts replayed in {took:.1f} s; current is {done.weights.version}.")


def show_weights(model: str, as_json: bool, **options: Any) -> None:
    """The slots and versions of one model."""
    with client_of(options) as client:
        report = client.weights(model=model)
    if as_json:
        show(report)
        return
    holders = {version: slot for slot, version in report.slots.items()}
    for about in report.versions:
        f1 = about.get("figures", {}).get("reference", {}).get("f1")
        figure = f", F1 {f1:.4f} on the reference set" if isinstance(f1, float) else ""
        slot = f"  <- {holders[about['version']]}" if about["version"] in holders else ""
        click.echo(f"{about['version']}  {about['created'][:16]}  {about.get('learned', 0)} learned{figure}{slot}")


@click.command()
@with_service
def status(as_json: bool, **options: Any) -> None:
    """How the service is, once."""
    from rich.console import Console

    from sb_api.overview import look_around, render

    with client_of(options, timeout=10, patience=0) as client:
        now = look_around(client)
    if as_json:
        show(now)
    else:
        Console().print(render(now))
    if not now.ready.get("success"):
        sys.exit(exits.AWAY)


@click.command()
@click.option("--interval", default=2.0, show_default=True, type=click.FloatRange(0.1), help="Seconds between looks.")
@click.option("--count", default=0, help="Looks in all; 0: until Ctrl-C.")
@with_service
def top(interval: float, count: int, as_json: bool, **options: Any) -> None:
    """How the service is, again and again: queue, processes, rates, weights."""
    from rich.console import Console
    from rich.live import Live

    from sb_api.overview import Overview, look_around, render

    console = Console()
    before: Overview | None = None
    with client_of(options, timeout=10, patience=0) as client, ExitStack() as stack:
        live = None
        if console.is_terminal and not as_json:
            live = stack.enter_context(Live(console=console, screen=count == 0, auto_refresh=False))
        stack.enter_context(suppress(KeyboardInterrupt))  # the usual way to end it
        looks = 0
        while True:
            try:
                now = look_around(client)
            except Unavailable as error:
                if before is None:
                    raise
                now = Overview(client.url, time.monotonic(), {"status": error.detail}, before.weights)
            if as_json:
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
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete sb-api: `eval "$(sb-api completion bash)"` in ~/.bashrc."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    click.echo(found(context.find_root().command, {}, "sb-api", "_SB_API_COMPLETE").source())


COMMANDS = (train, rollback, replay, status, top, completion)
