"""`sb_api.load()` and `sb-api predict --local` answer what a service with the same weights answers."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sb_api
from sb_api.bootstrap.artefacts import export_artefact
from sb_api.client import Client
from sb_api.client.rows import Fault, Judgement
from sb_api.config import load_settings
from sb_api.errors import InvalidParameter, InvalidSettings, InvalidWeights, Unavailable, UnknownVersion
from sb_api.local.judge import Judge, Reference
from sb_api.local.scan import judging_processes
from sb_api.models.classifiers import LODBROK
from tests.support.service import ROOT, Service, clean_environment, make_editors

HOSTILE: list[Any] = [
    {"id": "x" * 300},
    {"id": 7, "bio": "\ud800".encode("utf-8", "replace").decode()},
    b"{",
    3,
    {"id": 8},
]


@pytest.fixture(scope="module")
def judge() -> Judge:
    """With the shipped weights."""
    return sb_api.load(source=ROOT / "static")


def test_editors_are_judged_as_by_the_service(service: Service) -> None:
    local = sb_api.load(source=service.redis_url)
    editors = [*make_editors(60), *HOSTILE]
    with Client(service.address) as client:
        for explain in (False, True):
            assert local(editors, explain=explain) == list(client.judge(editors, explain=explain))
        assert local.version == client.weights().slots["current"]


def test_messages_are_judged_as_by_the_service(service: Service) -> None:
    messages = [{"id": n, "text": f"how do I merge {n} artists?"} for n in range(20)] + [{"id": 21, "text": " "}]
    with Client(service.address) as client:
        assert sb_api.load("intent", service.state)(messages) == list(client.judge(messages, model="intent"))


def test_it_loads_nothing_that_serves_or_trains(tmp_path: Path) -> None:
    artefact = export_artefact(load_settings({}, state_dir=str(tmp_path / "state")), LODBROK, tmp_path / "out")
    script = (
        "import sys, sb_api;"
        "[sb_api.load(source=source)([{'id': 1}]) for source in sys.argv[1:]];"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", script, "static", str(artefact)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT)
    served = {"flask", "redis", "tensorflow", "keras", "gunicorn", "gevent", "sqlalchemy", "prometheus_client"}
    assert not served & set(done.stdout.split())


def test_a_pickle_is_the_reference_alone(judge: Judge) -> None:
    stored = pickle.dumps(judge)
    assert len(stored) < 300
    again = pickle.loads(stored)
    assert again == judge
    assert again(make_editors(3)) == judge(make_editors(3))


def test_a_pickle_of_a_version_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownVersion, match="999999"):
        sb_api.load(source=tmp_path, version="999999-00000000")


def test_several_threads_get_what_one_gets(judge: Judge) -> None:
    parts = [make_editors(20, start=20 * n) for n in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(judge, parts)) == [judge(part) for part in parts]


def test_a_wrong_row_changes_nothing_of_the_others(judge: Judge) -> None:
    """Without one, rows are judged without what a service would do besides."""
    editors = [json.dumps(editor).encode() for editor in make_editors(30)]
    intents = [json.dumps({"id": str(number), "text": f"thanks for {number} merges"}).encode() for number in range(30)]
    for one, rows in ((judge, editors), (sb_api.load("intent", ROOT / "static"), intents)):
        for wrong in (b"{", rows[0], rows[0].replace(b"{", b'{"other": 1, ')):
            *outcomes, fault = one.judge_rows([*rows, wrong])
            assert outcomes == one.judge_rows(rows)
            assert isinstance(fault, Fault)
    assert judge.judge_rows([]) == []


def test_places_of_faults_are_counted_over_all_records(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb_api.local.judge.ROWS", 2)
    outcomes = judge([{"id": 1}, {"id": 2}, {"id": 3}, {"id": None}, {"id": 5}])
    assert [type(outcome) for outcome in outcomes] == [Judgement, Judgement, Judgement, Fault, Judgement]
    assert isinstance(outcomes[3], Fault)
    assert outcomes[3].row == 3


def test_what_is_no_source_is_named(tmp_path: Path, redis_url: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidSettings, match="no directory"):
        sb_api.load(source=tmp_path / "file")
    with pytest.raises(InvalidParameter, match="there are lodbrok, intent"):
        sb_api.load("spam")
    with pytest.raises(Unavailable):
        sb_api.load(source="redis://127.0.0.1:1")


def predict_local(folder: Path, *options: str, name: str = "editors.jsonl") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sb_api", "predict", str(folder / name), "--local", *options]
    environment = clean_environment(SB_API_STATE_DIR=str(folder / "state"))
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_file_is_judged_without_a_service(tmp_path: Path, judge: Judge) -> None:
    editors = make_editors(500)
    lines = [json.dumps(editor) for editor in editors]
    (tmp_path / "editors.jsonl").write_text("\n".join([*lines[:100], '{"id": null}', *lines[100:]]))
    done = predict_local(tmp_path, "-o", str(tmp_path / "out"), "--rows", "64", "--processes", "2")
    assert done.returncode == 3, done.stderr
    assert "2 processes" in done.stderr
    found = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    expected = judge(editors)
    assert [one["id"] for one in found] == [editor["id"] for editor in editors]
    assert [one["score"] for one in found] == pytest.approx([one.score for one in expected], abs=1e-6)  # type: ignore[union-attr]
    assert "101" in (tmp_path / "out.wrong").read_text()


def test_options_of_one_way_are_refused_for_the_other(tmp_path: Path) -> None:
    (tmp_path / "editors.jsonl").write_text('{"id": 1}\n')
    done = predict_local(tmp_path, "--wait")
    assert (done.returncode, "--local: not with --wait" in done.stderr) == (2, True)


def test_a_process_that_dies_is_said_to_have_died(judge: Judge) -> None:
    import psutil

    with judging_processes(judge.reference, 1) as judge_rows:
        assert judge_rows([b'{"id": 1}'])
        assert [type(one) for one in judge_rows([b"3", b'{"id": 1}', b"{"])] == [Fault, Judgement, Fault]
        for child in psutil.Process().children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
        with pytest.raises(Unavailable, match="has died"):
            judge_rows([b'{"id": 1}'])


def test_an_artefact_is_judged_by_and_by_no_other_classifier(tmp_path: Path, judge: Judge) -> None:
    settings = load_settings({}, state_dir=str(tmp_path / "state"))
    artefact = export_artefact(settings, LODBROK, tmp_path / "out")
    from_artefact = sb_api.load(source=artefact)
    assert from_artefact(make_editors(5)) == judge(make_editors(5))
    assert pickle.loads(pickle.dumps(from_artefact)).version == judge.version
    with pytest.raises(InvalidWeights, match="an artefact of lodbrok, not of intent"):
        sb_api.load("intent", artefact)


def test_parquet_goes_in_and_comes_out(tmp_path: Path, judge: Judge) -> None:
    editors = make_editors(90)
    names = {name for one in editors for name in one}
    table = pa.table({name: [one.get(name) for one in editors] for name in names})
    pq.write_table(table, tmp_path / "editors.parquet", row_group_size=40)
    out = tmp_path / "out.parquet"
    options = ("-o", str(out), "--rows", "32", "--processes", "1")
    done = predict_local(tmp_path, *options, name="editors.parquet")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"editors.parquet", "out.parquet"}
    found = pq.read_table(out)
    assert found["id"].to_pylist() == [editor["id"] for editor in editors]
    expected = [one.score for one in judge(editors) if isinstance(one, Judgement)]
    assert found["score"].to_pylist() == pytest.approx(expected, abs=1e-6)
    again = predict_local(tmp_path, *options, name="editors.parquet")
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    without = predict_local(tmp_path, "--results", "parquet", name="editors.parquet")
    assert (without.returncode, "name a file with -o" in without.stderr) == (2, True)
    packed = predict_local(tmp_path, "-o", str(tmp_path / "out.jsonl.gz"), name="editors.parquet")
    assert (packed.returncode, "not packed" in packed.stderr) == (2, True)


def test_a_record_that_has_no_json_costs_itself_alone(judge: Judge) -> None:
    endless: dict[str, Any] = {"id": 1}
    endless["bio"] = endless
    wrong = [object(), {"id": 1, "bio": "\ud800"}, endless, {"id": 1, "bio": object()}]
    outcomes = judge([{"id": 8}, *wrong, {"id": np.int64(9), "bio": np.str_("x")}])
    assert [type(outcome) for outcome in outcomes] == [Judgement, *[Fault] * 4, Judgement]
    said = [outcome.detail for outcome in outcomes if isinstance(outcome, Fault)]
    assert ["half a character" in said[1], "holds itself" in said[2], "type object" in said[3]] == [True] * 3


@pytest.mark.parametrize("one", [{"id": 1}, b'{"id": 1}', "x", None, 3])
def test_what_is_no_list_of_records_is_refused(judge: Judge, one: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"judge\(\[record\]\)"):
        judge(one)


def test_a_forked_process_judges_whatever_others_did_at_that_moment(judge: Judge) -> None:
    expected = judge([{"id": 1}])
    ended = threading.Event()

    def keep_judging() -> None:
        while not ended.is_set():
            judge([{"id": number} for number in range(200)])

    threads = [threading.Thread(target=keep_judging) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        statuses = []
        for _ in range(3):
            with warnings.catch_warnings(action="ignore"):
                child = os.fork()
            if child == 0:
                signal.alarm(20)  # a lock that nobody lets go would hold it for ever
                os._exit(0 if judge([{"id": 1}]) == expected else 1)
            statuses.append(os.waitpid(child, 0)[1])
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert statuses == [0, 0, 0]


def test_where_weights_are_is_told_without_a_password_and_found_from_any_directory(
    judge: Judge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "secret" not in repr(Reference("lodbrok", "redis://:secret@host", "000001-x"))
    monkeypatch.chdir(ROOT)
    stored = pickle.dumps(sb_api.load(source="static"))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(stored) == judge


def test_weights_that_are_not_there_are_not_replaced_by_others(tmp_path: Path) -> None:
    for source in (tmp_path / "nowhere", "https://example.org"):
        with pytest.raises(InvalidSettings, match="is not there"):
            sb_api.load(source=source)
