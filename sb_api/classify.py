"""The classify process: claim what waits, preprocess it in one go, predict in one call, answer every request."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

import msgspec
import numpy as np

from sb_api.arrays import Probabilities
from sb_api.broker.connection import connect
from sb_api.broker.jobs import BULK, PREDICT_STREAMS, Answer, Claim, Jobs, failure
from sb_api.config import Settings
from sb_api.errors import SbApiError
from sb_api.judgements import Judged, describe_answers
from sb_api.models.classifiers import CLASSIFIERS, Classifier
from sb_api.models.predictor import Model
from sb_api.models.weights_file import Weights, parse_weights
from sb_api.models.weights_store import WeightsStore
from sb_api.processes.standby import stand_by
from sb_api.processes.worker import Worker
from sb_api.records import decode_payload
from sb_api.telemetry.metrics import Instruments
from sb_api.text.tokenizers import Vocabularies, parse_vocabulary

logger = logging.getLogger(__name__)

NICENESS = 5  # of a helper


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
