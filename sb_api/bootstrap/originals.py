"""Originals installed: vocabularies, reference set, weights, model card."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sb_api.arrays import Arrays, Matrix, Scores
from sb_api.bootstrap.archive import replace_original
from sb_api.bootstrap.reports.model_card import ModelCard, card_name, render_card
from sb_api.config import Settings
from sb_api.errors import InvalidTokenizer, InvalidWeights, UnknownVersion
from sb_api.files import make_private_folder, replace_all
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.guard import guarded_budget, measure
from sb_api.learning.recipe import Examples
from sb_api.learning.reference_set import GUARD, Reference, calibrate, load_reference, pack_parts, read_reference
from sb_api.models.calibration import apply_temperature
from sb_api.models.classifiers import CLASSIFIERS, Classifier
from sb_api.models.engine import check_engine
from sb_api.models.measures import measure_bands
from sb_api.models.networks import set_arrays
from sb_api.models.weights_file import Weights, named
from sb_api.models.weights_store import WeightsStore
from sb_api.preprocessing import editor_vectors
from sb_api.records import Verdict
from sb_api.synthetic.editors import SyntheticEditor, generate_editors
from sb_api.text.tokenizers import Vocabularies
from sb_api.versions import Version

REFERENCE_RECORDS = 2000
CALIBRATION_INNOCENT, CALIBRATION_SPAM = 4000, 1000
REPLAY_RECORDS = 20_000
LODBROK_REFERENCE = "reference/lodbrok.npz"  # in the state directory
BOTH = "`sb-api migrate BIO EMAIL WEBSITE WEIGHTS` takes over the tokenizers and their weights together."


def install_vocabularies(settings: Settings, vocabularies: Vocabularies) -> None:
    """Keep vocabularies from elsewhere, with a reference set that is made with them from synthetic editors; where both
    are there already, nothing is to be done."""
    files = CLASSIFIERS["lodbrok"].vocabulary_files(vocabularies)
    there = {name: settings.state / name for name in (*files, LODBROK_REFERENCE)}
    if all(path.exists() for path in there.values()) and all(
        there[name].read_bytes() == content for name, content in files.items()
    ):
        return
    make_private_folder(settings.state)
    replace_all(settings.state, files | {LODBROK_REFERENCE: make_reference(vocabularies)})


def make_reference(vocabularies: Vocabularies) -> bytes:
    """A reference set of Lodbrok that is made with vocabularies from elsewhere, from synthetic editors."""
    sizes = (REFERENCE_RECORDS, CALIBRATION_INNOCENT + CALIBRATION_SPAM, REPLAY_RECORDS // 4)
    vectors = editor_vectors(to_verdicts(list(generate_editors(sum(sizes), seed=1))), vocabularies)
    guard, calibration, replay = np.split(vectors, np.cumsum(sizes)[:-1])
    return pack_reference(guard, calibration=calibration, replay=replay)


def require_own_vocabularies(settings: Settings) -> None:
    """Raises InvalidWeights where the vocabularies in use are the shipped ones, which no weights from elsewhere were
    trained with."""
    classifier = CLASSIFIERS["lodbrok"]
    shipped = msgspec.structs.replace(settings, state_dir=str(settings.static))
    if classifier.load_vocabularies(settings) == classifier.load_vocabularies(shipped):
        raise InvalidWeights(f"Nothing was changed: the tokenizers in use are the shipped ones. {BOTH}")


def require_same_vocabularies(settings: Settings, vocabularies: Vocabularies) -> None:
    """Raises InvalidTokenizer when the weights in use were trained with other vocabularies than these."""
    try:
        about = WeightsStore.of(settings, "lodbrok").load_current().about
    except (UnknownVersion, InvalidWeights):
        return
    if about.tokenizers != vocabularies.fingerprint:
        raise InvalidTokenizer(
            f"Nothing was changed: the weights in use, {about.version}, were trained with other tokenizers, and no "
            f"service starts with weights and tokenizers that do not go together. {BOTH}"
        )


def migrate_original(settings: Settings, vocabularies: Vocabularies, arrays: Arrays) -> Version:
    """Make Lodbrok's numbers from elsewhere the original, with the vocabularies that they were trained with: both, or
    neither. What is replaced is kept. Raises InvalidWeights or EngineDisagrees."""
    classifier = CLASSIFIERS["lodbrok"]
    fitting = Fitting(classifier, classifier.labels, vocabularies)
    set_arrays(fitting.network, arrays)
    content = make_reference(vocabularies)
    reference = unpack_reference(classifier, content)
    weights = make_original(settings, classifier, fitting, vocabularies, reference, 0, {}, temperature=1.0)
    replace_original(settings, weights, classifier.vocabulary_files(vocabularies) | {LODBROK_REFERENCE: content})
    return weights.about


def install_weights(settings: Settings, arrays: Arrays) -> str:
    """Make a network's numbers from elsewhere the original of Lodbrok; returns its version.

    They are taken to go with the vocabularies that are in use, and their scores stay what they were elsewhere. What is
    replaced is kept. Raises InvalidWeights or EngineDisagrees.
    """
    classifier = CLASSIFIERS["lodbrok"]
    vocabularies = classifier.load_vocabularies(settings)
    fitting = Fitting(classifier, classifier.labels, vocabularies)
    set_arrays(fitting.network, arrays)
    reference = load_reference(settings.find(LODBROK_REFERENCE), classifier)
    weights = make_original(settings, classifier, fitting, vocabularies, reference, 0, {}, temperature=1.0)
    replace_original(settings, weights, {})
    return weights.about.version


def install_original(
    settings: Settings,
    classifier: Classifier,
    weights: Weights,
    vocabularies: Vocabularies,
    reference: bytes,
    card: ModelCard,
    others: Mapping[str, bytes | None] | None = None,
) -> Path:
    """Make what `make_original` gave the original, with its vocabularies, reference set, model card and `others` (by
    their paths in the state directory), and start its chain anew: all of it or nothing. What is replaced is kept.

    Returns where the card is: in a checkout's `docs/` when the shipped original is made, else in that of the state
    directory.
    """
    files: dict[str, bytes | None] = {**classifier.vocabulary_files(vocabularies), **(others or {})}
    files[f"reference/{classifier.name}.npz"] = reference
    name, rendered = card_name(classifier.name), render_card(card).encode()
    is_shipped = settings.state == settings.static
    replace_original(settings, weights, files if is_shipped else files | {name: rendered}, anew=True)
    if is_shipped:
        path = settings.state.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(rendered)
        return path
    return settings.state / name


def make_original(
    settings: Settings,
    classifier: Classifier,
    fitting: Fitting,
    vocabularies: Vocabularies,
    reference: Reference,
    learned: int,
    figures: dict[str, Any],
    temperature: float | None = None,
    caution: float | None = None,
) -> Weights:
    """What was fitted as an original, learned from so many records.

    It is measured and calibrated on a reference set; `temperature` keeps its scores as they are at 1; `caution` is that
    of its loss, if not the classifier's own. Raises EngineDisagrees when it would not be served as it was fitted.
    """
    guard = reference.guard
    scores = fitting.predict(guard.arrays)
    unlearned = reference.unlearn(scores)
    measured = classifier.score(guard.targets, unlearned)
    measured |= measure(guard.targets, unlearned, guarded_budget(classifier.record_type, settings.fp_budget))
    weighed = classifier.caution if caution is None else caution
    temperature, borders = calibrate(reference, fitting.predict, scores, settings.fp_budget, weighed, temperature)
    bands = measure_bands(guard.targets, apply_temperature(unlearned, temperature)[:, -1], borders)
    about = Version(
        classifier=classifier.name,
        version="",
        parent=None,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        tokenizers=vocabularies.fingerprint,
        labels=list(fitting.labels),
        learned=learned,
        figures=figures | {"reference": measured, "bands": bands},
        temperature=temperature,
        borders=borders,
        usual=reference.usual,
        architecture=classifier.architecture,
        caution=caution,
        encoder=None if vocabularies.encoder is None else vocabularies.encoder.sha256,
    )
    weights = named(fitting.snapshot(about), 0)
    if settings.engine != "keras":
        check = check_engine(settings.engine, classifier, fitting.labels, vocabularies, weights.arrays)
        check(guard.arrays, scores)
    return weights


def to_verdicts(editors: Sequence[SyntheticEditor]) -> list[Verdict]:
    """Labelled editors as /train takes them."""
    return [msgspec.convert({**editor.record, "verdict": editor.verdict}, Verdict) for editor in editors]


def to_examples(classifier: Classifier, vectors: Matrix) -> Examples:
    """The rows of n vectors as the fitting takes them."""
    return Examples(classifier.name_inputs(vectors), vectors[:, 0].astype(np.int64))


def unpack_reference(classifier: Classifier, content: bytes) -> Reference:
    """What `pack_reference` gave, as trainings take it."""
    return read_reference(io.BytesIO(content), "that was made", classifier)


def pack_reference(guard: Matrix, corrections: Mapping[str, Scores] | None = None, **others: Matrix) -> bytes:
    """A reference set: the vectors of its parts, the numbers of their labels in column 0, and what takes out of scores
    what was learned of a part."""
    content = io.BytesIO()
    np.savez_compressed(content, **pack_parts({GUARD: guard, **others}, corrections or {}))  # type: ignore[arg-type]
    return content.getvalue()
