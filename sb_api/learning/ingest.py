"""Verdicts on their way into a training: scored before they are learned, logged, admitted, and drawn on again."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api.arrays import Arrays, Predict, RowWeights
from sb_api.config import Settings
from sb_api.errors import NotSetAside, SbApiError, TooManyKept, TrainingRefused
from sb_api.judgements import NO_CLASS, Status
from sb_api.learning.admission import MOST_RETRIED, Caps, Rules, admit, choose_retried, pair
from sb_api.learning.classes.growth import find_unlearned
from sb_api.learning.recipe import RETRAININGS, Examples, merge_targets
from sb_api.learning.reference_set import Observed
from sb_api.models.calibration import calibrated, name_band, undo_temperature
from sb_api.models.classifiers import Classifier
from sb_api.models.measures import best_labels
from sb_api.models.weights_file import Weights
from sb_api.records import EDITORS, content_digest
from sb_api.text.tokenizers import Vocabularies
from sb_api.verdicts.log_schema import Kept, LoggedVerdict
from sb_api.verdicts.outcomes import as_merged, describe_unheeded
from sb_api.verdicts.verdict_log import VerdictLog
from sb_api.versions import BANDS, Version

logger = logging.getLogger(__name__)

DAY = timedelta(days=1)
BESIDE_THRESHOLD = 0.01  # how far below it a text of no class is brought, and above it one of a class
MAJORITY = 0.5  # from there on no other class is as likely
OBSERVED = ("learned", "learning")

# Logged verdicts, and the weights that have learned them, to the same ones in any order, each with the score that its
# record had right before those learned it.
Hindsight = Callable[[Sequence[LoggedVerdict], Version], Sequence[LoggedVerdict]]


@dataclass(frozen=True)
class Batch:
    """The verdicts of one training: those sent that it `learn`s, with earlier ones that they release, those kept from
    before that are `retried` along, and what becomes of those sent that it does not learn: `known` counts those that
    the weights have learned already and follow, `held` those over their reporter's cap, `waiting` those that wait for a
    second reporter; `known_numbers` are where those known are in the log.
    """

    learn: list[LoggedVerdict]
    retried: list[LoggedVerdict] = field(default_factory=list)
    known: int = 0
    held: int = 0
    waiting: int = 0
    known_numbers: list[int] = field(default_factory=list)


class Intake:
    """Takes in the verdicts of one classifier. Without a log, nothing is known of earlier verdicts; without `hindsight`
    what was said of records before verdicts were learned is what was said when they came."""

    def __init__(
        self,
        settings: Settings,
        classifier: Classifier,
        log: VerdictLog | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        hindsight: Hindsight = lambda verdicts, _: verdicts,
    ) -> None:
        self.settings = settings
        self.classifier = classifier
        self.log = log
        self._clock = clock
        self._hindsight = hindsight
        self._rules = Rules(settings.reporter_training_cap, settings.reporter_day_cap, settings.two_reporters == "on")

    def take(
        self,
        task: str,
        verdicts: Sequence[Any],
        current: Weights,
        predict: Predict,
        vocabularies: Vocabularies,
        ancestry: Collection[str] = (),
    ) -> Batch:
        """Score, log and admit the verdicts of a training. Repeated for the same task, it gives the same batch.

        `ancestry` are the versions that the current weights came from, themselves included. Raises TooManyKept, and
        then logs nothing.
        """
        earlier = self.log.of_task(task) if self.log else []
        if earlier:
            return _batch_again(earlier, len(verdicts))
        arrays = self.classifier.preprocess(verdicts, vocabularies)
        scores = calibrated(predict(arrays), current.about.temperature)
        rows = self._rows(task, verdicts, arrays, scores, current)
        standing = as_merged(self.log.standing(row.record for row in rows) if self.log else (), current.about.labels)
        learned = self.log.learned_by(ancestry, (row.number for row in standing)) if self.log else ()
        caps = self.caps()
        contradicting = self.contradicting(rows, current.about)
        aside = {one.account for one in self.log.set_aside()} if self.log else ()
        unheeded = describe_unheeded(rows, [row.predicted for row in rows], current.about.labels)
        admission = admit(
            rows, contradicting, caps, standing=standing, learned=learned, unheeded=unheeded, set_aside=aside
        )
        if self.log is None:
            return Batch(admission.logged, known=admission.known)
        self._check_kept(admission.logged)
        self.log.add(admission.logged, admission.superseded)
        retried = self._due(current, caps) if admission.count("learning") else []
        # Their second reporter makes them part of this training, also when it is done again.
        mine = {row.number for row in retried}
        self.log.adopt([*(row.number for row in admission.released), *sorted(mine)], task)
        logged = [row for row in self.log.of_task(task) if row.status == "learning"]
        return Batch(
            [row for row in logged if row.number not in mine],
            [row for row in logged if row.number in mine],
            admission.known,
            admission.count("held"),
            admission.count("waiting"),
            admission.known_numbers,
        )

    def take_undone(self, task: str, batch: Batch) -> Batch:
        """The batch with those verdicts in it that the weights had learned, until a rollback just now undid it."""
        if self.log is None or not batch.known_numbers:
            return batch
        undone = {row.number for row in self.log.numbered(batch.known_numbers) if row.status == "undone"}
        self.log.adopt(sorted(undone), task)
        learn = batch.learn + [row for row in self.log.of_task(task) if row.number in undone]
        return replace(batch, learn=learn, known=batch.known - len(undone))

    def take_kept(self, task: str, current: Weights) -> list[LoggedVerdict]:
        """The kept verdicts that may be tried again by now, as part of a training of their own."""
        if self.log is None:
            return []
        retried = self._due(current, self.caps())
        self.log.adopt([row.number for row in retried], task)
        return [row for row in self.log.of_task(task) if row.status == "learning"]

    def adopt(self, rows: Sequence[LoggedVerdict], task: str) -> None:
        """Make verdicts part of a training."""
        if self.log:
            self.log.adopt([row.number for row in rows], task)

    def caps(self) -> Caps:
        """What the caps leave to each reporter now."""
        # Who has so many left that a training's cap comes first needs no count: there may be any number of reporters.
        least = max(1, self._rules.day_cap - self._rules.training_cap + 1)
        return Caps(self._rules, self.log.learned_since(self._now() - DAY, least) if self.log else {})

    def settle_abandoned(self, task: str, learned_by: Callable[[str], str | None]) -> None:
        """Settle what trainings before `task` have left unsettled, by the version that each of them made and that the
        current weights came from, if any.

        Trainings come one at a time, so whatever another one has left ended in an error: it is tried again.
        """
        left = self.log.unsettled(task) if self.log else []
        for other in {row.task for row in left}:
            rows = [row for row in left if row.task == other]
            version = learned_by(other)
            if version:
                self.settle_learned(rows, version)
            else:
                self.settle_refused(rows)

    def settle_learned(self, rows: Sequence[LoggedVerdict], version: str) -> None:
        """Say that a version has learned verdicts."""
        if self.log:
            self.log.settle_learned([row.number for row in rows], version)
            self.log.forget_refusals({row.account for row in rows})

    def settle_refused(self, rows: Sequence[LoggedVerdict]) -> None:
        """Say that verdicts could not be learned now."""
        if self.log:
            self.log.settle_refused([row.number for row in rows], self._now())

    def settle_refused_training(self, rows: Sequence[LoggedVerdict], refused: SbApiError) -> None:
        """Say that the guard has refused a training of these verdicts; whose they all are is set aside after some such
        trainings in a row with something new in each, and `refused` says so."""
        self.settle_refused(rows)
        accounts = {row.account for row in rows}
        if self.log is None or not isinstance(refused, TrainingRefused) or len(accounts) != 1 or "" in accounts:
            return
        if not self._says_anew(rows):
            return
        (account,), most = accounts, self.settings.refusals_in_a_row
        count = self.log.note_refusal(account, self._now(), most)
        if most and count >= most:
            refused.members["set_aside"] = account
            refused.detail += (
                f" It was training number {count} of {account} in a row that was refused: {account} is set aside, and "
                "what it sends is kept and not learned, until an admin lets it back (`sb-api let-back`)."
            )
            logger.error("%s is set aside: %d trainings in a row were refused", account, count)

    def _says_anew(self, rows: Sequence[LoggedVerdict]) -> bool:
        """Whether any of these verdicts says something that the guard has not refused before; else they are a request
        that is repeated."""
        if self.log is None:
            return True
        replaced = self.log.numbered(row.supersedes for row in rows if row.supersedes is not None)
        refused = {row.number: row.label for row in replaced if row.attempts and row.version is None}
        return any(row.supersedes not in refused or refused[row.supersedes] != row.label for row in rows)

    def let_back(self, account: str) -> int:
        """Let an account back that is set aside; how many of its verdicts may be learned again. Raises
        NotSetAside where it is not."""
        kept = self.log.let_back(account) if self.log else None
        if self.log is None or kept is None:
            raise NotSetAside(f"{account[:80]!r} is not set aside.")
        return kept + self._pair_waiting(self.log, account)

    def _pair_waiting(self, log: VerdictLog, account: str) -> int:
        """Have those verdicts of an account learned with what follows that wait for a second reporter, and have one who
        said the same while the account counted for nobody; how many these are."""
        waiting = [row for row in log.find(statuses=("waiting",)) if row.account == account]
        aside = {one.account for one in log.set_aside()}
        others: dict[str, list[LoggedVerdict]] = defaultdict(list)
        for other in log.standing(row.record for row in waiting):
            others[other.record].append(other)
        states: dict[int, Status] = {}
        for row in waiting:
            states |= pair(row, others[row.record], aside)
        log.restate(states)
        return sum(row.number in states for row in waiting)

    def examples(self, rows: Sequence[LoggedVerdict], like: Arrays, labels: Sequence[str]) -> Examples:
        """Logged verdicts as rows to learn, by weights of these labels; `like` has arrays of the network's inputs."""
        targets = merge_targets(np.array([row.label for row in rows], np.int64), labels)
        return Examples(self.classifier.unpack([row.vector for row in rows], like), targets)

    def floors(self, rows: Sequence[LoggedVerdict], about: Version) -> RowWeights | None:
        """For n verdicts: the probability of its label (n,) that each of those must reach that take back what was
        learned, which it had before; of those of no class, what the likeliest one must lack to 1 for the threshold of
        the weights; of messages, few enough to be settled, of which the weights had said something else, what no other
        class can have as well; 0 for the others. None where nothing is asked of any."""
        taken_back = self._taken_back(rows, about)
        below, above = about.threshold - BESIDE_THRESHOLD, max(about.threshold + BESIDE_THRESHOLD, MAJORITY)
        corrected = self._corrected(rows, about)
        no_class = 1 - below if below > 1 / len(about.labels) else 0.0
        floors = np.zeros(len(rows), np.float32)
        for place, row in enumerate(rows):
            if row.label == NO_CLASS:
                floors[place] = no_class
            elif (before := taken_back[place]) is not None:
                floors[place] = 1 - before.score
            elif corrected[place]:
                floors[place] = above
        return floors if floors.any() else None

    def _corrected(self, rows: Sequence[LoggedVerdict], about: Version) -> npt.NDArray[np.bool_]:
        """Which of n verdicts on messages say something else than the weights did, of classes that these had learned,
        where few enough are learned."""
        if self.classifier.record_type is EDITORS or len(rows) > RETRAININGS[self.classifier.name].most_settled:
            return np.zeros(len(rows), np.bool_)
        pairs = np.array([(row.label, row.predicted) for row in rows], np.int64).reshape(-1, 2)
        labels, predicted = merge_targets(pairs, about.labels).T
        return np.asarray((labels != predicted) & ~np.array([row.is_of_new_class for row in rows], np.bool_))

    def observe(self) -> Observed | None:
        """The latest verdicts with what the weights had said before they learned them; None where there are none or
        there are more than two labels."""
        count = self.settings.calibration_verdicts
        if self.log is None or not count or self.classifier.record_type is not EDITORS:
            return None
        pairs = observed_rows(self.log, count)
        if not pairs:
            return None
        rows = [row for row, _ in pairs]
        spam = np.array([said.spam for _, said in pairs])
        calibrated_scores = np.stack([1 - spam, spam], axis=1)
        temperatures = np.array([said.temperature for _, said in pairs])
        raw = undo_temperature(calibrated_scores, temperatures)
        return Observed(np.array([row.label for row in rows], np.int64), raw)

    def draw_log(self, earlier: Sequence[tuple[int, int]], about: Version, seed: int, like: Arrays) -> Examples | None:
        """Up to `replay_records` verdicts of every label among `earlier` ones, the number and label of each, drawn at
        random from `seed`; None when there are none."""
        if self.log is None or not self.settings.replay_records:
            return None
        random = np.random.default_rng(seed)
        numbers: list[int] = []
        for label in (NO_CLASS, *range(len(about.labels))):
            mine = [number for number, other in earlier if other == label]
            count = min(self.settings.replay_records, len(mine))
            numbers += random.choice(mine, count, replace=False).tolist() if mine else []
        return self.examples(self.log.numbered(numbers), like, about.labels) if numbers else None

    def _check_kept(self, logged: Sequence[LoggedVerdict]) -> None:
        """Raises TooManyKept when more verdicts of an account than may be would be in the log and not learned."""
        new = Counter(row.account for row in logged)
        unlearned = self.log.unlearned_since(self._now() - DAY, new) if self.log and new else {}
        most = self.settings.kept_cap
        for account, there in unlearned.items():
            count = new[account]
            if there + count > most:
                raise TooManyKept(
                    f"{there} verdicts of {account or 'nobody in particular'} wait to be learned, or came within 24 "
                    f"hours and were not; these are {count} more, and at most {most} are kept. None of them was taken; "
                    "send them when others have been learned, or tomorrow."
                )

    def _due(self, current: Weights, caps: Caps) -> list[Kept]:
        """The kept verdicts that may be tried again."""
        if self.log is None:
            return []
        with closing(self.log.kept()) as kept:
            fit = (row for row in kept if row.tokenizers == current.about.features)
            return choose_retried(fit, self._now(), caps, MOST_RETRIED)

    def contradicting(self, rows: Sequence[LoggedVerdict], about: Version) -> set[int]:
        """Which of n verdicts, by their places, are against a certain score, for the second reporter that such ones
        need. Who takes back a verdict of their own says nothing against the score that it has led to: there, what
        counts is the score before."""
        if not self._rules.two_reporters or not about.borders:
            return set()
        pairs = zip(rows, self._taken_back(rows, about, own=True), strict=True)
        return {
            place for place, (row, before) in enumerate(pairs) if contradicts(row.label, (before or row).spam, about)
        }

    def _taken_back(
        self, rows: Sequence[LoggedVerdict], about: Version, own: bool = False
    ) -> Sequence[LoggedVerdict | None]:
        """For each of n verdicts the one that it takes back (of its reporter alone, with `own`), None where it corrects
        none: with the score that its record had right before weights of `about`, or those that they came from,
        learned it."""
        found = self.log.taken_back(rows, about.labels, own) if self.log else [None] * len(rows)
        # Of the record as it is now.
        wrong = [
            msgspec.structs.replace(before, vector=row.vector)
            for row, before in zip(rows, found, strict=True)
            if before is not None
        ]
        scored = {row.number: row for row in self._hindsight(wrong, about)} if wrong else {}
        return [None if before is None else scored[before.number] for before in found]

    def _now(self) -> datetime:
        return self._clock().astimezone(UTC).replace(tzinfo=None)

    def _rows(
        self, task: str, verdicts: Sequence[Any], arrays: Arrays, scores: Any, current: Weights
    ) -> list[LoggedVerdict]:
        received = self._now()
        unlearned = set(find_unlearned(current.arrays).tolist())
        labels = [self.classifier.target(verdict, current.about.labels) for verdict in verdicts]
        predicted = best_labels(scores, current.about.threshold).tolist()
        return [
            LoggedVerdict(
                classifier=self.classifier.name,
                task=task,
                record=str(verdict.id),
                reporter=verdict.reporter or "",
                label=label,
                predicted=said,
                score=0.0 if label in unlearned else float(1 - row.max() if label == NO_CLASS else row[label]),
                weights=current.about.version,
                received=received,
                tokenizers=current.about.features,
                vector=vector,
                status="learning",
                digest=content_digest(verdict),
                temperature=current.about.temperature,
            )
            for verdict, label, said, row, vector in zip(
                verdicts, labels, predicted, scores, self.classifier.pack(arrays), strict=True
            )
        ]


def observed_rows(log: VerdictLog, count: int) -> list[tuple[LoggedVerdict, LoggedVerdict]]:
    """The latest verdicts by which scores are measured, each with the one that has what was said of its record before
    any was learned: of a correction, the verdict that it takes back.

    Not by what was undone or refused, nor by what is past a cap: who is not learned from is not calibrated by.
    """
    rows = [row for row in log.latest(count) if row.status in OBSERVED]
    pairs = [(row, before or row) for row, before in zip(rows, log.taken_back(rows), strict=True)]
    return [(row, said) for row, said in pairs if said.temperature is not None]


def contradicts(label: int, spam: float, about: Version) -> bool:
    """Whether a verdict goes against a score of label 1 in one of the outer bands."""
    certain, likely, unsure = about.borders
    return (label, name_band(spam, (certain, likely, unsure))) in ((0, BANDS[0]), (1, BANDS[-1]))


def _batch_again(rows: Sequence[LoggedVerdict], sent: int) -> Batch:
    """The batch of a training that was begun before, from what it left in the log, of so many verdicts sent."""
    counts = Counter(row.status for row in rows)
    learn = [row for row in rows if row.status == "learning" or row.version]
    return Batch(learn, [], max(0, sent - len(rows)), counts["held"], counts["waiting"])
