"""The one import rule (docs/architecture.md): a room imports only rooms to its right."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import sb_api

RULE = """__main__ > cli > __init__ > routes > pages > web > auth > local > client > bootstrap > synthetic > classify
> learning > verdicts > shadow > models > preprocessing > webhooks > review > readers > text > processes
> telemetry > broker > vocabulary"""
LISTS = """arrays blanks config database_urls errors files json_bodies judgements memory records versions
routes pages web auth client
local bootstrap synthetic classify learning verdicts shadow models processes"""
ORDER = RULE.replace(">", "").split()
VOCABULARY, WEB, BEHIND_THE_QUEUE = map(str.split, LISTS.splitlines())
PACKAGE = Path(sb_api.__file__).parent


def room(name: str) -> str:
    return "vocabulary" if name in VOCABULARY else "learning" if name == "train" else name


def imports_of(source: str) -> set[str]:
    """The rooms that a module imports, anywhere in it; "__init__" is the package itself."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [f"{getattr(node, 'module', '')}.{alias.name}".lstrip(".") for node in nodes for alias in node.names]
    known = {path.stem for path in PACKAGE.iterdir()}
    second = {(*name.split("."), "")[1] for name in names if name.split(".")[0] == "sb_api"}
    return {room(name) if name in known else "__init__" for name in second}


def arrows() -> set[tuple[str, str]]:
    paths = [(room(path.relative_to(PACKAGE).with_suffix("").parts[0]), path) for path in PACKAGE.rglob("*.py")]
    return {(left, right) for left, path in paths for right in imports_of(path.read_text("utf-8")) if left != right}


def test_a_room_imports_only_rooms_to_its_right() -> None:
    found = arrows()
    assert {left for left, _ in found} == set(ORDER) - {"vocabulary"}
    for left, right in found:
        assert ORDER.index(left) < ORDER.index(right), (left, right)
        assert not (left in WEB and right in BEHIND_THE_QUEUE), (left, right)
        assert {left, right} != {"classify", "learning"}


def test_no_directory_has_more_than_fifteen_modules() -> None:
    modules = Counter(path.parent for path in PACKAGE.rglob("*.py") if path.stem not in ("__init__", "__main__"))
    assert max(modules.values()) <= 15, modules.most_common(2)


def test_a_web_process_loads_no_numbers() -> None:
    script = "import sb_api, sys; sb_api.create_app(); print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.check_output([sys.executable, "-c", script], text=True).split()
    assert not {"numpy", "h5py", "sqlalchemy", "keras", "tensorflow", "onnxruntime", "sklearn"} & set(loaded)
