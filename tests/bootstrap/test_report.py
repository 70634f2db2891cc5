"""What people wrote is shown as they wrote it, on the terminal and on the page; the page needs nothing but itself."""

from __future__ import annotations

import html
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import sb_api.pages
from sb_api.bootstrap.reports.drawing import LEAST_APART, RIGHT, draw_answers, draw_catching, shorten, spread
from sb_api.bootstrap.reports.report import (
    LARGEST_MATRIX,
    MOST_PAIRS,
    SHOWN_CLASSES,
    answer,
    format_figures,
)
from sb_api.cli.terminal.evaluation import print_report
from tests.support.evaluations import HOSTILE, PALETTE, draw, of_editors, of_messages

ASSETS = Path(sb_api.pages.__file__).parent / "assets"


def test_the_terminal_shows_markup_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(of_messages(3, "[/x]\x1b[2J"))
    written = capsys.readouterr().out
    assert "\x1b[2J" not in written
    assert "[/bold]" in written
    assert "[/x]" in written


@pytest.mark.parametrize(("make", "count"), [(of_messages, 3), (of_editors, 300)], ids=["messages", "editors"])
def test_the_page_escapes_what_people_wrote(make: Callable[..., dict[str, Any]], count: int) -> None:
    page = draw(make(count, HOSTILE))
    assert "<script" not in page
    assert page.count(html.escape(HOSTILE)) > 2


@pytest.mark.parametrize(
    ("make", "count"), [(of_messages, 3), (of_messages, 150), (of_editors, 300)], ids=["3", "150", "editors"]
)
def test_the_page_needs_no_script_no_network_and_no_style_but_its_own(
    make: Callable[..., dict[str, Any]], count: int
) -> None:
    page = draw(make(count))
    tags = "".join(re.findall(r"<[^>]*>", page))
    assert not re.search(r"https?:|//|\bsrc=|\bhref=|\bstyle=|\bon\w+=|<link|<script|<img", tags)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "url(" not in style
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="(.*?)"', page)[0])
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'"


def test_colours_have_one_source() -> None:
    assert PALETTE.count("--spam: #") == 2, "light and dark"
    page = draw(of_editors(60))
    assert PALETTE in page
    sheets = [page.replace(PALETTE, ""), (ASSETS / "page.css").read_text("utf-8")]
    known = set(re.findall(r"(--[\w-]+):", PALETTE))
    for sheet in sheets:
        assert not re.findall(r"#[0-9a-f]{6}\b|(--[\w-]+):", sheet)
        assert set(re.findall(r"var\((--[\w-]+)\)", sheet)) <= known


def test_the_first_sentence_says_how_much_spam_is_caught_at_how_many_false_alarms() -> None:
    figures = of_editors(4_000)["figures"]
    (told,) = (row for row in figures["spam"]["at"] if row["innocents_per_thousand"] == 5)
    caught = format_figures(100 * told["caught"]["number"] / told["caught"]["of"])
    assert answer(figures) == (
        f"Of 100 spam accounts {caught} are caught when 5 of 1,000 innocent accounts may be called spam."
    )
    page = draw(of_editors(4_000))
    assert page.index(answer(figures)) < page.index("What lies in each band") < page.index("The worst errors")


def test_of_few_accounts_it_says_that_they_are_too_few() -> None:
    document = of_editors(24)
    assert "too few to tell" in answer(document["figures"])
    page = draw(document)
    assert page.count("too few to tell") > 10
    assert "%" not in re.findall(r'<dl class="tiles">(.*?)</dl>', page, re.DOTALL)[0]


def test_accounts_of_one_label_alone_are_no_error() -> None:
    for label in (0, 1):
        page = draw(of_editors(60, only=label))
        assert "too few accounts for a curve" in page
        assert "too few to tell" in page


def test_of_few_classes_all_pairs_are_shown_and_of_many_the_most_confused() -> None:
    few, many = draw(of_messages(LARGEST_MATRIX)), draw(of_messages(150))
    assert few.count('aria-label="Confusion matrix"') == 1
    assert 'aria-label="Confusion matrix"' not in many
    pairs = re.findall(r'aria-label="Most confused pairs".*?</table>', many, re.DOTALL)[0]
    assert pairs.count("<tr>") == MOST_PAIRS + 1
    assert f"The other {150 - SHOWN_CLASSES}" in many
    assert all(f"label {number}<" in many for number in range(150))


def test_a_class_that_never_occurs_is_no_error() -> None:
    page = draw(of_messages(3, only=0))
    assert "label 0" in page


def test_records_of_which_only_numbers_are_kept_are_said_to_be_so() -> None:
    for document in (of_editors(60), of_messages(3)):
        page = draw(document | {"groups": [], "worst": []})
        assert "only numbers are kept" in page
        assert "Who is judged worse" not in page


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (100, "100"),
        (50.0, "50"),
        (91.26, "91.3"),
        (99.954, "99.95"),
        (99.9999, ">99.99"),
        (0.051, "0.05"),
        (0.0001, "<0.01"),
    ],
)
def test_no_figure_is_rounded_to_none_or_to_all(value: float, shown: str) -> None:
    assert format_figures(value) == shown


@pytest.mark.parametrize("count", [60, 300, 4_000])
def test_a_curve_leads_through_the_points_that_are_marked_on_it(count: int) -> None:
    """A band's border lay below it where other thresholds have as few false alarms and catch more."""
    for plot in (
        draw_catching(of_editors(count)["figures"]["spam"]),
        draw_answers(of_messages(3)["figures"]["answers"]),
    ):
        assert plot is not None
        assert plot.marks
        places = [tuple(map(float, place.split())) for place in re.split("[ML]", plot.line)[1:]]
        assert {(mark.x, mark.y) for mark in plot.marks} <= set(places)
        assert all(a[0] <= b[0] for a, b in pairwise(places))


def test_numbers_that_name_points_stand_apart_also_where_the_points_do_not() -> None:
    document = of_editors(4_000)
    spam = document["figures"]["spam"]
    level = spam["levels"][0]
    plot = draw_catching(spam | {"levels": [level, level, level]})
    assert plot is not None
    places = sorted(mark.label_x for mark in plot.marks)
    assert len(places) == 3
    assert all(b - a >= LEAST_APART - 0.1 for a, b in pairwise(places))
    assert spread([10.0, 11.0, RIGHT], 20.0, 0.0, RIGHT) == [10.0, 30.0, RIGHT]
    assert spread([5.0, 95.0, 96.0], 20.0, 0.0, 100.0) == [5.0, 80.0, 100.0]


def test_a_number_above_a_column_has_four_characters_at_most() -> None:
    numbers = [0, 999, 1_000, 9_949, 9_950, 999_499, 999_500, 12_345_678]
    assert [shorten(number) for number in numbers] == [
        *("0", "999", "1.0k", "9.9k", "10k", "999k", "1M", "12M"),
    ]


def test_messages_that_are_all_refused_are_said_to_be_so() -> None:
    document = of_messages(3, threshold=1.0)
    assert answer(document["figures"]).startswith("No message is answered")
    assert "No message is answered" in draw(document)
