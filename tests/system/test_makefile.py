"""`make` looks at the Python that it is given before anything is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.service import ROOT, clean_environment

# A Python of some version, which writes down what it is asked for, and makes no environment.
PYTHON = """#!/bin/sh
echo "$@" >> asked
case "$1" in
    -V) echo "Python {version}" ;;
    -c) exit {too_old} ;;
    *) exit 9 ;;
esac
"""


def make(folder: Path, version: str, there: str = "") -> subprocess.CompletedProcess[str]:
    """`make run` with a Python of a version, where an environment of another one may be there already."""
    for name in ("Makefile", "requirements.lock", "setup.py"):
        shutil.copy(ROOT / name, folder)
    own = folder / "python"
    own.write_text(PYTHON.format(version=version, too_old=int(version < "3.11")))
    own.chmod(0o755)
    if there:
        other = folder / ".venv" / "bin" / "python"
        other.parent.mkdir(parents=True)
        other.write_text(PYTHON.format(version=there, too_old=0))
        other.chmod(0o755)
    command = ["make", "run", "PYTHON=./python"]
    return subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False)


def asked(folder: Path) -> list[str]:
    return [line for line in (folder / "asked").read_text().splitlines() if line.startswith("-m")]


def test_a_python_that_is_too_old_is_told_in_one_sentence_and_nothing_is_made(tmp_path: Path) -> None:
    """It ended in a requirement that cannot be met, and left an environment that a newer Python could not use."""
    made = make(tmp_path, "3.10.4")
    assert made.returncode != 0
    first = made.stderr.splitlines()[0]
    assert first == "sb_api needs Python 3.11 or newer, and ./python is Python 3.10.4: make run PYTHON=python3.11"
    assert asked(tmp_path) == []
    assert not (tmp_path / ".venv").exists()


def test_an_environment_of_another_python_is_made_anew_and_one_of_this_is_kept(tmp_path: Path) -> None:
    for there, wanted in (("3.11.2", "-m venv --clear .venv"), ("3.12.1", "-m venv .venv")):
        folder = tmp_path / there
        folder.mkdir()
        make(folder, "3.12.1", there)
        assert asked(folder) == [wanted]
