"""Which verdicts a training may learn now: not what the weights have learned already and follow, not too many of one
reporter, and against a certain score only what two reporters say.

The newest verdict of a reporter on a record supersedes what the same reporter said of it before.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from sb_api.judgements import Status
from sb_api.verdicts.log_schema import Kept, LoggedVerdict

FREE_TRIES = 3  # trainings that a refused verdict is tried again with, one after the other
BACKOFF, LONGEST_BACKOFF = timedelta(hours=1), timedelta(days=2)  # from then on; twice as long each time
MOST_RETRIED = 200  # kept verdicts that are tried along with new ones


@dataclass
class Admission:
    """What becomes of the verdicts of one training.

    `logged` are those new to the log, each with its status; `superseded` the numbers of those that they replace;
    `released` are earlier ones of others that waited for a second reporter and have one now; `known` counts those that
    are in this training or that the weights have learned already and follow, `known_numbers` are where these are in
    the log.
    """

    logged: list[LoggedVerdict] = field(default_factory=list)
    superseded: list[int] = field(default_factory=list)
    released: list[LoggedVerdict] = field(default_factory=list)
    known: int = 0
    known_numbers: list[int] = field(default_factory=list)

    def count(self, status: Status) -> int:
        return sum(verdict.status == status for verdict in self.logged)


@dataclass(frozen=True)
class Rules:
    """`training_cap` and `day_cap` bound what one reporter can move; `two_reporters` says whether a verdict against a
    certain score waits for a second reporter."""

    training_cap: int
    day_cap: int
    two_reporters: bool


@dataclass
class Caps:
    """How much of their caps the reporters have used: within 24 hours, and in the training under way."""

    rules: Rules
    learned_today: Mapping[str, int]
    used: Counter[str] = field(default_factory=Counter)

    def take(self, reporter: str) -> bool:
        """Whether one more verdict of a reporter is within the caps; then it counts."""
        used = self.used[reporter]
        if used >= self.rules.training_cap or self.learned_today.get(reporter, 0) + used >= self.rules.day_cap:
            return False
        self.used[reporter] += 1
        return True


def admit(
    verdicts: Sequence[LoggedVerdict],
    contradicting: Collection[int],
    caps: Caps,
    *,
    standing: Sequence[LoggedVerdict],
    learned: Collection[int],
    unheeded: Collection[tuple[str, str]] = (),
    set_aside: Collection[str] = (),
) -> Admission:
    """Decide on new verdicts, in order. `contradicting` are the positions of those against a certain score, `standing`
    what the log has on the same records, oldest first, and `learned` the numbers of those of them that the current
    weights have learned. `unheeded` are the record and the reporter of verdicts that the weights do not follow: sent
    again, such a verdict is learned again. What the accounts say that are `set_aside` is kept, and counts for nobody
    else.
    """
    admission = Admission()
    on_record: dict[str, list[LoggedVerdict]] = defaultdict(list)
    for other in standing:
        on_record[other.record].append(other)
    said: dict[tuple[str, str], int] = {}  # where in `logged` a reporter's verdict on a record of this training is
    for position, verdict in enumerate(verdicts):
        same = [other for other in on_record[verdict.record] if other.is_about_the_same(verdict)]
        mine = [other for other in same if other.reporter == verdict.reporter]
        again = said.get((verdict.record, verdict.reporter))
        repeated = (
            mine and mine[-1].label == verdict.label and mine[-1].status == "learned" and mine[-1].number in learned
        )
        if again is not None and admission.logged[again].is_about_the_same(verdict):
            if admission.logged[again].label == verdict.label:
                admission.known += 1
                continue
            admission.logged[again] = msgspec.structs.replace(admission.logged[again], status="superseded")
        elif repeated and (verdict.record, verdict.reporter) not in unheeded:
            admission.known += 1
            admission.known_numbers.append(mine[-1].number)
            continue
        said[verdict.record, verdict.reporter] = len(admission.logged)
        admission.superseded += [other.number for other in mine]
        is_set_aside = verdict.account in set_aside
        agreeing = [] if is_set_aside else [other for other in same if _agree(verdict, other, set_aside)]
        admission.released += [other for other in agreeing if other.status == "waiting"]
        status: Status = "learning"
        if caps.rules.two_reporters and position in contradicting and not agreeing and not repeated:
            status = "waiting"
        elif is_set_aside:
            status = "set aside"
        elif not caps.take(verdict.reporter):
            status = "held"
        supersedes = mine[-1].number if mine else None
        admission.logged.append(msgspec.structs.replace(verdict, status=status, supersedes=supersedes))
    return admission


def pair(verdict: LoggedVerdict, others: Iterable[LoggedVerdict], set_aside: Collection[str]) -> dict[int, Status]:
    """Which verdicts wait no longer for a second reporter, by their numbers, and their state then: of one that counts,
    and of those `others` on its record that say the same. They are learned with what follows."""
    agreeing = [other for other in others if _agree(verdict, other, set_aside)]
    return {row.number: "held" for row in (verdict, *agreeing) if row.status == "waiting"} if agreeing else {}


def _agree(verdict: LoggedVerdict, other: LoggedVerdict, set_aside: Collection[str]) -> bool:
    """Whether another reporter, whose word counts, says the same of the same."""
    return (
        other.reporter != verdict.reporter
        and other.label == verdict.label
        and other.status != "undone"  # what a rollback has undone is nobody's word until it is said again
        and other.account not in set_aside
        and other.is_about_the_same(verdict)
    )


def is_due(verdict: Kept, now: datetime) -> bool:
    """Whether a verdict that the guard has refused may be tried again at `now` (UTC): at once for a few times, then
    after longer and longer pauses, so that a wrong one does not make every later training twice as long."""
    if verdict.attempts < FREE_TRIES or verdict.tried is None:
        return True
    pause = min(BACKOFF * 2 ** min(verdict.attempts - FREE_TRIES, 10), LONGEST_BACKOFF)
    return bool(now - verdict.tried >= pause)


def choose_retried(kept: Iterable[Kept], now: datetime, caps: Caps, most: int) -> list[Kept]:
    """Which of the kept verdicts may be tried again at `now` (UTC), at most so many."""
    chosen: list[Kept] = []
    for verdict in kept:
        if len(chosen) == most:
            break
        if (verdict.status != "refused" or is_due(verdict, now)) and caps.take(verdict.reporter):
            chosen.append(verdict)
    return chosen
