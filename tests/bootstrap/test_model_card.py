"""One record and one template make every model card."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from sb_api.bootstrap.reports.model_card import ModelCard, Table, card_of, render_card
from sb_api.config import Settings

CARD = ModelCard(
    title="the oracle",
    command="sb-api bootstrap",
    facts=[("weights", "`000001-aaaa`"), ("labels", "yes, no")],
    data=["One paragraph. " * 12, "Another & <one>."],
    figures=[Table(("precision", "recall"), [(0.5, 0.25)]), Table(("", "judged"), [("yes", 3), ("no", 4)])],
    notes=["A note."],
    use="For people.",
)


def test_a_card_is_markdown_with_a_line_between_its_parts() -> None:
    lines = render_card(CARD).splitlines()
    assert lines[0] == "# Model card: the oracle"
    assert "| weights | `000001-aaaa` |" in lines
    assert "Another & <one>." in lines
    assert max(map(len, lines)) <= 120
    assert lines[lines.index("| precision | recall |") : lines.index("A note.")] == [
        "| precision | recall |",
        "|---|---|",
        "| 0.5 | 0.25 |",
        "",
        "|  | judged |",
        "|---|---|",
        "| yes | 3 |",
        "| no | 4 |",
        "",
    ]
    for heading in ("## Data", "## Held-out figures", "## Use"):
        place = lines.index(heading)
        assert (lines[place - 1], lines[place + 1]) == ("", "")
    assert not any(one == two == "" for one, two in pairwise(lines))
    assert render_card(CARD).endswith("For people.\n")


def test_a_card_is_that_of_one_version(tmp_path: Path) -> None:
    settings = Settings(state_dir=str(tmp_path))
    assert card_of(settings, "oracle", "000001-aaaa") is None
    path = tmp_path / "docs" / "model-card-oracle.md"
    path.parent.mkdir()
    path.write_text(render_card(CARD), "utf-8")
    assert card_of(settings, "oracle", "000001-aaaa") == path.read_bytes()
    assert card_of(settings, "oracle", "000002-aaaa") is None
