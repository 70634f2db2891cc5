"""The learned messages that are most like a message: kept with their texts when weights are made, if a setting says so.

Likeness is the cosine of two vectors: those of the sentence encoder, or where the weights have none, of the features
that the network reads (words, pairs of words, character n-grams).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api.arrays import Matrix
from sb_api.errors import InvalidWeights
from sb_api.judgements import Neighbour
from sb_api.preprocessing import FEATURES_PER_MESSAGE, MESSAGE_LENGTH
from sb_api.records import LabelledMessage

MOST_TOLD, LEAST_LIKENESS = 3, 0.3
MOST_BYTES = 8 * 2**20  # of texts
FOLDER = "neighbours"  # in the state directory


class _About(msgspec.Struct, frozen=True):
    features: str
    texts: list[str]
    labels: list[str | None] = msgspec.field(name="intents")


@dataclass(frozen=True)
class Neighbours:
    """n messages with their classes, for weights that read the same `features`. `dense` (n, width) are their vectors;
    or else `rows` and `weights` are which of them have a feature and how much of it, feature after feature, and
    `starts` where each begins."""

    features: str
    texts: Sequence[str]
    labels: Sequence[str | None]
    dense: Matrix | None
    starts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]

    def find(self, vectors: Matrix) -> list[list[Neighbour]]:
        """The messages most like each of those with these vectors, the most like first."""
        return [self._nearest(self._likeness(vector)) for vector in vectors]

    def _likeness(self, vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if self.dense is not None:
            return self.dense @ vector[MESSAGE_LENGTH:]
        found = np.zeros(len(self.texts), np.float32)
        features, weights = _features_of(vector)
        for feature, weight in zip(features.tolist(), weights.tolist(), strict=True):
            if feature + 1 < len(self.starts):
                mine = slice(self.starts[feature], self.starts[feature + 1])
                found[self.rows[mine]] += weight * self.weights[mine]  # no message has a feature twice
        return found

    def _nearest(self, likeness: npt.NDArray[np.float32]) -> list[Neighbour]:
        order = np.argsort(-likeness, kind="stable")[:MOST_TOLD]
        return [
            Neighbour(self.texts[place], self.labels[place], round(float(likeness[place]), 4))
            for place in order.tolist()
            if likeness[place] >= LEAST_LIKENESS
        ]


def pack_neighbours(messages: Sequence[LabelledMessage], vectors: Matrix, features: str, most: int, seed: int) -> bytes:
    """A file of at most so many of n messages with these vectors, of `MOST_BYTES` of text at most, chosen at random
    from a seed."""
    order = np.random.default_rng(seed).permutation(len(messages))[:most]
    sizes = np.cumsum([len(messages[place].text.encode()) for place in order.tolist()])
    chosen = np.sort(order[: int((sizes <= MOST_BYTES).sum())])
    mine = [messages[place] for place in chosen.tolist()]
    about = _About(features, [message.text for message in mine], [message.label for message in mine])
    arrays: dict[str, npt.NDArray[np.generic]] = {"about": np.frombuffer(msgspec.json.encode(about), np.uint8)}
    if vectors.shape[1] > MESSAGE_LENGTH:
        arrays["dense"] = vectors[chosen, MESSAGE_LENGTH:].astype(np.float16)
    else:
        found = [_features_of(vectors[place]) for place in chosen.tolist()]
        rows = np.repeat(np.arange(len(found)), [len(own) for own, _ in found]).astype(np.int32)
        own = np.concatenate([np.zeros(0, np.int64), *(own for own, _ in found)])
        weights = np.concatenate([np.zeros(0, np.float32), *(weight for _, weight in found)])
        by_feature = np.argsort(own, kind="stable")
        counts = np.bincount(own, minlength=1)
        arrays |= {
            "starts": np.concatenate([[0], np.cumsum(counts)]),
            "rows": rows[by_feature],
            "weights": weights[by_feature].astype(np.float16),
        }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def read_neighbours(path: Path) -> Neighbours:
    """What `pack_neighbours` packed. Raises FileNotFoundError, and InvalidWeights when it is damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            about = msgspec.json.decode(file["about"].tobytes(), type=_About)
            if "dense" in file:
                nothing = np.zeros(0, np.int32)
                dense: Matrix | None = file["dense"].astype(np.float32)
                parts = nothing.astype(np.int64), nothing, nothing.astype(np.float32)
            else:
                dense, parts = None, (file["starts"], file["rows"], file["weights"].astype(np.float32))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, msgspec.DecodeError) as error:
        raise InvalidWeights(f"The neighbours in {path} cannot be read: {error}.") from None
    return Neighbours(about.features, about.texts, about.labels, dense, *parts)


def _features_of(vector: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The features of a message's vector, and their weights at length 1: they have two blocks of length 1 each."""
    features, weights = vector[1 : 1 + FEATURES_PER_MESSAGE], vector[1 + FEATURES_PER_MESSAGE :][:FEATURES_PER_MESSAGE]
    there = weights != 0
    length = float(np.sqrt(np.square(weights[there]).sum())) or 1.0
    return features[there].astype(np.int64), weights[there] / length
