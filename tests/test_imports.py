"""What a module may import from outside, and when; who may import whom of our own is in test_house."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import sb_api

PACKAGE = Path(sb_api.__file__).parent

MODULES = sorted(".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py"))


def parse(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text("utf-8"))


@cache
def imported_names(module: str) -> list[str]:
    """The dotted name of everything that the module imports anywhere, inside functions and TYPE_CHECKING too."""
    found: list[str] = []
    for node in ast.walk(parse(module)):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            found += (f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_pickle_is_imported_by_legacy_alone(module: str) -> None:
    modules = {name.partition(".")[0] for name in imported_names(module)}
    assert not modules & ({"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"})
    if module != "bootstrap.legacy":
        assert "pickletools" not in modules


def test_onnxruntime_is_imported_in_the_one_place_that_silences_it() -> None:
    found = [module for module in MODULES for name in imported_names(module) if name.startswith("onnxruntime")]
    assert found == ["models.engine"]


@pytest.mark.parametrize("module", MODULES)
def test_keras_is_imported_inside_functions_only(module: str) -> None:
    """A process without a network never carries it. `if TYPE_CHECKING:` is never executed."""
    for node in executed_at_import(parse(module)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            heavy = {"keras", "tensorflow", "tf_keras", "onnx", "onnxruntime"}
            assert not {name.partition(".")[0] for name in names} & heavy, node.lineno


@pytest.mark.parametrize("module", MODULES)
def test_the_environment_is_never_read_at_import(module: str) -> None:
    for node in executed_at_import(parse(module)):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("environ", "environb", "getenv", "getenvb"), node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            assert {alias.name for alias in node.names}.isdisjoint({"environ", "environb", "getenv", "getenvb"})


def executed_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below `node` that runs when the module is imported: no function bodies, no TYPE_CHECKING blocks."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            # Decorators and defaults do run.
            signature = [*getattr(child, "decorator_list", []), *child.args.defaults, *child.args.kw_defaults]
            for part in signature:
                if part is not None:
                    yield part
                    yield from executed_at_import(part)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for part in child.orelse:
                yield part
                yield from executed_at_import(part)
        else:
            yield child
            yield from executed_at_import(child)


@pytest.mark.parametrize("code", ["import os\nA = os.environ['A']", "import os\ndef f(a=os.getenv('A')): pass"])
def test_the_check_sees_what_runs_at_import(code: str) -> None:
    assert any(isinstance(node, ast.Attribute) for node in executed_at_import(ast.parse(code)))


def test_the_check_does_not_see_what_runs_later() -> None:
    code = "import os\ndef f():\n    return os.environ\nif TYPE_CHECKING:\n    import keras\n"
    seen = list(executed_at_import(ast.parse(code)))
    assert not any(isinstance(node, ast.Attribute) for node in seen)
    assert [alias.name for node in seen if isinstance(node, ast.Import) for alias in node.names] == ["os"]


def modules_after(code: str) -> set[str]:
    """The modules that a new process has imported once `code` has run."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True, timeout=60)
    return set(json.loads(ran.stdout.splitlines()[-1]))


def test_the_package_alone_imports_nothing_of_it() -> None:
    assert not {name for name in modules_after("import sb_api") if name.startswith(("sb_api.", "flask", "redis"))}
