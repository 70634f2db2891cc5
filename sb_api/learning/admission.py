"""Which verdicts a training may learn now: not the same one twice, not too many of one reporter, and against a certain
score only what two reporters say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from sb_api.learning.verdict_log import LoggedVerdict, Status


@dataclass
class Admission:
    """What becomes of the verdicts of one training: `logged` are those new to the log, each with its status;
    `released` are earlier ones that waited for a second reporter and have one now; `known` counts those learned
    before."""

    logged: list[LoggedVerdict] = field(default_factory=list)
    released: list[LoggedVerdict] = field(default_factory=list)
    known: int = 0

    def count(self, status: Status) -> int:
        return sum(verdict.status == status for verdict in self.logged)


@dataclass(frozen=True)
class Rules:
    """`training_cap` and `day_cap` bound what one reporter can move; `two_reporters` says whether a verdict against a
    certain score waits for a second reporter."""

    training_cap: int
    day_cap: int
    two_reporters: bool


def admit(
    verdicts: Sequence[LoggedVerdict],
    contradicting: Collection[int],
    rules: Rules,
    *,
    known: Mapping[tuple[str, int, str], Status],
    waiting: Sequence[LoggedVerdict],
    learned_today: Mapping[str, int],
) -> Admission:
    """Decide on new verdicts, in order. `contradicting` are the positions of those against a certain score, `known`,
    `waiting` and `learned_today` what the log says of the same records and reporters.
    """
    admission = Admission()
    used: Counter[str] = Counter()
    seen = set(known)
    for position, verdict in enumerate(verdicts):
        key = (verdict.record, verdict.label, verdict.reporter)
        if key in seen:
            admission.known += 1
            continue
        seen.add(key)
        status: Status = "learning"
        agreeing = [other for other in waiting if (other.record, other.label) == (verdict.record, verdict.label)]
        if any(other.reporter != verdict.reporter for other in agreeing):
            admission.released += agreeing
        elif rules.two_reporters and position in contradicting:
            status = "waiting"
        if status == "learning":
            over_day = learned_today.get(verdict.reporter, 0) + used[verdict.reporter] >= rules.day_cap
            if over_day or used[verdict.reporter] >= rules.training_cap:
                status = "held"
            else:
                used[verdict.reporter] += 1
        admission.logged.append(msgspec.structs.replace(verdict, status=status))
    return admission
