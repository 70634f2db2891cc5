"""A kill at any instant of a rotation leaves weights that work: shown by a kill -9 at every step of every rotation.

Run as a script, this file does the killing: it forks a process for each step, which kills itself right before or right
after the system call of that step. It imports no network, so that a fork costs milliseconds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sb_api.models.weights_file import Weights, dump_weights
from sb_api.models.weights_store import WeightsStore
from sb_api.versions import SLOTS
from tests.support.factories import make_weights, same_weights, unmeasured

ORIGINAL, ONE, TWO, THREE, FOUR = (make_weights(number) for number in range(5))
ANOTHER_ORIGINAL = make_weights(0, seed=5)

# What changes files. Python writes and closes through these, or through nothing that a kill could leave half done.
CALLS = ("open", "fsync", "replace", "rename", "link", "symlink", "unlink", "mkdir", "rmdir", "truncate")


def open_store(folder: Path) -> WeightsStore:
    return WeightsStore("lodbrok", folder / "shipped.h5", folder / "weights", kept=2)


def learn(weights: Weights) -> Callable[[WeightsStore], None]:
    """What a training does with its candidate."""

    def act(store: WeightsStore) -> None:
        store.save(weights)
        store.promote(weights.about.version)

    return act


def roll_back(weights: Weights) -> Callable[[WeightsStore], None]:
    return lambda store: store.promote(weights.about.version)


def replace_original(store: WeightsStore) -> None:
    store.install_original(ANOTHER_ORIGINAL)


# What was learned before, what is killed, and the numbers that may be current afterwards.
SCENARIOS: dict[str, tuple[list[Weights], Callable[[WeightsStore], None], list[Weights]]] = {
    "the first training": ([], learn(ONE), [ORIGINAL, ONE]),
    "the second training": ([ONE], learn(TWO), [ONE, TWO]),
    "a training after which a version is removed": ([ONE, TWO, THREE], learn(FOUR), [THREE, FOUR]),
    "back to previous": ([ONE, TWO], roll_back(ONE), [TWO, ONE]),
    "back to the original": ([ONE, TWO], roll_back(ORIGINAL), [TWO, ORIGINAL]),
    "back to the original that is current": ([], roll_back(ORIGINAL), [ORIGINAL]),
    "a new original": ([ONE, TWO], replace_original, [TWO, ONE, ORIGINAL, ANOTHER_ORIGINAL]),
}


def prepare(folder: Path, scenario: str) -> None:
    folder.mkdir()
    (folder / "shipped.h5").write_bytes(dump_weights(ORIGINAL))
    store = open_store(folder)
    for weights in SCENARIOS[scenario][0]:
        learn(weights)(store)


class Steps:
    """Counts the calls that change files, and dies before or after the one whose turn it is."""

    def __init__(self, step: int, when: str) -> None:
        self.step = step
        self.when = when
        self.names: list[str] = []

    def patch(self) -> None:
        for name in CALLS:
            setattr(os, name, self._counted(name, getattr(os, name)))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.names.append(name)
            mine = len(self.names) - 1 == self.step
            if mine and self.when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return call(*arguments, **options)
            finally:
                if mine:
                    os.kill(os.getpid(), signal.SIGKILL)

        return counted


def copy(folder: Path, to: Path) -> None:
    subprocess.run(["cp", "-a", folder, to], check=True)  # keeps hard links


def rotate_in_fork(folder: Path, prepared: Path, scenario: str, step: int, when: str) -> tuple[list[str], bool]:
    """The calls that a process got to make in a copy of what was prepared, and whether it was killed."""
    copy(prepared, folder)
    store = open_store(folder)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            steps = Steps(step, when)
            steps.patch()
            SCENARIOS[scenario][1](store)
            os.write(write, json.dumps(steps.names).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as pipe:
        names = pipe.read()
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return (json.loads(names) if names else []), killed


def kill_at_every_step(base: Path) -> dict[str, Any]:
    """Leaves a folder for every kill, by scenario, and one for the rotation that was left alone."""
    os.fsync = lambda _: None  # type: ignore[assignment]  # a killed process leaves its pages to the system
    report: dict[str, Any] = {}
    for number, scenario in enumerate(SCENARIOS):
        folder, prepared = base / str(number), base / f"{number} prepared"
        folder.mkdir()
        prepare(prepared, scenario)
        names, killed = rotate_in_fork(folder / "whole", prepared, scenario, -1, "never")
        kills = {
            f"{step}-{when}": rotate_in_fork(folder / f"{step}-{when}", prepared, scenario, step, when)[1]
            for step in range(len(names))
            for when in ("before", "after")
        }
        report[scenario] = {"folder": str(folder), "names": names, "kills": {"whole": killed, **kills}}
    return report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    base = tmp_path_factory.mktemp("kills")
    environment = {**unmeasured(), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.models.test_weights_store_kill", str(base)]
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=150)
    return json.loads(ran.stdout)


def killed(folder: Path) -> list[Path]:
    return [left for left in sorted(folder.iterdir()) if left.name != "whole"]


def contents(folder: Path) -> frozenset[tuple[str, int, bytes]]:
    """All that is in a folder: names, how many names a file has, bytes."""
    return frozenset(
        (str(path.relative_to(folder)), path.lstat().st_nlink, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    )


def killed_stores(folder: Path) -> list[WeightsStore]:
    """What the kills have left; of several that left the same, one."""
    return [open_store(left) for left in {contents(left): left for left in killed(folder)}.values()]


def partial_files(store: WeightsStore) -> list[Path]:
    return [path for path in store.directory.rglob("*") if path.is_file() and path.suffix != ".h5"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_step_of_a_rotation_was_met_by_a_kill(report: Any, scenario: str) -> None:
    """Otherwise the tests below would show nothing."""
    names, kills = report[scenario]["names"], dict(report[scenario]["kills"])
    assert {"open", "fsync", "replace"} <= set(names)
    assert not kills.pop("whole")
    assert len(kills) == 2 * len(names) == len(killed(Path(report[scenario]["folder"])))
    assert [step for step, killed in kills.items() if not killed] == []


def test_the_rotations_take_every_kind_of_step(report: Any) -> None:
    taken = {name for about in report.values() for name in about["names"]}
    assert {"open", "fsync", "replace", "link", "unlink", "mkdir"} <= taken


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_a_kill_leaves_is_the_old_or_the_new_version_whole(report: Any, scenario: str) -> None:
    expected = SCENARIOS[scenario][2]
    found = set()
    for store in killed_stores(Path(report[scenario]["folder"])):
        current = store.load_current()
        assert any(same_weights(current, weights) for weights in expected), store.directory
        found.add(current.about.version)
    # The first step has a kill before it, the last one a kill after it: both must occur.
    assert {expected[0].about.version, expected[-1].about.version} <= found


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_kill_leaves_a_damaged_file_under_a_name_that_counts(
    report: Any, scenario: str, caplog: pytest.LogCaptureFixture
) -> None:
    for store in killed_stores(Path(report[scenario]["folder"])):
        chain = store.chain()
        for slot in SLOTS:
            if store._path(slot).exists():
                assert store.load(slot).about.version == chain.slots[slot]
        for about in chain.versions:
            assert store.load_version(about.version).about == about
        assert chain.resolve("current") in {weights.about.version for weights in SCENARIOS[scenario][2]}
    assert caplog.records == []  # nothing had to be passed over


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_doing_it_again_after_a_kill_completes_it(
    report: Any, scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same slots as if it had never been killed: doing it twice does not go two steps."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    copy(Path(report[scenario]["folder"]), tmp_path / "copy")
    slots = open_store(tmp_path / "copy" / "whole").chain().slots
    left = []
    for store in killed_stores(tmp_path / "copy"):
        left += partial_files(store)
        store.clean()
        assert partial_files(store) == []
        SCENARIOS[scenario][1](store)
        assert open_store(store.directory.parent).chain().slots == slots, store.directory
        assert same_weights(store.load_current(), SCENARIOS[scenario][2][-1]), store.directory
        assert partial_files(store) == []
    assert left  # kills do leave something for `clean`


if __name__ == "__main__":
    print(json.dumps(kill_at_every_step(Path(sys.argv[1]))))
