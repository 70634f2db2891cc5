"""What is told of logged verdicts, to the page, to clients and on the command line: everything but their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC

from sb_api.judgements import NO_CLASS, NO_CLASS_NAME, PastVerdict, VerdictQuery
from sb_api.verdicts.log_schema import LoggedVerdict
from sb_api.verdicts.outcomes import KEPT
from sb_api.verdicts.verdict_log import VerdictLog

UNDONE = "The weights that had learned it were rolled back; sent again, it is learned again."
SUPERSEDED = "Its reporter has said something since."
WITHDRAWN = "Its reporter has taken it back."
NOT_LEARNED = {**KEPT, "undone": UNDONE, "superseded": SUPERSEDED, "withdrawn": WITHDRAWN}


def find_verdicts(log: VerdictLog, labels: Sequence[str], query: VerdictQuery) -> list[PastVerdict]:
    """The verdicts that are asked for, newest first."""
    since = query.since.astimezone(UTC).replace(tzinfo=None) if query.since and query.since.tzinfo else query.since
    found = log.find(
        reporter=query.reporter,
        since=since,
        record=query.record,
        records=query.records,
        statuses=query.statuses,
        limit=query.limit,
    )
    return describe_verdicts(found, labels)


def describe_verdicts(verdicts: Iterable[LoggedVerdict], labels: Sequence[str]) -> list[PastVerdict]:
    """What is told of verdicts on these labels."""
    return [
        PastVerdict(
            number=verdict.number,
            record=verdict.record,
            reporter=verdict.reporter,
            label=verdict.label,
            label_name=_name(labels, verdict.label),
            predicted=verdict.predicted,
            predicted_name=_name(labels, verdict.predicted),
            score=verdict.score,
            weights=verdict.weights,
            received=verdict.received.isoformat(timespec="seconds") + "Z",
            status=verdict.status,
            reason=NOT_LEARNED.get(verdict.status, ""),
            version=verdict.version,
            supersedes=verdict.supersedes,
            attempts=verdict.attempts,
            digest=verdict.digest,
        )
        for verdict in verdicts
    ]


def _name(labels: Sequence[str], label: int) -> str:
    if label == NO_CLASS:
        return NO_CLASS_NAME
    # Weights with fewer labels may have taken the place of those that the verdict was learned with.
    return labels[label] if label < len(labels) else str(label)
