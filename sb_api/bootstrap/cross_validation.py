"""Every labelled editor judged by a network that has not learned it: how long to learn is chosen by that, and all that
is told of the final weights is measured on it. Of few messages, it says what is to be expected.

The records are divided into folds, accounts of one operator or of one content together; a network is fitted to all
folds but one and judges that one (Stone, Cross-Validatory Choice and Assessment of Statistical Predictions, 1974).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Matrix, Scores, Targets
from sb_api.bootstrap.checks import same_content
from sb_api.bootstrap.editors import MASKED_COPIES, add_masked, choose_recipe, fit_scaling, fit_vocabularies
from sb_api.bootstrap.originals import to_examples
from sb_api.errors import InvalidRecords
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.recipe import Examples, Recipe
from sb_api.learning.reference_set import SHARPEST_TEMPERATURE
from sb_api.models.calibration import apply_temperature, fit_temperature
from sb_api.models.classifiers import Classifier
from sb_api.models.weights_file import Weights
from sb_api.records import Verdict
from sb_api.synthetic.editors import SyntheticEditor
from sb_api.synthetic.split import owners
from sb_api.text.tokenizers import Vocabularies

FOLDS = 5
TRIED_ON = 2  # folds that every recipe is tried on; the best one goes on to the others
LEAST_STEPS = 200  # fewer find next to no spam, however few the rows
LEAST_EPOCHS = 4
# The rates that few rows are tried with: few large steps or twice as many small ones. Twice as many large ones were
# never better. With many rows the architecture's own recipe is as good.
FAST, SLOW, MANY_ROWS = 0.005, 0.002, 10_000
FINE_TUNING_STEPS = (50, 200)

Places = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]  # fittings that are done, and all of them


@dataclass(frozen=True)
class Start:
    """What fitting starts from: the numbers of a network, and its vocabularies where it has learned before."""

    weights: Weights
    vocabularies: Vocabularies | None = None


@dataclass(frozen=True)
class Trial:
    """A recipe, and the loss of what it gave on rows that it had not learned: the mean of -ln P(verdict) after
    calibration."""

    recipe: Recipe
    loss: float


@dataclass(frozen=True)
class CrossFitted:
    """Scores (n, 2) of n editors, each by a network that had not learned it, with the recipe that was chosen, and all
    that were tried."""

    scores: npt.NDArray[np.float32]
    recipe: Recipe
    trials: list[Trial]


def make_folds(editors: Sequence[SyntheticEditor], seed: int) -> list[tuple[Places, Places]]:
    """The places of (learned, judged) editors of each fold. Accounts that share a host or a mail domain of their own
    are in one fold, and so are those of one content; each fold has about as many of either verdict.

    Raises InvalidRecords when all accounts of a verdict belong together.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    verdicts = np.array([editor.verdict for editor in editors])
    groups = _join(owners(editors), [same_content(editor) for editor in editors])
    for verdict, name in enumerate(("that are not spam", "of spam")):
        count = len(np.unique(groups[verdicts == verdict]))
        if count < FOLDS:
            raise InvalidRecords(
                f"The accounts {name} share websites, mail domains or all they say, and so are {count} apart from each "
                f"other; at least {FOLDS} are needed to measure on some that were not learned. Add others.",
                errors={},
            )
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    return list(splitter.split(verdicts[:, None], verdicts, groups))


def _join(first: Sequence[int], second: Sequence[str]) -> Places:
    """Numbers of what belongs together by the one or by the other."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers = {value: number for number, value in enumerate(dict.fromkeys(second), start=len(first))}
    others = np.array([numbers[value] for value in second])
    # Each account is linked with its number on either side.
    count = len(first) + len(numbers)
    graph = coo_array((np.ones(len(first), np.int8), (np.array(first), others)), (count, count))
    labels = connected_components(graph, directed=False)[1]
    return np.asarray(labels[np.array(first)], np.int64)


def recipes_for(classifier: Classifier, rows: int, caution: float | None) -> list[Recipe]:
    """The recipes to try for so many rows: by how many steps and at which rate."""
    base = choose_recipe(classifier, rows, caution)
    if rows >= MANY_ROWS:
        return [base]
    batches = -(-rows * (1 + MASKED_COPIES[classifier.architecture]) // base.batch_size)
    short = max(LEAST_EPOCHS, -(-LEAST_STEPS // batches))
    return [replace(base, epochs=epochs, learning_rate=rate) for epochs, rate in ((short, FAST), (2 * short, SLOW))]


def fine_tuning_recipes(classifier: Classifier, rows: int, caution: float | None) -> list[Recipe]:
    """The recipes to try from weights that have learned before."""
    base = choose_recipe(classifier, rows, caution)
    batches = -(-rows * (1 + MASKED_COPIES[classifier.architecture]) // base.batch_size)
    return [replace(base, epochs=max(1, steps // batches)) for steps in FINE_TUNING_STEPS]


def fit_from(start: Start, fitting: Fitting, verdicts: Sequence[Verdict], recipe: Recipe, seed: int) -> Vocabularies:
    """Fit a network to n labelled editors from `start`. Returns the vocabularies, which are fitted to them too where
    `start` has none."""
    vocabularies = start.vocabularies or fit_vocabularies(verdicts)
    fitting.load(start.weights)
    vectors = editor_rows(fitting.classifier, verdicts, vocabularies)
    if start.vocabularies is None:
        fit_scaling(fitting, vectors)
    rows = add_masked(vectors, MASKED_COPIES[fitting.classifier.architecture], seed)
    fitting.fit(to_examples(fitting.classifier, rows), seed, recipe=recipe)
    return vocabularies


def editor_rows(classifier: Classifier, verdicts: Sequence[Verdict], vocabularies: Vocabularies) -> Matrix:
    """The vectors of n labelled editors."""
    if classifier.vectors is None:
        raise ValueError(f"{classifier.name} has no vectors of labelled records.")
    return classifier.vectors(verdicts, vocabularies)


def cross_fit(
    start: Start,
    fitting: Fitting,
    verdicts: Sequence[Verdict],
    folds: Sequence[tuple[Places, Places]],
    recipes: Sequence[Recipe],
    seed: int,
    progress: Progress,
) -> CrossFitted:
    """Judge each of n labelled editors by a network that has not learned it.

    Every recipe is tried on the first `TRIED_ON` folds; the one with the least loss there goes on to the others.
    """
    targets = np.array([verdict.verdict for verdict in verdicts])
    scores = {place: np.full((len(verdicts), 2), np.nan, np.float32) for place in range(len(recipes))}
    tried_on = np.concatenate([judged for _, judged in folds[:TRIED_ON]])
    total = len(recipes) * TRIED_ON + len(folds) - TRIED_ON if len(recipes) > 1 else len(folds)
    losses: dict[int, float] = {}
    done, going = 0, list(range(len(recipes)))
    for number, (learned, judged) in enumerate(folds):
        if number == TRIED_ON and len(recipes) > 1:
            tried = targets[tried_on]
            losses = {p: mean_loss(tried, scores[p][tried_on], recipes[p]) for p in going}
            going = [min(losses, key=losses.__getitem__)]
        known, unknown = ([verdicts[place] for place in places] for places in (learned, judged))
        for place in going:
            vocabularies = fit_from(start, fitting, known, recipes[place], seed)
            vectors = editor_rows(fitting.classifier, unknown, vocabularies)
            scores[place][judged] = fitting.predict(fitting.classifier.name_inputs(vectors))
            done += 1
            progress(done, total)
    best = going[0]
    losses = losses or {best: mean_loss(targets, scores[best], recipes[best])}
    return CrossFitted(scores[best], recipes[best], [Trial(recipes[place], loss) for place, loss in losses.items()])


def judge_by_folds(
    fitting: Fitting,
    rows: Examples,
    folds: Sequence[tuple[Places, Places]],
    learn: Callable[[Fitting, Examples, int], None],
    seed: int,
) -> Scores:
    """The scores (n, labels) of the rows of all folds, which may be fewer than `rows`, each by a network that has
    learned the other folds, as `learn` does with a seed; NaN of a row that is in none. The fitting starts from what it
    is, and is that again."""
    scores = np.full((len(rows), len(fitting.labels)), np.nan, np.float32)
    start = fitting.state()
    for learned, judged in folds:
        learn(fitting, rows.take(learned), seed)
        scores[judged] = fitting.predict(rows.take(judged).arrays)
        fitting.restore(start)
    return scores


def mean_loss(targets: Targets, scores: Scores, recipe: Recipe) -> float:
    """The mean of the calibrated losses of n scores (n, 2), by which recipes are compared."""
    return float(calibrated_losses(targets, scores, recipe.label_weights).mean())


def calibrated_losses(
    targets: Targets, scores: Scores, label_weights: Sequence[float] | None = None
) -> npt.NDArray[np.float64]:
    """-ln P(target) of each of n scores (n, 2) at the temperature that suits all of them best; weighted by label if
    given, the mean weight being 1."""
    weights = np.ones(len(targets)) if label_weights is None else np.array(label_weights)[targets]
    temperature = fit_temperature(targets, scores, weights, SHARPEST_TEMPERATURE)
    likelihoods = apply_temperature(scores, temperature)[np.arange(len(targets)), targets]
    return np.asarray(-np.log(np.maximum(likelihoods, 1e-7)) * weights / weights.mean(), np.float64)
