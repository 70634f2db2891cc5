"""The first examples of a class that the network never learned: what speaks for it is found member by member, while all
that is known of the other classes stays as it is.

The numbers of the new classes are those of a logistic regression beside the old ones, whose logits are fixed: a convex
problem of a few hundred numbers, so that five examples are enough and no old class gives way to another (after Qi,
Brown and Lowe, Low-Shot Learning with Imprinted Weights, 2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Targets
from sb_api.judgements import NO_CLASS
from sb_api.learning.classes.growth import LINE
from sb_api.learning.recipe import Examples, join
from sb_api.models.networks import LINE_SCALE, REFUSING_SHARE, get_arrays, import_keras, set_arrays

if TYPE_CHECKING:
    import keras

Numbers = npt.NDArray[np.float64]

MOST_KNOWN, MOST_NEW = 3_000, 100  # rows of the old classes that are looked at, and of each new one
MOST_FEATURES = 2_000  # of new rows, those that weigh most
RIDGE = 1e-6  # times the square of the numbers, for units of mean square 1
EMPHASIS = 5.0  # what all examples of a new class weigh, where an old class weighs 1
MOST_STEPS = 200
# The layers that have the units of a member, and those that make logits of them.
SENTENCE = "sentence_output"
MEMBERS = (("bag", "bag_output"), ("phrases", "phrase_output"), ("sentence_scaling", SENTENCE))
AT_ONCE = 256


def imprint(network: keras.Model, new: Examples, known: Examples, classes: npt.NDArray[np.int64], seed: int) -> None:
    """Have the message network know some `classes` that it never learned, from those of n new rows that are of them,
    beside `known` rows of the others. Of which known rows follows from the seed."""
    random = np.random.default_rng(seed)
    mine = random.permutation(np.flatnonzero(np.isin(new.targets, classes)))[: MOST_NEW * len(classes)]
    chosen = np.sort(random.permutation(len(known))[:MOST_KNOWN])
    rows = join(new.take(mine), known.take(chosen))
    weights = _weigh(rows.targets, len(mine))
    arrays = get_arrays(network)
    for units, head in _read_units(network, rows):
        kernel, bias = f"{head}/kernel", f"{head}/bias"
        logits = units.astype(np.float64) @ arrays[kernel] + arrays[bias]
        if head == SENTENCE and REFUSING_SHARE in arrays:
            logits = np.pad(logits, [(0, 0), (0, 1)])  # that it is none of them is one more
            arrays[REFUSING_SHARE][classes] = arrays[REFUSING_SHARE].max()
        arrays[kernel][:, classes], arrays[bias][classes] = solve(units, logits, rows.targets, weights, classes)
    own, units, logits = _read_features(arrays[LINE], rows, len(mine))
    numbers, _ = solve(units, logits, rows.targets, weights, classes, intercept=False)
    column = np.zeros((len(arrays[LINE]), len(classes)))
    column[own] = numbers
    arrays[LINE][:, classes] = column
    set_arrays(network, arrays)


def _weigh(targets: Targets, new: int) -> Numbers:
    """What each of n rows weighs, of which the first `new` are of new classes: a class as much as any other, but for
    the emphasis."""
    counts = {label: int((targets[:new] == label).sum()) for label in np.unique(targets[:new])}
    old = max(1, len(np.unique(targets[new:])))
    weights = np.full(len(targets), old / max(1, len(targets) - new))
    weights[:new] = [EMPHASIS / counts[label] for label in targets[:new]]
    return np.asarray(weights / weights.sum(), np.float64)


def _read_units(network: keras.Model, rows: Examples) -> list[tuple[npt.NDArray[np.float32], str]]:
    """What the units of each member that has any say of the rows (n, units), and the name of the layer above them."""
    keras = import_keras()
    there = {layer.name for layer in network.layers}
    members = [(units, head) for units, head in MEMBERS if head in there]
    reader = keras.Model(network.input, [network.get_layer(units).output for units, _ in members])
    parts: list[list[Any]] = [[] for _ in members]
    for start in range(0, len(rows), AT_ONCE):
        read = reader({name: array[start : start + AT_ONCE] for name, array in rows.arrays.items()}, training=False)
        for part, units in zip(parts, read, strict=True):
            part.append(np.asarray(units))
    return [(np.concatenate(part), head) for part, (_, head) in zip(parts, members, strict=True)]


def _read_features(
    table: npt.NDArray[np.float32], rows: Examples, new: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], Numbers]:
    """The heaviest features (k,) of the first `new` rows, how much of each is in every row (n, k), and the logits
    (n, labels) that the linear member gives the rows."""
    features, weights = rows.arrays["feature_input"], LINE_SCALE * rows.arrays["weight_input"]
    total = np.bincount(features[:new].ravel(), np.abs(weights[:new]).ravel(), minlength=len(table))
    heaviest = np.argsort(-total, kind="stable")[:MOST_FEATURES]
    own = np.sort(heaviest[total[heaviest] > 0])
    places = np.full(len(table), -1)
    places[own] = np.arange(len(own))
    units = np.zeros((len(rows), len(own)), np.float32)
    at, slots = np.nonzero((places[features] >= 0) & (weights != 0))
    np.add.at(units, (at, places[features[at, slots]]), weights[at, slots])
    logits = np.stack([w @ table[feature].astype(np.float64) for feature, w in zip(features, weights, strict=True)])
    return own, units, logits


def solve(
    units: npt.NDArray[np.float32],
    logits: Numbers,
    targets: Targets,
    weights: Numbers,
    classes: npt.NDArray[np.int64],
    intercept: bool = True,
) -> tuple[Numbers, Numbers]:
    """The numbers (units, k) and the biases (k,) of k classes with which the rows' mean loss is least: cross-entropy
    over all labels, of which the other `logits` (n, labels) stay, and a ridge. Without `intercept` the biases are 0.
    """
    from scipy.optimize import minimize

    scale = np.sqrt(np.square(units, dtype=np.float64).sum(axis=1).mean()) or 1.0
    units = units.astype(np.float64) / scale
    others = np.delete(logits, classes, axis=1)
    highest = others.max(axis=1)
    rest = highest + np.log(np.exp(others - highest[:, None]).sum(axis=1))
    wanted = (targets[:, None] == classes).astype(np.float64)
    wanted[targets == NO_CLASS] = 1 / logits.shape[1]
    count, size = len(classes), units.shape[1]

    def loss(flat: Numbers) -> tuple[float, Numbers]:
        table = flat[: size * count].reshape(size, count)
        mine = units @ table + flat[size * count :]
        top = np.maximum(mine.max(axis=1), rest)
        total = top + np.log(np.exp(mine - top[:, None]).sum(axis=1) + np.exp(rest - top))
        share = np.exp(mine - total[:, None])
        known = 1 - wanted.sum(axis=1)
        value = weights @ (total - (wanted * mine).sum(axis=1) - known * rest) + RIDGE / 2 * np.square(table).sum()
        gap = weights[:, None] * (share - wanted)
        biases = gap.sum(axis=0) if intercept else np.zeros(count)
        return float(value), np.concatenate([(units.T @ gap + RIDGE * table).ravel(), biases])

    found = minimize(loss, np.zeros(size * count + count), jac=True, method="L-BFGS-B", options={"maxiter": MOST_STEPS})
    return found.x[: size * count].reshape(size, count) / scale, found.x[size * count :]
