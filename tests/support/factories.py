"""What the tests of the lower layers are made of: vocabularies, weights without a network, one shared network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Predict
from sb_api.models import networks
from sb_api.models.weights_file import Weights, version_name
from sb_api.text.tokenizers import Vocabularies, Vocabulary
from sb_api.versions import Version

LABELS = ["Non Spam Editor Account", "Spam Editor Account"]

# Nine documents; the counts are chosen so that every idf is another number.
BIO = Vocabulary(9, (("music", 8), ("the", 5), ("casino", 2), ("visit", 0)))
EMAIL = Vocabulary(9, (("gmail.com", 4), ("spam.example", 3)))
WEBSITE = Vocabulary(9, (("spam.example", 4), ("youtube.com", 2), ("gmail.com", 1)))
VOCABULARIES = Vocabularies({"bio": BIO, "email": EMAIL, "website": WEBSITE})


def make_weights(
    number: int, *, classifier: str = "lodbrok", parent: str | None = None, created: str = "", seed: int | None = None
) -> Weights:
    """Weights of a network that is not there: the same for the same arguments, others for others."""
    random = np.random.default_rng(number if seed is None else seed)
    arrays: dict[str, npt.NDArray[Any]] = {
        "dense/kernel": random.normal(size=(40, 30)).astype(np.float32),
        "dense/bias": random.normal(size=30).astype(np.float32),
        "deep/er/still": random.normal(size=(2, 3, 4)).astype(np.float32),
    }
    optimizer: dict[str, npt.NDArray[Any]] = {
        "adam/iteration": np.array(17 + number, np.int64),
        "adam/learning_rate": np.array(0.001, np.float32),
        "adam/dense_kernel_momentum": random.normal(size=(40, 30)).astype(np.float32),
        "adam/dense_kernel_velocity": random.random((40, 30)).astype(np.float32),
    }
    about = Version(
        classifier=classifier,
        version=version_name(number, arrays),
        parent=parent,
        created=created or f"2024-01-01T00:00:{number % 60:02}.000+00:00",
        tokenizers="0123456789abcdef",
        labels=LABELS,
        task=f"task-{number}",
        learned=number,
        figures={"after": {"f1": 0.5 + number / 1000, "roc_auc": None}, "confusion": [[1, 2], [3, 4]]},
    )
    return Weights(about, arrays, optimizer)


def same_arrays(one: Mapping[str, npt.NDArray[Any]], other: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Whether names, shapes, types and every bit are the same."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def same_weights(one: Weights, other: Weights) -> bool:
    return (
        one.about == other.about
        and same_arrays(one.arrays, other.arrays)
        and same_arrays(one.optimizer, other.optimizer)
    )


def unmeasured() -> dict[str, str]:
    """An environment for processes of which coverage has nothing to tell: measured, they would take twice the time."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


@cache
def lodbrok() -> Any:
    """The Keras network, built once a session. Whoever changes its numbers puts them back."""
    networks.import_keras().utils.set_random_seed(7)
    return networks.build_lodbrok()


@cache
def lodbrok_predict() -> Predict:
    return networks.compile_predict(lodbrok())


def make_inputs(rows: int, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Inputs of Lodbrok for n rows, every row another."""
    random = np.random.default_rng(seed)
    return {
        "main_input": random.normal(size=(rows, 9)).astype(np.float32),
        "email_input": random.integers(1, 1025, (rows, 1)).astype(np.int32),
        "website_input": random.integers(1, 1025, (rows, 1)).astype(np.int32),
        "bio_input": random.random((rows, 512)).astype(np.float32),
    }


def call_network(
    network: Any, inputs: Mapping[str, npt.NDArray[Any]], rows: Sequence[int] | slice = slice(None)
) -> Any:
    """The network's own answer, without padding or compiling: probabilities (n, classes)."""
    return np.asarray(network({name: array[rows] for name, array in inputs.items()}, training=False))
