"""The tables and figures of `make chaos`, `make soak` and `make cluster`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tests.support.service import ROOT
from tests.support.steady_load import Tally

RECOVERY = 10.0  # seconds after the end of a fault until all is normal
HEADER = (
    f"{'fault':<46} {'times':>5} {'sent':>6} {'right':>6} {'honest':>6} {'lost':>4} {'wrong':>5} {'dbl':>3} "
    f"{'back, s':>7}  honest errors"
)


def describe_tally(name: str, times: int, tally: Tally, back: float) -> Iterator[str]:
    """One line, and one for each thing that went wrong."""
    honest = ", ".join(f"{kind} {count}" for kind, count in sorted(tally.honest.items()))
    yield (
        f"{name:<46} {times:>5} {tally.sent:>6} {tally.right:>6} {tally.honest.total():>6} {tally.lost:>4} "
        f"{tally.wrong:>5} {tally.doubled:>3} {back:>7.1f}  {honest}"
    )
    for note in tally.notes[:10]:
        yield f"    {note}"


def figure(name: str, value: Any, unit: str, against: str, goal: Any, reached: bool) -> dict[str, Any]:
    return {"figure": name, "value": value, "unit": unit, "against": against, "goal": goal, "reached": bool(reached)}


def fault_figures(name: str, times: int, tally: Tally, back: float) -> list[dict[str, Any]]:
    bad = tally.lost + tally.wrong + tally.doubled
    return [
        figure(f"{name}: lost, wrong, doubled", bad, "requests", f"{tally.sent} sent", 0, bad == 0),
        figure(f"{name}: back to normal", round(back, 2), "s", f"{times} times", RECOVERY, back <= RECOVERY),
    ]


def write_figures(figures: Sequence[dict[str, Any]], name: str | None) -> int:
    """Write bench/results/<name>.json, if there is a name; say what falls short. Returns the exit code."""
    if name:
        (ROOT / "bench" / "results" / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    short = [one["figure"] for one in figures if not one["reached"]]
    print(f"{len(figures) - len(short)} of {len(figures)} figures reached" + "".join(f"\n  short: {n}" for n in short))
    return 1 if short else 0
