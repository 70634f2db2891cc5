"""An evaluation as one HTML page with its pictures in it."""

from __future__ import annotations

import io
from typing import Any

LARGEST_MATRIX = 40  # labels that a picture of the confusion matrix has room for
CURVES = 12  # the worst ones are drawn
MEASURES = ("precision", "recall", "f1")


def headline(document: dict[str, Any]) -> str:
    """The figures that come first, in a sentence."""
    figures = document["figures"]
    return (
        f"{document['model']} {document['weights']} on {document['source']}: accuracy {figures['accuracy']:.4f}, "
        f"macro F1 {figures['macro_f1']:.4f}, weighted F1 {figures['weighted_f1']:.4f}, expected calibration error "
        f"{figures['reliability']['expected_calibration_error']:.4f}"
    )


def render_html(document: dict[str, Any]) -> str:
    """One page that needs no other file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    figures = document["figures"]
    environment = Environment(
        loader=PackageLoader("sb_api.bootstrap.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").render(
        document=document,
        headline=headline(document),
        means=[
            (average, *(f"{figures[f'{average}_{name}']:.4f}" for name in MEASURES))
            for average in ("macro", "weighted")
        ],
        classes=[
            (label, *(f"{row[name]:.4f}" for name in MEASURES), f"{row['count']:.0f}")
            for label, row in figures["classes"].items()
        ],
        confused=[
            (pair["true"], pair["predicted"], pair["count"], " · ".join(pair["examples"]))
            for pair in figures["confused"]
        ],
        # matplotlib escapes what stands in its pictures.
        pictures=(
            ("Confusion matrix", _draw_confusion(figures)),
            ("ROC curves", _draw_curves(figures["roc"], "false positive rate", "true positive rate")),
            ("Precision-recall curves", _draw_curves(figures["precision_recall"], "recall", "precision")),
            ("Reliability", _draw_reliability(figures["reliability"])),
            *_draw_no_class(figures.get("no_class", {}).get("curve", [])),
        ),
    )


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


def _draw_no_class(curve: list[dict[str, float]]) -> list[tuple[str, str]]:
    if not curve:
        return []
    figure, axes = _figure()
    axes.plot([point["lost"] for point in curve], [point["refused"] for point in curve], marker="o")
    for point in curve:
        axes.annotate(f"{point['threshold']:.2f}", (point["lost"], point["refused"]), fontsize=7)
    axes.set(xlabel="share of the right answers lost", ylabel="share refused of what fits no class", ylim=(0, 1.02))
    return [("Refused, by threshold", _svg(figure))]


def _figure(size: float = 6.0) -> tuple[Any, Any]:
    # Without pyplot, which keeps figures in global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(6.0, size), max(5.0, size)), layout="tight")
    return figure, figure.subplots()


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue().partition("<svg")[1] + buffer.getvalue().partition("<svg")[2]
