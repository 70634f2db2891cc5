"""The classify process: claim what waits, preprocess it in one go, predict in one call, answer every request."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api.broker.connection import connect
from sb_api.broker.jobs import BULK, PREDICT_STREAMS, Answer, Claim, Jobs, failure
from sb_api.config import Settings
from sb_api.errors import InvalidWeights, SbApiError
from sb_api.kinds import Judged, describe_answers
from sb_api.models.calibration import calibrated, name_bands
from sb_api.models.classifiers import CLASSIFIERS, Classifier
from sb_api.models.engine import EngineName, Load, load_engine
from sb_api.models.explain import Reason
from sb_api.models.networks import Arrays
from sb_api.models.weights_store import Weights, WeightsStore, parse_weights
from sb_api.processes.standby import stand_by
from sb_api.processes.worker import Worker
from sb_api.records import decode_payload
from sb_api.telemetry.metrics import Instruments
from sb_api.text.tokenizers import Vocabularies, parse_vocabulary

logger = logging.getLogger(__name__)

NICENESS = 5  # of a helper
RECENT = 4  # versions that a process keeps at hand, for requests whose first slices were judged by one of them

Probabilities = npt.NDArray[np.float32]


class Model:
    """A classifier with the weights it works with now. Only one thread may use it."""

    def __init__(
        self,
        classifier: Classifier,
        weights: Weights,
        vocabularies: Vocabularies,
        engine: EngineName = "onnx",
        instruments: Instruments | None = None,
    ) -> None:
        self.classifier = classifier
        self.engine = engine
        self.instruments = instruments or Instruments()
        self.about = weights.about
        self.vocabularies = vocabularies
        self._load: Load | None = None
        self._recent: dict[str, Weights] = {}
        self.swap(weights, vocabularies)

    def swap(self, weights: Weights, vocabularies: Vocabularies) -> None:
        """Work with other weights from now on. Raises InvalidWeights, and then keeps the ones it has."""
        if weights.about.tokenizers != vocabularies.fingerprint:
            raise InvalidWeights(f"The weights {weights.about.version} were trained with other tokenizers.")
        about = weights.about
        if self._load is None or (self.about.labels, self.vocabularies) != (about.labels, vocabularies):
            # Their numbers decide the network's shape.
            load = load_engine(self.engine, self.classifier, about.labels, vocabularies)
            self._predict = load(weights.arrays)
            self._load = load
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
        with self.instruments.predict_seconds.labels(self.classifier.name).time():
            return calibrated(self._predict(arrays), self.about.temperature)

    def bands(self, scores: Probabilities) -> list[str]:
        """The band of each of n rows of calibrated probabilities; [] where the weights have no bands."""
        borders = self.about.borders
        return name_bands(scores[:, 1], (borders[0], borders[1], borders[2])) if borders else []

    def tell(self, scores: Probabilities, errors: dict[int, str]) -> Judged:
        """What is told of n records with these calibrated probabilities; `errors` as from `judge`."""
        about = self.about
        predictions, told = self.classifier.answer(scores, about.labels, about.threshold)
        return Judged(about.version, predictions, told, errors, self.bands(scores))

    def explain(self, records: Sequence[Any]) -> list[list[Reason]]:
        """The reasons behind the scores of n records, strongest first; none where the classifier gives none."""
        if self.classifier.explain is None or not self.about.usual:
            return [[] for _ in records]
        return self.classifier.explain(records, self.about.usual, self.score, self.vocabularies)

    def judge(self, records: Sequence[Any]) -> tuple[Probabilities, dict[int, str]]:
        """Probabilities (n, classes) of n records, and by position why one could not be judged (its row is NaN)."""
        errors: dict[int, str] = {}
        try:
            with self.instruments.preprocess_seconds.labels(self.classifier.name).time():
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

    def _unreadable(self, records: Sequence[Any]) -> dict[int, str]:
        errors = {}
        for position, record in enumerate(records):
            try:
                self.classifier.preprocess([record], self.vocabularies)
            except Exception:
                logger.exception("a record cannot be preprocessed")
                errors[position] = "it cannot be turned into numbers"
        return errors


def count_labels(scores: Probabilities, labels: Sequence[str]) -> dict[str, int]:
    """Of how many of n rows of probabilities (n, labels) each label is the best; a row of NaN was not judged."""
    best = scores[np.isfinite(scores).all(axis=1)].argmax(axis=1)
    return dict(zip(labels, np.bincount(best, minlength=len(labels)).tolist(), strict=True))


def judge_claims(models: dict[str, Model], claims: Sequence[Claim]) -> list[Answer]:
    """One answer per claim; the records of all claims of a classifier are judged in one call."""
    # By position: two entries of different streams may have the same id.
    answers: dict[int, Answer] = {}
    batches: dict[tuple[str, str], list[tuple[int, Claim, list[Any]]]] = defaultdict(list)
    for position, claim in enumerate(claims):
        try:
            model = models[claim.job.classifier]
            records = decode_payload(claim.job.body, list[model.classifier.kind.queued])  # type: ignore[name-defined]
            batches[claim.job.classifier, claim.job.weights].append((position, claim, records))
        except (KeyError, msgspec.DecodeError, msgspec.ValidationError) as error:
            answers[position] = failure(SbApiError(f"The job cannot be read: {error}."))
    for (name, version), batch in batches.items():
        with models[name].at(version):
            answers |= _judge_batch(models[name], batch)
    return [answers[position] for position in range(len(claims))]


def _judge_batch(model: Model, batch: Sequence[tuple[int, Claim, list[Any]]]) -> dict[int, Answer]:
    scores, errors = model.judge([record for _, _, records in batch for record in records])
    model.instruments.count_records(model.classifier.name, len(scores), count_labels(scores, model.about.labels))
    # All at once: for a few records numpy's calls cost more than what they do.
    judged = model.tell(scores, errors)
    answers = {}
    start = 0
    for position, claim, records in batch:
        end = start + len(records)
        own = {row - start: detail for row, detail in errors.items() if start <= row < end}
        reasons = model.explain(records) if claim.job.operation == "explain" and not own else []
        predictions, told, bands = judged.predictions[start:end], judged.scores[start:end], judged.bands[start:end]
        data = _describe(claim, records, Judged(judged.version, predictions, told, own, bands, reasons))
        answers[position] = Answer(status="completed", data=data)
        start = end
    return answers


def _describe(claim: Claim, records: Sequence[Any], judged: Judged) -> Judged | dict[str, Any]:
    if not claim.job.keep:
        return judged
    # What is kept for a client is kept as the client is told it: the records are gone by then.
    document = describe_answers(records, judged)
    wrong = {
        str(records[position].id): {"field": "", "detail": detail} for position, detail in sorted(judged.errors.items())
    }
    return document | ({"errors": wrong} if wrong else {})


def load_current(jobs: Jobs, classifier: Classifier) -> tuple[Weights, Vocabularies]:
    """The published weights with their vocabularies; those of this host's files while none are published."""
    published = jobs.registry.published(classifier.name)
    if published is None:
        store = WeightsStore.of(jobs.settings, classifier.name)
        return store.load_current(), classifier.load_vocabularies(jobs.settings)
    vocabularies = Vocabularies(
        {
            name: parse_vocabulary(document, classifier.vocabulary_sizes[name], name)
            for name, document in published.vocabularies.items()
        }
    )
    return parse_weights(published.file, f"the published weights {published.version}"), vocabularies


def refresh_models(
    jobs: Jobs, models: dict[str, Model], published: Mapping[str, str], instruments: Instruments | None = None
) -> dict[str, str]:
    """Load the classifiers, or swap in what has been published since. Returns the version of each."""
    for name, classifier in CLASSIFIERS.items():
        model = models.get(name)
        if model is None:
            models[name] = Model(classifier, *load_current(jobs, classifier), jobs.settings.engine, instruments)
            logger.info("%s is warm with the weights %s", name, models[name].version)
            continue
        if published.get(name, model.version) != model.version:
            try:
                model.swap(*load_current(jobs, classifier))
            except SbApiError as error:
                logger.error("still working with the weights %s of %s: %s", model.version, name, error.detail)
            else:
                logger.info("%s works with the weights %s from now on", name, model.version)
    return {name: model.version for name, model in models.items()}


def classify_process(settings: Settings, helper: bool = False, standby: bool = False) -> None:
    """Judge records until told to stop.

    A `helper` wakes for large requests alone, and small ones have precedence over it on the processor: shared among
    several processes, these would make batches too small to be worth their cost. After `helper_idle` seconds without
    one it starts anew on `standby`.
    """
    if helper and not standby:
        os.nice(NICENESS)  # after standby it has that already
    jobs = Jobs(connect(settings), settings)
    models: dict[str, Model] = {}
    instruments = Instruments()
    used = monotonic()

    def do(claims: Sequence[Claim]) -> list[Answer]:
        nonlocal used
        used = monotonic()
        return judge_claims(models, claims)

    def idle() -> None:
        if monotonic() - used > settings.helper_idle:
            worker.leave()
            stand_by()

    worker = Worker(
        jobs,
        "classify",
        PREDICT_STREAMS,
        do=do,
        refresh=lambda published: refresh_models(jobs, models, published, instruments),
        instruments=instruments,
        idle=idle if helper else None,
        awaited=[BULK] if helper else (),
    )
    worker.run_process()
