"""docs/reference/ is what the code says today."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.support.service import ROOT

FOLDER = ROOT / "docs" / "reference"
REFERENCE = runpy.run_path(str(FOLDER / "generate.py"))["REFERENCE"]


@pytest.mark.parametrize("name", REFERENCE)
def test_a_page_of_the_reference_is_up_to_date(name: str) -> None:
    """`make docs` writes it anew."""
    assert (FOLDER / name).read_text("utf-8") == REFERENCE[name]()


def test_every_page_of_the_reference_is_generated() -> None:
    assert {path.name for path in Path(FOLDER).glob("*.md")} == set(REFERENCE)
