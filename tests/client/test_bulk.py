"""A scan may be broken off at any instant: begun again, each record is in the results once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_api.client import Client
from sb_api.client.bulk import Identity, finish, journal_of, open_output, scan
from sb_api.client.rows import Fault, Judgement
from sb_api.errors import InvalidParameter, Unavailable
from sb_api.readers.rows import Batch, Position, WrongRow
from tests.client.test_http import scripted
from tests.conftest import wait_until
from tests.support.service import ROOT, Service, clean_environment, make_editors

IDENTITY = Identity("x", "jsonl", (), "lodbrok", False, "jsonl")


def open_here(folder: Path, identity: Identity = IDENTITY, **options: Any) -> Any:
    return open_output(folder / "out", folder / "out.wrong", identity, **options)


def batch(number: int) -> tuple[Batch, list[Judgement | Fault]]:
    """The outcomes of three rows: one judged, one the service found wrong, one that could not be sent."""
    rows = Batch(
        rows=[b'{"id": %d}' % number, b'{"id": null}'],
        lines=[3 * number + 1, 3 * number + 2],
        wrong=[WrongRow(3 * number + 3, "is not CSV", b"\xff")],
        end=Position(3 * number + 3, 100 * (number + 1)),
    )
    return rows, [Judgement(number, "spam", 0.5, "unsure", "w"), Fault(1, "id", "is null")]


def ids(path: Path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]


def test_wrong_rows_are_told_with_their_lines_and_texts_in_order(tmp_path: Path) -> None:
    with open_here(tmp_path) as output:
        output.append(*batch(1))
        assert (output.committed.judged, output.committed.faults) == (1, 2)
    assert [json.loads(line) for line in (tmp_path / "out.wrong").read_bytes().splitlines()] == [
        {"line": 5, "field": "id", "detail": "is null", "row": '{"id": null}'},
        {"line": 6, "field": "", "detail": "is not CSV", "row": "\ufffd"},
    ]
    for name in ("out", "out.wrong", "out.journal"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@settings(max_examples=60)
@given(cut=st.data())
def test_wherever_the_files_end_a_scan_goes_on_without_loss_or_repetition(
    kind: Any, cut: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As after a kill in the middle of a write, or a power cut that took the end of any of the files."""
    folder = tmp_path_factory.mktemp("scan")
    identity = Identity("x", "jsonl", (), "lodbrok", False, kind)
    with open_here(folder, identity) as output:
        for number in range(4):
            output.append(*batch(number))
    whole = {name: (folder / name).read_bytes() for name in ("out", "out.wrong", "out.journal")}
    head = whole["out.journal"].index(b"\n") + 1  # the first line is stored before anything else
    for name, content in whole.items():
        least = head if name == "out.journal" else 0
        (folder / name).write_bytes(
            content[: cut.draw(st.integers(least, len(content)))] + cut.draw(st.binary(max_size=0))
        )
    with open_here(folder, identity) as output:
        for number in range(output.committed.line // 3, 4):
            output.append(*batch(number))
    assert (folder / "out").read_bytes() == whole["out"]
    assert (folder / "out.wrong").read_bytes() == whole["out.wrong"]


def test_the_journal_goes_when_all_is_done_and_results_are_not_overwritten(tmp_path: Path) -> None:
    with open_here(tmp_path) as output:
        output.append(*batch(0))
        finish(tmp_path / "out", tmp_path / "out.wrong")
    assert not journal_of(tmp_path / "out").exists()
    with pytest.raises(InvalidParameter, match="--restart"), open_here(tmp_path):
        pass
    assert ids(tmp_path / "out") == [0]
    with open_here(tmp_path, restart=True) as output:
        output.append(*batch(7))
    assert ids(tmp_path / "out") == [7]


def test_another_scan_or_another_process_does_not_write_into_it(tmp_path: Path) -> None:
    with open_here(tmp_path) as output:
        output.append(*batch(0))
        with pytest.raises(InvalidParameter, match="Another process"), open_here(tmp_path):
            pass
    other = Identity("y", "jsonl", (), "lodbrok", False, "jsonl")
    with pytest.raises(InvalidParameter, match="another file"), open_here(tmp_path, other):
        pass
    assert ids(tmp_path / "out") == [0]


def test_what_was_judged_before_the_service_went_away_is_kept(tmp_path: Path) -> None:
    answer = (200, {}, b'{"predictions": {"1": "x"}, "scores": {"1": 0.5}, "weights": "w"}')
    gone = (503, {}, b'{"type": "urn:sb_api:problem:unavailable", "detail": "gone"}')
    batches = [Batch([b'{"id": 1}'], [n + 1], end=Position(n + 1, n + 1)) for n in range(9)]
    with scripted(answer, answer, gone) as server, Client(server.address, patience=0.2) as client:
        with open_here(tmp_path) as output, pytest.raises(Unavailable):
            scan(client.judge_rows, iter(batches), output, in_flight=1)
        assert output.committed.line == len(ids(tmp_path / "out")) == 2


def write_editors(path: Path, count: int) -> None:
    path.write_bytes(b"".join(json.dumps(editor).encode() + b"\n" for editor in make_editors(count)))


@pytest.fixture
def environment(service: Service) -> dict[str, str]:
    return clean_environment(SB_API_URL=service.address)


def start_scan(folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sb_api", "predict", str(folder / "in.jsonl"), "-o", str(folder / "out")]
    return subprocess.Popen(
        [*command, "--rows", "50", "--in-flight", "2"], cwd=ROOT, env=environment, stderr=subprocess.PIPE
    )


def judged(folder: Path) -> int:
    path = folder / "out"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def interrupted(folder: Path, environment: dict[str, str], number: int, at: int) -> subprocess.Popen[bytes]:
    process = start_scan(folder, environment)
    wait_until(lambda: judged(folder) >= at or process.poll() is not None, 60, 0.002)
    process.send_signal(number)
    process.wait(30)
    return process


def test_killed_again_and_again_each_record_is_judged_once(tmp_path: Path, environment: dict[str, str]) -> None:
    count = 6000
    write_editors(tmp_path / "in.jsonl", count)
    for at in (500, 1500, 2500):
        killed = interrupted(tmp_path, environment, signal.SIGKILL, at)
        assert killed.returncode == -signal.SIGKILL
        killed.stderr.close()  # type: ignore[union-attr]
    assert 2500 <= judged(tmp_path) < count
    last = start_scan(tmp_path, environment)
    _, told = last.communicate(timeout=100)
    assert last.returncode == 0, told
    assert b"Going on after line" in told
    assert ids(tmp_path / "out") == list(range(count))
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stores_what_is_under_way_and_says_how_to_go_on(
    number: int, tmp_path: Path, environment: dict[str, str]
) -> None:
    count = 4000
    write_editors(tmp_path / "in.jsonl", count)
    stopped = interrupted(tmp_path, environment, number, 300)
    assert stopped.stderr is not None
    told = stopped.stderr.read()
    stopped.stderr.close()
    assert stopped.returncode == 130, told
    assert b"goes on from here" in told
    first = ids(tmp_path / "out")
    assert first == list(range(len(first)))
    assert len(first) < count
    last = start_scan(tmp_path, environment)
    _, told = last.communicate(timeout=100)
    assert last.returncode == 0, told
    assert Counter(ids(tmp_path / "out")) == Counter(range(count))


@pytest.mark.parametrize("name", ["out", "out.wrong"])
def test_a_scan_that_could_not_go_on_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    """Of /dev/null only an errno was told, and /dev got a journal."""
    (tmp_path / name).symlink_to("/dev/null")
    with pytest.raises(InvalidParameter, match=f"{name} is no regular file"), open_here(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]
