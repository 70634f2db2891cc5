"""Loaded weights that judge records."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sb_api.arrays import Arrays, Probabilities
from sb_api.errors import InvalidWeights
from sb_api.judgements import Judged, Neighbour, Reason
from sb_api.models.calibration import calibrated, name_bands
from sb_api.models.classifiers import Classifier, find_classifier
from sb_api.models.encoder import REMEDY
from sb_api.models.engine import EngineName, Load, load_engine
from sb_api.models.explanations.neighbours import Neighbours, read_neighbours
from sb_api.models.weights_file import Weights, parse_weights
from sb_api.preprocessing import in_parts
from sb_api.text.tokenizers import TextEncoder, Vocabularies, parse_vocabulary
from sb_api.versions import Version

if TYPE_CHECKING:
    from sb_api.broker.shared_state import Published
    from sb_api.telemetry.metrics import Instruments

logger = logging.getLogger(__name__)

RECENT = 4  # versions that a process keeps at hand, for requests whose first slices were judged by one of them


def parse_published(
    published: Published, directory: str = "", loaded: TextEncoder | None = None
) -> tuple[Weights, Vocabularies]:
    """What a train process has published of a classifier, as `Predictor` takes it, with the sentence encoder of this
    host if one is needed (`Classifier.with_encoder`). Raises InvalidWeights, or Unavailable where there is none."""
    weights = parse_weights(published.file, f"the published weights {published.version}")
    classifier = find_classifier(weights.about)
    vocabularies = {
        name: parse_vocabulary(document, classifier.vocabulary_sizes[name], name)
        for name, document in published.vocabularies.items()
    }
    return weights, classifier.with_encoder(Vocabularies(vocabularies), directory, loaded)


def check_encoder(about: Version, vocabularies: Vocabularies) -> None:
    """Raises InvalidWeights where the sentence encoder here is not the one that weights work with."""
    here = None if vocabularies.encoder is None else vocabularies.encoder.sha256
    if about.encoder != here:
        raise InvalidWeights(
            f"The weights {about.version} work with the sentence encoder of SHA-256 {about.encoder}, and here is "
            f"{here or 'none'}: {REMEDY}."
        )


class Predictor:
    """A classifier with the weights it works with now, whose architecture it takes on. Only one thread may use it."""

    def __init__(
        self,
        classifier: Classifier,
        weights: Weights,
        vocabularies: Vocabularies,
        engine: EngineName = "onnx",
        instruments: Instruments | None = None,
        neighbours_file: Path | None = None,
    ) -> None:
        self.neighbours_file = neighbours_file
        self._neighbours: tuple[int, Neighbours] | None = None
        self.classifier = classifier
        self.engine = engine
        self.instruments = instruments
        self.about = weights.about
        self.vocabularies = vocabularies
        self._load: Load | None = None
        self._recent: dict[str, Weights] = {}
        self._usual_scores: dict[str, float] = {}
        self.swap(weights, vocabularies)

    def swap(self, weights: Weights, vocabularies: Vocabularies) -> None:
        """Work with other weights from now on. Raises InvalidWeights, and then keeps the ones it has."""
        check_encoder(weights.about, vocabularies)
        if weights.about.tokenizers != vocabularies.fingerprint:
            raise InvalidWeights(f"The weights {weights.about.version} were trained with other tokenizers.")
        about, classifier = weights.about, find_classifier(weights.about)
        known = (self.classifier, self.about.labels, self.vocabularies)
        if self._load is None or known != (classifier, about.labels, vocabularies):
            # Their numbers decide the network's shape.
            load = load_engine(self.engine, classifier, about.labels, vocabularies)
            self._predict = load(weights.arrays)
            self.classifier, self._load = classifier, load
            self._recent.clear()
        else:
            self._predict = self._load(weights.arrays)
        self.vocabularies = vocabularies
        self.about = about
        self._recent.pop(about.version, None)
        self._recent[about.version] = replace(weights, optimizer={})
        while len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    @property
    def version(self) -> str:
        return self.about.version

    @contextmanager
    def at(self, version: str) -> Iterator[None]:
        """Work with a recent version for a while; with the current weights when there is no such recent version."""
        current = self._recent[self.version]
        if version in self._recent and version != self.version:
            self.swap(self._recent[version], self.vocabularies)
        try:
            yield
        finally:
            if self.version != current.about.version:
                self.swap(current, self.vocabularies)

    def score(self, arrays: Arrays) -> Probabilities:
        """Calibrated probabilities (n, classes) of n rows of named arrays."""
        with self._timed("predict_seconds"):
            return calibrated(self._predict(arrays), self.about.temperature)

    def bands(self, scores: Probabilities) -> list[str]:
        """The band of each of n rows of calibrated probabilities; [] where the weights have no bands."""
        borders = self.about.borders
        return name_bands(scores[:, 1], (borders[0], borders[1], borders[2])) if borders else []

    def describe(self, scores: Probabilities, errors: dict[int, str]) -> Judged:
        """The answers for n records with these calibrated probabilities; `errors` as from `judge`."""
        about = self.about
        predictions, reported = self.classifier.answer(scores, about.labels, about.threshold)
        return Judged(about.version, predictions, reported, errors, self.bands(scores))

    def explain(self, records: Sequence[Any]) -> list[list[Reason]]:
        """The reasons behind the scores of n records, strongest first; none where the classifier gives none."""
        if self.classifier.explain is None or (self.classifier.usual and not self.about.usual):
            return [[] for _ in records]
        numbers = self._recent[self.version].arrays
        return self.classifier.explain(records, self.about.usual, self.score, self.vocabularies, numbers)

    def judge_usual(self) -> float | None:
        """The probability of spam of a record with all as usual, from which the reasons of others count; None where
        there is none to compare with. Judged once for each of the recent versions."""
        if self.classifier.usual_inputs is None or not self.about.usual:
            return None
        if self.version not in self._usual_scores:
            self._usual_scores = {name: score for name, score in self._usual_scores.items() if name in self._recent}
            scores = self.score(self.classifier.usual_inputs(self.about.usual))
            self._usual_scores[self.version] = round(float(scores[0, 1]), 6)
        return self._usual_scores[self.version]

    def find_neighbours(self, records: Sequence[Any]) -> list[list[Neighbour]]:
        """The learned messages most like each of n records; [] where none are kept for these weights."""
        if self.neighbours_file is None or self.classifier.vectors is None:
            return []
        kept = self._read_neighbours(self.neighbours_file)
        return [] if kept is None else kept.find(self.classifier.vectors(records, self.vocabularies))

    def _read_neighbours(self, path: Path) -> Neighbours | None:
        """The file as it is now, read again when it is another."""
        try:
            state = path.stat().st_mtime_ns
            if self._neighbours is None or self._neighbours[0] != state:
                self._neighbours = state, read_neighbours(path)
        except FileNotFoundError:
            return None
        except InvalidWeights as error:
            logger.error("messages are explained without others like them: %s", error.detail)
            return None
        kept = self._neighbours[1]
        return kept if kept.features == self.about.features else None

    def judge(self, records: Sequence[Any]) -> tuple[Probabilities, dict[int, str]]:
        """Probabilities (n, classes) of n records, and by position why one could not be judged (its row is NaN)."""
        slices = [*in_parts(len(records))]
        if len(slices) <= 1:
            return self._judge_part(records)
        # What is made of a part is gone before the next: more would be new memory each time, which costs as much.
        parts = [(part, *self._judge_part(records[part])) for part in slices]
        errors = {part.start + place: why for part, _, wrong in parts for place, why in wrong.items()}
        return np.concatenate([scores for _, scores, _ in parts]), errors

    def _judge_part(self, records: Sequence[Any]) -> tuple[Probabilities, dict[int, str]]:
        errors: dict[int, str] = {}
        try:
            with self._timed("preprocess_seconds"):
                arrays = self.classifier.preprocess(records, self.vocabularies)
        except Exception:
            # One record spoils the whole batch: find it, and judge the others.
            errors = self._unreadable(records)
            if not errors:
                raise
        if errors:
            scores = np.full((len(records), len(self.about.labels)), np.nan, np.float32)
            sound = [position for position in range(len(records)) if position not in errors]
            if sound:
                arrays = self.classifier.preprocess([records[position] for position in sound], self.vocabularies)
                scores[sound] = self.score(arrays)
        else:
            scores = self.score(arrays)
        for position in np.flatnonzero(~np.isfinite(scores).all(axis=1)):
            errors.setdefault(int(position), "its score is not a finite number")
        return scores, errors

    def _timed(self, step: Literal["predict_seconds", "preprocess_seconds"]) -> AbstractContextManager[object]:
        if self.instruments is None:
            return nullcontext()
        timed: AbstractContextManager[object] = getattr(self.instruments, step).labels(self.classifier.name).time()
        return timed

    def _unreadable(self, records: Sequence[Any]) -> dict[int, str]:
        errors = {}
        for position, record in enumerate(records):
            try:
                self.classifier.preprocess([record], self.vocabularies)
            except Exception:
                logger.exception("a record cannot be preprocessed")
                errors[position] = "it cannot be turned into numbers"
        return errors
