"""A classifier as a directory that another machine takes: weights, vocabularies, labels, metrics, reference set."""

from __future__ import annotations

import hashlib
import io
import zipfile
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
import numpy as np

from sb_api.arrays import Predict
from sb_api.config import Settings
from sb_api.errors import InvalidWeights, UnknownVersion
from sb_api.files import make_whole_folder, read_regular
from sb_api.judgements import NO_CLASS
from sb_api.learning.guard import appraise, find_losses, guarded_budget
from sb_api.learning.reference_set import Reference, load_reference, read_reference
from sb_api.models.classifiers import CLASSIFIERS, Classifier, find_classifier
from sb_api.models.engine import check_engine, load_engine
from sb_api.models.predictor import check_encoder
from sb_api.models.weights_file import Weights, dump_weights, parse_weights
from sb_api.models.weights_store import WeightsStore
from sb_api.text.tokenizers import Vocabularies, parse_vocabulary
from sb_api.versions import MOST_LABELS, Version

FORMAT = 1
# Of a file of an artefact; of others than these two what "" says.
MOST_BYTES = {"weights.h5": 256 * 2**20, "reference.npz": 256 * 2**20, "": 16 * 2**20}
MOST_MEMBERS, MOST_UNPACKED = 100, 2**30  # of a reference set: arrays, and bytes of all of them
BETTER_THAN_GUESSING = 0.05  # by so much balanced accuracy at least


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
    with make_whole_folder(target) as partial:
        for name, content in contents.items():
            (partial / name).write_bytes(content)
    return target


class Artefact(NamedTuple):
    """An artefact that can be used: its `files` besides the weights, by their paths in the state directory, and its
    reference set."""

    manifest: Manifest
    classifier: Classifier
    weights: Weights
    vocabularies: Vocabularies
    files: dict[str, bytes | None]
    reference: Reference
    predict: Predict


class Judgement(NamedTuple):
    """What weights are worth on a reference set, which version in use they were compared with, with its figures, and in
    a sentence each why they are not taken."""

    figures: dict[str, float]
    in_use: tuple[str, dict[str, float]] | None
    losses: list[str]


def read_artefact(folder: Path, encoder: str = "", *, to_train: bool = True) -> Artefact:
    """What `export_artefact` wrote, read and tried as a whole, with the sentence encoder in the directory `encoder` if
    it needs one; unless it is `to_train` on, without TensorFlow. Raises InvalidWeights for whatever cannot be used,
    Unavailable without such an encoder."""
    try:
        manifest = msgspec.json.decode(read_regular(folder / "manifest.json", MOST_BYTES[""]), type=Manifest)
        classifier = CLASSIFIERS.get(manifest.model)
        if manifest.format != FORMAT or classifier is None:
            raise InvalidWeights(
                f"{folder} is of format {manifest.format} for {manifest.model[:40]!r}; this release cannot use it."
            )
        wanted = {"weights.h5", "reference.npz", *(f"{name}.json" for name in classifier.vocabulary_sizes)}
        if missing := sorted(wanted - manifest.files.keys()):
            raise InvalidWeights(f"{folder} lacks {', '.join(missing)}.")
        contents = {}
        for name in sorted(manifest.files.keys() & (wanted | {"labels.json", "metrics.json"})):
            contents[name] = read_regular(folder / name, MOST_BYTES.get(name, MOST_BYTES[""]))
            if hashlib.sha256(contents[name]).hexdigest() != manifest.files[name]:
                raise InvalidWeights(f"{folder / name} is damaged: its checksum differs.")
    except OSError as error:
        raise InvalidWeights(f"{error.filename} cannot be read: {error.strerror}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidWeights(f"{folder} is no artefact of `sb-api weights export`: {error}.") from None
    vocabularies = Vocabularies(
        {
            name: parse_vocabulary(contents[f"{name}.json"], size, str(folder / f"{name}.json"))
            for name, size in classifier.vocabulary_sizes.items()
        }
    )
    weights = parse_weights(contents["weights.h5"], str(folder / "weights.h5"))
    about = weights.about
    vocabularies = find_classifier(about).with_encoder(vocabularies, encoder)
    check_encoder(about, vocabularies)
    if about.tokenizers != vocabularies.fingerprint or about.classifier != classifier.name:
        raise InvalidWeights(f"The weights in {folder} do not go with the vocabularies beside them.")
    classifier = find_classifier(about)
    check_about(classifier, about)
    check_archive(contents["reference.npz"], f"{folder / 'reference.npz'}")
    reference = read_reference(
        io.BytesIO(contents["reference.npz"]), str(folder / "reference.npz"), classifier, about.labels
    )
    files: dict[str, bytes | None] = {**classifier.vocabulary_files(vocabularies)}
    files[f"reference/{classifier.name}.npz"] = contents["reference.npz"]
    predict = _try_out(classifier, weights, vocabularies, reference, to_train)
    return Artefact(manifest, classifier, weights, vocabularies, files, reference, predict)


def check_about(classifier: Classifier, about: Version) -> None:
    """Raises InvalidWeights when what is said of weights is not of this classifier, or holds numbers that are none."""
    labels = about.labels
    if classifier.labels and tuple(labels) != classifier.labels:
        raise InvalidWeights(f"The weights have the labels {labels!r:.100}, and {classifier.name} has others.")
    if not 2 <= len(set(labels)) <= len(labels) <= MOST_LABELS or not all(labels):
        raise InvalidWeights(f"The weights have {len(labels)} labels; two or more are needed, each with its own name.")
    numbers = [about.temperature, *about.borders, *about.usual, about.threshold]
    if not np.isfinite(numbers).all() or about.temperature <= 0 or len(about.borders) not in (0, 3):
        raise InvalidWeights("The calibration of the weights holds numbers that are none.")


def check_archive(content: bytes, source: str) -> None:
    """Raises InvalidWeights unless a `.npz` file holds plain arrays alone, and no more than the bytes that are taken:
    what it says of their sizes is compared with what there is, before anything is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > MOST_UNPACKED:
                raise InvalidWeights(f"{source} unpacks to more than {MOST_UNPACKED} bytes.")
            for member in members:
                with archive.open(member) as stream:
                    _check_array(stream, member, source)
    except InvalidWeights:
        raise
    except Exception as error:  # zipfile and numpy raise whatever a damaged file leads them to
        raise InvalidWeights(f"{source} is no archive of arrays, or is damaged: {error!s:.200}.") from None


def _check_array(stream: IO[bytes], member: zipfile.ZipInfo, source: str) -> None:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(stream)
    if kind.hasobject or kind.kind not in "fiu":
        raise InvalidWeights(f"{source}: {member.filename} is not a plain array of numbers.")
    if stream.tell() + prod(shape) * kind.itemsize != member.file_size:
        raise InvalidWeights(f"{source}: {member.filename} is not as large as it says.")


def _try_out(
    classifier: Classifier, weights: Weights, vocabularies: Vocabularies, reference: Reference, to_train: bool
) -> Predict:
    """The engine with the weights, once all records of the reference set were judged by it. Raises InvalidWeights."""
    about = weights.about
    if not all(np.isfinite(array).all() for array in weights.optimizer.values()):
        raise InvalidWeights("The optimizer's state holds numbers that are not finite.")
    predict = load_engine("onnx", classifier, about.labels, vocabularies)(weights.arrays)
    for part in (reference.guard, reference.replay, reference.calibration):
        least = NO_CLASS if part is reference.replay else 0
        if len(part.targets) and not least <= part.targets.min() <= part.targets.max() < len(about.labels):
            raise InvalidWeights("The reference set has records of labels that the weights do not have.")
        if not all(np.isfinite(array).all() for array in part.arrays.values()):
            raise InvalidWeights("The reference set holds numbers that are not finite.")
        try:
            scores = predict(part.arrays)
        except Exception as error:  # of several unrelated classes
            raise InvalidWeights(f"The weights cannot judge the reference set: {error!s:.200}.") from None
        if not np.isfinite(scores).all():
            raise InvalidWeights("The weights judge records of the reference set with numbers that are not finite.")
    if not len(reference.guard.targets):
        raise InvalidWeights("The reference set has no records.")
    for correction, part in ((reference.unlearning, reference.guard), (reference.uncalibrating, reference.calibration)):
        # Classes that came later are not in it.
        shapes = ((len(part),), *((len(part), count) for count in range(2, len(about.labels) + 1)))
        if correction is not None and not (correction.shape in shapes and np.isfinite(correction).all()):
            raise InvalidWeights("The reference set's corrections are not those of its records.")
    if to_train and find_spec("tensorflow") is not None:
        # As every training begins: the optimizer's state is the network's, and both engines agree.
        from sb_api.learning.fitting.training_loop import Fitting

        fitting = Fitting(classifier, about.labels, vocabularies)
        fitting.load(weights)
        arrays = reference.guard.arrays
        check_engine("onnx", classifier, about.labels, vocabularies, weights.arrays)(arrays, fitting.predict(arrays))
    return predict


def judge_artefact(settings: Settings, artefact: Artefact) -> Judgement:
    """Compare weights with those in use, on the reference set here where both work with the same numbers of a record;
    else only with guessing, on their own."""
    about = artefact.weights.about
    budget, own = guarded_budget(artefact.classifier.record_type, settings.fp_budget), artefact.reference
    appraisal = appraise(own.guard.targets, own.unlearn(artefact.predict(own.guard.arrays)), budget)
    losses = []
    own_accuracy = appraisal.figures["balanced_accuracy"]
    if own_accuracy < 1 / len(about.labels) + BETTER_THAN_GUESSING:
        losses.append(
            f"their balanced accuracy on their own reference set is {own_accuracy:.4f}, "
            "which is hardly better than guessing"
        )
    try:
        current = WeightsStore.of(settings, artefact.classifier.name).load_current()
        path = settings.find(f"reference/{artefact.classifier.name}.npz")
        here = load_reference(path, artefact.classifier, about.labels)
    except (InvalidWeights, UnknownVersion):
        return Judgement(appraisal.figures, None, losses)
    if (current.about.features, current.about.labels) != (about.features, about.labels):
        return Judgement(appraisal.figures, None, losses)
    engine = load_engine("onnx", artefact.classifier, about.labels, artefact.vocabularies)
    guard = here.guard
    standard = appraise(guard.targets, here.unlearn(engine(current.arrays)(guard.arrays)), budget)
    candidate = appraise(guard.targets, here.unlearn(artefact.predict(guard.arrays)), budget)
    losses += find_losses(candidate, {"weights in use": standard}, settings.guard_tolerance)
    return Judgement(candidate.figures, (current.about.version, standard.figures), losses)
