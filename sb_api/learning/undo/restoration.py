"""Verdicts that no longer count, and what they had replaced, which counts again then: as what it would be now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec

from sb_api.judgements import Status
from sb_api.learning.admission import pair
from sb_api.learning.ingest import Batch, Intake
from sb_api.records import EDITORS
from sb_api.verdicts.log_schema import LoggedVerdict
from sb_api.verdicts.outcomes import as_merged
from sb_api.verdicts.verdict_log import VerdictLog
from sb_api.versions import Version

Ancestry = Callable[[], Collection[str]]


def discard(intake: Intake, task: str, batch: Batch, about: Version, ancestry: Ancestry) -> None:
    """Keep nothing of a training that was refused, but what was kept before and tried along. `about` is of the current
    weights, and `ancestry` what those came from."""
    if intake.log:
        along = {row.number for row in batch.retried}
        rows = [row for row in intake.log.unlearned(task) if row.number not in along]
        _discard(intake, rows, about, ancestry)


def discard_unknown(intake: Intake, task: str, about: Version, ancestry: Ancestry) -> None:
    """Take back what was kept of classes that the weights do not have, so that their numbers are free; but for those
    that come with a task, which may have been begun before."""
    if intake.log and intake.classifier.record_type is not EDITORS:
        _discard(intake, intake.log.unlearned(task, len(about.labels)), about, ancestry)


def _discard(intake: Intake, rows: Sequence[LoggedVerdict], about: Version, ancestry: Ancestry) -> None:
    if intake.log and rows:
        again = states_again(intake, rows, about, ancestry())
        intake.log.withdraw([row.number for row in rows], again)


def purge(intake: Intake, verdicts: Sequence[LoggedVerdict], about: Version) -> int:
    """Take verdicts out of the log for good; how many that they had replaced count again. `about` is of the current
    weights."""
    log = intake.log
    if log is None:
        return 0
    again = states_again(intake, verdicts, about, log.ancestry())
    counting = sum(row.status == "superseded" for row in log.numbered(again))
    log.purge([row.number for row in verdicts], again)
    return counting


def states_again(
    intake: Intake, verdicts: Sequence[LoggedVerdict], about: Version, ancestry: Collection[str]
) -> dict[int, Status]:
    """By the number of each verdict that counts again once some are taken out or back, its state: learned where weights
    of the `ancestry` of the current ones have learned it, undone where only others have, and else kept, for the reason
    that there is for it now. With them are those of others who have waited for a second reporter, and have one then."""
    log = intake.log
    if log is None:
        return {}
    gone = {verdict.number for verdict in verdicts}
    replaced = [row for row in _find_replaced(log, verdicts, len(about.labels)) if row.number not in gone]
    if not replaced:
        return {}
    learned = log.learned_by(ancestry, [row.number for row in replaced])
    never = [row for row in replaced if row.version is None]
    against = intake.contradicting(never, about)
    contradicting = {row.number for place, row in enumerate(never) if place in against}
    aside = {one.account for one in log.set_aside()}
    states: dict[int, Status] = {}
    for row in replaced:
        if row.version is not None:
            states[row.number] = "learned" if row.number in learned else "undone"
        elif row.account in aside:
            states[row.number] = "set aside"
        elif row.attempts:
            states[row.number] = "refused"
        else:
            states[row.number] = "waiting" if row.number in contradicting else "held"
    again = [msgspec.structs.replace(row, status=states[row.number]) for row in replaced]
    standing = [row for row in log.standing(row.record for row in replaced) if row.number not in gone]
    return states | _pair_again(as_merged(again, about.labels), as_merged(standing, about.labels), aside)


def _pair_again(
    again: Sequence[LoggedVerdict], standing: Sequence[LoggedVerdict], aside: Collection[str]
) -> dict[int, Status]:
    """The states of those that wait no longer for a second reporter, because verdicts count `again` beside what is
    `standing` on their records."""
    on_record: dict[str, list[LoggedVerdict]] = defaultdict(list)
    for row in (*standing, *again):
        on_record[row.record].append(row)
    states: dict[int, Status] = {}
    for row in again:
        if row.status != "undone" and row.account not in aside:
            states |= pair(row, on_record[row.record], aside)
    return states


def _find_replaced(log: VerdictLog, verdicts: Sequence[LoggedVerdict], known: int) -> Iterator[LoggedVerdict]:
    """What each of some verdicts has replaced; before that, where it was of a class that none of the `known` ones is,
    and so can never be learned."""
    numbers = {verdict.supersedes for verdict in verdicts}
    while wanted := numbers - {None}:
        rows = [row for row in log.numbered(n for n in wanted if n is not None) if row.status == "superseded"]
        lost = [row for row in rows if row.version is None and row.label >= known]
        yield from (row for row in rows if row not in lost)
        numbers = {row.supersedes for row in lost}
