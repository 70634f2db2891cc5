"""Where the lines, marks and labels of the page's charts go, in the units of an SVG view box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

WIDTH, HEIGHT = 420.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 14.0, 28.0
SIDE = 240.0  # of the square in which a calibration is drawn


@dataclass(frozen=True)
class Line:
    """One figure over time; a path of SVG, and the points on it."""

    name: str
    path: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """`x_ticks` and `y_ticks` are places and their labels, `marks` the places, kinds and names of events,
    `area` the left, right, upper and lower border of what is drawn on."""

    lines: list[Line]
    marks: list[tuple[float, str, str]]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    width: float = WIDTH
    height: float = HEIGHT
    area: tuple[float, float, float, float] = (LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM)


def draw_series(
    moments: Sequence[str],
    figures: Mapping[str, Sequence[float | None]],
    events: Sequence[tuple[str, str, str]],
    highest: float | None = None,
) -> Chart:
    """Figures at n moments (ISO 8601), and events (moment, kind, name) beside them, on one axis of time.

    The figures go from 0 to `highest`, or to the next round number above the largest. A figure that is None at a
    moment leaves a gap.
    """
    times = [datetime.fromisoformat(moment) for moment in moments]
    happened = [(datetime.fromisoformat(moment), kind, name) for moment, kind, name in events]
    start = min(times + [moment for moment, *_ in happened])
    end = max([start + timedelta(seconds=1), *times, *(moment for moment, *_ in happened)])
    top = highest or _round_up(max((value for values in figures.values() for value in values if value), default=1.0))

    def x(moment: datetime) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * ((moment - start) / (end - start)), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top, 1)

    return Chart(
        [
            _line(name, [None if v is None else (x(t), y(v)) for t, v in zip(times, values, strict=True)])
            for name, values in figures.items()
        ],
        [(x(moment), kind, name) for moment, kind, name in happened],
        [(x(start + (end - start) * part), _label(start + (end - start) * part, end - start)) for part in (0, 0.5, 1)],
        [(y(top * part), f"{top * part:g}") for part in (0, 0.25, 0.5, 0.75, 1)],
    )


def draw_reliability(bins: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, float]]:
    """The place and radius of each bin of `scoring.reliability` in a square: how sure to the right, how right up."""
    most = max((row["count"] for row in bins), default=1)
    return [
        (
            round(SIDE * row["sure"], 1),
            round(SIDE * (1 - row["right"]), 1),
            round(3 + 7 * (row["count"] / most) ** 0.5, 1),
        )
        for row in bins
    ]


def _line(name: str, places: Sequence[tuple[float, float] | None]) -> Line:
    path, pen = [], "M"
    for place in places:
        if place is None:
            pen = "M"
        else:
            path.append(f"{pen}{place[0]:g} {place[1]:g}")
            pen = "L"
    return Line(name, "".join(path), [place for place in places if place is not None])


def _label(moment: datetime, span: timedelta) -> str:
    if span < timedelta(minutes=10):
        return f"{moment:%H:%M:%S}"
    return f"{moment:%H:%M}" if span < timedelta(days=2) else f"{moment:%Y-%m-%d}"


def _round_up(value: float) -> float:
    """The least of 1, 2, 5, 10, 20, 50, ... that is no smaller."""
    step = 1.0
    while True:
        for factor in (1, 2, 5):
            if value <= step * factor:
                return step * factor
        step *= 10
