"""`sb-api bootstrap`: original weights made from data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from sb_api.cli.options import MODEL, asked_of, read_labelled_file, with_format
from sb_api.cli.output import JSON, progress_bar, read_settings, show, tell, wants_json
from sb_api.config import Settings
from sb_api.records import Verdict


def make_intent(settings: Settings, seed: int, count: int) -> None:
    """Make the original of the intent classifier from the stored parts; from `count` synthetic messages if not 0."""
    from sb_api.bootstrap.datasets import load_split, open_messages
    from sb_api.bootstrap.messages import EPOCHS, bootstrap_intent, synthetic_split

    if count:
        divided = synthetic_split(count, seed)
    else:
        table = open_messages(settings)
        divided = load_split(table)
        table.close()
    with progress_bar(EPOCHS, f"learning {len(divided.train)} messages") as advance:
        about = bootstrap_intent(settings, divided, seed=seed, synthetic=bool(count), progress=lambda _: advance())
    figures = about.figures["held_out"]
    tell(
        {"success": True, "model": "intent", "weights": about.version, "figures": about.figures},
        f"held out: accuracy {figures['accuracy']}, macro F1 {figures['macro_f1']}; threshold {about.threshold}; "
        f"the original weights are {about.version}",
    )


@click.command()
@click.argument("editors", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_format
@MODEL
@click.option(
    "--count", type=click.IntRange(1), help="Synthetic records to make (default 60000 editors or 3500 messages)."
)
@click.option("--synthetic", is_flag=True, help="Take synthetic messages, though there are stored ones.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same figures.")
@click.option(
    "--architecture",
    type=click.Choice(["wide-deep", "lodbrok"]),
    default="wide-deep",
    show_default=True,
    help="Of the editors' network: Lodbrok pooled with hashed words and characters, or Lodbrok alone.",
)
@click.option(
    "--caution",
    type=click.FloatRange(1, 100),
    help="How many misses a false alarm costs while it learns (default 1; 8 with --architecture lodbrok). Above 1 a "
    "score of 0.8 no longer means eight in ten.",
)
@JSON
def bootstrap(
    editors: Path | None,
    model: str,
    count: int | None,
    synthetic: bool,
    seed: int,
    architecture: str,
    caution: float | None,
    **options: Any,
) -> None:
    """Make the original weights, tokenizers and reference set.

    Lodbrok: from EDITORS, a file of labelled editors in any format that `train` takes; without it, from a seeded
    generator of MusicBrainz-like editors. Intent: from the messages that `sb-api data` stored and split; with
    --synthetic from a seeded generator of messages.
    """
    from sb_api.bootstrap.editors import SYNTHETIC_EDITORS, bootstrap_lodbrok, from_verdicts
    from sb_api.models.classifiers import ARCHITECTURES
    from sb_api.models.weights_store import WeightsStore
    from sb_api.processes.serve import hold_state

    settings = read_settings()
    with hold_state(settings):
        if model == "intent":
            make_intent(settings, seed, count or 3_500 if synthetic else 0)
            return
        labelled = None
        if editors:
            verdicts = read_labelled_file(editors, asked_of(options), Verdict)
            labelled = from_verdicts(verdicts, str(editors))
        echo = partial(click.echo, err=wants_json())
        figures = bootstrap_lodbrok(
            settings,
            labelled,
            count=count or SYNTHETIC_EDITORS,
            seed=seed,
            echo=echo,
            classifier=ARCHITECTURES[architecture],
            caution=caution,
        )
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
    from sb_api.bootstrap.legacy import import_tokenizers
    from sb_api.bootstrap.originals import install_vocabularies
    from sb_api.processes.serve import hold_state

    settings = read_settings()
    vocabularies = import_tokenizers(bio.read_bytes(), email.read_bytes(), website.read_bytes())
    with hold_state(settings):
        install_vocabularies(settings, vocabularies)
    folder = settings.state / "tokenizers"
    tell(
        {"success": True, "folder": str(folder), "fingerprint": vocabularies.fingerprint},
        f"Imported to {folder}. Import the weights that were trained with them next.",
    )
