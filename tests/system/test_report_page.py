"""The page of `sb-api evaluate --html`, opened as a file in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browsers import HEAVIEST, PHONE, Visit, chromium
from tests.support.evaluations import draw, of_editors, of_messages

# Pairs of labels of one chart that lie upon each other.
COLLISIONS = """
[...document.querySelectorAll('svg.chart')].flatMap(chart => {
  const boxes = [...chart.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()])
  return boxes.flatMap(([name, a], i) => boxes.slice(i + 1).filter(([, b]) =>
    a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom
  ).map(([other]) => name + ' / ' + other))
})
"""
OUTSIDE = """
[...document.querySelectorAll('svg.chart')].flatMap(chart => {
  const frame = chart.getBoundingClientRect()
  return [...chart.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect()
    return box.left < frame.left - 1 || box.right > frame.right + 1
  }).map(text => text.textContent)
})
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize(
    ("make", "count"), [(of_editors, 4_000), (of_messages, 150)], ids=["editors", "messages of 150 classes"]
)
def test_the_report_can_be_read_by_everyone(
    browser: Browser, tmp_path: Path, make: Callable[[int], dict[str, Any]], count: int
) -> None:
    document = make(count)
    page = draw(document)
    assert len(page.encode()) < HEAVIEST
    (tmp_path / "report.html").write_text(page, "utf-8")
    context = browser.new_context(java_script_enabled=True)
    shown = Visit(context, tmp_path.as_uri())
    opened = shown.open("/report.html")
    name = f"report-{document['model']}"
    for width, height in ((1000, 900), (PHONE["width"], PHONE["height"])):
        opened.set_viewport_size({"width": width, "height": height})
        assert not shown.overflows()
        assert opened.evaluate(COLLISIONS) == []
        assert opened.evaluate(OUTSIDE) == []
        shown.shoot(f"{name}-{width}")
    assert shown.audit() == []
    opened.set_viewport_size({"width": 1000, "height": 900})
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.evaluate("getComputedStyle(document.body).color") == "rgb(23, 32, 28)"  # as on white paper
    folded = opened.locator("details > :not(summary)").first
    assert folded.is_visible(), "what is behind a fold is on paper"
    shown.shoot(f"{name}-print")
    assert shown.complaints == []
    assert shown.foreign == []
    context.close()
