"""Documents of evaluations as `evaluate_weights` makes them, of made-up scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import sb_api.pages
from sb_api.bootstrap.no_class import find_right, measure_threshold
from sb_api.bootstrap.reports.findings import find_worst, measure_answers, measure_groups, measure_spam
from sb_api.bootstrap.reports.groups import group_records
from sb_api.bootstrap.reports.report import render_html
from sb_api.judgements import Reason
from sb_api.models.measures import describe_classes
from sb_api.records import EDITORS, INTENTS, LabelledMessage, Verdict

PALETTE = (Path(sb_api.pages.__file__).parent / "assets" / "palette.css").read_text("utf-8")
HOSTILE = "[/bold] <script>alert(1)</script> [red]"
LABELS = ["Non Spam Editor Account", "Spam Editor Account"]
BORDERS = (0.9, 0.7, 0.2)
BIOS = ("Sammelt Schallplatten aus Berlin seit vielen Jahren", "Best casino bonus, visit http://casino.example now", "")


def of_editors(count: int, text: str = "vinyl collector", only: int | None = None) -> dict[str, Any]:
    """An evaluation of `count` editors, every other one spam, or all of one label."""
    random = np.random.default_rng(1)
    targets = np.arange(count) % 2 if only is None else np.full(count, only)
    spam = 1 / (1 + np.exp(-random.normal(3.0 * (2 * targets - 1), 2.0)))
    scores = np.stack([1 - spam, spam], axis=1).astype(np.float32)
    editors = [
        Verdict(id=number, name=text, bio=BIOS[number % 3], website="http://a.example/" * (number % 2), verdict=int(t))
        for number, t in enumerate(targets)
    ]
    figures = describe_classes(targets, scores, LABELS) | {"spam": measure_spam(targets, scores, BORDERS)}
    for pair in figures["confused"]:
        pair["examples"] = [str(place) for place in pair["examples"]]
    reasons = [Reason(f"word {text!r}", text, 0.2, 2.5), Reason("no website", None, -0.1, -0.4)]
    called = scores.argmax(axis=1)
    return {
        "model": "lodbrok",
        "weights": "000000-00000000",
        "made": "2026-01-02T03:04:05+00:00",
        "source": HOSTILE,
        "figures": figures,
        "groups": [
            {"by": by, "rows": measure_groups(names, targets, called, of_spam=True)}
            for by, names in group_records(editors, EDITORS).items()
        ],
        "worst": find_worst(
            editors,
            targets,
            scores,
            LABELS,
            BORDERS,
            lambda chosen: [reasons for _ in chosen],
            of_spam=True,
            texts=True,
        ),
    }


def of_messages(labels: int, text: str = "a text", only: int | None = None, threshold: float = 0.01) -> dict[str, Any]:
    """An evaluation of messages, of which each class has as many, or one all."""
    random = np.random.default_rng(1)
    targets = np.repeat(np.arange(labels), 6) if only is None else np.full(6, only)
    scores = random.dirichlet(np.full(labels, 0.3), len(targets)).astype(np.float32)
    right = random.random(len(targets)) < 0.7
    best = scores.argmax(axis=1)
    for row in np.flatnonzero(right):
        scores[row, [best[row], targets[row]]] = scores[row, [targets[row], best[row]]]
    names = [f"label_{number}" for number in range(labels)]
    figures = describe_classes(targets, scores, names) | {"answers": measure_answers(targets, scores, threshold)}
    for pair in figures["confused"]:
        pair["examples"] = [text]
    figures["no_class"] = measure_threshold(threshold, find_right(targets, scores), scores.max(axis=1) / 2)
    messages = [LabelledMessage(id=n, text=text, label=names[t]) for n, t in enumerate(targets)]
    called = scores.argmax(axis=1)
    return {
        "model": "intent",
        "weights": "000000-00000000",
        "made": "2026-01-02T03:04:05+00:00",
        "source": HOSTILE,
        "figures": figures,
        "groups": [
            {"by": by, "rows": measure_groups(of_each, targets, called, of_spam=False)}
            for by, of_each in group_records(messages, INTENTS).items()
        ],
        "worst": find_worst(messages, targets, scores, names, (), None, of_spam=False, texts=True),
    }


def draw(document: dict[str, Any]) -> str:
    """Its page, in the colours of the moderators' page."""
    return render_html(document, PALETTE)
