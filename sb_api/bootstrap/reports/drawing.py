"""Where the lines, marks and labels of a report's charts go, in the units of an SVG view box."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sb_api.bootstrap.reports.findings import WIDEST, share
from sb_api.versions import BANDS

WIDTH, HEIGHT = 440.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 412.0, 36.0, 226.0  # the borders of what is drawn on
LEAST_APART = 17.0  # between two numbers that name points
LEAST_SEGMENT = 1.5  # the width of a part that is not empty
HALVES = (1, 2, 5)
FLOORS = (0.95, 0.9, 0.8, 0.5, 0.0)  # where an axis of shares may begin

Scale = Callable[[float], float]


@dataclass(frozen=True)
class Mark:
    """A point that is named by a number: `label_x` is where that stands, at the upper border."""

    x: float
    y: float
    label_x: float
    number: int


@dataclass(frozen=True)
class Plot:
    """A curve (a path of SVG), the `region` in which it may as well lie, and marked points; ticks are places and their
    labels."""

    line: str
    region: str
    marks: list[Mark]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    x_name: str
    y_name: str


@dataclass(frozen=True)
class Segment:
    """A part of a bar: the name of what it is of, how many, where it begins and how wide it is."""

    name: str
    number: int
    x: float
    width: float


@dataclass(frozen=True)
class Column:
    """A tenth of the probability: where its mean and the share that came true are drawn, from where to where the true
    share may lie, where its number stands, and that."""

    x: float
    y: float
    low: float
    high: float
    label_x: float
    label: str


def draw_catching(spam: Mapping[str, Any]) -> Plot | None:
    """How much of the spam is caught (up) at how many false alarms in a thousand innocents (to the right, each tick
    about twice the one before), with the levels marked; None where nothing can be told.

    The curve leads through the levels: of several thresholds with as many false alarms its own rows have the lowest
    alone, which catches most.
    """
    innocent, guilty = spam["innocent"], spam["spam"]
    rows = [(1000 * alarms / innocent, caught) for alarms, caught in spam["curve"] if alarms] if guilty else []
    if len(rows) < 2:
        return None
    highest = 1000 * WIDEST
    lowest = _round_down(min(max(rows[0][0], 0.05), highest / 10))
    x = _logarithmic(lowest, highest)
    levels = [
        (1000 * level["false_alarms"]["number"] / innocent, level["caught"]["number"]) for level in spam["levels"]
    ]
    levels = [(max(alarms, lowest), caught) for alarms, caught in levels]
    rows = sorted(row for row in {*rows, *levels} if row[0] <= highest)
    floor = _floor([caught / guilty for _, caught in (*rows, *levels)])
    y = _linear(floor, 1.0)
    upper = [(alarms, share(caught, guilty)["between"]) for alarms, caught in rows]
    places = [(x(alarms), y(caught / guilty)) for alarms, caught in levels]
    ticks = [10.0**power * half for power in range(-2, 4) for half in HALVES]
    return Plot(
        line=_path([(x(alarms), y(caught / guilty)) for alarms, caught in rows]),
        region=_path(
            [(x(alarms), y(high)) for alarms, (_, high) in upper]
            + [(x(alarms), y(max(floor, low))) for alarms, (low, _) in reversed(upper)],
        )
        + "Z",
        marks=_mark([place for place in places if place[0] <= RIGHT]),
        x_ticks=[(x(tick), f"{tick:g}") for tick in ticks if lowest * 0.999 <= tick <= highest * 1.001],
        y_ticks=_shares(y, floor),
        x_name="false alarms in 1,000 innocent accounts",
        y_name="spam caught",
    )


def draw_answers(answers: Mapping[str, Any]) -> Plot:
    """How many of the answers are right (up) when so many of the messages are answered (to the right), the surest
    first; what is answered now is marked."""
    curve, count = answers["curve"], answers["answered"]["of"]
    told = [(answered, right) for answered, right in curve if answered >= min(count, 20)] or curve
    now = (answers["right"]["of"], answers["right"]["number"])
    told = sorted({*map(tuple, told), now} if now[0] else told)
    floor = _floor([right / answered for answered, right in told])
    x, y = _linear(0.0, 1.0, LEFT, RIGHT), _linear(floor, 1.0)
    upper = [(answered, share(right, answered)["between"]) for answered, right in told]
    place = (x(now[0] / count), y(now[1] / now[0])) if now[0] else None
    return Plot(
        line=_path([(x(answered / count), y(right / answered)) for answered, right in told]),
        region=_path(
            [(x(answered / count), y(high)) for answered, (_, high) in upper]
            + [(x(answered / count), y(max(floor, low))) for answered, (low, _) in reversed(upper)]
        )
        + "Z",
        marks=_mark([place] if place else []),
        x_ticks=[(x(part), f"{part:.0%}") for part in (0, 0.2, 0.4, 0.6, 0.8, 1.0)],
        y_ticks=_shares(y, floor),
        x_name="messages that are answered, the surest first",
        y_name="right answers",
    )


def draw_refusal(curve: Sequence[Mapping[str, float]]) -> Plot | None:
    """How much is refused of what fits no class (up) at how many right answers lost (to the right)."""
    if len(curve) < 2:
        return None
    most = max(0.01, *(point["lost"] for point in curve))
    x, y = _linear(0.0, most, LEFT, RIGHT), _linear(0.0, 1.0)
    return Plot(
        line=_path([(x(point["lost"]), y(point["refused"])) for point in curve]),
        region="",
        marks=[],
        x_ticks=[(x(most * part), _percent(round(most * part, 3))) for part in (0, 0.25, 0.5, 0.75, 1)],
        y_ticks=_shares(y, 0.0),
        x_name="right answers lost",
        y_name="refused of what fits no class",
    )


def draw_bar(counts: Mapping[str, int]) -> list[Segment]:
    """The numbers of the bands as parts of one bar, surest spam first; a part that is not empty is to be seen."""
    total = sum(counts.values())
    shown = [(name, counts[name]) for name in BANDS if counts.get(name)]
    widths = [max(LEAST_SEGMENT, WIDTH * number / total) for _, number in shown]
    scale = WIDTH / sum(widths) if widths else 1.0
    segments, x = [], 0.0
    for (name, number), part in zip(shown, widths, strict=True):
        wide = part * scale
        segments.append(Segment(name, number, round(x, 2), round(wide, 2)))
        x += wide
    return segments


def draw_calibration(bins: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The tenths of `measures.reliability` in the area of a plot: what the score said to the right, what came true
    up."""
    x, y = _linear(0.0, 1.0, LEFT, RIGHT), _linear(0.0, 1.0)
    return [
        Column(
            x=x(row["sure"]),
            y=y(row["right"]),
            low=y(row["between"][0]),
            high=y(row["between"][1]),
            label_x=x((min(int(row["sure"] * 10), 9) + 0.5) / 10),
            label=shorten(row["count"]),
        )
        for row in bins
    ]


def shorten(number: int) -> str:
    """A number in at most four characters, up to a thousand million."""
    if number < 1000:
        return str(number)
    thousands = number / 1000
    if thousands < 9.95:
        return f"{thousands:.1f}k"
    return f"{thousands:.0f}k" if thousands < 999.5 else f"{thousands / 1000:.0f}M"


def spread(places: Sequence[float], least: float, lowest: float, highest: float) -> list[float]:
    """Places, ascending, moved as little as it takes to be `least` apart and between the borders."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + least if moved else lowest))
    limit = highest
    for number in range(len(moved) - 1, -1, -1):
        moved[number] = min(moved[number], limit)
        limit = moved[number] - least
    return moved


def _mark(points: Sequence[tuple[float, float]]) -> list[Mark]:
    """Points numbered in their order, whose numbers stand apart."""
    order = sorted(range(len(points)), key=lambda number: points[number][0])
    labels = spread([points[number][0] for number in order], LEAST_APART, LEFT, RIGHT)
    marks = [Mark(*points[number], round(label, 1), number + 1) for number, label in zip(order, labels, strict=True)]
    return sorted(marks, key=lambda mark: mark.number)


def _linear(low: float, high: float, start: float = BOTTOM, end: float = TOP) -> Scale:
    return lambda value: round(start + (end - start) * (value - low) / (high - low), 1)


def _logarithmic(low: float, high: float) -> Scale:
    line = _linear(math.log(low), math.log(high), LEFT, RIGHT)
    return lambda value: line(math.log(value))


def _floor(shares: Sequence[float]) -> float:
    """Where an axis may begin that has all of these shares."""
    return next(floor for floor in FLOORS if floor <= min(shares))


def _shares(y: Scale, floor: float) -> list[tuple[float, str]]:
    parts = [floor + (1 - floor) * fifth / 5 for fifth in range(6)]
    return [(y(part), _percent(part)) for part in parts]


def _percent(value: float) -> str:
    return f"{100 * value:.4g}%"


def _round_down(value: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50, ..., 0.5, ... that is no larger."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(power * half for half in HALVES if power * half <= value * 1.000001)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if number else 'M'}{x:g} {y:g}" for number, (x, y) in enumerate(points))
