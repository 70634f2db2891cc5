"""Rows of JSON in, a judgement or a fault for each out: nothing is decoded but what the answer needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sb_api.client import answers
from sb_api.client.batching import Unencodable
from sb_api.client.protocol import Predictions, Steps, ask, predict
from sb_api.errors import InvalidRecords, MalformedBody, TooLarge, UnexpectedAnswer
from sb_api.judgements import Reason


class Judgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the service said of one record. `score` is P(spam) of an editor, or P of each class of a message."""

    id: int | str
    prediction: str | None
    score: float | dict[str, float]
    band: str | None
    weights: str
    reasons: list[Reason] | None = None


class Fault(msgspec.Struct, frozen=True):
    """A record that could not be judged: its place among the rows, the field that is wrong, and what is wrong."""

    row: int
    field: str
    detail: str


class _Identified(msgspec.Struct):
    id: Any = None


_decode_id = msgspec.json.Decoder(_Identified).decode


def judge_rows(
    rows: Sequence[bytes],
    model: str = "lodbrok",
    explain: bool = False,
    patience: float = 60.0,
    review: bool = False,
) -> Steps[list[Judgement | Fault]]:
    """Have n rows, each the JSON of one record, judged by one request; n outcomes, in order.

    A row that makes the service refuse the whole request is found by halving.
    """
    outcomes: list[Judgement | Fault | None] = [None] * len(rows)
    sent: list[int] = []
    ids: list[Any] = []
    for place, row in enumerate(rows):
        if isinstance(row, Unencodable):
            outcomes[place] = Fault(place, "", row.decode())
            continue
        # Rows are joined as they are: one that is not exactly one JSON value would shift or swallow its neighbours.
        try:
            ids.append(_decode_id(row).id)
        except msgspec.ValidationError:
            ids.append(None)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            outcomes[place] = Fault(place, "", f"is not JSON: {error}")
            continue
        sent.append(place)
    if sent:
        body = b"[%b]" % b",".join(rows if len(sent) == len(rows) else [rows[place] for place in sent])
        try:
            answer = yield from ask(predict(body, model, explain, True, review), patience, Predictions)
        except InvalidRecords as error:
            answer = Predictions(
                {}, {}, "", errors=msgspec.convert(error.members.get("errors", {}), dict[str, answers.Fault])
            )
        except (MalformedBody, TooLarge) as error:
            if len(rows) == 1:
                return [Fault(0, "", error.detail)]
            half = len(rows) // 2
            first = yield from judge_rows(rows[:half], model, explain, patience, review)
            second = yield from judge_rows(rows[half:], model, explain, patience, review)
            return first + [shifted(outcome, half) for outcome in second]
        _distribute(answer, sent, ids, outcomes)
    return outcomes  # type: ignore[return-value]


def shifted(outcome: Judgement | Fault, by: int) -> Judgement | Fault:
    """The outcome of a row that is counted from `by` rows earlier."""
    return Fault(outcome.row + by, outcome.field, outcome.detail) if isinstance(outcome, Fault) else outcome


def _distribute(
    answer: Predictions, sent: Sequence[int], ids: Sequence[Any], outcomes: list[Judgement | Fault | None]
) -> None:
    """Put what the answer says of each record in its place."""
    predictions, scores, bands, reasons = answer.predictions, answer.scores, answer.bands, answer.reasons
    weights, errors = answer.weights, answer.errors
    known: set[str] = set()
    for number, (place, identity) in enumerate(zip(sent, ids, strict=True)):
        if errors and (wrong := errors.get(str(number))) is not None:
            # The service names the earlier record by its number in the request, which tells nobody anything.
            repeated = wrong.field == "id" and str(identity) in known
            detail = f"an earlier record has the id {identity} too" if repeated else wrong.detail
            outcomes[place] = Fault(place, wrong.field, detail)
            continue
        key = str(identity)
        if errors:
            known.add(key)
        if key not in predictions or key not in scores:
            raise UnexpectedAnswer(f"The answer to POST /predict does not tell of the record with the id {key}.")
        outcomes[place] = Judgement(
            identity, predictions[key], scores[key], bands.get(key), weights, reasons.get(key) if reasons else None
        )
