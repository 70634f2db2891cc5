"""What a new original replaces is kept, with all that goes with it, and brought back by its name."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from sb_api.bootstrap.artefacts import Manifest, export_artefact, import_artefact
from sb_api.config import Settings
from sb_api.errors import InvalidWeights, UnknownVersion
from sb_api.models.classifiers import CLASSIFIERS
from sb_api.models.weights_store import WeightsStore

SHIPPED = "shipped"  # the name of the original that came with the release


def archive_folder(settings: Settings) -> Path:
    """Where the replaced ones are kept."""
    return settings.state / "originals"


def archive_weights(settings: Settings, name: str) -> None:
    """Keep the original of a classifier, and the current weights, if they are not kept yet. The shipped ones are kept
    by where they lie, unless it is they that are made anew."""
    store = WeightsStore.of(settings, name)
    try:
        slots = [store.load("original"), store.load_current()]
        shipped = "" if settings.state == settings.static else _shipped(settings, name).load("original").about.version
    except (UnknownVersion, InvalidWeights):
        return  # there is nothing to bring back
    for weights in slots:
        target = archive_folder(settings) / f"{name}-{weights.about.version}"
        if not target.exists() and weights.about.version != shipped:
            export_artefact(settings, CLASSIFIERS[name], archive_folder(settings), weights)


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
    """Make a version that was replaced, or the shipped one, the original again; what it replaces is kept in turn.

    Raises UnknownVersion, with the names that there are, or InvalidWeights; then nothing is changed.
    """
    if version not in archived(settings, name):
        raise UnknownVersion(
            f"No weights {version[:40]!r} were replaced here; there are {', '.join(archived(settings, name))}."
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = archive_folder(settings) / f"{name}-{version}"
        if version == SHIPPED:
            original = _shipped(settings, name).load("original")
            folder = export_artefact(_as_shipped(settings), CLASSIFIERS[name], Path(scratch), original)
        archive_weights(settings, name)
        return import_artefact(settings, folder)
