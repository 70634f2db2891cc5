"""docs/tutorial.md tells the truth: its commands, one after the other, do what it says; links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import ROOT, Service

DOCS = ROOT / "docs"
COMMANDS = re.findall(r"```bash\n(.*?)```", (DOCS / "tutorial.md").read_text("utf-8"), re.DOTALL)
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(DOCS.rglob("*.md"))


def test_every_command_of_the_tutorial_does_what_it_says(service: Service, tmp_path: Path) -> None:
    """Pasted one after the other; and `make run`, which comes first, runs what the tests run."""
    assert re.search(r"^run:.*\n\texec \$\(BIN\)/sb-api run\b", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    answers: list[dict[str, Any]] = []
    for command in COMMANDS:
        pasted = command.replace("http://127.0.0.1:4321", service.address)
        done = subprocess.run(["bash", "-euc", pasted], capture_output=True, text=True, timeout=170, cwd=tmp_path)
        assert done.returncode == 0, f"{pasted}\n{done.stderr}"
        answers.append(json.loads(done.stdout))
        assert answers[-1].get("success", True) is True, f"{pasted}\n{done.stdout}"
    _, judged, explained, trained, again, weights, back = answers
    spam, fine = "Spam Editor Account", "Non Spam Editor Account"
    assert judged["predictions"] == {"1": spam, "2": fine, "3": spam}
    assert again["predictions"] == {"1": spam, "2": fine, "3": fine}
    assert explained["reasons"]["1"]
    assert trained["learned"] == 3
    assert again["weights"] == trained["weights"]["version"] != judged["weights"]
    assert weights["slots"]["current"] == again["weights"]
    assert weights["slots"]["previous"] == judged["weights"]
    assert judged["weights"] in json.dumps(back)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_to_a_file_or_heading_leads_there(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text):
        if not re.match(r"[a-z]+:", target):
            name, _, heading = target.partition("#")
            file = page.parent / name if name else page
            assert file.exists(), target
            if heading:
                lines = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}
                assert heading in anchors, target


def test_every_page_is_in_the_index() -> None:
    """docs/README.md sorts all pages by what one wants of them."""
    index = (DOCS / "README.md").read_text("utf-8")
    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]
    assert [page for page in pages if page != "README.md" and f"({page})" not in index] == []
