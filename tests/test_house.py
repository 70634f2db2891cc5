"""The one import rule (docs/architecture.md): a room imports only rooms to its right."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import sb_api

RULE = (
    "__main__ > cli > __init__ > routes > pages > web > auth > local > client > bootstrap > synthetic > classify"
    " > learning > verdicts > shadow > models > preprocessing > webhooks > review > readers > text > processes"
    " > telemetry > broker > vocabulary"
)
ORDER = RULE.split(" > ")
VOCABULARY = (
    "arrays",
    "config",
    "database_urls",
    "errors",
    "files",
    "json_bodies",
    "judgements",
    "memory",
    "records",
    "versions",
)
WEB = {"routes", "pages", "web", "auth", "client"}
BEHIND_THE_QUEUE = {
    "local",
    "bootstrap",
    "synthetic",
    "classify",
    "learning",
    "verdicts",
    "shadow",
    "models",
    "processes",
}
PACKAGE = Path(sb_api.__file__).parent


def room(name: str) -> str:
    return "vocabulary" if name in VOCABULARY else "learning" if name == "train" else name


def imports_of(source: str) -> set[str]:
    """The rooms that a module imports, anywhere in it; "__init__" is the package itself."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    parts = [name.split(".") for name in names if name.split(".")[0] == "sb_api"]
    known = {path.stem for path in PACKAGE.iterdir()}
    return {room(part[1]) if len(part) > 1 and part[1] in known else "__init__" for part in parts}


@cache
def arrows() -> set[tuple[str, str]]:
    paths = [(room(path.relative_to(PACKAGE).with_suffix("").parts[0]), path) for path in PACKAGE.rglob("*.py")]
    return {(left, right) for left, path in paths for right in imports_of(path.read_text("utf-8")) if left != right}


def test_every_room_is_in_the_rule_and_has_something_to_the_right() -> None:
    assert {left for left, _ in arrows()} == set(ORDER) - {"vocabulary"}


@pytest.mark.parametrize("left", ORDER)
def test_a_room_imports_only_rooms_to_its_right(left: str) -> None:
    for right in (right for start, right in arrows() if start == left):
        assert ORDER.index(left) < ORDER.index(right), right
        assert not (left in WEB and right in BEHIND_THE_QUEUE), right
        assert {left, right} != {"classify", "learning"}


def test_a_web_process_loads_no_numbers() -> None:
    script = "import sb_api, sys; sb_api.create_app(); print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout.split()
    assert not {"numpy", "h5py", "sqlalchemy", "keras", "tensorflow", "onnxruntime", "sklearn"} & set(loaded)
