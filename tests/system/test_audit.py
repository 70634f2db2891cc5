"""`make lint` fails on a known vulnerability, and says aloud what it could not ask about."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[2] / ".ci" / "audit.py"
SOUND = '{"name": "a", "version": "1", "vulns": []}'
BAD = '{"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}'
UNKNOWN = '{"name": "c", "skip_reason": "not found"}'


@pytest.mark.parametrize(
    ("stdout", "code", "told"),
    [
        (f'{{"dependencies": [{SOUND}]}}', 0, "0 known vulnerabilities in 1 packages asked about"),
        (f'{{"dependencies": [{SOUND}, {BAD}]}}', 1, "b 2: PYSEC-1, mended by 2.1"),
        (
            f'{{"dependencies": [{BAD}, {UNKNOWN}]}}',
            1,
            "WARNING: pip-audit could ask about 1 of 2 packages; not about: c",
        ),
        (f'{{"dependencies": [{UNKNOWN}]}}', 0, "WARNING: pip-audit could ask about none of 1 packages"),
        ("", 0, "WARNING: pip-audit could ask about no package: the network is away"),
    ],
    ids=["sound", "vulnerable", "vulnerable and unknown", "unknown", "no network"],
)
def test_findings_fail_and_what_was_not_asked_is_said(tmp_path: Path, stdout: str, code: int, told: str) -> None:
    """The answers are those of pip-audit's format, from a module that stands in for it: none can be had to order."""
    (tmp_path / "pip_audit.py").write_text(
        f"import sys\nprint({stdout!r})\nprint('the network is away', file=sys.stderr)\nsys.exit({code})\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, AUDIT], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    assert told in done.stdout
