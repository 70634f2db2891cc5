"""An evaluation as a table on the terminal and as one HTML page with its pictures in it."""

from __future__ import annotations

import io
from html import escape
from typing import Any

LARGEST_MATRIX = 40  # labels that a picture of the confusion matrix has room for
CURVES = 12  # the worst ones are drawn


def print_report(document: dict[str, Any]) -> None:
    """The figures, a row per class, and the most confused pairs."""
    from rich.console import Console
    from rich.table import Table

    # What people wrote may look like markup.
    console, figures = Console(markup=False, highlight=False), document["figures"]
    console.print(_headline(document))
    table = Table("class", "precision", "recall", "F1", "records")
    for label, row in figures["classes"].items():
        cells = (f"{row[name]:.4f}" for name in ("precision", "recall", "f1"))
        table.add_row(label, *cells, f"{row['count']:.0f}")
    for average in ("macro", "weighted"):
        cells = (f"{figures[f'{average}_{name}']:.4f}" for name in ("precision", "recall", "f1"))
        table.add_row(f"{average} mean", *cells, str(figures["count"]), style="bold")
    console.print(table)
    if figures["confused"]:
        pairs = Table("true", "predicted", "times", "example")
        for pair in figures["confused"][:10]:
            pairs.add_row(pair["true"], pair["predicted"], str(pair["count"]), (pair["examples"] or [""])[0][:80])
        console.print(pairs)


def _headline(document: dict[str, Any]) -> str:
    figures = document["figures"]
    return (
        f"{document['model']} {document['weights']} on {document['source']}: accuracy {figures['accuracy']:.4f}, "
        f"macro F1 {figures['macro_f1']:.4f}, weighted F1 {figures['weighted_f1']:.4f}, expected calibration error "
        f"{figures['reliability']['expected_calibration_error']:.4f}"
    )


def render_html(document: dict[str, Any]) -> str:
    """One page that needs no other file."""
    figures = document["figures"]
    classes = _table(
        ("class", "precision", "recall", "F1", "count"),
        [
            (label, *(f"{row[name]:.4f}" for name in ("precision", "recall", "f1")), f"{row['count']:.0f}")
            for label, row in figures["classes"].items()
        ],
    )
    averages = _table(
        ("mean", "precision", "recall", "F1"),
        [
            (average, *(f"{figures[f'{average}_{name}']:.4f}" for name in ("precision", "recall", "f1")))
            for average in ("macro", "weighted")
        ],
    )
    confused = _table(
        ("true", "predicted", "times", "examples"),
        [
            (pair["true"], pair["predicted"], str(pair["count"]), " · ".join(pair["examples"]))
            for pair in figures["confused"]
        ],
    )
    pictures = "".join(
        f"<section><h2>{title}</h2>{picture}</section>"
        for title, picture in (
            ("Confusion matrix", _draw_confusion(figures)),
            ("ROC curves", _draw_curves(figures["roc"], "false positive rate", "true positive rate")),
            ("Precision-recall curves", _draw_curves(figures["precision_recall"], "recall", "precision")),
            ("Reliability", _draw_reliability(figures["reliability"])),
        )
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Evaluation of {escape(document["model"])}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
td, th {{ border-bottom: 1px solid #ccc; padding: .2rem .7rem; text-align: left }}
svg {{ max-width: 100%; height: auto }}
</style></head><body>
<h1>Evaluation of {escape(document["model"])}</h1>
<p>{escape(_headline(document))}</p>
{averages}<h2>Classes</h2>{classes}<h2>Most confused</h2>{confused}{pictures}
</body></html>
"""


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _draw_confusion(figures: dict[str, Any]) -> str:
    labels, confusion = figures["labels"], figures["confusion"]
    if len(labels) > LARGEST_MATRIX:
        # Of many labels, those with the most errors.
        errors = [sum(row) - row[place] for place, row in enumerate(confusion)]
        chosen = sorted(sorted(range(len(labels)), key=lambda place: -errors[place])[:LARGEST_MATRIX])
        labels = [labels[place] for place in chosen]
        confusion = [[confusion[row][column] for column in chosen] for row in chosen]
    figure, axes = _figure(2 + 0.3 * len(labels))
    axes.imshow([[value / (sum(row) or 1) for value in row] for row in confusion], cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    for row, values in enumerate(confusion):
        for column, value in enumerate(values):
            if value:
                dark = value > 0.5 * sum(values)
                axes.text(column, row, value, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axes.set(xlabel="predicted", ylabel="true")
    return _svg(figure)


def _draw_curves(curves: dict[str, Any], x: str, y: str) -> str:
    figure, axes = _figure()
    for label, curve in sorted(curves.items(), key=lambda item: item[1]["area"])[:CURVES]:
        axes.plot(curve["x"], curve["y"], label=f"{label} ({curve['area']:.3f})")
    axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if curves:
        axes.legend(fontsize=7, title="least areas first" if len(curves) > CURVES else None)
    return _svg(figure)


def _draw_reliability(reliability: dict[str, Any]) -> str:
    figure, axes = _figure()
    bins = reliability["bins"]
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.plot([row["sure"] for row in bins], [row["right"] for row in bins], marker="o")
    for row in bins:
        axes.annotate(str(row["count"]), (row["sure"], row["right"]), fontsize=7)
    axes.set(xlabel="mean largest probability", ylabel="share that is right", xlim=(0, 1.05), ylim=(0, 1.05))
    return _svg(figure)


def _figure(size: float = 6.0) -> tuple[Any, Any]:
    # Without pyplot, which keeps figures in global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(6.0, size), max(5.0, size)), layout="tight")
    return figure, figure.subplots()


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue().partition("<svg")[1] + buffer.getvalue().partition("<svg")[2]
