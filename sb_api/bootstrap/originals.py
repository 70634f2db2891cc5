"""Originals installed: vocabularies, reference set, weights, model card."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from sb_api.arrays import Arrays, Matrix, Scores
from sb_api.config import Settings
from sb_api.files import write_private
from sb_api.learning.guard import measure
from sb_api.learning.recipe import Examples
from sb_api.learning.reference_set import GUARD, calibrate, load_reference, pack_parts
from sb_api.learning.training_loop import Fitting
from sb_api.models.classifiers import CLASSIFIERS, Classifier
from sb_api.models.engine import check_engine
from sb_api.models.networks import set_arrays
from sb_api.models.weights_file import named
from sb_api.models.weights_store import WeightsStore
from sb_api.preprocessing import editor_vectors
from sb_api.records import Verdict
from sb_api.synthetic.editors import SyntheticEditor, generate_editors
from sb_api.text.tokenizers import Vocabularies
from sb_api.versions import Version

REFERENCE_RECORDS = 2000
CALIBRATION_INNOCENT, CALIBRATION_SPAM = 4000, 1000
REPLAY_RECORDS = 20_000


def install_vocabularies(settings: Settings, vocabularies: Vocabularies) -> None:
    """Keep vocabularies from elsewhere, with a reference set that is made with them from synthetic editors."""
    sizes = (REFERENCE_RECORDS, CALIBRATION_INNOCENT + CALIBRATION_SPAM, REPLAY_RECORDS // 4)
    vectors = editor_vectors(to_verdicts(list(generate_editors(sum(sizes), seed=1))), vocabularies)
    guard, calibration, replay = np.split(vectors, np.cumsum(sizes)[:-1])
    write_vocabularies(settings, vocabularies)
    write_reference(settings, CLASSIFIERS["lodbrok"], guard, calibration=calibration, replay=replay)


def install_weights(settings: Settings, arrays: Arrays) -> str:
    """Make a network's numbers from elsewhere the original of Lodbrok; returns its version.

    They are taken to go with the vocabularies that are in use, and their scores stay what they were elsewhere. Raises
    InvalidWeights.
    """
    classifier = CLASSIFIERS["lodbrok"]
    vocabularies = classifier.load_vocabularies(settings)
    fitting = Fitting(classifier, classifier.labels, vocabularies)
    set_arrays(fitting.network, arrays)
    return install_original(settings, classifier, fitting, vocabularies, 0, {}, temperature=1.0).version


def install_original(
    settings: Settings,
    classifier: Classifier,
    fitting: Fitting,
    vocabularies: Vocabularies,
    learned: int,
    figures: dict[str, Any],
    temperature: float | None = None,
    caution: float | None = None,
) -> Version:
    """Make what was fitted the original, learned from so many records, and start its chain anew.

    It is measured and calibrated on the classifier's reference set, which must have been written before; `temperature`
    keeps its scores as they are at 1; `caution` is that of its loss, if not the classifier's own. Raises
    EngineDisagrees when it would not be served as it was fitted.
    """
    reference = load_reference(settings.find(f"reference/{classifier.name}.npz"), classifier)
    guard = reference.guard
    scores = fitting.predict(guard.arrays)
    unlearned = reference.unlearn(scores)
    measured = classifier.score(guard.targets, unlearned, fitting.labels)
    measured |= measure(guard.targets, unlearned, settings.fp_budget)
    weighed = classifier.caution if caution is None else caution
    temperature, borders = calibrate(reference, fitting.predict, scores, settings.fp_budget, weighed, temperature)
    about = Version(
        classifier=classifier.name,
        version="",
        parent=None,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        tokenizers=vocabularies.fingerprint,
        labels=list(fitting.labels),
        learned=learned,
        figures=figures | {"reference": measured},
        temperature=temperature,
        borders=borders,
        usual=reference.usual,
        architecture=classifier.architecture,
        caution=caution,
    )
    weights = named(fitting.snapshot(about), 0)
    if settings.engine != "keras":
        check = check_engine(settings.engine, classifier, fitting.labels, vocabularies, weights.arrays)
        check(guard.arrays, scores)
    WeightsStore.of(settings, classifier.name).install_original(weights)
    return weights.about


def to_verdicts(editors: Sequence[SyntheticEditor]) -> list[Verdict]:
    """Labelled editors as /train takes them."""
    return [msgspec.convert({**editor.record, "verdict": editor.verdict}, Verdict) for editor in editors]


def to_examples(classifier: Classifier, vectors: Matrix) -> Examples:
    """The rows of n vectors as the fitting takes them."""
    return Examples(classifier.name_inputs(vectors), vectors[:, 0].astype(np.int64))


def write_vocabularies(settings: Settings, vocabularies: Vocabularies) -> None:
    """Keep vocabularies in the state directory."""
    for name, vocabulary in vocabularies.by_name.items():
        write_private(settings.state / "tokenizers" / f"{name}.json", vocabulary.to_json())


def write_reference(
    settings: Settings,
    classifier: Classifier,
    guard: Matrix,
    corrections: Mapping[str, Scores] | None = None,
    **others: Matrix,
) -> None:
    """Keep the reference set of a classifier: the vectors of its parts, the numbers of their labels in column 0, and
    what takes out of scores what was learned of a part."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in pack_parts({GUARD: guard, **others}, corrections or {}).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    write_private(settings.state / "reference" / f"{classifier.name}.npz", content.getvalue())
