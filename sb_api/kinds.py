"""What is judged: the kinds of records, the types that they come as, and what is told of them.

How they are judged is in `classifiers`; this is all that web processes know of it, and it needs no numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from sb_api.errors import InvalidParameter
from sb_api.records import Editor, EditorFields, LabelledMessage, Message, Verdict


@dataclass(frozen=True)
class Kind:
    """One kind of records, by the name of the classifier that judges them.

    They come as `record`; one that was found sound comes from the queue as `queued`. With what a person says of it, it
    is a `verdict`.
    """

    name: str
    record: type[Any]
    queued: type[Any]
    verdict: type[Any]


EDITORS = Kind("lodbrok", Editor, EditorFields, Verdict)
MESSAGES = Kind("intent", Message, Message, LabelledMessage)
KINDS = {kind.name: kind for kind in (EDITORS, MESSAGES)}


def find_kind(name: str) -> Kind:
    """The records that the classifier of a name judges. Raises InvalidParameter."""
    try:
        return KINDS[name]
    except KeyError:
        raise InvalidParameter(f"model={name[:40]!r}: there are {', '.join(KINDS)}.") from None


class Judged(msgspec.Struct, frozen=True):
    """What n records are by one version of the weights: their predictions and scores as clients are told them, and by
    position why one could not be judged (what else is said of it means nothing).

    `bands` has the band of each record where the classifier has bands, `reasons` those of each when they were asked
    for; both are empty otherwise.
    """

    version: str
    predictions: Sequence[Any]
    scores: Sequence[Any]
    errors: Mapping[int, str] = {}
    bands: Sequence[str] = ()
    reasons: Sequence[Any] = ()


def describe_answers(records: Sequence[Any], judged: Judged) -> dict[str, Any]:
    """What a client is told of n records; those that could not be judged are left out."""
    columns = {"predictions": judged.predictions, "scores": judged.scores}
    columns |= {name: column for name in ("bands", "reasons") if (column := getattr(judged, name))}
    keys = [str(record.id) for record in records]
    wrong = {keys[position] for position in judged.errors}
    answer: dict[str, Any] = {
        name: {key: value for key, value in zip(keys, column, strict=True) if key not in wrong}
        if wrong
        else dict(zip(keys, column, strict=True))
        for name, column in columns.items()
    }
    return answer | {"weights": judged.version}
