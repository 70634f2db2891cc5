"""Figures of a bench: each beside its goal and what it is compared with, as a table, as Markdown and as JSON.

`python bench/table.py --markdown service` prints what a run has left in `results/service.json` as Markdown.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from statistics import median
from typing import TypeVar

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Figure:
    """One number. `goal` is None where there is none, `bound` says on which side of it the number must lie."""

    figure: str
    value: float | None
    unit: str
    against: str = ""
    goal: float | None = None
    bound: str = ""

    @property
    def reached(self) -> bool:
        """Whether the goal is reached; a number that could not be measured reaches none."""
        if self.goal is None:
            return True
        if self.value is None:
            return False
        return self.value >= self.goal if self.bound == "at least" else self.value <= self.goal

    def row(self) -> dict[str, object]:
        value = None if self.value is None else float(f"{self.value:.4g}")
        kept = {key: held for key, held in asdict(self).items() if key != "bound"}
        return kept | {"value": value, "reached": self.reached}


def at_least(figure: str, value: float | None, unit: str, goal: float, against: str = "") -> Figure:
    return Figure(figure, value, unit, against, goal, "at least")


def at_most(figure: str, value: float | None, unit: str, goal: float, against: str = "") -> Figure:
    return Figure(figure, value, unit, against, goal, "at most")


def alternate(cases: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """Every case's measurements of so many rounds, in which the cases take turns (A B A B): what else the machine does
    falls on all alike."""
    found: dict[str, list[Measured]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, measure in cases.items():
            found[name].append(measure())
    return found


def median_ratio(values: Iterable[float], others: Iterable[float]) -> float:
    """The median of the ratios of each round, whose two measurements lie side by side; infinite over nothing."""
    return median(value / other if other else inf for value, other in zip(values, others, strict=True))


def print_figures(title: str, figures: Iterable[Figure]) -> None:
    table = Table(title=title)
    for name, justify in (("figure", "left"), ("value", "right"), ("goal", "right"), ("", "left"), ("against", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for each in figures:
        value = "not measured" if each.value is None else f"{each.value:,.4g} {each.unit}"
        goal = "" if each.goal is None else f"{each.bound} {each.goal:,g}"
        reached = "" if each.goal is None else "[green]reached" if each.reached else "[red]missed"
        table.add_row(each.figure, value, goal, reached, each.against)
    Console(width=None if Console().is_terminal else 160).print(table)


def write_figures(name: str, figures: Iterable[Figure], *, anew: bool = True) -> None:
    """Write `results/NAME.json`; unless `anew`, earlier figures of other names stay in it."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    rows = {str(each.figure): each.row() for each in figures}
    if not anew and file.exists():
        rows = {row["figure"]: row for row in json.loads(file.read_text("utf-8"))} | rows
    file.write_text(json.dumps(list(rows.values()), indent=1) + "\n", "utf-8")


def markdown(name: str) -> str:
    """The last full run's figures as a Markdown table."""
    rows = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    lines = ["| figure | value | goal | reached | against |", "|---|---|---|---|---|"]
    for row in rows:
        value = "not measured" if row["value"] is None else f"{row['value']:,g} {row['unit']}"
        goal, reached = (
            ("", "") if row["goal"] is None else (f"{row['goal']:,g}", "yes" if row["reached"] else "**no**")
        )
        lines.append(f"| {row['figure']} | {value} | {goal} | {reached} | {row['against']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", metavar="NAME", required=True)
    print(markdown(parser.parse_args().markdown))
