"""What is told of logged verdicts, to the page, to clients and on the command line: everything but their numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from datetime import UTC

from sb_api.judgements import NO_CLASS, PastVerdict, VerdictQuery
from sb_api.records import EDITORS, NO_CLASS_NAME
from sb_api.verdicts.log_schema import LoggedVerdict
from sb_api.verdicts.outcomes import KEPT
from sb_api.verdicts.verdict_log import VerdictLog
from sb_api.versions import Chain, number_of

UNDONE = "The weights that had learned it were rolled back; sent again, it is learned again."
SUPERSEDED = "Its reporter has said something since."
WITHDRAWN = "Its reporter has taken it back."
STILL_KNOWN = (
    f"{WITHDRAWN} The weights know it all the same; undone again, it is unlearned if the guard lets that pass."
)
NOT_LEARNED = {**KEPT, "undone": UNDONE, "superseded": SUPERSEDED, "withdrawn": WITHDRAWN}


def find_verdicts(log: VerdictLog, chain: Chain, query: VerdictQuery) -> tuple[list[PastVerdict], bool]:
    """The verdicts that are asked for, newest first, their labels called as the current weights of the chain call
    them; and whether there are more, before the last of them."""
    since = query.since.astimezone(UTC).replace(tzinfo=None) if query.since and query.since.tzinfo else query.since
    found = log.find(
        reporter=query.reporter,
        since=since,
        before=query.before,
        record=query.record,
        records=query.records,
        statuses=query.statuses,
        limit=query.limit and query.limit + 1,  # the one too many says that there are more
    )
    told = found[: query.limit] if query.limit else found
    return describe_verdicts(told, chain, _find_known(log, chain, told)), len(found) > len(told)


def _find_known(log: VerdictLog, chain: Chain, verdicts: Iterable[LoggedVerdict]) -> set[int]:
    """The numbers of those verdicts that were taken back and that the current weights of the chain know all the same;
    but for those on a record of which another one that they have learned has the last word, where the guard has not
    refused to give it that."""
    withdrawn = [verdict for verdict in verdicts if verdict.status == "withdrawn"]
    if not withdrawn:
        return set()
    parents = {about.version: about.parent for about in chain.versions}
    ancestry = log.ancestry(chain.find("current").version, parents)
    known = log.learned_by(ancestry, [verdict.number for verdict in withdrawn])
    on_record = defaultdict(list)
    for other in log.standing(verdict.record for verdict in withdrawn if verdict.number in known):
        if other.status == "learned":
            on_record[other.record].append(other)
    return {
        verdict.number
        for verdict in withdrawn
        if verdict.number in known
        and (verdict.attempts or not any(map(verdict.is_about_the_same, on_record[verdict.record])))
    }


def describe_verdicts(verdicts: Iterable[LoggedVerdict], chain: Chain, known: Container[int] = ()) -> list[PastVerdict]:
    """What is told of verdicts. `known` are the numbers of those that were taken back and that the current weights know
    all the same."""
    current = chain.find("current")

    def name(label: int, version: str) -> str:
        """What the current weights call a label, or else those that are nearest to a version, as a rule it itself: of a
        class that came with weights which were rolled back."""
        if label == NO_CLASS:
            return NO_CLASS_NAME
        if label < len(current.labels):
            return current.labels[label]
        knowing = [about for about in chain.versions if label < len(about.labels)]
        nearest = min(knowing, key=lambda about: abs(about.number - number_of(version)), default=None)
        return nearest.labels[label] if nearest else f"class {label}, rolled back"

    return [
        PastVerdict(
            number=verdict.number,
            record=verdict.record,
            reporter=verdict.reporter,
            label=verdict.label,
            label_name=name(verdict.label, verdict.version or verdict.weights),
            predicted=verdict.predicted,
            predicted_name=name(verdict.predicted, verdict.weights),
            score=verdict.score,
            weights=verdict.weights,
            received=verdict.received.isoformat(timespec="seconds") + "Z",
            status=verdict.status,
            reason=STILL_KNOWN if verdict.number in known else NOT_LEARNED.get(verdict.status, ""),
            version=verdict.version,
            supersedes=verdict.supersedes,
            attempts=verdict.attempts,
            digest=verdict.digest,
            known=verdict.number in known,
            spam=verdict.spam if verdict.classifier == EDITORS.name else None,
        )
        for verdict in verdicts
    ]
