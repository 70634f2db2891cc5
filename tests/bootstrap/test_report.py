"""What people wrote is shown as they wrote it, on the terminal and on the page."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pytest

from sb_api.bootstrap.reports.report import LARGEST_MATRIX, render_html
from sb_api.cli.terminal.evaluation import print_report
from sb_api.models.measures import describe_classes

HOSTILE = "[/bold] <script>alert(1)</script> [red]"


def document(labels: int, example: str = "a text") -> dict[str, Any]:
    random = np.random.default_rng(1)
    targets = np.repeat(np.arange(labels), 4)
    scores = random.dirichlet(np.ones(labels), len(targets))
    figures = describe_classes(targets, scores, [f"label {n}" for n in range(labels)])
    for pair in figures["confused"]:
        pair["examples"] = [example]
    return {"model": "intent", "weights": "000000-00000000", "source": HOSTILE, "figures": figures}


def test_the_terminal_shows_markup_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(document(3, "[/x]\x1b[2J"))
    written = capsys.readouterr().out
    assert "\x1b[2J" not in written
    assert "[/bold]" in written
    assert "[/x]" in written


def test_the_page_escapes_what_people_wrote() -> None:
    page = render_html(document(3, HOSTILE))
    assert "<script" not in page
    assert page.count(html.escape(HOSTILE)) > 1


@pytest.mark.parametrize("labels", [2, LARGEST_MATRIX + 5])
def test_four_pictures_for_few_labels_and_for_many(labels: int) -> None:
    page = render_html(document(labels))
    assert page.count("<svg") == page.count("</svg>") == 4
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "")


def test_a_class_that_never_occurs_is_no_error() -> None:
    targets = np.array([0, 0])
    figures = describe_classes(targets, np.array([[0.9, 0.1], [0.4, 0.6]]), ["a", "b"])
    figures["confused"] = []
    assert "b" in render_html({"model": "m", "weights": "w", "source": "s", "figures": figures})
