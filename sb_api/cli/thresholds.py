"""`sb-api thresholds`: how much spam is caught at how many false alarms."""

from __future__ import annotations

import click

from sb_api.cli.terminal.options import MODEL
from sb_api.cli.terminal.output import JSON, count, show, show_line, wants_json
from sb_api.config import load_settings


@click.command()
@MODEL
@JSON
def thresholds(model: str) -> None:
    """Show, for the current weights of this machine, how much spam is caught when at most so many of a thousand
    innocent accounts may be called spam; on the reference set, and on the verdicts of the log.

    The share is of accounts whose score is above the threshold. With too few innocents it cannot be told.
    """
    from rich.console import Console
    from rich.table import Table

    from sb_api.learning.thresholds import measure_thresholds
    from sb_api.models.classifiers import CLASSIFIERS

    version, sets = measure_thresholds(load_settings(), CLASSIFIERS[model])
    if wants_json():
        show({"success": True, "weights": version, "sets": sets})
        return
    console = Console(markup=False, highlight=False)
    for measured in sets:
        show_line(f"{version} on {measured.source}: {count(measured.innocent, 'innocent')}, {measured.spam} spam")
        table = Table("innocents in 1,000", "score above", "spam caught")
        for row in measured.thresholds:
            known = row.threshold is not None and row.caught is not None
            cells = (f"{row.threshold:.4f}", f"{row.caught:.1%}") if known else ("", "too few to tell")
            table.add_row(f"at most {row.innocents_per_thousand:g}", *cells)
        console.print(table)
