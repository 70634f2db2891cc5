"""What one verdict moves: the account that it is about, and not the others.

Of every seed: verdicts against what the original says, right ones (spam that it misses, innocent accounts that it calls
spam) and wrong ones (innocent accounts called spam, spam called fine), each learned alone from the original. What
moves is counted among two thousand innocent accounts and among two thousand of which half are spam, none of which has
to do with the verdict. Ten verdicts learned one by one are compared with the same ten learned at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from sb_api.bootstrap.originals import to_verdicts
from sb_api.learning.guard import measure
from sb_api.models.calibration import calibrated, name_bands
from sb_api.records import Verdict
from sb_api.synthetic.editors import generate_editors

if TYPE_CHECKING:
    from bench.learning.learning import Data, Learner
    from sb_api.learning.recipe import Examples

UNRELATED, POOL = 2000, 3000
OF_A_KIND = 2  # right and wrong verdicts of either label, of every seed
FIRST_SEED = 40_000  # of accounts that nothing else is made of

RIGHT_BANDS = ("one right verdict: unrelated accounts of 2,000 with another band", "accounts")
RIGHT_LABELS = ("one right verdict: unrelated accounts of 2,000 with another label", "accounts")
WRONG_BANDS = ("one wrong verdict: unrelated accounts of 2,000 with another band", "accounts")
WRONG_LABELS = ("one wrong verdict: unrelated accounts of 2,000 with another label", "accounts")
SIDE = ("one verdict: accounts that it is about on its side of one half", "share")
TOWARDS = ("one verdict: accounts that it is about moved towards it", "share")
APART = ("ten verdicts one by one: farthest reference figure from that of ten at once", "points")
# Figures of which the worst of all seeds counts, and whether that is the largest.
WORST_COUNTS = {RIGHT_BANDS: True, RIGHT_LABELS: True, WRONG_BANDS: True, WRONG_LABELS: True, SIDE: False, APART: True}
GOALS = {
    RIGHT_BANDS: (10, False),
    RIGHT_LABELS: (0, False),
    WRONG_BANDS: (20, False),
    WRONG_LABELS: (2, False),
    SIDE: (1.0, True),
    TOWARDS: (1.0, True),
    APART: (0.3, False),
}
TRAININGS_A_SEED = 4 * OF_A_KIND + 11


def single_verdicts(
    learner: Learner, data: Data, recipe: str, seed: int, figures: dict[tuple[str, str], list[float]]
) -> None:
    learner.restart(recipe)
    innocent = data.examples(to_verdicts(list(generate_editors(UNRELATED, FIRST_SEED + 3 * seed, 0.0))))
    mixed = data.examples(to_verdicts(list(generate_editors(UNRELATED, FIRST_SEED + 3 * seed + 1, 0.5))))
    pool = to_verdicts(list(generate_editors(POOL, FIRST_SEED + 3 * seed + 2, 0.5)))
    on_side, towards = [], []
    moved: dict[tuple[str, str], list[float]] = defaultdict(list)
    for verdict, right in choose(learner, data, pool, seed):
        learner.restart(recipe)
        about = data.examples([verdict])
        before = [judge(learner, rows) for rows in (innocent, mixed)]
        was = chance(learner, about, verdict.verdict)
        learner.learn([verdict])
        becomes = chance(learner, about, verdict.verdict)
        on_side.append(becomes > 0.5)
        towards.append(becomes > was)
        bands, labels = (RIGHT_BANDS, RIGHT_LABELS) if right else (WRONG_BANDS, WRONG_LABELS)
        after = [judge(learner, rows) for rows in (innocent, mixed)]
        changes = [compare(*judgements) for judgements in zip(before, after, strict=True)]
        moved[bands].append(max(change[0] for change in changes))
        moved[labels].append(max(change[1] for change in changes))
    for figure, counts in moved.items():
        figures[figure].append(max(counts))
    figures[SIDE].append(float(np.mean(on_side)))
    figures[TOWARDS].append(float(np.mean(towards)))
    figures[APART].append(one_by_one(learner, data, recipe, seed))


def choose(learner: Learner, data: Data, pool: Sequence[Verdict], seed: int) -> Iterator[tuple[Verdict, bool]]:
    """Verdicts against what the weights say, and whether they are right."""
    random = np.random.default_rng(seed)
    spam = learner.scores(data.examples(pool))[:, 1] > 0.5
    for label in (0, 1):
        for right in (True, False):
            # A right verdict is of its account's own label, a wrong one of the other; neither is what the weights say.
            places = [
                place
                for place, verdict in enumerate(pool)
                if verdict.verdict == (label if right else 1 - label) and spam[place] == (label == 0)
            ]
            for place in random.permutation(places)[:OF_A_KIND]:
                yield msgspec.structs.replace(pool[int(place)], verdict=label), right


def judge(learner: Learner, rows: Examples) -> tuple[list[str], Any]:
    """The bands of n rows, and whether each is called spam, as clients are told them."""
    about = learner.weights.about
    spam = calibrated(learner.scores(rows), about.temperature)[:, 1]
    certain, likely, unsure = about.borders
    return name_bands(spam, (certain, likely, unsure)), spam > 0.5


def compare(before: tuple[list[str], Any], after: tuple[list[str], Any]) -> tuple[int, int]:
    """How many of the same rows have another band, and another label."""
    bands = sum(one != two for one, two in zip(before[0], after[0], strict=True))
    return bands, int((before[1] != after[1]).sum())


def chance(learner: Learner, about: Examples, label: int) -> float:
    """The probability of a label that clients are told of one account."""
    return float(calibrated(learner.scores(about), learner.weights.about.temperature)[0, label])


def one_by_one(learner: Learner, data: Data, recipe: str, seed: int) -> float:
    """How far, in points, the figures on the guard's records lie apart after ten verdicts one by one and at once."""
    verdicts = next(data.days(data.campaign(seed, seed)[0], seed))[5:15]
    ends = []
    for parts in ([[verdict] for verdict in verdicts], [verdicts]):
        learner.restart(recipe)
        for part in parts:
            learner.learn(part)
        ends.append(reference_figures(learner))
    return max(abs(ends[0][name] - ends[1][name]) for name in ends[0])


def reference_figures(learner: Learner) -> dict[str, float]:
    """The figures on the guard's records, in points."""
    trainer, guard = learner.trainer, learner.trainer.reference.guard
    scores = trainer.reference.unlearn(learner.scores(guard))
    figures = trainer.classifier.score(guard.targets, scores)
    figures |= measure(guard.targets, scores, trainer.settings.fp_budget)
    points = {name: 100 * value for name, value in figures.items() if isinstance(value, float)}
    points["false_positives_per_thousand"] /= 1000
    return points
