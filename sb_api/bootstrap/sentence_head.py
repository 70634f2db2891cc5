"""How messages are learned: by the network's own steps, and where they are few, the linear member that knows a text's
vector alone is then put where a logistic regression has it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sb_api.judgements import NO_CLASS
from sb_api.learning.fitting.training_loop import Fitting
from sb_api.learning.recipe import Examples, Recipe
from sb_api.models.networks import REFUSING_SHARE, SENTENCE_SCALE, get_arrays, set_arrays

# So many messages a class, with those of its name, are few: the steps with half of the numbers left out, which find
# more in many, find less in them than one of all numbers that are small.
FEW_OF_A_CLASS = 20
# Of the squares of the numbers, for vectors as they are scaled (scikit-learn's C), and what logits are multiplied by:
# the other members are surer of few messages than they are right, and each counts by how sure it is.
SMALLNESS, EMPHASIS = 2.0, 2.0
MOST_STEPS = 100
KERNEL, BIAS = "sentence_output/kernel", "sentence_output/bias"


def learn_messages(
    fitting: Fitting, rows: Examples, seed: int, recipe: Recipe, progress: Callable[[int], None] | None = None
) -> None:
    """Fit the network of messages to n rows by a recipe; `progress` is called after each epoch."""
    fitting.fit(rows, seed, recipe=recipe, progress=progress)
    if (rows.targets != NO_CLASS).sum() < FEW_OF_A_CLASS * len(fitting.labels):
        solve_head(fitting, rows)


def solve_head(fitting: Fitting, rows: Examples) -> None:
    """Put the member of the text's vector where a logistic regression of n rows has it; some must be of no class, which
    is its level. Where there is no such member, or no such row, everything stays as it is."""
    from sklearn.linear_model import LogisticRegression

    arrays = get_arrays(fitting.network)
    if REFUSING_SHARE not in arrays or not (rows.targets == NO_CLASS).any():
        return
    vectors = SENTENCE_SCALE * rows.arrays["sentence_input"].astype(np.float64)
    solved = LogisticRegression(C=SMALLNESS, max_iter=MOST_STEPS).fit(vectors, rows.targets)
    # The first one is no class, whose logit is 0.
    _, *classes = solved.classes_
    arrays[KERNEL][:, classes] = EMPHASIS * (solved.coef_[1:] - solved.coef_[:1]).T
    arrays[BIAS][classes] = EMPHASIS * (solved.intercept_[1:] - solved.intercept_[:1])
    set_arrays(fitting.network, arrays)
