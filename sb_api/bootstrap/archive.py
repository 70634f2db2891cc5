"""What a new original replaces is kept, with all that goes with it, and brought back by its name."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from sb_api.bootstrap.artefacts import Artefact, Judgement, Manifest, export_artefact, judge_artefact, read_artefact
from sb_api.bootstrap.reports.model_card import card_name, card_of
from sb_api.config import Settings
from sb_api.errors import InvalidTokenizer, InvalidWeights, UnknownVersion
from sb_api.files import make_private_folder, replace_all, write_private
from sb_api.learning.staging.staging import REFERENCE, adopt, refuse_current
from sb_api.models.classifiers import CLASSIFIERS
from sb_api.models.weights_file import Weights, dump_weights
from sb_api.models.weights_store import WeightsStore
from sb_api.versions import Version

logger = logging.getLogger(__name__)

SHIPPED = "shipped"  # the name of the original that came with the release
# Beside what an artefact has: the files of the versions that were made of it, and its model card.
VERSIONS, CARD = "versions", "model-card.md"
WITHOUT_TOKENIZERS = "without-tokenizers"  # beside the artefacts: weights alone


def archive_folder(settings: Settings) -> Path:
    """Where the replaced ones are kept."""
    return settings.state / "originals"


def archive_weights(settings: Settings, name: str) -> None:
    """Keep the original of a classifier, and the current weights with all other versions, if they are not kept yet. The
    shipped ones are kept by where they lie, unless it is they that are made anew, or others were made of them."""
    store = WeightsStore.of(settings, name)
    try:
        slots = [store.load("original"), store.load_current()]
        shipped = "" if settings.state == settings.static else _shipped(settings, name).load("original").about.version
    except (UnknownVersion, InvalidWeights):
        return  # there is nothing to bring back
    try:
        CLASSIFIERS[name].load_vocabularies(settings)
    except InvalidTokenizer as error:
        # They are of no use here, which must not keep others from taking their place; a backup may have the tokenizers.
        logger.warning("the weights that are replaced are kept without their tokenizers: %s", error.detail)
        for weights in slots:
            kept = archive_folder(settings) / WITHOUT_TOKENIZERS / f"{name}-{weights.about.version}.h5"
            write_private(kept, dump_weights(weights))
        return
    versions = [path for path in store.version_files() if path.stem != shipped]
    for weights in slots:
        target = _archive_of(settings, name, weights.about.version)
        is_needed = weights.about.version != shipped or (weights is slots[-1] and versions)
        if not target.exists() and is_needed:
            export_artefact(settings, CLASSIFIERS[name], archive_folder(settings), weights)
        if target.exists() and (card := card_of(settings, name, weights.about.version)):
            write_private(target / CARD, card)
    if versions:
        folder = _archive_of(settings, name, slots[-1].about.version) / VERSIONS
        make_private_folder(folder)
        for path in versions:
            shutil.copy2(path, folder / path.name)


def _archive_of(settings: Settings, name: str, version: str) -> Path:
    return archive_folder(settings) / f"{name}-{version}"


def _shipped(settings: Settings, name: str) -> WeightsStore:
    return WeightsStore.of(_as_shipped(settings), name)


def _as_shipped(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, state_dir=str(settings.static))


def archived(settings: Settings, name: str) -> list[str]:
    """The versions that can be brought back, the shipped one last."""
    prefix = f"{name}-"
    found = sorted(path.name.removeprefix(prefix) for path in archive_folder(settings).glob(f"{prefix}*-*"))
    return [*found, SHIPPED]


def restore_original(settings: Settings, name: str, version: str) -> Manifest:
    """Make a version that was replaced, or the shipped one, the original again, with the versions that were kept beside
    it; what it replaces is kept in turn.

    Raises UnknownVersion, with the names that there are, or InvalidWeights; then nothing is changed.
    """
    if version not in archived(settings, name):
        raise UnknownVersion(
            f"No weights {version[:40]!r} were replaced here; there are {', '.join(archived(settings, name))}."
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = _archive_of(settings, name, version)
        if version == SHIPPED:
            original = _shipped(settings, name).load("original")
            folder = export_artefact(_as_shipped(settings), CLASSIFIERS[name], Path(scratch), original)
        artefact = read_artefact(folder, settings.encoder)
        versions = {path.name: path.read_bytes() for path in (folder / VERSIONS).glob("*.h5")}
        card = {card_name(name): (folder / CARD).read_bytes()} if (folder / CARD).exists() else {}
        replace_original(settings, artefact.weights, artefact.files | card, versions)
        return artefact.manifest


def import_artefact(settings: Settings, folder: Path, *, force: bool = False) -> tuple[Artefact, Judgement]:
    """Make what `export_artefact` wrote the original of its classifier; what it replaces is kept.

    Raises InvalidWeights, and changes nothing: when anything of it cannot be used, and, unless `force`, when it is
    judged to be worse than what is in use.
    """
    artefact = read_artefact(folder, settings.encoder)
    judgement = judge_artefact(settings, artefact)
    if judgement.losses and not force:
        raise InvalidWeights(
            f"Nothing was changed: {'; '.join(judgement.losses)}. With --force they are taken nevertheless.",
            figures=judgement.figures,
        )
    replace_original(settings, artefact.weights, artefact.files)
    return artefact, judgement


def stage_artefact(settings: Settings, folder: Path) -> Version:
    """Stage what `export_artefact` wrote beside the current weights, also while a service works with the state
    directory. Raises InvalidWeights when anything of it cannot be used, InvalidParameter for what is current."""
    artefact = read_artefact(folder, settings.encoder)
    store = WeightsStore.of(settings, artefact.classifier.name)
    weights = adopt(store, artefact.weights)
    refuse_current(store, weights.about)
    files = {Path(name).name: content for name, content in artefact.files.items() if content is not None}
    files[REFERENCE] = files.pop(f"{store.classifier}.npz")
    store.stage(weights, files)
    return weights.about


def promote_stopped(settings: Settings, name: str) -> str:
    """Make the staged weights of a classifier the original, with the vocabularies and the reference set that go with
    them; what they replace is kept. While no service works with the state directory. Returns their version; raises
    UnknownVersion where none are staged, or InvalidWeights."""
    store = WeightsStore.of(settings, name)
    weights, staged = store.load_staged()
    files: dict[str, bytes | None] = {
        f"reference/{name}.npz" if file == REFERENCE else f"{CLASSIFIERS[name].vocabulary_folder}/{file}": content
        for file, content in staged.items()
    }
    replace_original(settings, weights, files)
    store.drop_staged()
    return weights.about.version


def replace_original(
    settings: Settings,
    weights: Weights,
    files: Mapping[str, bytes | None],
    versions: Mapping[str, bytes] | None = None,
    *,
    anew: bool = False,
) -> None:
    """Make weights the original, with the `files` that go with them (by their paths in the state directory): all of it
    or nothing. What there was is archived, and its model card with it.

    Where the weights in use work with the same numbers of a record, they and the versions before them can be rolled
    back to; else, or `anew`, the chain starts with them, and with `versions` if given (by the name of their file).
    """
    name = weights.about.classifier
    store = WeightsStore.of(settings, name)
    content = dump_weights(weights)
    versions = dict(versions or {})
    contents: dict[str, bytes | None] = dict.fromkeys(store.chain_paths())
    if (settings.state / card_name(name)).exists():
        contents[card_name(name)] = None  # it tells of what is replaced
    try:
        current = store.load_current()
    except (UnknownVersion, InvalidWeights):
        current = weights
    else:
        archive_weights(settings, name)
    same = weights.about.takes_the_same(current.about)
    if same and not anew and current.about.version != weights.about.version:
        kept = {path.name: path.read_bytes() for path in store.version_files()}
        versions = kept | versions | {f"{about.about.version}.h5": dump_weights(about) for about in (current, weights)}
        contents[f"weights/previous_{name}.h5"] = dump_weights(current)
        contents[f"weights/current_{name}.h5"] = content
    contents |= {f"weights/versions/{name}/{file}": old for file, old in versions.items()}
    contents[f"weights/original_{name}.h5"] = content
    make_private_folder(settings.state)
    replace_all(settings.state, contents | dict(files))
