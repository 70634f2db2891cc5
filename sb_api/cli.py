"""The commands. `sb-api --help` lists them; without one, `run`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import click

from sb_api import client_cli, data_cli, doctor_cli, exits, learning_cli, predict_cli, token_cli, train_cli
from sb_api.config import Settings, load_settings
from sb_api.errors import InvalidParameter, SbApiError
from sb_api.logs import configure_logging
from sb_api.output import JSON, note_json, show, tell, wants_json


class _Commands(click.Group):
    """Shows errors in one line, or as a problem document after `--json`, with an exit code of `exits`."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        note_json(context, args)
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except SbApiError as error:
            tell(error.problem(), f"Error: {error.detail}", err=True)
            context.exit(exits.exit_code(error))
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
            context.exit(exits.FAILED)
        except KeyboardInterrupt:
            click.echo("Broken off.", err=True)
            context.exit(exits.BROKEN_OFF)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(context, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in exits.EXIT_CODES.items()])


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
    from sb_api.server import serve

    settings = _settings(host=host, port=port)

    def announce(address: str) -> None:
        tell(
            {"success": True, "url": address},
            f"sb_api listens on {address} - try: curl {address}/readyz, then "
            f'curl {address}/predict -d \'[{{"id": 1, "website": "http://example.com"}}]\'',
        )

    serve(settings, announce)


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on (default 4321).")
@JSON
def web(host: str | None, port: int | None) -> None:
    """Start the web processes alone."""
    from sb_api.server import web_command

    settings = _settings(host=host, port=port)
    address = f"[{settings.host}]" if ":" in settings.host else settings.host
    command = web_command(settings, f"{address}:{settings.port}")
    os.execv(command[0], command)


@main.command()
@click.option("--helper", is_flag=True, help="Wake for large requests alone, beside another worker on this machine.")
@JSON
def worker(helper: bool) -> None:
    """Start one classify process alone."""
    from sb_api.classify import classify_process

    classify_process(_settings(), helper)


@main.command()
@click.option("--cold", is_flag=True, help="Load TensorFlow with the first training, not at the start.")
@JSON
def trainer(cold: bool) -> None:
    """Start the train process alone."""
    from sb_api.trainer import train_process

    train_process(_settings(), cold)


@main.command()
@click.argument("editors", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@client_cli.MODEL
@click.option(
    "--count", type=click.IntRange(1), help="Synthetic records to make (default 60000 editors or 3500 messages)."
)
@click.option("--synthetic", is_flag=True, help="Take synthetic messages, though there are stored ones.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same figures.")
@JSON
def bootstrap(editors: Path | None, model: str, count: int | None, synthetic: bool, seed: int) -> None:
    """Make the original weights, tokenizers and reference set.

    Lodbrok: from EDITORS, a file of labelled editors as for /train, one JSON object a line; without it, from a seeded
    generator of MusicBrainz-like editors. Intent: from the messages that `sb-api data` stored and split; with
    --synthetic from a seeded generator of messages.
    """
    from sb_api.bootstrap import SYNTHETIC_EDITORS, bootstrap_lodbrok, read_editors
    from sb_api.server import hold_state
    from sb_api.weights import WeightsStore

    settings = _settings()
    with hold_state(settings):
        if model == "intent":
            data_cli.make_intent(settings, seed, count or 3_500 if synthetic else 0)
            return
        labelled = read_editors(editors) if editors else None
        echo = partial(click.echo, err=wants_json())
        figures = bootstrap_lodbrok(settings, labelled, count=count or SYNTHETIC_EDITORS, seed=seed, echo=echo)
        if wants_json():
            version = WeightsStore.of(settings, "lodbrok").load("original").about.version
            show({"success": True, "model": "lodbrok", "weights": version, "figures": figures})


@main.group()
def tokenizers() -> None:
    """Vocabularies."""


@tokenizers.command("import")
@click.argument("bio", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("email", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("website", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@JSON
def tokenizers_import(bio: Path, email: Path, website: Path) -> None:
    """Take over the pickled Keras tokenizers of the original project, without executing anything in them."""
    from sb_api.bootstrap import install_vocabularies
    from sb_api.legacy import import_tokenizers
    from sb_api.server import hold_state

    settings = _settings()
    vocabularies = import_tokenizers(bio.read_bytes(), email.read_bytes(), website.read_bytes())
    with hold_state(settings):
        install_vocabularies(settings, vocabularies)
    folder = settings.state / "tokenizers"
    tell(
        {"success": True, "folder": str(folder), "fingerprint": vocabularies.fingerprint},
        f"Imported to {folder}. Import the weights that were trained with them next.",
    )


@main.group(invoke_without_command=True)
@client_cli.MODEL
@client_cli.with_service
@click.pass_context
def weights(context: click.Context, /, **options: Any) -> None:
    """The weights that a running service has; or weights files."""
    if context.invoked_subcommand is None:
        client_cli.show_weights(**options)


@weights.command("import")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@JSON
def weights_import(file: Path) -> None:
    """Make weights from elsewhere the new original.

    FILE is a directory that `sb-api weights export` wrote, or Lodbrok weights of the original project (Keras 2 .h5).
    """
    from sb_api.artefacts import import_artefact
    from sb_api.bootstrap import install_weights
    from sb_api.legacy import import_weights
    from sb_api.server import hold_state

    settings = _settings()
    if file.is_dir():
        with hold_state(settings):
            manifest = import_artefact(settings, file)
        tell(
            {"success": True, "model": manifest.model, "weights": manifest.version},
            f"Imported {manifest.model} {manifest.version}, the new original. The next `sb-api run` works with it.",
        )
        return
    arrays = import_weights(file.read_bytes())
    with hold_state(settings):
        version = install_weights(settings, arrays)
    tell(
        {"success": True, "model": "lodbrok", "weights": version},
        f"Imported as {version}, the new original. The next `sb-api run` works with it. Send it verdicts soon: the "
        "original project fed it the e-mail's token for the website's, so its view of websites is not to be trusted.",
    )


for command in (
    *client_cli.COMMANDS,
    predict_cli.predict,
    train_cli.train,
    doctor_cli.doctor,
    data_cli.data,
    data_cli.evaluate,
    learning_cli.verdicts,
    token_cli.token,
):
    main.add_command(command)
weights.add_command(data_cli.weights_export)


def _settings(**overrides: Any) -> Settings:
    settings = load_settings(**overrides)
    configure_logging(settings)
    return settings
