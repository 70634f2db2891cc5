"""The commands that make and move weights and vocabularies, and the one that shows those of a running service."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sb_api.cli.staging import compare, drop, promote, stage
from sb_api.cli.terminal.options import MODEL, MODEL_OF_MESSAGES, MODELS, client_of, with_service
from sb_api.cli.terminal.output import JSON, count, read_settings, show, show_line, tell, tell_exported, wants_json
from sb_api.client.answers import Trained

if TYPE_CHECKING:
    from sb_api.bootstrap.artefacts import Judgement


@click.group(invoke_without_command=True)
@MODEL
@with_service
@click.pass_context
def weights(context: click.Context, /, **options: Any) -> None:
    """The weights that a running service has; or weights files."""
    if context.invoked_subcommand is None:
        show_weights(**options)


for command in (stage, compare, promote, drop):
    weights.add_command(command)


@weights.command("rename-class")
@click.argument("old", nargs=-1, required=True)
@click.argument("new")
@MODEL_OF_MESSAGES
@click.option("--force", is_flag=True, help="Against the guard's word.")
@with_service
def rename_class(old: Sequence[str], new: str, model: str, force: bool, **options: Any) -> None:
    """Call the class OLD of the current weights NEW; several OLD are one from then on, and so is a class that has that
    name already. `sb-api rollback` undoes it. `sb-api data rename` is for stored messages."""
    with client_of(options) as client:
        done = client.rename_classes(old, new, model=model, force=force)
    tell(done, f"{done.response}; the classes are {', '.join(done.labels)}. Current is {done.weights.version}.")


@weights.command("import")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--force", is_flag=True, help="Take a directory's weights though they are judged to be worse.")
@JSON
def weights_import(file: Path, force: bool) -> None:
    """Make weights from elsewhere the new original.

    FILE is a directory that `sb-api weights export` wrote: it is read, tried and compared with the weights in use
    before anything is changed, and refused when it is worse. Or Lodbrok weights of the original project (Keras 2 .h5),
    trained with the tokenizers that are in use; `sb-api migrate` takes both over. What is replaced is kept.
    """
    from sb_api.bootstrap.archive import import_artefact
    from sb_api.bootstrap.legacy import MAX_FILE_BYTES, import_weights
    from sb_api.bootstrap.originals import install_weights, require_own_vocabularies
    from sb_api.files import read_regular
    from sb_api.processes.serve import hold_state

    settings = read_settings()
    if file.is_dir():
        with hold_state(settings):
            (manifest, *_), judgement = import_artefact(settings, file, force=force)
        tell(
            {"success": True, "model": manifest.model, "weights": manifest.version},
            f"Imported {manifest.model} {manifest.version}, the new original{_beside(judgement)}. "
            "The next `sb-api run` works with it.",
        )
        return
    arrays = import_weights(read_regular(file, MAX_FILE_BYTES))
    with hold_state(settings):
        require_own_vocabularies(settings)
        version = install_weights(settings, arrays)
    _tell_migrated(version)


@click.command()
@click.argument("bio", type=click.Path(exists=True, path_type=Path))
@click.argument("email", type=click.Path(exists=True, path_type=Path))
@click.argument("website", type=click.Path(exists=True, path_type=Path))
@click.argument("file", metavar="WEIGHTS", type=click.Path(exists=True, path_type=Path))
@JSON
def migrate(bio: Path, email: Path, website: Path, file: Path) -> None:
    """Take over the tokenizers and the weights of the original project.

    BIO, EMAIL and WEBSITE are its pickled Keras tokenizers, WEIGHTS the Lodbrok weights that were trained with them
    (Keras 2 .h5). Nothing in them is executed. Both are taken, or neither; what is replaced is kept.
    """
    from sb_api.bootstrap.legacy import MAX_FILE_BYTES, MAX_PICKLE_BYTES, import_tokenizers, import_weights
    from sb_api.bootstrap.originals import migrate_original
    from sb_api.files import read_regular
    from sb_api.processes.serve import hold_state

    settings = read_settings()
    vocabularies = import_tokenizers(*(read_regular(path, MAX_PICKLE_BYTES) for path in (bio, email, website)))
    arrays = import_weights(read_regular(file, MAX_FILE_BYTES))
    with hold_state(settings):
        about = migrate_original(settings, vocabularies, arrays)
    _tell_migrated(about.version)


def _tell_migrated(version: str) -> None:
    tell(
        {"success": True, "model": "lodbrok", "weights": version},
        f"Imported as {version}, the new original. The next `sb-api run` works with it. Send it verdicts soon: the "
        "original project fed it the e-mail's token for the website's, so its view of websites is not to be trusted.",
    )


def _beside(judgement: Judgement) -> str:
    """What weights are worth, in a part of a sentence."""
    name = "balanced_accuracy"
    own = f" (balanced accuracy {judgement.figures[name]:.4f} on the reference set"
    if judgement.in_use is None:
        return f"{own} beside it)"
    version, figures = judgement.in_use
    return f"{own}; {version}, which was in use, has {figures[name]:.4f})"


@weights.command("export")
@click.option("--model", type=MODELS, default="intent", show_default=True, help="Which classifier.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@JSON
def weights_export(model: str, folder: Path) -> None:
    """Write the current weights with vocabularies, labels, metrics and checksums to a new directory in FOLDER."""
    from sb_api.bootstrap.artefacts import export_artefact
    from sb_api.models.classifiers import CLASSIFIERS

    tell_exported(export_artefact(read_settings(), CLASSIFIERS[model], folder))


@weights.command("push")
@click.option("--model", type=MODELS, default="lodbrok", show_default=True, help="Which classifier.")
@click.argument("url")
@JSON
def weights_push(model: str, url: str) -> None:
    """Copy the current weights, with all that goes with them, to URL: a directory, s3://, gs://, hf://...

    They are there under their version, once: nothing is written over.
    """
    import tempfile

    from sb_api.bootstrap.artefacts import export_artefact
    from sb_api.bootstrap.remote import push_artefact
    from sb_api.models.classifiers import CLASSIFIERS

    with tempfile.TemporaryDirectory(prefix="sb_api_") as folder:
        place = push_artefact(export_artefact(read_settings(), CLASSIFIERS[model], Path(folder)), url)
    tell({"success": True, "place": place}, f"pushed to {place}")


@weights.command("pull")
@click.option("--model", type=MODELS, default="lodbrok", show_default=True, help="Which classifier.")
@click.option("--version", default="", help="Which version. [default: the newest]")
@click.argument("url")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@JSON
def weights_pull(model: str, version: str, url: str, folder: Path) -> None:
    """Copy weights that were pushed to URL into a new directory in FOLDER, for `sb-api weights import`.

    They are refused when a file differs from its checksum.
    """
    from sb_api.bootstrap.remote import pull_artefact
    from sb_api.models.classifiers import CLASSIFIERS

    target = pull_artefact(url, CLASSIFIERS[model], folder, version)
    tell({"success": True, "folder": str(target)}, f"pulled to {target}; `sb-api weights import {target}` takes it")


@click.command()
@click.argument("to", default="previous")
@MODEL
@with_service
def rollback(to: str, model: str, **options: Any) -> None:
    """Make the weights TO current again: previous (the default), original, or a version by name."""
    with client_of(options) as client:
        done = client.rollback(to, model=model)
    tell(done, f"Current is {done.weights.version}, was {done.weights.previous}.")


@click.command("let-back")
@click.argument("credential")
@MODEL
@with_service
def let_back(credential: str, model: str, **options: Any) -> None:
    """Learn again from CREDENTIAL, which is set aside because the guard refused its trainings again and again."""
    with client_of(options) as client:
        done = client.let_back(credential, model=model)
    tell(done, f"{done.response}.")


@click.command()
@MODEL
@click.option("--force", is_flag=True, help="Promote the rebuilt weights against the guard's word.")
@click.option("--with-undone", is_flag=True, help="Learn again what rollbacks have undone.")
@with_service
def replay(model: str, force: bool, with_undone: bool, **options: Any) -> None:
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

        task = client.replay(model=model, force=force, with_undone=with_undone)
        done = client.wait(task, Trained, timeout=3600, on_progress=draw)
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
        reference = about.figures.get("reference", {})
        f1 = reference.get("f1", reference.get("macro_f1"))
        figure = f", F1 {f1:.4f} on the reference set" if isinstance(f1, float) else ""
        holders = ", ".join(slot for slot, version in report.slots.items() if version == about.version)
        slot = f"  <- {holders}" if holders else ""
        show_line(f"{about.version}  {about.created[:16]}  {about.learned} learned{figure}{slot}")
    if report.staged is not None:
        show_line(f"{report.staged.version} is staged; `sb-api weights compare` shows what comes of it")


@click.command()
@MODEL
@JSON
def thresholds(model: str) -> None:
    """Show, for the current weights of this machine, how much spam is caught when at most so many of a thousand
    innocent accounts may be called spam; on the reference set, and on the verdicts of the log.

    The share is of accounts whose score is above the threshold. With too few innocents it cannot be told.
    """
    from rich.console import Console
    from rich.table import Table

    from sb_api.learning.thresholds import measure_thresholds
    from sb_api.models.classifiers import CLASSIFIERS

    version, sets = measure_thresholds(read_settings(), CLASSIFIERS[model])
    if wants_json():
        show({"success": True, "weights": version, "sets": sets})
        return
    console = Console(markup=False, highlight=False)
    for measured in sets:
        show_line(f"{version} on {measured.source}: {count(measured.innocent, 'innocent')}, {measured.spam} spam")
        table = Table("innocents in 1,000", "score above", "spam caught")
        for row in measured.thresholds:
            known = row.threshold is not None and row.caught is not None
            cells = (f"{row.threshold:.4f}", f"{row.caught:.1%}") if known else ("", "too few to tell")
            table.add_row(f"at most {row.innocents_per_thousand:g}", *cells)
        console.print(table)
