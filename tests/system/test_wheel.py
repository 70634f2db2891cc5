"""What is installed from the wheel works as the checkout does, and takes nothing from it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from sb_api.models.classifiers import CLASSIFIERS
from tests.conftest import wait_until
from tests.support.service import EDITOR, NOT_SPAM, ROOT, SPAM, clean_environment, start_service

STATE_OF_THE_BUILDER = ("static/weights/current_lodbrok.h5", "static/verdicts.sqlite", "static/redis/appendonly.aof")
SETTINGS = "from sb_api.config import load_settings; settings = load_settings(); print(settings.state, settings.static)"


def call(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What the command prints. Fails the test when it fails."""
    ended = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which a service has left its state."""
    tree = tmp_path_factory.mktemp("tree")
    listed = call("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT)
    for name in [*listed.split("\0"), *STATE_OF_THE_BUILDER]:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, tree / name)
    for name in STATE_OF_THE_BUILDER:
        (tree / name).write_bytes(b"state")
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder)
    call(sys.executable, "-m", "pip", "wheel", *options, ".", cwd=tree)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment in which the wheel is installed."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    call(sys.executable, "-m", "venv", "--without-pip", environment, cwd=ROOT)
    commands = environment / "bin"
    pip = (sys.executable, "-m", "pip", "--python", commands / "python")
    call(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=ROOT)
    # The packages that it needs are those of this environment. Python reads no `.pth` files of a folder that is added
    # so, thus the checkout, which is installed there by one, is not found.
    packages = call(commands / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=ROOT)
    (Path(packages.strip()) / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return commands


def named(names: Sequence[str], folder: str) -> set[str]:
    return {name for name in names if name.startswith(folder) and not name.endswith(".py")}


def test_the_wheel_holds_the_originals_and_no_state_of_its_builder(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    shipped = {
        *(f"weights/original_{name}.h5" for name in CLASSIFIERS),
        *(f"reference/{name}.npz" for name in CLASSIFIERS),
        *(f"tokenizers/{name}.json" for name in ("bio", "email", "website", "words", "features")),
        *(f"tokenizers/sentiment/{name}.json" for name in ("words", "features")),
    }
    assert named(names, "sb_api/static/") == {f"sb_api/static/{name}" for name in shipped}


def test_the_wheel_holds_all_of_the_package_and_nothing_beside_it(wheel: Path, tree: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.startswith("sb_api/static/")]
    files = {str(path.relative_to(tree)) for path in (tree / "sb_api").rglob("*") if path.is_file()}
    assert {name for name in names if ".dist-info/" not in name} == files
    assert "sb_api/py.typed" in files  # type checkers of whoever uses the client look for it


def test_the_installed_package_is_the_one_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    place = call(installed / "python", "-c", "import sb_api; print(sb_api.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(installed.parent)
    assert call(installed / "sb-api", "--version", cwd=tmp_path).startswith("sb-api, version ")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, "home/.local/state/sb_api"), ({"XDG_STATE_HOME": "other"}, "other/sb_api")],
    ids=["by default", "with XDG_STATE_HOME"],
)
def test_state_is_kept_in_the_users_state_folder(
    installed: Path, tmp_path: Path, variables: dict[str, str], expected: str
) -> None:
    """Not among the installed files, which may belong to another user and go with the next release."""
    given = {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": ""}
    given |= {name: str(tmp_path / value) for name, value in variables.items()}
    state, static = call(installed / "python", "-c", SETTINGS, cwd=tmp_path, **given).split()
    assert state == str(tmp_path / expected)
    assert Path(static).is_relative_to(installed.parent)


def test_the_installed_service_runs_predicts_and_stops(installed: Path, tmp_path: Path) -> None:
    """From another directory, and with nothing written to where it is installed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before = {path for path in installed.parent.rglob("*") if "__pycache__" not in path.parts}
    command = (str(installed / "sb-api"), "run", "--port", "0")
    with start_service(tmp_path / "state", tmp_path, command, elsewhere) as service:
        for child in service.children():
            assert str(ROOT / "sb_api") not in " ".join(child.cmdline())
        wait_until(lambda: service.ready()["classify_processes"], 90)
        answer = service.post("/predict", [EDITOR])
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"]["2478"] in (SPAM, NOT_SPAM)
        assert service.stop() == 0
    assert {path for path in installed.parent.rglob("*") if "__pycache__" not in path.parts} == before
    assert list(elsewhere.iterdir()) == []
