"""`sb-api bootstrap`: original weights made from data."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from sb_api.cli.terminal.options import MODEL, asked_of, read_labelled_file, with_format
from sb_api.cli.terminal.output import JSON, progress_bar, read_settings, show, show_line, tell, wants_json
from sb_api.config import Settings
from sb_api.errors import InvalidWeights, UnknownVersion
from sb_api.records import EDITORS, RecordType, Verdict, find_record_type
from sb_api.versions import Version

ARCHITECTURES = ("wide-deep-3", "lodbrok")  # of the editors' network, the first by default


@dataclass(frozen=True)
class Target:
    """Where new weights go: to a state directory, whose original they become; from a `scratch` one they are staged
    beside the current weights of the state directory in use."""

    settings: Settings
    scratch: Settings | None = None

    @property
    def place(self) -> Settings:
        """The settings of the directory that is written to."""
        return self.scratch or self.settings

    def keep(self, about: Version) -> tuple[str, str]:
        """Stage the weights that were made, if they are to be; their version, and in words what they are now."""
        if self.scratch is None:
            return about.version, f"the original weights are {about.version}"
        import tempfile

        from sb_api.bootstrap.archive import stage_artefact
        from sb_api.bootstrap.artefacts import export_artefact
        from sb_api.cli.audit import write_down
        from sb_api.models.classifiers import CLASSIFIERS
        from sb_api.models.weights_store import WeightsStore

        made = WeightsStore.of(self.scratch, about.classifier).load("original")
        with tempfile.TemporaryDirectory(prefix="sb_api_") as folder:
            artefact = export_artefact(self.scratch, CLASSIFIERS[about.classifier], Path(folder), made)
            staged = stage_artefact(self.settings, artefact)
        write_down(self.settings, "staged", f"{staged.version}, of a bootstrap", classifier=staged.classifier)
        return staged.version, (
            f"they are staged beside the current weights as {staged.version}: `sb-api weights compare --model "
            f"{staged.classifier}` shows what comes of them"
        )


@contextmanager
def open_target(settings: Settings, stage: bool) -> Iterator[Target]:
    """The state directory, held for this process alone; to stage, one that is thrown away, while a service may run."""
    from sb_api.processes.serve import hold_state

    if stage:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="sb_api_") as folder:
            yield Target(settings, msgspec.structs.replace(settings, state_dir=folder))
    else:
        with hold_state(settings):
            yield Target(settings)


def make_from_messages(
    target: Target, record_type: RecordType, seed: int, synthetic: bool, count: int | None = None, encoded: bool = False
) -> None:
    """Make weights of a classifier of messages from its stored parts; or from `synthetic` messages, so many if not the
    usual number. With the sentence encoder of this host if it is to be `encoded`."""
    from sb_api.bootstrap.datasets import load_split, open_messages
    from sb_api.bootstrap.messages import bootstrap_messages, count_epochs, describe_expectation, synthetic_split
    from sb_api.bootstrap.no_class import describe_refusal
    from sb_api.models.encoder import load_encoder

    settings = target.settings
    encoder = load_encoder(settings.encoder) if encoded else None
    in_use = _name_current(settings, record_type.name)

    if synthetic:
        divided = synthetic_split(record_type, seed, count)
    else:
        table = open_messages(settings, record_type)
        divided = load_split(table)
        table.close()
    with progress_bar(count_epochs(divided), f"learning {len(divided.train)} messages, then all of them") as advance:
        about = bootstrap_messages(
            target.place,
            record_type,
            divided,
            seed=seed,
            synthetic=synthetic,
            progress=lambda _: advance(),
            encoder=encoder,
        )
    figures = about.figures["held_out"]
    expected = f"{describe_expectation(about.figures['expected'])} " if "expected" in about.figures else ""
    version, said = target.keep(about)
    tell(
        {"success": True, "model": record_type.name, "weights": version, "figures": about.figures},
        f"held out: accuracy {figures['accuracy']}, macro F1 {figures['macro_f1']}; threshold {about.threshold}. "
        f"{expected}{describe_refusal(about.figures['no_class'])} All {about.learned} messages are learned; {said}."
        f"{_tell_back(target, record_type.name, in_use)}",
    )


def _name_current(settings: Settings, name: str) -> str:
    """The version in use; "" where none can be used."""
    from sb_api.models.weights_store import WeightsStore

    try:
        return WeightsStore.of(settings, name).load_current().about.version
    except (InvalidWeights, UnknownVersion):
        return ""


def _tell_back(target: Target, name: str, in_use: str) -> str:
    """The sentence on how what is replaced comes back; none where it stays."""
    from sb_api.bootstrap.archive import SHIPPED, archived

    if target.scratch:
        return ""
    back = in_use if in_use in archived(target.settings, name) else SHIPPED
    return f" `sb-api bootstrap --model {name} --restore {back}` brings back those that were in use."


@click.command()
@click.argument("editors", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_format
@MODEL
@click.option(
    "--count",
    type=click.IntRange(1),
    help="Synthetic records to make (default 1200000 editors, 150000 at a time in 7 GB of memory; 6000 messages of "
    "intents or 20000 of sentiments).",
)
@click.option("--synthetic", is_flag=True, help="Take synthetic messages, though there are stored ones.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same figures.")
@click.option(
    "--architecture",
    type=click.Choice(ARCHITECTURES),
    default=ARCHITECTURES[0],
    show_default=True,
    help="Of the editors' network: Lodbrok pooled with hashed words and characters, or Lodbrok alone.",
)
@click.option(
    "--caution",
    type=click.FloatRange(1, 100),
    help="How many misses a false alarm costs while it learns (default 1; 8 with --architecture lodbrok). Above 1 a "
    "score of 0.8 no longer means eight in ten.",
)
@click.option(
    "--from",
    "start",
    type=click.Choice(["nothing", "shipped"]),
    default="nothing",
    show_default=True,
    help="What EDITORS are learned from. The shipped weights need fewer accounts (10 of each verdict instead of 50), "
    "and are taken only where cross-validation says that it makes them better.",
)
@click.option(
    "--encoder",
    is_flag=True,
    help="Messages alone: beside words, a pretrained sentence encoder, of `sb_api[encoder]` or in SB_API_ENCODER.",
)
@click.option(
    "--stage",
    is_flag=True,
    help="Put what is made beside the current weights, which stay; also while a service runs.",
)
@click.option("--dry-run", is_flag=True, help="Say what EDITORS would give, and change nothing.")
@click.option(
    "--restore",
    metavar="VERSION",
    help="Bring back weights that a bootstrap replaced; `shipped` are the release's own.",
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
    start: str,
    encoder: bool,
    stage: bool,
    dry_run: bool,
    restore: str | None,
    **options: Any,
) -> None:
    """Make the original weights, tokenizers and reference set.

    Lodbrok: from EDITORS, a file of labelled editors in any format that `train` takes; without it, from a seeded
    generator of MusicBrainz-like editors. EDITORS are looked over, learned across folds to see what they give, and set
    beside the weights in use; then all of them are learned. What is replaced is kept. Others: from the messages that
    `sb-api data` stored and split; with --synthetic from a seeded generator of messages. With --stage nothing is
    replaced: the new weights judge in shadow until they are promoted.
    """
    given = _options_given()
    if restore and (ignored := given - {"--restore", "--model"}):
        raise click.UsageError(f"--restore brings back what there was; it takes no {' or '.join(sorted(ignored))}.")
    if editors is None and (of_a_file := given & {"--dry-run", "--from", "--format", "--columns", "--encoding"}):
        raise click.UsageError(f"{' and '.join(sorted(of_a_file))}: only with a file of labelled editors.")
    record_type = find_record_type(model)
    if encoder and not record_type.of_messages:
        raise click.UsageError("--encoder goes with a --model of messages, such as intent.")
    if record_type.of_messages:
        _refuse_for_messages(model, editors, count is not None and not synthetic, architecture, caution)
    elif editors and (of_made_up := given & {"--count", "--synthetic"}):
        raise click.UsageError(f"{' and '.join(sorted(of_made_up))}: not with EDITORS, all of which are learned.")
    if start == "shipped" and "--architecture" in given:
        raise click.UsageError("--from shipped has the architecture of these weights; leave out --architecture.")
    if stage and dry_run:
        raise click.UsageError("--stage goes with weights that are made, and not with --dry-run.")
    settings = read_settings()
    begun = time.monotonic()
    with open_target(settings, stage) as target:
        if restore:
            bring_back(settings, model, restore)
        elif record_type.of_messages:
            make_from_messages(target, record_type, seed, synthetic, count, encoder)
        elif editors:
            verdicts = read_labelled_file(editors, asked_of(options), Verdict)
            make_from_editors(target, verdicts, editors, seed, architecture, caution, start == "shipped", dry_run)
        else:
            make_from_generator(target, count, seed, architecture, caution)
        if settings.mlflow_url and not dry_run:
            made_of = "synthetic" if synthetic or not record_type.of_messages else "messages"
            source = restore or (editors.name if editors else made_of)
            record_bootstrap(
                target.place, model, {"source": source, "seed": seed, "count": count}, time.monotonic() - begun
            )


def _options_given() -> set[str]:
    """The options of this command that stand in the command line, but for --json; EDITORS among them."""
    context = click.get_current_context()
    return {
        parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name
        for parameter in context.command.params
        if parameter.expose_value and context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    }


def _refuse_for_messages(
    model: str, editors: Path | None, counts_stored: bool, architecture: str, caution: float | None
) -> None:
    """Raises UsageError for what would be ignored, where weights of messages are made."""
    if editors:
        raise click.UsageError(
            f"EDITORS go with --model lodbrok; `sb-api data run-all {editors} --model {model}` learns such a file."
        )
    if counts_stored:
        raise click.UsageError("--count goes with --synthetic: of the stored messages all are learned.")
    if caution is not None or architecture != ARCHITECTURES[0]:
        raise click.UsageError("--caution and --architecture go with --model lodbrok.")


def record_bootstrap(settings: Settings, model: str, parameters: dict[str, Any], seconds: float) -> None:
    """Tell MLflow of the original that was made, with all that goes with it."""
    import tempfile

    from sb_api.bootstrap.artefacts import export_artefact
    from sb_api.learning.publication import describe_run
    from sb_api.models.classifiers import CLASSIFIERS
    from sb_api.models.weights_store import WeightsStore
    from sb_api.telemetry.experiments import record_run

    original = WeightsStore.of(settings, model).load("original")
    with tempfile.TemporaryDirectory(prefix="sb_api_") as folder:
        artefact = export_artefact(settings, CLASSIFIERS[model], Path(folder), original)
        files = {path.name: path.read_bytes() for path in artefact.iterdir()}
    run = describe_run("training", original, original.about.parent or "", original.about.learned, seconds)
    parameters = {**run.parameters, **parameters}
    record_run(settings.mlflow_url, replace(run, kind="bootstrap", parameters=parameters, files=files))


def bring_back(settings: Settings, model: str, version: str) -> None:
    """Make weights that were replaced the original again."""
    from sb_api.bootstrap.archive import restore_original

    manifest = restore_original(settings, model, version)
    tell(
        {"success": True, "model": model, "weights": manifest.version},
        f"{manifest.version} is the original of {model} again. The next `sb-api run` works with it.",
    )


def make_from_generator(target: Target, count: int | None, seed: int, architecture: str, caution: float | None) -> None:
    """Make weights of the editor classifier from synthetic editors."""
    from sb_api.bootstrap.editors import bootstrap_lodbrok, usual_count
    from sb_api.models import classifiers
    from sb_api.models.weights_store import WeightsStore

    classifier = classifiers.ARCHITECTURES[EDITORS.name, architecture]
    figures = bootstrap_lodbrok(
        target.place,
        count=count or usual_count(classifier),
        seed=seed,
        echo=partial(click.echo, err=wants_json()),
        classifier=classifier,
        caution=caution,
    )
    version, said = target.keep(WeightsStore.of(target.place, "lodbrok").load("original").about)
    if wants_json():
        show({"success": True, "model": "lodbrok", "weights": version, "figures": figures})
    elif target.scratch:
        show_line(f"{said[:1].upper()}{said[1:]}.")


def make_from_editors(
    target: Target,
    verdicts: Sequence[Verdict],
    file: Path,
    seed: int,
    architecture: str,
    caution: float | None,
    from_shipped: bool,
    dry_run: bool,
) -> None:
    """Make weights of the editor classifier from labelled editors; with `dry_run`, say only what it would be."""
    from sb_api.bootstrap.checks import check_editors
    from sb_api.bootstrap.editors import from_verdicts
    from sb_api.bootstrap.own_editors import plan_original, replace_original, require_enough
    from sb_api.bootstrap.reports.comparison import describe_plan, print_plan
    from sb_api.models import classifiers

    settings = target.settings
    checked = check_editors(from_verdicts(verdicts))
    for line in [] if wants_json() else [*checked.unused, *checked.warnings]:
        click.echo(f"{file}: {line}", err=True)
    require_enough(checked.editors, from_shipped)  # before it is said that they are learned
    label = f"learning {len(checked.editors)} editors, fold by fold"
    with click.progressbar(length=1, label=label, file=sys.stderr, hidden=wants_json()) as bar:

        def draw(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        plan = plan_original(
            settings,
            checked,
            seed=seed,
            classifier=classifiers.ARCHITECTURES[EDITORS.name, architecture],
            caution=caution,
            from_shipped=from_shipped,
            progress=draw,
        )
    document = {"success": True, "model": "lodbrok", **describe_plan(plan)}
    if not wants_json():
        print_plan(plan)
    if dry_run:
        tell({**document, "weights": None}, "Nothing was changed (--dry-run).")
        return
    about = replace_original(target.place, plan)
    version, said = target.keep(about)
    tell(
        {**document, "weights": version, "figures": about.figures["held_out"]},
        f"All {len(plan.verdicts)} accounts are learned; {said}."
        f"{_tell_back(target, 'lodbrok', plan.in_use[0] if plan.in_use else '')}",
    )


@click.group()
def tokenizers() -> None:
    """Vocabularies."""


@tokenizers.command("import")
@click.argument("bio", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("email", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("website", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@JSON
def tokenizers_import(bio: Path, email: Path, website: Path) -> None:
    """Take over the pickled Keras tokenizers of the original project, without executing anything in them.

    Only where the weights in use were trained with them, or there are none: `sb-api migrate` takes over both.
    """
    from sb_api.bootstrap.legacy import MAX_PICKLE_BYTES, import_tokenizers
    from sb_api.bootstrap.originals import install_vocabularies, require_same_vocabularies
    from sb_api.files import read_regular
    from sb_api.processes.serve import hold_state

    settings = read_settings()
    vocabularies = import_tokenizers(*(read_regular(path, MAX_PICKLE_BYTES) for path in (bio, email, website)))
    with hold_state(settings):
        require_same_vocabularies(settings, vocabularies)
        install_vocabularies(settings, vocabularies)
    folder = settings.state / "tokenizers"
    tell(
        {"success": True, "folder": str(folder), "fingerprint": vocabularies.fingerprint},
        f"Imported to {folder}.",
    )
