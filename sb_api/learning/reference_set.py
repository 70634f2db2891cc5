"""The reference set: records with known labels, each for one purpose alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from lzma import LZMAError
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Matrix, Predict, Scores, Targets
from sb_api.errors import InvalidWeights
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.guard import Times, draw_resamples
from sb_api.learning.recipe import Examples, merge_targets, weigh_labels
from sb_api.models import wide_features
from sb_api.models.calibration import (
    apply_temperature,
    budget_to_keep,
    choose_borders,
    correct_log_odds,
    fit_temperature,
    hold_border,
    move_borders,
    raise_border,
)
from sb_api.models.classifiers import Classifier
from sb_api.models.weights_file import Weights
from sb_api.preprocessing import VECTOR_LENGTH
from sb_api.versions import BANDS, find_merged

# Of a score: by less does it change with the size of the batch and with the engine. A border is one record's score,
# which must stay below it.
ROUNDING = 1e-6
GUARD = "vectors"  # the guard's part is called so in the file
_FEATURES = "_features"  # the end of the names of arrays that hold numbers of features
_CORRECTION = "_correction"  # and of those that take out of scores what was learned of these very records
# Sharper than this no network is made: where there are few rows, it would be by chance.
SHARPEST_TEMPERATURE = 0.5
# Made-up accounts are told apart more easily than people: they alone make scores no sharper than this, which was chosen
# on profiles as moderators see them (docs/experiments.md).
MADE_UP_TEMPERATURE = 1.2


@dataclass(frozen=True)
class Reference:
    """Records with known labels: `guard` is what candidates are measured on, `replay` what trainings mix in so that
    they do not forget, `calibration` what scores are calibrated on. `usual` is what explanations compare with.

    The shipped ones serve one purpose each. Where there were too few for that, the original has learned those that it
    is measured on: `unlearning` (n,) and `uncalibrating` (m,), of the guard and of the calibration records, are then
    what its score would lack had it not (logarithms of odds, by cross-validation; added to the scores of whatever
    weights come of it); of messages (n, labels), by a network that had not learned them.
    """

    guard: Examples
    replay: Examples
    calibration: Examples
    usual: list[float]
    unlearning: npt.NDArray[np.float64] | None = None
    uncalibrating: npt.NDArray[np.float64] | None = None

    @property
    def is_made_up(self) -> bool:
        """Whether it is of accounts that nobody has: one's own are so few that they serve two purposes each."""
        return self.uncalibrating is None

    @cached_property
    def resamples(self) -> Times:
        """Those of the guard's records, which are the same for every training."""
        return draw_resamples(self.guard.targets)

    def unlearn(self, on_guard: Scores) -> Scores:
        """The scores (n, labels) of the guard's records as they would be of records not learned."""
        return _unlearn(on_guard, self.unlearning)

    def unlearn_calibration(self, scores: Scores) -> Scores:
        """The same of those of the calibration records."""
        return _unlearn(scores, self.uncalibrating)


def _unlearn(scores: Scores, correction: npt.NDArray[np.float64] | None) -> Scores:
    if correction is None:
        return scores
    if correction.ndim == 2:  # of classes that came later nothing was learned of them
        correction = np.pad(correction, [(0, 0), (0, scores.shape[1] - correction.shape[1])])
    return correct_log_odds(scores, correction)


# How many verdicts a temperature is as much theirs with as the calibration records', and how many innocent ones say
# anything of a border: fewer are mostly those that somebody complained about.
HALF_THEIRS, ENOUGH_INNOCENT = 200, 50
FLATTEST_OF_VERDICTS = 2.0  # the highest that wrong ones can draw it to: all scores would end near a half


@dataclass(frozen=True)
class Observed:
    """The latest verdicts and what the weights had said before they learned them: the numbers of their labels (n,), and
    the probabilities of both labels (n, 2), not calibrated."""

    targets: Targets
    scores: Scores

    def draw_temperature(self, temperature: float) -> float:
        """A temperature drawn towards that of these verdicts, the further the more there are of either label: where it
        came all at once, the scores of one day would not compare with those of the next."""
        count = 2 * int(np.bincount(self.targets, minlength=2).min())
        if not count:
            return temperature
        share = count / (count + HALF_THEIRS)
        theirs = min(fit_temperature(self.targets, self.scores), FLATTEST_OF_VERDICTS)
        return round(float(temperature ** (1 - share) * theirs**share), 4)


def load_reference(path: Path, classifier: Classifier, labels: Sequence[str] = ()) -> Reference:
    """The reference set of a classifier, for weights of these labels, of which some may be merged; without parts of its
    own, the guard's records serve for calibration, and nothing is replayed. Raises InvalidWeights when it is missing or
    damaged."""
    try:
        # Opened here, because numpy leaves a damaged file open.
        with path.open("rb") as stream:
            return read_reference(stream, str(path), classifier, labels)
    except OSError as error:
        raise InvalidWeights(f"The reference set {path} cannot be read: {error}.") from None


def read_reference(stream: BinaryIO, path: str, classifier: Classifier, labels: Sequence[str] = ()) -> Reference:
    """The reference set of a classifier from an open file, as `load_reference` gives it; `path` names it in errors.
    Raises InvalidWeights."""
    try:
        with np.load(stream, allow_pickle=False) as file:
            guard = _unpack(file, GUARD)
            replay = _unpack(file, "replay") if "replay" in file else guard[:0]
            own = "calibration" if "calibration" in file else GUARD
            calibration = _unpack(file, own)
            unlearning, uncalibrating = (
                file[name + _CORRECTION].astype(np.float64) if name + _CORRECTION in file else None
                for name in (GUARD, own)
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, LZMAError) as error:
        raise InvalidWeights(f"The reference set {path} cannot be read: {error}.") from None
    if guard.shape[1] < classifier.vector_length:
        raise InvalidWeights(
            f"The reference set {path} has rows of {guard.shape[1]} numbers; the architecture "
            f"{classifier.architecture} needs {classifier.vector_length}. `sb-api bootstrap` makes one."
        )
    parts = [Examples(classifier.name_inputs(v), v[:, 0].astype(np.int64)) for v in (guard, replay, calibration)]
    innocent = guard[guard[:, 0] == 0]
    usual = classifier.usual(innocent) if classifier.usual and len(innocent) else []
    return merge_classes(Reference(parts[0], parts[1], parts[2], usual, unlearning, uncalibrating), labels)


def merge_classes(reference: Reference, labels: Sequence[str]) -> Reference:
    """A reference set for weights of these labels, of which some may be merged. What takes out of a merged class's
    score what was learned of a record is what takes it out of that of the record's own part of it, which has most of
    the sum."""
    merged, guard, unlearning = find_merged(labels), reference.guard, reference.unlearning
    if merged is None:
        return reference
    if unlearning is not None and unlearning.ndim == 2:
        rows, own = np.arange(len(guard)), guard.targets
        within = own < unlearning.shape[1]
        into = np.minimum(np.array(merged)[own], unlearning.shape[1] - 1)
        unlearning = unlearning.copy()
        unlearning[rows[within], into[within]] = reference.unlearning[rows[within], own[within]]  # type: ignore[index]
    parts = {
        name: replace(part, targets=merge_targets(part.targets, labels))
        for name in ("guard", "replay", "calibration")
        for part in [getattr(reference, name)]
    }
    return replace(reference, **parts, unlearning=unlearning)


def read_part(path: Path, name: str) -> Matrix:
    """The vectors of one part of a reference set."""
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return _unpack(file, name)


def pack_parts(parts: Mapping[str, Matrix], corrections: Mapping[str, Scores]) -> dict[str, npt.NDArray[Any]]:
    """The vectors of the parts as arrays that pack well: numbers column after column; the numbers of features, which
    repeat as words do, row after row. `corrections` are what takes out of scores what was learned of a part."""
    packed: dict[str, npt.NDArray[Any]] = {name + _CORRECTION: np.asarray(c) for name, c in corrections.items()}
    for name, vectors in parts.items():
        has_features = vectors.shape[1] == wide_features.VECTOR_LENGTH
        packed[name] = np.asfortranarray(vectors[:, :VECTOR_LENGTH] if has_features else vectors)
        if has_features:
            packed[name + _FEATURES] = np.ascontiguousarray(vectors[:, VECTOR_LENGTH:].astype(np.uint32))
    return packed


def _unpack(file: Mapping[str, npt.NDArray[Any]], name: str) -> Matrix:
    vectors: Matrix = file[name].astype(np.float32)
    features = name + _FEATURES
    return np.concatenate([vectors, file[features]], axis=1, dtype=np.float32) if features in file else vectors


class Calibration(NamedTuple):
    """A temperature, the borders of the bands, and the share of innocent accounts that that of `certain spam` is known
    to let through at most; None when the rows are too few to know of any."""

    temperature: float
    borders: tuple[float, float, float]
    budget: float | None


class Before(NamedTuple):
    """The temperature and the borders of the weights before."""

    temperature: float
    borders: Sequence[float]

    def at(self, temperature: float) -> tuple[float, float, float] | None:
        """The borders for scores at another temperature, as they were before rounding; None where there are none."""
        if len(self.borders) != len(BANDS) - 1:
            return None
        certain, probable, fine = self.borders
        return move_borders((certain - ROUNDING, probable, fine), self.temperature, temperature)


def calibrate_scores(
    targets: Targets,
    scores: Scores,
    budget: float,
    caution: float,
    temperature: float | None = None,
    before: Before | None = None,
) -> Calibration:
    """The calibration of n scores (n, 2) of records that were not learned; of both labels, at the temperature if one
    is given. Where the rows are too few for the budget, it is the next larger one that they are enough for. Borders of
    `before` stay while they do."""
    if temperature is None:
        temperature = choose_temperature(targets, scores, caution)
    kept = budget_to_keep(int((targets == 0).sum()), budget)
    spam = apply_temperature(scores, temperature)[:, 1]
    were = None if before is None else before.at(temperature)
    borders = choose_borders(targets, spam, budget if kept is None else kept, before=were)
    return Calibration(temperature, borders, kept)


def choose_temperature(targets: Targets, scores: Scores, caution: float) -> float:
    """The temperature of n scores (n, 2) of records that were not learned."""
    # Weighted as in training, or the temperature would answer for that difference.
    weights = np.array(weigh_labels(caution) or (1.0, 1.0))[targets]
    return round(fit_temperature(targets, scores, weights, SHARPEST_TEMPERATURE), 4)


def calibrate(
    reference: Reference,
    predict: Predict,
    on_guard: Scores,
    budget: float,
    caution: float,
    temperature: float | None = None,
    observed: Observed | None = None,
    before: Before | None = None,
) -> tuple[float, list[float]]:
    """The temperature of a network's scores, unless one is given, and the borders of their bands, from the calibration
    records; the border of `certain spam` keeps the budget on the guard's records too, whose scores are `on_guard`, and
    on the `observed` verdicts, as far as these can tell. The more there are, the more the temperature is theirs.
    Borders of the weights `before` stay while the calibration records are content with them.

    Only scores of two labels have bands; others are left as they are.
    """
    held_out, guard = reference.calibration, reference.guard
    scores: Scores = predict(held_out.arrays)
    if scores.shape[1] != 2 or len(np.unique(held_out.targets)) < 2:
        return 1.0, []
    scores = reference.unlearn_calibration(scores)
    if temperature is None:
        temperature = choose_temperature(held_out.targets, scores, caution)
        if reference.is_made_up:
            temperature = max(temperature, MADE_UP_TEMPERATURE)
        if observed is not None:
            temperature = observed.draw_temperature(temperature)
    temperature, borders, kept = calibrate_scores(held_out.targets, scores, budget, caution, temperature, before)
    guarded = apply_temperature(reference.unlearn(on_guard), temperature)[guard.targets == 0, 1]
    certain, probable, fine = raise_border(borders, guarded, budget if kept is None else kept)
    if observed is not None and (observed.targets == 0).sum() >= ENOUGH_INNOCENT:
        innocent = apply_temperature(observed.scores, temperature)[observed.targets == 0, 1]
        certain = hold_border(certain, innocent, budget)
    certain = min(certain + ROUNDING, 1.0)
    return temperature, [float(np.float32(border)) for border in (certain, probable, fine)]


def with_scores(reference: Reference, fitting: Fitting, original: Weights) -> Reference:
    """The reference set with what the original weights say of its replayed rows, which trainings hold on to, and of
    the guard's, which they are compared on, as of records not learned. The weights that were loaded still are."""
    guard, replay = reference.guard, reference.replay
    loaded = fitting.state()
    fitting.load(original)
    on_guard = fitting.predict(guard.arrays)
    on_replay = fitting.predict(replay.arrays) if len(replay) else None
    fitting.restore(loaded)
    return replace(
        reference,
        guard=replace(guard, scores=reference.unlearn(on_guard)),
        replay=replace(replay, scores=on_replay),
    )
