"""What a report says of judged records beside the figures of each label, as plain data: how much spam is caught at how
many false alarms, what lies in each band, who is judged worse than others, and the worst errors.

A share is `{"number", "of", "between"}`: how many of how many, and between what the true share lies in 95 of 100 cases
(Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927); None of none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sb_api.arrays import Scores, Targets
from sb_api.judgements import Reason
from sb_api.models.calibration import name_bands
from sb_api.models.measures import measure_bands, reliability, threshold_at_budget
from sb_api.records import Editor, Message

CONFIDENCE = 0.95
ENOUGH = 20  # of fewer a share says nothing: of four, all may be right by chance
FALSE_ALARMS = (0.5, 1, 2, 5, 10, 20, 50)  # in a thousand innocent accounts
MOST_POINTS = 100  # of a curve
WIDEST = 0.1  # share of the innocent accounts to which the curve goes
MOST_GROUPS, LEAST_IN_GROUP = 15, 5  # the others are taken together
MOST_ERRORS, MOST_REASONS = 10, 5  # of each kind; of each error
LONGEST = {"name": 60, "website": 120, "bio": 200, "text": 280}  # characters that are shown of a field

Explain = Callable[[Sequence[Any]], list[list[Reason]]]


def share(number: int, of: int) -> dict[str, Any]:
    """So many of so many, and between what the true share lies."""
    from scipy.stats import binomtest

    if not of:
        return {"number": 0, "of": 0, "between": None}
    between = binomtest(number, of).proportion_ci(CONFIDENCE, "wilson")
    return {"number": number, "of": of, "between": [round(float(between.low), 6), round(float(between.high), 6)]}


def measure_spam(targets: Targets, scores: Scores, borders: Sequence[float]) -> dict[str, Any]:
    """Of n probabilities (n, 2) against n targets (1 is spam): `at`, how much spam is caught at `FALSE_ALARMS`, with
    None where the innocents are too few to tell; `levels`, what is called spam and what lies in the bands above each
    border, each with the share of false alarms and of the spam that is caught; `curve`, rows of false alarms and of the
    spam caught, in numbers; `bands`, numbers by band; `calibration` of the probability of spam."""
    spam = scores[:, 1]
    innocent, guilty = np.sort(spam[targets == 0])[::-1], spam[targets == 1]
    levels = [("called spam", 0.5)]
    if borders:
        levels = [("certain spam", borders[0]), ("certain or likely spam", borders[1]), *levels]
    calibration = reliability(spam, targets == 1)
    for row in calibration["bins"]:
        row["between"] = share(round(row["right"] * row["count"]), row["count"])["between"]
    return {
        "innocent": len(innocent),
        "spam": len(guilty),
        "at": [_caught_at(targets, spam, wanted) for wanted in FALSE_ALARMS],
        "levels": [
            {
                "name": name,
                "threshold": float(threshold),
                "false_alarms": share(int((innocent > threshold).sum()), len(innocent)),
                "caught": share(int((guilty > threshold).sum()), len(guilty)),
            }
            for name, threshold in levels
        ],
        "curve": _catching_curve(innocent, guilty),
        "bands": {name: row for name, row in measure_bands(targets, spam, borders).items() if name != "curve"},
        "calibration": calibration,
    }


def _caught_at(targets: Targets, spam: Scores, wanted: float) -> dict[str, Any]:
    """What is caught where at most `wanted` of a thousand innocents are called spam; not told where one innocent is
    more than that."""
    row: dict[str, Any] = {"innocents_per_thousand": wanted, "threshold": None, "caught": None}
    if wanted * (targets == 0).sum() < 1000 or not (targets == 1).any():
        return row
    threshold = threshold_at_budget(targets, spam, wanted / 1000)
    guilty = spam[targets == 1]
    return row | {"threshold": float(threshold), "caught": share(int((guilty > threshold).sum()), len(guilty))}


def _catching_curve(innocent: Scores, guilty: Scores) -> list[list[int]]:
    """Rows of how many of the innocent scores (n,), highest first, lie above a threshold, and how many of the spam."""
    most = min(int(WIDEST * len(innocent)) + 1, len(innocent))
    places = {0, *np.geomspace(1, max(1, most), MOST_POINTS).astype(int).tolist()} if most else set()
    rows: dict[int, int] = {}
    for place in sorted(place for place in places if place < len(innocent)):
        threshold = innocent[place]
        rows[int((innocent > threshold).sum())] = int((guilty > threshold).sum())
    return [[alarms, caught] for alarms, caught in rows.items()]


def measure_answers(targets: Targets, scores: Scores, threshold: float) -> dict[str, Any]:
    """Of n probabilities (n, labels) against n targets: how many are answered at the threshold, and how many of these
    answers are right; `curve` has rows of both numbers, the surest answers first."""
    sure, right = scores.max(axis=1), scores.argmax(axis=1) == targets
    answered = sure >= threshold
    order = np.argsort(-sure, kind="stable")
    places = np.unique(np.linspace(1, len(sure), min(len(sure), MOST_POINTS)).astype(int))
    counts = np.cumsum(right[order])
    calibration = reliability(sure, right)
    for row in calibration["bins"]:
        row["between"] = share(round(row["right"] * row["count"]), row["count"])["between"]
    return {
        "threshold": threshold,
        "answered": share(int(answered.sum()), len(sure)),
        "right": share(int((answered & right).sum()), int(answered.sum())),
        "curve": [[int(place), int(counts[place - 1])] for place in places],
        "calibration": calibration,
    }


def measure_groups(names: Sequence[str], targets: Targets, called: Targets, *, of_spam: bool) -> list[dict[str, Any]]:
    """How n records are judged by group, the largest first: of editors, of whom 1 is spam, the share of false alarms
    and of the spam caught; of messages the share that is right. Small groups are taken together."""
    counts = Counter(names)
    kept = [name for name, count in counts.most_common(MOST_GROUPS) if count >= LEAST_IN_GROUP]
    grouped = np.array([name if name in set(kept) else "" for name in names])
    rest = len(counts) - len(kept)
    rows = []
    for name in [*kept, *([""] if rest else [])]:
        own = grouped == name
        row: dict[str, Any] = {"name": name or f"{rest} other{'s' * (rest > 1)}", "count": int(own.sum())}
        if of_spam:
            alarms, caught = ((called[own & (targets == label)] == 1) for label in (0, 1))
            row["false_alarms"] = share(int(alarms.sum()), len(alarms))
            row["caught"] = share(int(caught.sum()), len(caught))
        else:
            row["right"] = share(int((called[own] == targets[own]).sum()), int(own.sum()))
        rows.append(row)
    return rows


def find_worst(
    records: Sequence[Any],
    targets: Targets,
    scores: Scores,
    labels: Sequence[str],
    borders: Sequence[float],
    explain: Explain | None,
    *,
    of_spam: bool,
    texts: bool,
) -> list[dict[str, Any]]:
    """The answers that were wrong and surest; what the record says, cut, and why it was judged so, where texts may be
    shown. Of editors, of whom 1 is spam, those of either label, with the probability of spam; of messages those of all
    classes, with the probability of the class that was said."""
    called = scores.argmax(axis=1)
    wrong = called != targets
    kinds = [wrong & (targets == label) for label in range(2)] if of_spam else [wrong]
    sure = scores.max(axis=1)
    places = [place for kind in kinds for place in _surest(kind, sure)]
    chosen = [records[place] for place in places]
    reasons = explain(chosen) if explain and texts and chosen else [[] for _ in chosen]
    bands = name_bands(scores[places, 1], (borders[0], borders[1], borders[2])) if borders and places else []
    return [
        {
            "id": str(record.id),
            "is": labels[targets[place]],
            "called": labels[called[place]],
            "score": round(float(scores[place, 1] if of_spam else sure[place]), 6),
            "band": bands[number] if bands else None,
            "said": describe_record(record) if texts else {},
            "reasons": [{"feature": one.feature, "log_odds": one.log_odds} for one in found[:MOST_REASONS]],
        }
        for number, (place, record, found) in enumerate(zip(places, chosen, reasons, strict=True))
    ]


def _surest(wrong: npt.NDArray[np.bool_], sure: Scores) -> list[int]:
    places = np.flatnonzero(wrong)
    found: list[int] = places[np.argsort(-sure[places], kind="stable")][:MOST_ERRORS].tolist()
    return found


def describe_record(record: Editor | Message) -> Mapping[str, str]:
    """What a record says, each field cut to what is shown of it."""
    fields = {name: str(getattr(record, name, None) or "") for name in LONGEST}
    return {
        name: text if len(text) <= LONGEST[name] else f"{text[: LONGEST[name]]}…"
        for name, text in fields.items()
        if text
    }
