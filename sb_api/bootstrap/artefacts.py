"""A classifier as a directory that another machine takes: weights, vocabularies, labels, metrics, reference set."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

import msgspec

from sb_api.config import Settings
from sb_api.errors import InvalidWeights
from sb_api.files import write_private
from sb_api.models.classifiers import CLASSIFIERS, Classifier, find_classifier
from sb_api.models.weights_file import Weights, dump_weights, parse_weights
from sb_api.models.weights_store import WeightsStore
from sb_api.text.tokenizers import Vocabularies, parse_vocabulary

FORMAT = 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an artefact is, and the SHA-256 of each of its files."""

    format: int
    model: str
    version: str
    labels: list[str]
    data: str
    files: dict[str, str]


def export_artefact(settings: Settings, classifier: Classifier, folder: Path, weights: Weights | None = None) -> Path:
    """Write weights, the current ones if none are given, and all that goes with them to `<folder>/<model>-<version>/`,
    all or nothing.

    Raises InvalidWeights when it is there already.
    """
    weights = weights or WeightsStore.of(settings, classifier.name).load_current()
    about = weights.about
    target = folder / f"{classifier.name}-{about.version}"
    if target.exists():
        raise InvalidWeights(f"{target} is there already; each version is exported once.")
    vocabularies = classifier.load_vocabularies(settings)
    contents = {
        "weights.h5": dump_weights(weights),
        "labels.json": msgspec.json.encode(about.labels),
        "metrics.json": msgspec.json.format(msgspec.json.encode(about.figures), indent=1),
        "reference.npz": settings.find(f"reference/{classifier.name}.npz").read_bytes(),
        **{f"{name}.json": vocabulary.to_json() for name, vocabulary in vocabularies.by_name.items()},
    }
    manifest = Manifest(
        format=FORMAT,
        model=classifier.name,
        version=about.version,
        labels=about.labels,
        data=str(about.figures.get("data", "")),
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    )
    contents["manifest.json"] = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".export-", dir=folder))
    try:
        for name, content in contents.items():
            (partial / name).write_bytes(content)
        partial.chmod(0o755)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def import_artefact(settings: Settings, folder: Path) -> Manifest:
    """Make what `export_artefact` wrote the original of its classifier. Raises InvalidWeights, and changes nothing."""
    try:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
        contents = {name: (folder / Path(name).name).read_bytes() for name in manifest.files}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidWeights(f"{folder} is no artefact of `sb-api weights export`: {error}.") from None
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != manifest.files[name]:
            raise InvalidWeights(f"{folder / name} is damaged: its checksum differs.")
    classifier = CLASSIFIERS.get(manifest.model)
    if manifest.format != FORMAT or classifier is None:
        raise InvalidWeights(
            f"{folder} is of format {manifest.format} for {manifest.model}; this release cannot use it."
        )
    wanted = {"weights.h5", "reference.npz", *(f"{name}.json" for name in classifier.vocabulary_sizes)}
    if missing := sorted(wanted - contents.keys()):
        raise InvalidWeights(f"{folder} lacks {', '.join(missing)}.")
    weights, vocabularies = _parse(classifier, contents, folder)
    if weights.about.tokenizers != vocabularies.fingerprint or weights.about.classifier != classifier.name:
        raise InvalidWeights(f"The weights in {folder} do not go with the vocabularies beside them.")
    find_classifier(weights.about)
    for name in classifier.vocabulary_sizes:
        write_private(settings.state / "tokenizers" / f"{name}.json", contents[f"{name}.json"])
    write_private(settings.state / "reference" / f"{classifier.name}.npz", contents["reference.npz"])
    WeightsStore.of(settings, classifier.name).install_original(weights)
    return manifest


def _parse(classifier: Classifier, contents: dict[str, bytes], folder: Path) -> tuple[Weights, Vocabularies]:
    vocabularies = {
        name: parse_vocabulary(contents[f"{name}.json"], size, str(folder / f"{name}.json"))
        for name, size in classifier.vocabulary_sizes.items()
    }
    return parse_weights(contents["weights.h5"], str(folder / "weights.h5")), Vocabularies(vocabularies)
