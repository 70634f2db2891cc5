"""An evaluation as a table on the terminal."""

from __future__ import annotations

from typing import Any

from sb_api.cli.terminal.output import escape_controls


def print_report(document: dict[str, Any]) -> None:
    """The figures, a row per class, and the most confused pairs."""
    from rich.console import Console
    from rich.table import Table

    from sb_api.bootstrap.no_class import describe_refusal
    from sb_api.bootstrap.reports.report import MEASURES, headline

    # What people wrote may look like markup.
    console, figures = Console(markup=False, highlight=False), document["figures"]
    console.print(escape_controls(headline(document)))
    table = Table("class", "precision", "recall", "F1", "records")
    for label, row in figures["classes"].items():
        cells = (f"{row[name]:.4f}" for name in MEASURES)
        table.add_row(escape_controls(label), *cells, f"{row['count']:.0f}")
    for average in ("macro", "weighted"):
        cells = (f"{figures[f'{average}_{name}']:.4f}" for name in MEASURES)
        table.add_row(f"{average} mean", *cells, str(figures["count"]), style="bold")
    console.print(table)
    if "no_class" in figures:
        console.print(describe_refusal(figures["no_class"]))
        points = Table("threshold", "right answers lost", "refused of what fits no class")
        for point in figures["no_class"]["curve"]:
            points.add_row(f"{point['threshold']:.4f}", f"{point['lost']:.2%}", f"{point['refused']:.1%}")
        console.print(points)
    if figures["confused"]:
        pairs = Table("true", "predicted", "times", "example")
        for pair in figures["confused"][:10]:
            example = (pair["examples"] or [""])[0][:80]
            pairs.add_row(*map(escape_controls, (pair["true"], pair["predicted"], pair["count"], example)))
        console.print(pairs)
