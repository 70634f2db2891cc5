"""What became of the verdicts of a request, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from sb_api.judgements import NO_CLASS, Outcome, State, Status
from sb_api.records import NO_CLASS_NAME
from sb_api.verdicts.log_schema import LoggedVerdict
from sb_api.versions import find_merged

KNOWN = "The current weights have learned this verdict already."
NOT_FOLLOWED = (
    "It is learned, and moved the weights a part of the way; sent again, it is learned again. For now they still say"
)
KEPT: dict[Status, str] = {
    "waiting": "It goes against a certain score, so it waits for a second reporter who says the same.",
    "held": "It waits for its turn: its reporter has reached the number of verdicts that may be learned for now, or it "
    "may be learned only since it was sent; it is learned with those that follow, once there is room, unless another "
    "says otherwise by then.",
    "set aside": "Its credential is set aside, because the guard refused its trainings again and again; it is learned "
    "once an admin has let the credential back.",
    "refused": "The guard refused the training that it was part of; it is tried again with those that follow, and from "
    "time to time by itself, unless another says otherwise by then.",
}


# By the record and the reporter of verdicts that weights have learned what they say of the record all the same.
Unheeded = Mapping[tuple[str, str], str]


def say(states: Mapping[State, int], unheeded: int = 0, along: int = 0) -> str:
    """In one sentence what a training did, from how many of the verdicts sent are learned, known and kept, how many of
    those learned the weights do not follow, and how many that were kept before were learned `along` with them."""
    others = [f"{unheeded} learned but not followed yet"] if unheeded else []
    if along:
        others.append(f"{along} kept before and learned now")
    if states.get("known"):
        others.append(f"{states['known']} known already")
    if states.get("kept"):
        others.append(f"{states['kept']} kept, to be learned later")
    if states.get("learned"):
        head = "Successfully retrained the model"
    else:
        head = "Nothing of this request was learned" if along else "Nothing new was learned"
    return f"{head}: {', '.join(others)}" if others else head


def describe_unheeded(
    rows: Sequence[LoggedVerdict], said: Sequence[int], labels: Sequence[str]
) -> dict[tuple[str, str], str]:
    """What weights of these labels say of n learned verdicts' records, by the numbers `said`, where that is something
    else than their class."""

    pairs = ((row, name_label(label, labels)) for row, label in zip(rows, said, strict=True))
    return {(row.record, row.reporter): told for row, told in pairs if told != name_label(row.label, labels)}


def as_merged(rows: Iterable[LoggedVerdict], labels: Sequence[str]) -> list[LoggedVerdict]:
    """Verdicts by weights of these labels: each with the number of the class that its own is merged into."""
    merged = find_merged(labels)
    if merged is None:
        return list(rows)
    return [
        msgspec.structs.replace(row, label=merged[row.label]) if 0 <= row.label < len(merged) else row for row in rows
    ]


def name_label(label: int, labels: Sequence[str]) -> str:
    """What weights of these labels call a label by its number."""
    return NO_CLASS_NAME if label == NO_CLASS else labels[label]


def describe_outcomes(
    sent: Sequence[tuple[str, str]], logged: Sequence[LoggedVerdict], unheeded: Unheeded
) -> dict[str, Outcome]:
    """By the record: what became of the verdicts that were sent, each by its record and its reporter, from what is in
    the log of their training now. What is not in it was known."""
    rows = {(row.record, row.reporter): row for row in logged}
    return {
        record: _describe(rows.get((record, reporter)), unheeded.get((record, reporter))) for record, reporter in sent
    }


def _describe(row: LoggedVerdict | None, said: str | None) -> Outcome:
    if row is None:
        return Outcome("known", KNOWN)
    superseded = int(row.supersedes is not None)
    if not row.version and row.status in KEPT:
        return Outcome("kept", KEPT[row.status], superseded)
    if said is None:
        return Outcome("learned", "", superseded)
    return Outcome("learned", f"{NOT_FOLLOWED} {said!r}.", superseded, said)
