"""Verdicts -> candidate: what a training makes of weights, and what is tried when the guard refuses it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api.arrays import Arrays, RowWeights, Scores
from sb_api.learning.classes.growth import find_unlearned, take_classes
from sb_api.learning.fitting.rows import are_low
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.guard import BEFORE, allowed_loss, appraise, find_fallen, find_losses, guarded_budget
from sb_api.learning.recipe import RETRAINING, Examples, Recipe, join, mix, weigh_labels
from sb_api.learning.reference_set import ROUNDING, Before, Observed, Reference, calibrate
from sb_api.models.calibration import apply_temperature, log_odds, undo_temperature
from sb_api.models.classifiers import Classifier
from sb_api.models.measures import measure_bands
from sb_api.models.networks import get_arrays, set_arrays, shift_odds
from sb_api.models.weights_file import Weights, named
from sb_api.versions import Version

logger = logging.getLogger(__name__)

# When the guard refuses a training: how much is kept of all that was learned since the original, and how much is taken
# of what the training would add.
PULLS = (0.9, 0.75)
SHARES = (0.5, 0.25)
# Until corrections are where they should be at the temperature that comes of that: fittings, and what is done to the
# end of one, which changes the temperature but little.
MOST_FITTINGS, MOST_LIFTS = 3, 8
Classes = npt.NDArray[np.int64]  # their numbers
OF_ORIGINALS = ("threshold", "no_class", "data")  # figures that trainings leave as they are


@dataclass(frozen=True)
class Candidate:
    """Weights that a training made, what would be lost with them (nothing when the guard lets them pass), and what
    they say of the n records of the guard (n, labels)."""

    weights: Weights
    losses: list[str]
    on_guard: Scores


def retrain_model(
    fitting: Fitting,
    classifier: Classifier,
    original: Weights,
    current: Weights,
    new: Examples,
    reference: Reference,
    log: Examples | None = None,
    *,
    budget: float,
    tolerance: float,
    number: int,
    recipe: Recipe = RETRAINING,
    task: str | None = None,
    force: bool = False,
    floors: RowWeights | None = None,
    observed: Observed | None = None,
    now: datetime | None = None,
) -> Candidate:
    """`current`, its optimizer state carried on, fine-tuned on n new records amid known ones, those of the reference
    set and of the verdict log; and taken back as far as the guard demands, unless `force`.

    `reference` is that of `with_scores`. Figures are those on the new records before and after learning them, and on
    the guard's records; scores are calibrated anew. `number` is its number in the chain, and the seed. `floors` (n,)
    are the probabilities that corrections must reach, as clients are told them: those of their labels before the
    verdict that they take back was learned; 0 for all others. `observed` are verdicts that scores are calibrated by
    besides. Nothing is stored.
    """
    guard, threshold, temperature = reference.guard, current.about.threshold, current.about.temperature
    if guard.scores is None:
        raise ValueError("The reference set has no scores of the original weights.")
    original, current = fitting.widen(original), fitting.widen(current)
    fitting.load(current)

    # What must not be lost, and what the new records looked like before.
    spared = guarded_budget(classifier.record_type, budget)
    appraise_guard = partial(appraise, guard.targets, budget=spared, times=reference.resamples)
    standards = {
        "original": appraise_guard(guard.scores),
        BEFORE: appraise_guard(reference.unlearn(fitting.predict(guard.arrays))),
    }
    fallen = find_fallen(standards, tolerance, current.about.fallen)
    before = classifier.score(new.targets, fitting.predict(new.arrays), threshold)

    # Fitted, until corrections are where they should be; of what comes of each fitting, as much as the guard lets pass.
    caution = classifier.caution if current.about.caution is None else current.about.caution
    recipe = replace(recipe, label_weights=weigh_labels(caution))
    were = Before(current.about.temperature, current.about.borders)
    calibrate_now = partial(calibrate, budget=budget, caution=caution, observed=observed, before=were)
    known = join(reference.replay, log) if log is not None else reference.replay
    later = find_unlearned(original.arrays)
    fitted_at: list[float] = []  # temperatures
    while len(fitted_at) < MOST_FITTINGS and temperature not in fitted_at:
        if fitted_at:
            fitting.load(current)
        fitted_at.append(temperature)
        begun = fitting.begin_classes(new, known, number)
        raw_floors = None if floors is None else _uncalibrated(floors, temperature)
        fitting.fit(new, number, reference.replay, log, recipe, floors=raw_floors)
        tuned = get_arrays(fitting.network)
        more = max(0.0, allowed_loss("innocent_recall", tolerance))
        lower = partial(spare_innocent, fitting, reference, original.arrays, tuned, more)
        blends = _blends(original.arrays, current.arrays, tuned, None if spared is None else lower, later, begun)
        for arrays in blends:
            if arrays is not tuned:
                set_arrays(fitting.network, arrays)
            temperature, borders, on_guard, held = _hold(fitting, new, floors, reference, known, calibrate_now)
            unlearned = reference.unlearn(on_guard)
            appraisal = appraise_guard(unlearned)
            losses = find_losses(appraisal, standards, tolerance, fallen)
            if force or not losses:
                break
        if held:
            break

    # What is said of it.
    figures = {
        "before": before,
        "after": classifier.score(new.targets, fitting.predict(new.arrays), threshold),
        "reference": classifier.score(guard.targets, unlearned) | appraisal.figures,
        "bands": measure_bands(guard.targets, apply_temperature(unlearned, temperature)[:, -1], borders),
    }
    if fallen and not force:  # what is forced is a new place to begin from
        figures["fallen"] = fallen
    about = _describe(
        current.about, figures, now, task=task, learned=len(new), temperature=temperature, borders=borders
    )
    return Candidate(named(fitting.snapshot(about), number), losses, on_guard)


def _describe(parent: Version, figures: dict[str, Any], now: datetime | None, **more: Any) -> Version:
    """What is said of weights that come of a `parent`, besides what is known of that."""
    kept = {name: parent.figures[name] for name in OF_ORIGINALS if name in parent.figures}
    created = (now or datetime.now(UTC)).isoformat(timespec="milliseconds")
    return msgspec.structs.replace(
        parent, version="", parent=parent.version, created=created, figures=figures | kept, **more
    )


def _hold(
    fitting: Fitting,
    new: Examples,
    floors: RowWeights | None,
    reference: Reference,
    known: Examples,
    calibrate_now: Callable[..., tuple[float, list[float]]],
) -> tuple[float, list[float], Scores, bool]:
    """The temperature and the borders of what the network is now, with corrections brought up to their floors by what
    is their own; what it says of the guard's records; and whether the corrections are there. Scores are told at the
    temperature of what a training made, which is known only after it, and which this changes again."""
    for lifts in range(MOST_LIFTS + 1):
        on_guard = fitting.predict(reference.guard.arrays)
        temperature, borders = calibrate_now(reference, fitting.predict, on_guard)
        if floors is None:
            break
        raw_floors = _uncalibrated(floors, temperature)
        if not are_low(fitting.predict(new.arrays), new, raw_floors).any():
            break
        if lifts == MOST_LIFTS or not fitting.lift(new, raw_floors, known):
            return temperature, borders, on_guard, False
    return temperature, borders, on_guard, True


def _uncalibrated(probabilities: RowWeights, temperature: float) -> RowWeights:
    """The probabilities (n,) of two labels' one that calibration turns into these."""
    pairs = np.stack([1 - probabilities, probabilities], axis=1)
    raw = undo_temperature(pairs, temperature)[:, 1].astype(np.float32)
    return np.where(probabilities > 0, raw, np.float32(0))


def spare_innocent(fitting: Fitting, reference: Reference, original: Arrays, tuned: Arrays, more: float) -> Arrays:
    """Numbers of a network that call at most a share `more` of innocent accounts spam than those of the original do, of
    the calibration records, which neither has learned: `tuned`, with the log-odds of all accounts lower where need be.
    What has been learned of who is likelier to be spam than who stays."""
    held_out = reference.calibration
    innocent = held_out.targets == 0

    def odds_of_innocent(arrays: Arrays) -> npt.NDArray[np.float64]:
        set_arrays(fitting.network, arrays)
        scores = reference.unlearn_calibration(fitting.predict(held_out.arrays))
        return np.asarray(log_odds(scores)[innocent], np.float64)

    allowed = int((odds_of_innocent(original) > 0).sum() + more * innocent.sum())
    odds = np.sort(odds_of_innocent(tuned))[::-1]
    if (odds > 0).sum() <= allowed:
        return tuned
    shift_odds(fitting.network, -float(odds[allowed]) - ROUNDING)
    return get_arrays(fitting.network)


def _blends(
    original: Arrays,
    current: Arrays,
    tuned: Arrays,
    lower: Callable[[], Arrays] | None,
    later: Classes,
    begun: Classes,
) -> Iterator[Arrays]:
    """What a training may end in, the best first: all that it learned; the same pulled back toward the original, which
    gives up a little of everything learned so far; that, further back and sparing of the word spam (`lower`, where
    there is one); and a part of the way from the current weights. Nothing is taken back of classes that came `later`
    than the original, and of those `begun` in this very training."""
    yield tuned
    original, current = take_classes(original, tuned, later), take_classes(current, tuned, begun)
    for share in PULLS:
        yield mix(original, tuned, share)
    if lower and (lowered := lower()) is not tuned:
        tuned = lowered
        yield mix(original, tuned, PULLS[-1])
    for share in SHARES:
        yield mix(current, tuned, share)
