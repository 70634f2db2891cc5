"""The commands. `sb-api --help` lists them; without one, `run`."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from sb_api.cli.terminal import exit_codes
from sb_api.cli.terminal.output import JSON, escape_controls, note_json, read_settings, show, tell, wants_json
from sb_api.errors import CannotStart, InvalidParameter, SbApiError, did_you_mean

logger = logging.getLogger(__name__)

# The other commands, by module. Each is imported when it is asked for: the processes of the service are started by the
# commands here, and what they import stays in their memory.
COMMANDS = {
    "backup": ("backup", "restore"),
    "bootstrap": ("bootstrap", "tokenizers"),
    "data": ("data", "evaluate"),
    "doctor": ("doctor",),
    "predict": ("predict",),
    "review": ("review",),
    "status": ("status", "top"),
    "token": ("token",),
    "train": ("train",),
    "verdicts": ("verdicts",),
    "audit": ("audit",),
    "webhooks": ("webhooks",),
    "weights": ("let-back", "migrate", "replay", "rollback", "thresholds", "weights"),
}
WITHOUT_LEARNING = (
    "What learns needs `pip install 'sb_api[learning]'`; without it, `sb-api web` and `sb-api worker` serve."
)
MODULES = {command: module for module, commands in COMMANDS.items() for command in commands}


class _Commands(click.Group):
    """Shows errors in one line, or as a problem document after `--json`, with an exit code of `exit_codes`."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted([*super().list_commands(context), *MODULES])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in MODULES:
            return super().get_command(context, name)
        command: click.Command = getattr(import_module(f"sb_api.cli.{MODULES[name]}"), name.replace("-", "_"))
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(context, name) is None:
            asks = did_you_mean(name, self.list_commands(context))
            raise click.UsageError(f"There is no command {escape_controls(name)!r}{asks or '; see --help.'}", context)
        return super().resolve_command(context, args)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        note_json(context, args)
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except SbApiError as error:
            tell(error.problem(), f"Error: {error.detail}", err=True)
            context.exit(exit_codes.exit_code(error))
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("sb_api"):
                raise
            detail = f"{error.name} is not installed. {WITHOUT_LEARNING}"
            tell(CannotStart(detail).problem(), f"Error: {detail}", err=True)
            context.exit(exit_codes.exit_code(CannotStart(detail)))
        except click.ClickException as error:
            if not wants_json():
                raise  # click shows the usage with it
            show(InvalidParameter(error.format_message()).problem(), err=True)
            context.exit(error.exit_code)
        except BrokenPipeError:
            raise  # whoever read the output has seen enough; click ends without a word
        except OSError as error:  # a file that cannot be opened, no room left
            detail = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            tell(SbApiError(detail).problem(), f"Error: {detail}", err=True)
            context.exit(exit_codes.FAILED)
        except KeyboardInterrupt:
            click.echo("Broken off.", err=True)
            context.exit(exit_codes.BROKEN_OFF)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(context, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in exit_codes.EXIT_CODES.items()])


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sb_api")
@click.pass_context
def main(context: click.Context) -> None:
    """sb_api judges MusicBrainz editor accounts and learns from moderators' verdicts.

    Settings are read from SB_API_* in the environment.
    """
    if context.invoked_subcommand is None:
        context.invoke(run)


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on (default 4321).")
@JSON
def run(host: str | None = None, port: int | None = None) -> None:
    """Start everything: Redis, web, classify and train processes."""
    from sb_api.auth.gate import require_credentials
    from sb_api.processes.serve import serve
    from sb_api.webhooks.endpoints import parse_endpoints

    settings = read_settings(host=host, port=port)
    _require_learning()
    require_credentials(settings)
    parse_endpoints(settings)

    def announce(address: str) -> None:
        text = (
            f"sb_api listens on {address} - try: curl {address}/readyz, then "
            f'curl {address}/predict -d \'[{{"id": 1, "website": "http://example.com"}}]\''
        )
        try:
            tell({"success": True, "url": address}, text)
        except OSError as error:  # its disk is full, or nobody reads it: no reason not to serve
            logger.warning("%s (nothing can be written to standard output: %s)", text, error.strerror)
            # What is left in its buffer would fail again at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    serve(settings, announce)


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on (default 4321).")
@JSON
def web(host: str | None, port: int | None) -> None:
    """Start the web processes alone."""
    from sb_api.auth.gate import require_credentials
    from sb_api.processes.serve import importable, web_command

    settings = read_settings(host=host, port=port)
    require_credentials(settings)
    address = f"[{settings.host}]" if ":" in settings.host else settings.host
    command = web_command(settings, f"{address}:{settings.port}")
    os.execve(command[0], command, importable(os.environ))


AFTER_KILL = click.option(
    "--after-kill",
    type=click.IntRange(0),
    default=0,
    metavar="PID",
    help="Stand in for this process, which was killed from outside: what it held does not count against the jobs.",
)


@main.command()
@click.option("--helper", is_flag=True, help="Wake for large requests alone, beside another worker on this machine.")
@click.option(
    "--standby", is_flag=True, help="Of a helper: load the classifiers when the first of these requests waits."
)
@AFTER_KILL
@JSON
def worker(helper: bool, standby: bool, after_kill: int) -> None:
    """Start one classify process alone."""
    _calculate_in_one_thread()
    settings = read_settings()
    if standby:
        from sb_api.processes.standby import await_need

        await_need(settings)
    from sb_api.classify import classify_process

    classify_process(settings, helper, standby, after_kill)


@main.command()
@click.option("--cold", is_flag=True, help="Load TensorFlow with the first training, not at the start.")
@click.option(
    "--retry-in", type=click.FloatRange(0), hidden=True, help="Of a process that started itself anew: seconds to wait."
)
@AFTER_KILL
@JSON
def trainer(cold: bool, after_kill: int, retry_in: float | None) -> None:
    """Start the train process alone."""
    _calculate_in_one_thread()
    _require_learning()
    from sb_api.learning.process import train_process

    train_process(read_settings(), cold, after_kill, retry_in)


@main.command()
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


def _calculate_in_one_thread() -> None:
    """Have numpy, which looks at it when it is imported, calculate in one thread, unless that is said otherwise.

    Threads of OpenBLAS wait for each other by turning round: on processors that have something else to do, 300
    equations take 28 ms of processor time in two threads and 1.4 ms in one.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _require_learning() -> None:
    """Raises CannotStart where only what serves is installed. TensorFlow is looked for, and not imported."""
    if find_spec("tensorflow") is None:
        raise CannotStart(f"TensorFlow is not installed. {WITHOUT_LEARNING}")
