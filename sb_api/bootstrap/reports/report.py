"""An evaluation as one HTML page: it needs no other file, no network and no script, and its own policy forbids them."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sb_api.bootstrap.reports.drawing import (
    draw_answers,
    draw_bar,
    draw_calibration,
    draw_catching,
    draw_refusal,
)
from sb_api.bootstrap.reports.findings import ENOUGH, share
from sb_api.bootstrap.reports.groups import MOST_GUESSED
from sb_api.versions import BANDS

if TYPE_CHECKING:
    from jinja2 import Environment

LARGEST_MATRIX = 10  # classes that a table of all pairs has room for
SHOWN_ERRORS = 5  # of each kind; the others are behind a fold
SHOWN_CLASSES = 20  # the worst ones; the others are behind a fold
MOST_PAIRS, LONGEST_EXAMPLE = 20, 120
MEASURES = ("precision", "recall", "f1")
STRONGLY, SOMEWHAT = 2.3, 0.92  # of the logarithm of odds: ten times as much, two and a half times
_PLAIN = {"Spam Editor Account": "spam", "Non Spam Editor Account": "not spam"}


def headline(document: Mapping[str, Any]) -> str:
    """The figures that come first, in two sentences."""
    figures = document["figures"]
    return (
        f"{document['model']} {document['weights']} on {document['source']}: {answer(figures)} Accuracy "
        f"{figures['accuracy']:.4f}, macro F1 {figures['macro_f1']:.4f}, weighted F1 {figures['weighted_f1']:.4f}, "
        f"expected calibration error {figures['reliability']['expected_calibration_error']:.4f}."
    )


def answer(figures: Mapping[str, Any]) -> str:
    """What is asked first, in a sentence: how much spam is caught at how many false alarms; of messages, how many
    answers are right."""
    if "spam" not in figures:
        answers = figures["answers"]
        if not answers["right"]["of"]:
            return "No message is answered: all probabilities lie below the threshold."
        return (
            f"Of 100 answers {_hundred(answers['right'])} are right, and of 100 messages "
            f"{_hundred(answers['answered'])} are answered."
        )
    spam = figures["spam"]
    known = [row for row in spam["at"] if row["caught"] and row["caught"]["of"] >= ENOUGH]
    # 5 in 1,000 where it can be told: fewer need many more accounts.
    told = next((row for row in known if row["innocents_per_thousand"] >= 5), None)
    if told is None:
        return (
            f"{spam['innocent']:,} innocent accounts and {spam['spam']:,} of spam are too few to tell how much spam is "
            "caught at how few false alarms."
        )
    wanted = told["innocents_per_thousand"]
    return (
        f"Of 100 spam accounts {_hundred(told['caught'])} are caught when {wanted:g} of 1,000 innocent accounts may be "
        "called spam."
    )


def _hundred(part: Mapping[str, Any]) -> str:
    return format_figures(100 * part["number"] / part["of"])


def render_html(document: Mapping[str, Any], palette: str, written: datetime | None = None) -> str:
    """The page. `palette` is the CSS that gives its colours values, those of the page for moderators; `written`
    is when.
    """
    figures = document["figures"]
    spam = figures.get("spam")
    style = palette + _style()
    common = {
        "document": document,
        "spam": spam,
        "written": f"{written:%Y-%m-%d}" if written else "",
        "counted": f"{spam['innocent']:,} innocent accounts and {spam['spam']:,} of spam"
        if spam
        else f"{figures['count']:,} messages",
        "answer": answer(figures),
        "enough": ENOUGH,
        "shown_errors": SHOWN_ERRORS,
        "by_language": any(group["by"] == "language" for group in document["groups"]),
        "most_guessed": MOST_GUESSED,
        "shown_texts": any(one["said"] for one in document["worst"]) or not document["worst"],
        "style": style,
        "policy": f"default-src 'none'; style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'",
    }
    return (
        _environment()
        .get_template("report.html")
        .render(**common, **(_view_editors(document) if spam else _view_messages(document)))
    )


def _view_editors(document: Mapping[str, Any]) -> dict[str, Any]:
    spam = document["figures"]["spam"]
    bands = spam["bands"]
    return {
        "catching": draw_catching(spam),
        "calibration_error": spam["calibration"]["expected_calibration_error"],
        "columns": draw_calibration(spam["calibration"]["bins"]),
        "stacks": [
            (kind, title, draw_bar(bands[kind]))
            for kind, title in (("spam", "spam accounts"), ("innocent", "innocent accounts"))
            if bands
        ],
        "bands": [
            {"name": name, **{kind: share(bands[kind][name], spam[kind]) for kind in ("spam", "innocent")}}
            for name in BANDS
            if bands
        ],
        "errors": [
            ("False alarms", [one for one in document["worst"] if plain_label(one["is"]) == "not spam"]),
            ("Missed spam", [one for one in document["worst"] if plain_label(one["is"]) == "spam"]),
        ],
    }


def _view_messages(document: Mapping[str, Any]) -> dict[str, Any]:
    figures = document["figures"]
    answers, labels, confusion = figures["answers"], figures["labels"], figures["confusion"]
    names = [plain_label(label) for label in labels]
    said = [sum(column) for column in zip(*confusion, strict=True)]
    classes = [
        {
            "name": names[place],
            "f1": figures["classes"][label]["f1"],
            "found": share(row[place], sum(row)),
            "said": share(row[place], said[place]),
        }
        for place, (label, row) in enumerate(zip(labels, confusion, strict=True))
        if sum(row) or said[place]
    ]
    no_class = figures.get("no_class", {})
    wrong = sum(1 for place, row in enumerate(confusion) for other, n in enumerate(row) if n and other != place)
    return {
        "answered": draw_answers(answers),
        "calibration_error": answers["calibration"]["expected_calibration_error"],
        "columns": draw_calibration(answers["calibration"]["bins"]),
        "refusal": draw_refusal(no_class.get("curve", [])),
        "refused": share(round((no_class.get("refused") or 0) * no_class.get("count", 0)), no_class.get("count", 0)),
        "classes": sorted(classes, key=lambda row: row["f1"]),
        "shown_classes": SHOWN_CLASSES,
        "matrix": [{"name": name, "numbers": row} for name, row in zip(names, confusion, strict=True)]
        if len(labels) <= LARGEST_MATRIX
        else [],
        "pairs": [
            {
                "true": plain_label(pair["true"]),
                "predicted": plain_label(pair["predicted"]),
                "count": pair["count"],
                "example": cut((pair["examples"] or [""])[0]),
            }
            for pair in figures["confused"][:MOST_PAIRS]
        ],
        "all_pairs": wrong <= MOST_PAIRS,
    }


def plain_label(label: str) -> str:
    """A label as people say it."""
    return _PLAIN.get(label, label.replace("_", " "))


def cut(text: str) -> str:
    """As much of an example as is shown."""
    return text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE]}…"


def format_figures(value: float, whole: float = 100, *, least: int = 1) -> str:
    """A part of a whole with as many digits behind the point, `least` to 2, as tell it from nothing and from all."""
    distance = min(value, whole - value)
    if value <= 0 or distance <= 0:
        return f"{value:g}"
    if distance < 0.01:
        return "<0.01" if value < 1 else f">{whole - 0.01:g}"
    digits = min(2, max(least, 1 - math.floor(math.log10(distance))))
    shown = f"{value:,.{digits}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _format_bounds(part: Mapping[str, Any], whole: float = 100) -> str:
    low, high = (format_figures(whole * bound, whole, least=0) for bound in part["between"])
    return f"{low} to {high}"


def _format_percent(part: Mapping[str, Any]) -> str:
    return f"{format_figures(100 * part['number'] / part['of'])}%"


def _format_thousand(part: Mapping[str, Any]) -> str:
    return format_figures(1000 * part["number"] / part["of"], 1000)


def _name_strength(log_odds: float) -> str:
    size = abs(log_odds)
    return "strongly" if size >= STRONGLY else "somewhat" if size >= SOMEWHAT else "a little"


@cache
def _style() -> str:
    return (files("sb_api.bootstrap.reports") / "templates" / "report.css").read_text("utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sb_api.bootstrap.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "percent": _format_percent,
        "bounds": _format_bounds,
        "per_thousand": _format_thousand,
        "figures": format_figures,
        "strength": _name_strength,
        "plain_label": plain_label,
    }
    return environment
