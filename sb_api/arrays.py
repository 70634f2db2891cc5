"""The shapes of numbers that several rooms speak of, and rows of them as bytes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Scores = npt.NDArray[np.floating[Any]]
Targets = npt.NDArray[np.integer[Any]]
Probabilities = npt.NDArray[np.float32]
Arrays = Mapping[str, npt.NDArray[Any]]
Predict = Callable[[Arrays], npt.NDArray[np.float32]]
RowWeights = npt.NDArray[np.float32]


def pack_rows(arrays: Arrays) -> list[bytes]:
    """Each of the n rows of named arrays as compressed float32, in the order of the names."""
    rows = len(next(iter(arrays.values())))
    flat = [np.asarray(arrays[name], np.float32).reshape(rows, -1) for name in sorted(arrays)]
    return [zlib.compress(row.tobytes(), 1) for row in np.concatenate(flat, axis=1)]


def unpack_rows(packed: Sequence[bytes], like: Arrays) -> dict[str, npt.NDArray[Any]]:
    """The named arrays that `pack_rows` packed; `like` has arrays of the same names, row shapes and types."""
    names = sorted(like)
    widths = [int(np.prod(like[name].shape[1:], dtype=int)) for name in names]
    flat = np.frombuffer(b"".join(zlib.decompress(row) for row in packed), np.float32).reshape(len(packed), -1)
    parts = np.split(flat, np.cumsum(widths)[:-1], axis=1)
    return {
        name: part.reshape(len(packed), *like[name].shape[1:]).astype(like[name].dtype)
        for name, part in zip(names, parts, strict=True)
    }
