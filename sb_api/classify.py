"""The classify process: claim what waits, preprocess it in one go, predict in one call, answer every request."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import msgspec
import numpy as np

from sb_api.arrays import Probabilities
from sb_api.broker.connection import connect
from sb_api.broker.consumer import Consumer
from sb_api.broker.jobs import Answer, Claim, failure, unknown_classifier
from sb_api.broker.shared_state import Broker
from sb_api.config import PREFIX, Settings
from sb_api.errors import SbApiError, Unavailable
from sb_api.judgements import Judged, describe_answers
from sb_api.models.classifiers import CLASSIFIERS, Classifier, find_classifier
from sb_api.models.explanations.neighbours import FOLDER
from sb_api.models.predictor import Predictor, parse_published
from sb_api.models.weights_file import Weights
from sb_api.models.weights_store import WeightsStore
from sb_api.processes.claiming import LargeOnly, SmallFirst
from sb_api.processes.flagged import Collector
from sb_api.processes.standby import stand_by
from sb_api.processes.worker import Spare, Worker
from sb_api.records import decode_payload
from sb_api.review.collecting import ReviewFeed
from sb_api.review.store import ReviewStore
from sb_api.shadow.judging import ShadowJudge
from sb_api.shadow.other_versions import OtherVersions
from sb_api.telemetry.metrics import Instruments
from sb_api.text.tokenizers import TextEncoder, Vocabularies
from sb_api.webhooks.accounts import AccountFeed
from sb_api.webhooks.outbox import Outbox

logger = logging.getLogger(__name__)

NICENESS = 5  # of a helper
# Told of what a predictor has said of records of a claim: probabilities (n, labels), and as clients are told.
Note = Callable[[Predictor, Claim, Sequence[Any], Probabilities, Judged], None]
SLICE_SECONDS = 0.1  # that a slice of a long task may take, after the first: for so long what is small may wait for it


def count_labels(scores: Probabilities, labels: Sequence[str]) -> dict[str, int]:
    """Of how many of n rows of probabilities (n, labels) each label is the best; a row of NaN was not judged."""
    best = scores[np.isfinite(scores).all(axis=1)].argmax(axis=1)
    return dict(zip(labels, np.bincount(best, minlength=len(labels)).tolist(), strict=True))


def judge_claims(
    predictors: dict[str, Predictor],
    claims: Sequence[Claim],
    note: Note | None = None,
    others: OtherVersions | None = None,
) -> list[Answer]:
    """One answer per claim; the records of all claims of a classifier are judged in one call. `others` finds what a
    claim of an exact version is judged by; `note` is not told of these."""
    # By position: two entries of different streams may have the same id.
    answers: dict[int, Answer] = {}
    batches: dict[tuple[str, str], list[tuple[int, Claim, list[Any]]]] = defaultdict(list)
    exact: list[tuple[Predictor, tuple[int, Claim, list[Any]]]] = []
    for position, claim in enumerate(claims):
        try:
            records = _read(claim, predictors)
            if claim.job.exact and others is not None:
                exact.append((others.find(claim.job.classifier, claim.job.weights), (position, claim, records)))
                continue
            batches[claim.job.classifier, claim.job.weights].append((position, claim, records))
        except _UNREADABLE as error:
            answers[position] = _unreadable(error)
    for other, one in exact:
        answers |= _judge_batch(other, [one], None)
    for (name, version), batch in batches.items():
        with predictors[name].at(version):
            answers |= _judge_batch(predictors[name], batch, note)
    return [answers[position] for position in range(len(claims))]


_UNREADABLE = (msgspec.DecodeError, msgspec.ValidationError, SbApiError)


def _read(claim: Claim, predictors: Mapping[str, Predictor]) -> list[Any]:
    """The records of a claim. Raises Unavailable where what judges them is not known, or has no weights yet."""
    name = claim.job.classifier
    predictor = predictors.get(name)
    if predictor is None and name in CLASSIFIERS:
        raise Unavailable(f"No weights of {name} are published yet, which a train process of this release does.")
    if predictor is None:
        raise unknown_classifier(name)
    records: list[Any] = decode_payload(claim.job.body, list[predictor.classifier.record_type.queued])  # type: ignore[name-defined]
    return records


def _unreadable(error: Exception) -> Answer:
    return failure(error if isinstance(error, SbApiError) else SbApiError(f"The job cannot be read: {error}."))


def _judge_batch(
    predictor: Predictor, batch: Sequence[tuple[int, Claim, list[Any]]], note: Note | None
) -> dict[int, Answer]:
    scores, errors = predictor.judge([record for _, _, records in batch for record in records])
    name, labels = predictor.classifier.name, predictor.about.labels
    if predictor.instruments is not None:
        predictor.instruments.count_records(name, len(scores), count_labels(scores, labels))
    # All at once: for a few records numpy's calls cost more than what they do.
    judged = predictor.describe(scores, errors)
    answers = {}
    start = 0
    for position, claim, records in batch:
        end = start + len(records)
        own_errors = {row - start: detail for row, detail in errors.items() if start <= row < end}
        explained = claim.job.operation == "explain" and not own_errors
        reasons = predictor.explain(records) if explained else []
        neighbours = predictor.find_neighbours(records) if explained else []
        own = Judged(
            judged.version,
            judged.predictions[start:end],
            judged.scores[start:end],
            own_errors,
            judged.bands[start:end],
            reasons,
            neighbours,
            predictor.judge_usual() if explained else None,
        )
        if note is not None:
            note(predictor, claim, records, scores[start:end], own)
        answers[position] = Answer(status="completed", data=_describe(claim, records, own))
        start = end
    return answers


def _describe(claim: Claim, records: Sequence[Any], judged: Judged) -> Judged | dict[str, Any]:
    if not claim.job.keep:
        return judged
    # A kept answer is stored in the form that the client gets: its records are no longer there when it asks.
    document = describe_answers(records, judged)
    wrong = {
        str(records[position].id): {"field": "", "detail": detail} for position, detail in sorted(judged.errors.items())
    }
    return document | ({"errors": wrong} if wrong else {})


@dataclass
class Begun:
    """A long task of which a part is judged: its records, the version that judges them all, how many are judged, what
    the sender is told of those, and the seconds that a record took in the last slice."""

    records: list[Any]
    version: str = ""
    judged: int = 0
    told: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


class Judging:
    """Answers claims; a task of more than `size` records is judged in slices of so many at most, one a call, so that
    what comes meanwhile waits for no more than a slice. One whose records take long is judged in slices of fewer, which
    take about `seconds`. `note` is told of all that is judged."""

    def __init__(
        self,
        predictors: dict[str, Predictor],
        size: int,
        seconds: float = SLICE_SECONDS,
        note: Note | None = None,
        others: OtherVersions | None = None,
    ) -> None:
        self.others = others
        self.predictors = predictors
        self.size = size
        self.seconds = seconds
        self.note = note
        self._begun: dict[tuple[str, bytes], Begun] = {}

    def do(self, claims: Sequence[Claim]) -> list[Answer | None]:
        """One answer per claim; None for a long task that is not through yet, which is worked on when it is alone."""
        if len(claims) == 1 and self._is_long(claims[0]):
            return [self._judge_slice(claims[0])]
        short = [claim for claim in claims if not self._is_long(claim)]
        answers = iter(judge_claims(self.predictors, short, self.note, self.others))
        return [None if self._is_long(claim) else next(answers) for claim in claims]

    def _is_long(self, claim: Claim) -> bool:
        return claim.job.records > self.size

    def _judge_slice(self, claim: Claim) -> Answer | None:
        # Taken out until the slice is judged: a task that cannot be judged leaves nothing behind.
        begun = self._begun.pop(claim.place, None)
        try:
            begun = begun or Begun(_read(claim, self.predictors))
            predictor = self.predictors[claim.job.classifier]
        except _UNREADABLE as error:
            return _unreadable(error)
        with predictor.at(begun.version):
            if predictor.version != begun.version:
                # The version that judged the first slices is no longer at hand: the answer names one version.
                begun = Begun(begun.records, predictor.version)
            size = min(self.size, max(1, int(self.seconds / begun.seconds))) if begun.seconds else self.size
            records = begun.records[begun.judged : begun.judged + size]
            since = monotonic()
            document = _judge_batch(predictor, [(0, claim, records)], self.note)[0].data
        begun.seconds = (monotonic() - since) / len(records)
        begun.judged += len(records)
        for name, told in document.items():
            if isinstance(told, dict):
                begun.told.setdefault(name, {}).update(told)
            else:
                begun.told[name] = told
        if begun.judged < len(begun.records):
            self._begun[claim.place] = begun
            return None
        return Answer(status="completed", data=begun.told)


def load_current(
    broker: Broker, classifier: Classifier, encoder: TextEncoder | None = None
) -> tuple[Weights, Vocabularies]:
    """The published weights with their vocabularies; while none are published those of this host's files, if the
    settings allow it. `encoder` is the one that is loaded already. Raises Unavailable if not, or where they need an
    encoder that is not here, or InvalidWeights."""
    published = broker.registry.published(classifier.name)
    if published is None and broker.settings.unpublished_weights == "off":
        raise Unavailable(
            f"No weights of {classifier.name} are published yet, which a train process does (`sb-api trainer`). With "
            f"{PREFIX}UNPUBLISHED_WEIGHTS=on those of this host's files are taken until then."
        )
    if published is None:
        weights = WeightsStore.of(broker.settings, classifier.name).load_current()
        return weights, find_classifier(weights.about).load_vocabularies(broker.settings)
    return parse_published(published, broker.settings.encoder, encoder)


def refresh_predictors(
    broker: Broker,
    predictors: dict[str, Predictor],
    published: Mapping[str, str],
    instruments: Instruments | None = None,
) -> dict[str, str]:
    """Load the classifiers, or swap in what has been published since. Returns the version of each."""
    for name, classifier in CLASSIFIERS.items():
        predictor = predictors.get(name)
        if predictor is None:
            unknown = published and name not in published and not classifier.record_type.awaited
            if unknown and broker.settings.unpublished_weights == "off":
                continue  # to an older train process: what else there is does not wait for it
            weights, vocabularies = load_current(broker, classifier)
            settings = broker.settings
            kept = settings.state / FOLDER / f"{name}.npz" if settings.neighbours else None
            predictors[name] = Predictor(classifier, weights, vocabularies, settings.engine, instruments, kept)
            logger.info("%s is warm with the weights %s", name, predictors[name].version)
            continue
        if published.get(name, predictor.version) != predictor.version:
            try:
                predictor.swap(*load_current(broker, classifier, predictor.vocabularies.encoder))
            except Unavailable:
                raise  # without what they need nothing is claimed, until it is there
            except SbApiError as error:
                logger.error("still working with the weights %s of %s: %s", predictor.version, name, error.detail)
            else:
                logger.info("%s works with the weights %s from now on", name, predictor.version)
    return {name: predictor.version for name, predictor in predictors.items()}


@dataclass(frozen=True)
class Spares:
    """Several kinds of spare work as one: a piece is one of each."""

    parts: Sequence[Spare]

    def is_due(self) -> bool:
        """Whether there is any."""
        return any(part.is_due() for part in self.parts)

    def work(self) -> None:
        """Do a piece of each. May raise RedisError."""
        for part in self.parts:
            if part.is_due():
                part.work()


def open_collectors(broker: Broker) -> list[Collector]:
    """What takes accounts of a high band once their answers are out: the review queue, and webhooks. Raises
    InvalidSettings."""
    collectors = []
    if broker.settings.review == "on":
        collectors.append(Collector(ReviewFeed(ReviewStore(broker.redis, broker.settings))))
    outbox = Outbox(broker.redis, broker.settings)
    if outbox.told_of("account"):
        collectors.append(Collector(AccountFeed(outbox)))
    return collectors


class ClassifyProcess:
    """A classify process: its predictors, by classifier, and when (monotonic seconds) it last judged a record."""

    def __init__(self, settings: Settings, helper: bool) -> None:
        self.settings = settings
        self.broker = Broker.of(connect(settings), settings)
        self.predictors: dict[str, Predictor] = {}
        self.shadow = (
            ShadowJudge(self.broker, settings.shadow_share, self.predictors) if settings.shadow_share else None
        )
        self.collectors = open_collectors(self.broker)
        note = self.shadow.note if self.shadow else None
        self.judging = Judging(
            self.predictors, settings.slice_records, note=note, others=OtherVersions(self.broker, self.predictors)
        )
        self.used = monotonic()
        self.worker = Worker(
            Consumer(self.broker),
            "classify",
            LargeOnly() if helper else SmallFirst(),
            do=self.do,
            refresh=self.refresh,
            idle=self.idle if helper else None,
            after=self.after if self.collectors else None,
            spare=Spares([part for part in (*self.collectors, self.shadow) if part is not None]),
        )

    def run(self, after_kill: int) -> None:
        """Work until SIGTERM or SIGINT; see `Worker.run_process`."""
        self.worker.run_process(after_kill)
        for collector in self.collectors:
            collector.finish()

    def after(self, claims: Sequence[Claim], answers: Sequence[Answer]) -> None:
        for collector in self.collectors:
            collector.collect(claims, answers)

    def do(self, claims: Sequence[Claim]) -> list[Answer | None]:
        self.used = monotonic()
        return self.judging.do(claims)

    def refresh(self, published: Mapping[str, str]) -> dict[str, str]:
        return refresh_predictors(self.broker, self.predictors, published, self.worker.instruments)

    def idle(self) -> None:
        """Let go of what is in memory when a helper has had nothing to do for long."""
        if monotonic() - self.used > self.settings.helper_idle:
            self.worker.leave()
            stand_by()


def classify_process(settings: Settings, helper: bool = False, standby: bool = False, after_kill: int = 0) -> None:
    """Judge records until SIGTERM or SIGINT.

    A `helper` wakes for large requests alone, and small ones have precedence over it on the processor: shared among
    several processes, these would make batches too small to be worth their cost. After `helper_idle` seconds without
    one it starts anew on `standby`. `after_kill`: see `Worker.run_process`.
    """
    if helper and not standby:
        os.nice(NICENESS)  # after standby it has that already
    ClassifyProcess(settings, helper).run(after_kill)
