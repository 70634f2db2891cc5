"""Who may import whom (docs/design: layers), held with the `ast` module and, for the web part, with a real process."""

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

# A module imports only from lower layers, never sideways. Modules named here need not exist yet.
LAYERS = (
    (
        "backpressure",
        "errors",
        "scoring",
        "report",
        "charts",
        "copy_text",
        "synthetic_messages",
        "synthetic_phrases",
        "files",
        "memory",
        "output",
        "throttle",
        "urls",
        "words",
    ),
    (
        *("batches", "credentials", "headers", "supervisor", "redis_address", "blocks", "exchange", "exits"),
        *("readers", "versions", "web_worker"),
    ),
    (
        "calibration",
        "sessions",
        "records",
        "networks",
        "config",
        "tokenizers",
        "databases",
        "masking",
        "synthetic_parts",
    ),
    ("connection", "preprocessing", "graphs", "weights", "verdicts", "recipe", "messages", "synthetic"),
    ("registry", "auth", "pastes", "kinds"),
    ("jobs",),
    ("metrics", "tracing", "logs", "judgements"),
    ("totals", "client"),
    ("worker", "mailbox", "standby", "vitals", "explain", "legacy", "admission", "quality", "datasets"),
    ("classifiers", "contract", "scan", "overview", "shedding"),
    ("fitting", "guard", "intake", "artefacts", "engine", "openapi"),
    ("classify", "retraining", "docs"),
    ("service", "evaluation", "train"),
    ("routes", "problems", "monitoring", "checks", "bootstrap", "trainer"),
    ("tasks", "shortcut"),
    ("pages",),
    ("__init__", "bootstrap_intent"),
    ("server",),
    ("client_cli", "doctor"),
    ("data_cli", "learning_cli", "predict_cli", "doctor_cli", "token_cli", "train_cli"),
    ("weights_cli",),
    ("cli",),
    ("__main__",),
)
LAYER = {module: number for number, layer in enumerate(LAYERS) for module in layer}

MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def parse(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))


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


def own_imports(module: str) -> set[str]:
    """The modules of sb_api that the module imports; "__init__" stands for the package itself."""
    found = set()
    for name in imported_names(module):
        package, _, rest = name.partition(".")
        if package == "sb_api":
            first = rest.partition(".")[0]
            found.add(first if (PACKAGE / f"{first}.py").exists() else "__init__")
    return found


def all_imports(module: str) -> set[str]:
    """What the module imports, and what that imports, and so on."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        for name in own_imports(waiting.pop()) - found:
            found.add(name)
            waiting.append(name)
    return found


def test_every_module_has_a_layer() -> None:
    """A new module gets the lowest one that its imports allow."""
    assert [module for module in MODULES if module not in LAYER] == []


def test_no_module_has_two_layers() -> None:
    assert len(LAYER) == sum(len(layer) for layer in LAYERS)


def test_the_package_is_flat() -> None:
    assert [str(path) for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_lower_layers(module: str) -> None:
    highest = len(LAYERS)
    assert sorted(name for name in own_imports(module) if LAYER.get(name, highest) >= LAYER.get(module, highest)) == []


def test_classify_and_train_never_import_each_other() -> None:
    """They meet at weights.py; neither reaches the other by way of a third module."""
    assert not {"train", "trainer"} & all_imports("classify")
    assert "classify" not in all_imports("trainer")


@pytest.mark.parametrize("module", MODULES)
def test_pickle_is_imported_by_legacy_alone(module: str) -> None:
    modules = {name.partition(".")[0] for name in imported_names(module)}
    assert not modules & ({"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"})
    if module != "legacy":
        assert "pickletools" not in modules


def test_onnxruntime_is_imported_in_the_one_place_that_silences_it() -> None:
    found = [module for module in MODULES for name in imported_names(module) if name.startswith("onnxruntime")]
    assert found == ["engine"]


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


def test_a_web_process_never_imports_what_only_others_need() -> None:
    code = "import sb_api; app = sb_api.create_app(); assert app.url_map is not None"
    modules = modules_after(code)
    assert "sb_api.routes" in modules
    assert not {"tensorflow", "keras", "tf_keras", "sklearn", "h5py", "sb_api.train", "sb_api.classify"} & modules


def test_the_package_alone_imports_nothing_of_it() -> None:
    assert not {name for name in modules_after("import sb_api") if name.startswith(("sb_api.", "flask", "redis"))}
