"""Live requests judged by staged weights as well: after their answers have gone, while nothing else is to be done."""

from __future__ import annotations

import logging
import random
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from time import monotonic
from typing import Any

from sb_api.arrays import Probabilities
from sb_api.broker.jobs import Claim
from sb_api.broker.shared_state import Broker, Published
from sb_api.broker.staging import MOST_DIFFERENCES, Staged, StagedWeights
from sb_api.errors import SbApiError
from sb_api.judgements import Difference, Judged
from sb_api.models.classifiers import find_classifier
from sb_api.models.predictor import Predictor, parse_published
from sb_api.records import EDITORS, RECORD_TYPES
from sb_api.shadow.comparison import Side, group, tally
from sb_api.text.tokenizers import TextEncoder

logger = logging.getLogger(__name__)

LOOK_EACH = 1.0  # seconds between two looks at what is staged, and between two reports of what is counted
MOST_RECORDS, MOST_BYTES = 2_000, 8 * 2**20  # that wait in one process; of a request, what it takes on the queue
PIECE_SECONDS = 0.003  # that a piece of work may take: for so long what comes meanwhile may wait for it
MOST_AT_ONCE = 64  # records


@dataclass
class Waiting:
    """Records of one request that staged weights are to judge, what the current ones have said of them, about how many
    bytes they take, and how many of them are done."""

    classifier: str
    records: Sequence[Any]
    current: Side
    size: float
    done: int = 0


@dataclass
class Counted:
    """What is counted of the staged `version` and not reported yet."""

    version: str
    counts: Counter[str] = field(default_factory=Counter)
    largest: list[Difference] = field(default_factory=list)


class ShadowJudge:
    """Judges a share of what a classify process has judged by the staged weights too; `share` is of the requests.

    What does not fit into the backlog is skipped, and counted. `current` has what the process judges by, by classifier:
    staged weights work with the sentence encoder that is loaded there. Only one thread may use it.
    """

    def __init__(self, broker: Broker, share: float, current: Mapping[str, Predictor]) -> None:
        self.broker = broker
        self.share = share
        self.current = current
        self.weights = StagedWeights(broker.redis)
        self._backlog: deque[Waiting] = deque()
        self._records, self._bytes = 0, 0.0
        self._predictors: dict[str, Predictor] = {}
        self._counted: dict[str, Counted] = {}
        self._unusable: dict[str, str] = {}
        self._seconds = 0.0  # that a record took in the last piece
        self._next_look = 0.0

    def note(
        self, predictor: Predictor, claim: Claim, records: Sequence[Any], scores: Probabilities, judged: Judged
    ) -> None:
        """Take in what a predictor has said of records of a claim: probabilities (n, labels), and as told."""
        name = claim.job.classifier
        if name not in self._predictors or random.random() >= self.share:
            return
        size = len(claim.job.body) * len(records) / max(claim.job.records, len(records))
        if self._records + len(records) > MOST_RECORDS or self._bytes + size > MOST_BYTES:
            self._counted[name].counts["skipped"] += len(records)
            return
        self._backlog.append(Waiting(name, records, Side(predictor.about.labels, group(judged), scores), size))
        self._records += len(records)
        self._bytes += size

    def is_due(self) -> bool:
        """Whether there is anything to do while nothing else is."""
        return bool(self._backlog) or monotonic() >= self._next_look

    def work(self) -> None:
        """Do a piece of what waits, which takes about `PIECE_SECONDS`; once a second report, and look what is staged.
        Raises RedisError."""
        if monotonic() >= self._next_look:
            self._next_look = monotonic() + LOOK_EACH
            self._report()
            self._look()
        elif self._backlog:
            self._judge_piece(self._backlog[0])

    def _look(self) -> None:
        staged = self.weights.versions(list(RECORD_TYPES))
        for name in RECORD_TYPES:
            version, _ = staged.get(name, ("", 0.0))
            if version in ("", self._unusable.get(name)):
                self._forget(name)
            elif name not in self._predictors or self._predictors[name].version != version:
                self._forget(name)
                self._load(name)

    def _load(self, name: str) -> None:
        """Have the staged weights of a classifier ready; those that cannot be used are logged, once."""
        staged = self.weights.find(name)
        if staged is None:
            return
        encoder = self.current[name].vocabularies.encoder if name in self.current else None
        try:
            self._predictors[name] = load_staged(self.broker, staged, encoder)
        except Exception as error:  # whatever they lead the engine to must not end the process
            self._unusable[name] = staged.version
            reason = error.detail if isinstance(error, SbApiError) else repr(error)
            logger.error("the staged weights %s of %s are not judged by: %s", staged.version, name, reason)
            self.broker.registry.note_error("classify", f"the staged weights {staged.version} of {name} cannot be used")
        else:
            self._counted[name] = Counted(staged.version)
            logger.info("%s is judged by %s too, in shadow", name, staged.version)

    def _forget(self, name: str) -> None:
        if self._predictors.pop(name, None) is None:
            return
        del self._counted[name]
        self._backlog = deque(waiting for waiting in self._backlog if waiting.classifier != name)
        self._records = sum(len(waiting.records) for waiting in self._backlog)
        self._bytes = sum(waiting.size for waiting in self._backlog)

    def _judge_piece(self, waiting: Waiting) -> None:
        most = int(PIECE_SECONDS / self._seconds) if self._seconds else 1
        piece = slice(waiting.done, waiting.done + max(1, min(MOST_AT_ONCE, most)))
        records = waiting.records[piece]
        since = monotonic()
        predictor, counted = self._predictors[waiting.classifier], self._counted[waiting.classifier]
        current = Side(waiting.current.labels, waiting.current.groups[piece], waiting.current.scores[piece])
        try:
            ids, of_spam = [str(record.id) for record in records], predictor.classifier.record_type is EDITORS
            counts, largest = tally(ids, current, judge_side(predictor, records), of_spam=of_spam)
        except Exception:  # of theirs, and nobody waits for it
            logger.exception("%d records could not be judged by the staged weights", len(records))
            counts, largest = {"failed": float(len(records))}, []
        counted.counts.update(counts)
        counted.largest = nlargest(MOST_DIFFERENCES, [*counted.largest, *largest], key=lambda one: one.difference)
        self._seconds = (monotonic() - since) / len(records)
        waiting.done += len(records)
        if waiting.done >= len(waiting.records):
            self._backlog.popleft()
            self._records -= len(waiting.records)
            self._bytes -= waiting.size

    def _report(self) -> None:
        """Add what is counted to the tallies of all processes. What is lost on the way is not counted again."""
        for name, counted in self._counted.items():
            if counted.counts:
                self._counted[name] = Counted(counted.version)
                self.weights.add(name, counted.version, counted.counts, counted.largest)


def load_staged(broker: Broker, staged: Staged, encoder: TextEncoder | None) -> Predictor:
    """Staged weights, ready to judge. `encoder` is the one that is loaded already. Raises InvalidWeights, or
    Unavailable where they need an encoder that is not here."""
    as_published = Published(staged.version, staged.file, staged.vocabularies, b"", b"")
    weights, vocabularies = parse_published(as_published, broker.settings.encoder, encoder)
    return Predictor(find_classifier(weights.about), weights, vocabularies, broker.settings.engine)


def judge_side(predictor: Predictor, records: Sequence[Any]) -> Side:
    """What a predictor says of n records."""
    scores, errors = predictor.judge(records)
    return Side(predictor.about.labels, group(predictor.describe(scores, errors)), scores)
