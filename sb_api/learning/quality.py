"""Test, then train: how right the weights were on verdicts they had not learned, and whether that is changing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from heapq import nlargest
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from sb_api.judgements import NO_CLASS
from sb_api.memory import HEAVY, hiding
from sb_api.models.measures import reliability
from sb_api.records import EDITORS, NO_CLASS_NAME
from sb_api.verdicts.log_schema import Event, LoggedVerdict, Stretch
from sb_api.verdicts.verdict_log import VerdictLog
from sb_api.versions import Drift

WINDOW = 500  # verdicts that the window figures and the drift detector look at
DETECTOR_CLOCK = 32  # verdicts; the detector looks at its window once in so many
FRESH = 200  # verdicts for which a detected rise of errors stays flagged
STRETCHES, LEAST = 40, 25  # points of the figures over time, and verdicts that one is made of
EVENTS = 100  # trainings and rollbacks that are told of
MOST_TOLD = 100  # reporters, and versions of the weights, with figures of their own: clients name any number

Confusion = npt.NDArray[np.int64]
Cells = dict[tuple[int, int], int]  # of a confusion matrix, those that are not 0


def describe_log(log: VerdictLog, labels: Sequence[str]) -> dict[str, Any]:
    """All that /quality tells of a log: the running figures, those over time, and what a replay would take. Messages
    may also be of no class, which counts as the last label: its number is -1. Those of classes that the weights do not
    have any more, or did not have when they came, are left out; those of merged ones are of the one that they are
    merged into."""
    count = len(labels)
    names = list(dict.fromkeys(labels))
    numbers = [*map(names.index, labels), NO_CLASS]  # by number; that of no class is the last
    labels = names
    if log.classifier != EDITORS.name:
        labels = [*labels, NO_CLASS_NAME]
    events = log.events(EVENTS)
    latest = [
        replace(one, label=numbers[one.label], predicted=numbers[one.predicted])
        for one in log.latest(WINDOW)
        if not one.is_of_new_class and max(one.label, one.predicted) < count
    ]
    stretches = [
        replace(stretch, counts=_merge_cells(stretch.counts, numbers)) for stretch in log.history(STRETCHES, LEAST)
    ]
    counts = [
        (version, reporter, numbers[label], numbers[predicted], times)
        for version, reporter, label, predicted, times in log.counts()
        if max(label, predicted) < count
    ]
    return {
        **measure(counts, latest, labels),
        "series": describe_history(stretches, len(labels)),
        "events": [{**msgspec.structs.asdict(event), "moment": _utc(event.moment)} for event in events],
        "replay": estimate_replay(*log.count_learned(), events),
        "set_aside": [
            {"credential": one.account, "since": _utc(one.since), "refused": one.refused}
            for one in log.set_aside()[:MOST_TOLD]
        ],
    }


def _merge_cells(cells: Cells, numbers: Sequence[int]) -> Cells:
    """Those cells of a confusion matrix whose labels have `numbers`, under these."""
    merged: Cells = {}
    for (label, predicted), times in cells.items():
        if max(label, predicted) < len(numbers) - 1:
            cell = numbers[label], numbers[predicted]
            merged[cell] = merged.get(cell, 0) + times
    return merged


def measure(
    counts: Iterable[tuple[str, str, int, int, int]], latest: Sequence[LoggedVerdict], labels: Sequence[str]
) -> dict[str, Any]:
    """The running figures: of all time, of the latest verdicts, of the latest weights and of the reporters with the
    most verdicts, and `told_of`, how many there are of both.

    `counts` are `VerdictLog.counts()`, `latest` the verdicts of the window, oldest first. With two labels, those of the
    window tell also how far a probability of label 1 can be taken at its word.
    """
    size = len(labels)
    all_time: Cells = {}
    weights: dict[str, Cells] = defaultdict(dict)
    reporters: dict[str, Cells] = defaultdict(dict)
    for version, reporter, label, predicted, count in counts:
        for cells in (all_time, weights[version], reporters[reporter]):
            cells[label, predicted] = cells.get((label, predicted), 0) + count
    most = sorted(nlargest(MOST_TOLD, reporters, key=lambda name: (sum(reporters[name].values()), name)))
    window = np.zeros((size, size), np.int64)
    for verdict in latest:
        window[verdict.label, verdict.predicted] += 1
    return {
        "labels": list(labels),
        "all_time": score_confusion(_confusion(all_time, size)),
        "window": score_confusion(window),
        # Their names begin with their number.
        "weights": {name: score_confusion(_confusion(weights[name], size)) for name in sorted(weights)[-MOST_TOLD:]},
        "reporters": {name: score_confusion(_confusion(reporters[name], size)) for name in most},
        "told_of": {"weights": len(weights), "reporters": len(reporters)},
        "calibration": _calibration(latest) if size == 2 and latest else None,
        "drift": msgspec.to_builtins(detect_drift(latest)),
    }


def _calibration(latest: Sequence[LoggedVerdict]) -> dict[str, Any]:
    labels = np.array([verdict.label for verdict in latest])
    scores = np.array([verdict.score for verdict in latest])
    return reliability(np.where(labels == 1, scores, 1 - scores), labels == 1)


def describe_history(history: Iterable[Stretch], size: int) -> list[dict[str, Any]]:
    """The figures of each stretch of verdicts on `size` labels, and when its last one came."""
    series = []
    for stretch in history:
        series.append({"until": _utc(stretch.until), **score_confusion(_confusion(stretch.counts, size))})
    return series


def _confusion(counts: Mapping[tuple[int, int], int], size: int) -> Confusion:
    """The confusion matrix (size, size) of counts by `(label, predicted)`."""
    confusion = np.zeros((size, size), np.int64)
    for cell, count in counts.items():
        confusion[cell] = count
    return confusion


def estimate_replay(verdicts: int, trainings: int, events: Iterable[Event]) -> dict[str, Any]:
    """How many verdicts and trainings a replay would do again, and how long that would take (seconds), if each took as
    long as the latest ones at the median; None before any."""
    taken = [event.seconds for event in events if event.kind == "training" and event.seconds]
    seconds = round(trainings * float(np.median(taken)), 1) if taken else None
    return {"verdicts": verdicts, "trainings": trainings, "seconds": seconds}


def _utc(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds") + "Z"


def score_confusion(confusion: Confusion) -> dict[str, Any]:
    """Figures of a confusion matrix (labels, labels), rows what is true, columns what was predicted.

    With two labels precision, recall and F1 are those of label 1, and false positives per thousand of label 0 are
    given; with more they are means over the labels that occur. None where nothing was counted.
    """
    hits = np.diagonal(confusion)
    precision = _ratio(hits, confusion.sum(axis=0))
    recall = _ratio(hits, confusion.sum(axis=1))
    f1 = _ratio(2 * hits, confusion.sum(axis=0) + confusion.sum(axis=1))
    binary = len(confusion) == 2
    figures: dict[str, Any] = {
        "count": int(confusion.sum()),
        "accuracy": _mean(_ratio(hits.sum(keepdims=True), confusion.sum(keepdims=True).ravel())),
    }
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        figures[name] = _mean(values[1:] if binary else values)
    if binary:
        figures["false_positives_per_thousand"] = _mean(1000 * _ratio(confusion[:1, 1], confusion[:1].sum(axis=1)))
    return {**figures, "confusion": confusion.tolist()}


def load_detector() -> Any:
    """ADWIN, whose import takes seconds and 50 MB."""
    with hiding(*HEAVY):
        from river.drift import ADWIN

    return ADWIN


def detect_drift(latest: Sequence[LoggedVerdict]) -> Drift:
    """Whether the share of errors has risen among verdicts given oldest first.

    ADWIN (Bifet and Gavaldà, Learning from Time-Changing Data with Adaptive Windowing, 2007), as in river: the window
    is cut where its two sides differ by more than chance allows.
    """
    found, latest = Drift(False), [verdict for verdict in latest if not verdict.is_of_new_class]
    if len(latest) < DETECTOR_CLOCK:
        return found
    detector = load_detector()(clock=DETECTOR_CLOCK)
    for position, verdict in enumerate(latest):
        before = detector.estimation
        detector.update(float(verdict.label != verdict.predicted))
        if detector.drift_detected:
            start = position + 1 - int(detector.width)
            risen = detector.estimation > before and len(latest) - position <= FRESH
            sound = latest[start - 1].weights if start > 0 else None
            found = Drift(risen, round(detector.estimation, 4), round(before, 4), sound)
    return found


def _ratio(numerator: npt.NDArray[Any], denominator: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    result = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 6) if len(known) else None
