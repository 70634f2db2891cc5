"""The README tells the truth: its curl lines work as pasted, its settings table is that of the code."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from service import Service

from sb_api.config import describe_settings

README = Path(__file__).parent.parent / "README.md"
COMMANDS = re.findall(r"```bash\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


def test_the_settings_table_is_that_of_the_code() -> None:
    table = README.read_text("utf-8")
    for name, default, description in describe_settings():
        assert f"| `{name}` | {f'`{default}`' if default else ''} | {description} |" in table


@pytest.mark.parametrize("command", COMMANDS, ids=[str(number) for number in range(len(COMMANDS))])
def test_every_curl_line_does_what_it_says(command: str, service: Service) -> None:
    """Each block, pasted into a shell, prints JSON that says success."""
    pasted = command.replace("http://127.0.0.1:4321", service.address)
    done = subprocess.run(["bash", "-euc", pasted], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["success"] is True
