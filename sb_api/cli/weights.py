"""The commands that make and move weights and vocabularies, and the one that shows those of a running service."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from sb_api.cli.data import make_intent, tell_exported
from sb_api.cli.options import MODEL, MODELS, show_weights, with_service
from sb_api.cli.output import JSON, show, tell, wants_json
from sb_api.config import Settings, load_settings
from sb_api.telemetry.logs import configure_logging


@click.command()
@click.argument("editors", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@MODEL
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
    from sb_api.bootstrap.editors import SYNTHETIC_EDITORS, bootstrap_lodbrok, read_editors
    from sb_api.models.weights_store import WeightsStore
    from sb_api.processes.serve import hold_state

    settings = _settings()
    with hold_state(settings):
        if model == "intent":
            make_intent(settings, seed, count or 3_500 if synthetic else 0)
            return
        labelled = read_editors(editors) if editors else None
        echo = partial(click.echo, err=wants_json())
        figures = bootstrap_lodbrok(settings, labelled, count=count or SYNTHETIC_EDITORS, seed=seed, echo=echo)
        if wants_json():
            version = WeightsStore.of(settings, "lodbrok").load("original").about.version
            show({"success": True, "model": "lodbrok", "weights": version, "figures": figures})


@click.group()
def tokenizers() -> None:
    """Vocabularies."""


@tokenizers.command("import")
@click.argument("bio", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("email", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("website", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@JSON
def tokenizers_import(bio: Path, email: Path, website: Path) -> None:
    """Take over the pickled Keras tokenizers of the original project, without executing anything in them."""
    from sb_api.bootstrap.editors import install_vocabularies
    from sb_api.bootstrap.legacy import import_tokenizers
    from sb_api.processes.serve import hold_state

    settings = _settings()
    vocabularies = import_tokenizers(bio.read_bytes(), email.read_bytes(), website.read_bytes())
    with hold_state(settings):
        install_vocabularies(settings, vocabularies)
    folder = settings.state / "tokenizers"
    tell(
        {"success": True, "folder": str(folder), "fingerprint": vocabularies.fingerprint},
        f"Imported to {folder}. Import the weights that were trained with them next.",
    )


@click.group(invoke_without_command=True)
@MODEL
@with_service
@click.pass_context
def weights(context: click.Context, /, **options: Any) -> None:
    """The weights that a running service has; or weights files."""
    if context.invoked_subcommand is None:
        show_weights(**options)


@weights.command("import")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@JSON
def weights_import(file: Path) -> None:
    """Make weights from elsewhere the new original.

    FILE is a directory that `sb-api weights export` wrote, or Lodbrok weights of the original project (Keras 2 .h5).
    """
    from sb_api.bootstrap.artefacts import import_artefact
    from sb_api.bootstrap.editors import install_weights
    from sb_api.bootstrap.legacy import import_weights
    from sb_api.processes.serve import hold_state

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


@weights.command("export")
@click.option("--model", type=MODELS, default="intent", show_default=True, help="Which classifier.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@JSON
def weights_export(model: str, folder: Path) -> None:
    """Write the current weights with vocabularies, labels, metrics and checksums to a new directory in FOLDER."""
    from sb_api.bootstrap.artefacts import export_artefact
    from sb_api.models.classifiers import CLASSIFIERS

    tell_exported(export_artefact(load_settings(), CLASSIFIERS[model], folder))


def _settings() -> Settings:
    settings = load_settings()
    configure_logging(settings)
    return settings
