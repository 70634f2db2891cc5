"""The README tells the truth: its curl lines work as pasted, its settings exist."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from sb_api.config import describe_settings
from tests.support.service import Service

README = Path(__file__).parents[2] / "README.md"
COMMANDS = re.findall(r"```bash\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
CLIENT_SETTINGS = ("SB_API_URL", "SB_API_TOKEN", "SB_API_TOKEN_FILE")


def test_every_setting_that_it_names_is_there() -> None:
    named = set(re.findall(r"`(SB_API_\w+)", README.read_text("utf-8"))) - {"SB_API_", *CLIENT_SETTINGS}
    assert named <= {name for name, _, _ in describe_settings()}


@pytest.mark.parametrize("command", COMMANDS, ids=[str(number) for number in range(len(COMMANDS))])
def test_every_curl_line_does_what_it_says(command: str, service: Service) -> None:
    """Each block, pasted into a shell, prints JSON that says success."""
    pasted = command.replace("http://127.0.0.1:4321", service.address)
    done = subprocess.run(["bash", "-euc", pasted], capture_output=True, text=True, timeout=150, check=True)
    assert json.loads(done.stdout)["success"] is True
