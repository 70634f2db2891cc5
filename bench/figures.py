"""What the benches of quality write: lines of a figure, its goal and what stands beside it, as a table and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Figures = list[dict[str, Any]]


def figure(
    name: str, value: float, unit: str, against: str, goal: float | None = None, *, most: bool = False
) -> dict[str, Any]:
    """A line of the results. The goal is a floor, or with `most` a ceiling; without one it counts as reached."""
    reached = goal is None or (value <= goal if most else value >= goal)
    return {
        "figure": name,
        "value": round(float(value), 4),
        "unit": unit,
        "against": against,
        "goal": goal,
        "reached": bool(reached),
    }


def print_table(figures: Figures) -> None:
    width = max(len(row["figure"]) for row in figures)
    print(f"{'figure':{width}} {'value':>9} {'goal':>8}  reached  against")
    for row in figures:
        goal = "" if row["goal"] is None else f"{row['goal']:g}"
        reached = "" if row["goal"] is None else "yes" if row["reached"] else "NO"
        print(f"{row['figure']:{width}} {row['value']:9.4f} {goal:>8}  {reached:7}  {row['against']}")


def replace_rows(path: Path, figures: Figures, owned: Callable[[str], bool]) -> None:
    """Write `figures` to a file of results in place of the rows whose names are `owned`; others stay as they are."""
    old: Sequence[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else []
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [*(row for row in old if not owned(row["figure"])), *figures]
    path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


def tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)
