"""Numbers of the message network for more classes than it was made for.

What it says of the classes that it has stays what it is: new hidden units lead nowhere yet (Chen, Goodfellow and
Shlens, Net2Net, 2016), and a class that was never learned is next to impossible.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Arrays
from sb_api.models.networks import LINE_SCALE, REFUSING_SHARE

# The bias of a class that was never learned, and from where on one is taken for that: what is learned comes nowhere
# near. The member without a bias has a number of each feature for it.
IMPOSSIBLE, NEARLY = -30.0, -15.0
LEAST_INCOMING, SEED = 0.05, 1  # the deviation of new units' own numbers
BIAS, LINE = "bag_output/bias", "line_embedding/embeddings"
# Rows of this layer belong to the units of two layers, one after the other.
TWO_PARTS = "phrase_output"

Shapes = Mapping[str, tuple[int, ...]]


def widen(arrays: Arrays, shapes: Shapes) -> dict[str, npt.NDArray[Any]]:
    """The numbers of a network whose arrays have these larger `shapes`, which says of the old classes what the network
    of `arrays` says, and of new ones, which come behind them, that they are next to impossible."""
    random = np.random.default_rng(SEED)
    grown = {}
    for path, array in arrays.items():
        shape = shapes[path]
        if array.shape == shape:
            grown[path] = array
        elif path.endswith("_output/bias"):
            grown[path] = _put(array, np.full(shape, IMPOSSIBLE, array.dtype))
        elif path == LINE:
            grown[path] = _put(array, np.full(shape, IMPOSSIBLE / LINE_SCALE, array.dtype))
        elif "_output/" in path:
            grown[path] = _put(array, np.zeros(shape, array.dtype), 2 if path.startswith(TWO_PARTS) else 1)
        elif path == REFUSING_SHARE:
            grown[path] = _put(array, np.zeros(shape, array.dtype))
        else:
            fresh = random.normal(0, LEAST_INCOMING, shape).astype(array.dtype)
            if path.startswith("convolution") and path.endswith("kernel"):
                fresh[:, array.shape[1] :, : array.shape[2]] = 0  # what is new does not reach the units that were there
            grown[path] = _put(array, fresh)
    return grown


def widen_optimizer(arrays: Arrays, shapes: Shapes) -> dict[str, npt.NDArray[Any]]:
    """The state of an optimizer of a network that has grown: of what is new it knows nothing."""
    return {
        path: array
        if array.shape == shapes[path]
        else _put(array, np.zeros(shapes[path], array.dtype), 2 if f"{TWO_PARTS}_kernel" in path else 1)
        for path, array in arrays.items()
    }


def find_unlearned(arrays: Arrays) -> npt.NDArray[np.int64]:
    """The numbers of the classes that the network of these arrays has room for and never learned; none of another
    network than that of messages."""
    return np.flatnonzero(arrays[BIAS] < NEARLY) if BIAS in arrays else np.zeros(0, np.int64)


def take_classes(arrays: Arrays, source: Arrays, classes: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """`arrays` with what `source` knows of some classes; both are of one shape."""
    taken = dict(arrays)
    if not len(classes):
        return taken
    for path in arrays:
        if "_output/" in path or path in (LINE, REFUSING_SHARE):
            taken[path] = arrays[path].copy()
            taken[path][..., classes] = source[path][..., classes]
    return taken


def _put(array: npt.NDArray[Any], into: npt.NDArray[Any], parts: int = 1) -> npt.NDArray[Any]:
    """`into` with `array` in its front corner, or with as many parts of it, by rows, in front of as many parts."""
    mine, theirs = np.split(array, parts), np.split(into, parts)  # views
    for part, place in zip(mine, theirs, strict=True):
        place[tuple(slice(size) for size in part.shape)] = part
    return into
