"""The commands that ask a running service: what they print, what they leave behind, how they end."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from sb_api import errors
from sb_api.cli import main
from sb_api.cli.status import Overview, render
from sb_api.cli.terminal import exit_codes
from sb_api.cli.terminal.options import open_client
from sb_api.client.answers import WeightsChain
from sb_api.errors import InvalidSettings
from sb_api.records import RECORD_TYPES
from tests.client.test_http import CUT, PREDICTED, problem, scripted
from tests.support.service import ROOT, Service, clean_environment, make_editors, make_verdicts, start_service

COMMANDS_DOC = ROOT / "docs" / "commands.md"

SPAMMER = {
    "id": 1,
    "website": "http://win-casino.example",
    "bio": "best online casino bonus",
    "member_since": "2024-01-01",
}


def call(service: Service | str, *arguments: object, code: int = 0, **options: Any) -> Result:
    address = service if isinstance(service, str) else service.address
    environment = {"SB_API_URL": address}
    if isinstance(service, Service):
        environment |= {"SB_API_STATE_DIR": str(service.state), "SB_API_REDIS_URL": service.redis_url}
    result = CliRunner(env=environment).invoke(main, [str(a) for a in arguments], catch_exceptions=False, **options)
    assert result.exit_code == code, result.output
    return result


def lines(editors: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(editor).encode() + b"\n" for editor in editors)


def rows(content: str | bytes) -> list[Any]:
    return [json.loads(line) for line in content.splitlines()]


# predict


def test_a_file_is_judged_to_standard_output(service: Service, tmp_path: Path) -> None:
    editors = make_editors(30)
    said = service.post("/predict", editors).json()
    (tmp_path / "in.jsonl").write_bytes(lines(editors))
    done = call(service, "predict", tmp_path / "in.jsonl", "--rows", 7)
    found = rows(done.stdout)
    assert [row["id"] for row in found] == list(range(30))
    assert {str(row["id"]): row["prediction"] for row in found} == said["predictions"]
    assert {str(row["id"]): row["band"] for row in found} == said["bands"]
    assert {row["weights"] for row in found} == {said["weights"]}
    assert "30 judged" in done.stderr


def test_every_format_gives_the_same_results(service: Service, tmp_path: Path) -> None:
    editors = make_editors(12)
    columns = ["id", "email", "website", "bio", "privs", "gender", "member_since", "last_login_date"]
    files = {name: tmp_path / name for name in ("a.jsonl", "b.json", "c.json", "d.csv", "e.copy", "f.jsonl.gz")}
    files["a.jsonl"].write_bytes(lines(editors))
    files["b.json"].write_text(json.dumps(editors))
    files["c.json"].write_text(json.dumps({str(n): editor for n, editor in enumerate(editors)}))
    with files["d.csv"].open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(editors)
    copied = [["\\N" if editor[name] is None else str(editor[name]) for name in columns] for editor in editors]
    files["e.copy"].write_text("".join("\t".join(row) + "\n" for row in copied))
    files["f.jsonl.gz"].write_bytes(gzip.compress(lines(editors)))
    results = {
        name: call(service, "predict", path, *(["--columns", ",".join(columns)] if name == "e.copy" else [])).stdout
        for name, path in files.items()
    }
    assert set(results.values()) == {results["a.jsonl"]}
    assert call(service, "predict", input=lines(editors)).stdout == results["a.jsonl"]


def test_results_as_csv_and_wrong_rows_in_a_file_of_their_own(service: Service, tmp_path: Path) -> None:
    file, out = tmp_path / "in.jsonl", tmp_path / "out.csv"
    file.write_bytes(lines(make_editors(5)) + b'{"id": 9, "privs": "all"}\nnonsense\n')
    done = call(service, "predict", file, "-o", out, "--json", code=exit_codes.SOME_WRONG)
    assert json.loads(done.stdout) == {"success": True, "judged": 5, "wrong": 2, "done": True}
    with out.open(newline="") as results:
        found = list(csv.DictReader(results))
    assert [row["id"] for row in found] == ["0", "1", "2", "3", "4"]
    assert all(0 <= float(row["score"]) <= 1 and row["band"] for row in found)
    wrong = rows((tmp_path / "out.csv.wrong").read_bytes())
    assert [(row["line"], row["field"], row["row"]) for row in wrong] == [
        (6, "privs", '{"id": 9, "privs": "all"}'),
        (7, "", "nonsense"),
    ]
    assert "--restart" in call(service, "predict", file, "-o", out, code=exit_codes.USAGE).stderr
    call(service, "predict", file, "-o", out, "--restart", code=exit_codes.SOME_WRONG)


def test_messages_and_reasons(service: Service, tmp_path: Path) -> None:
    message = b'{"id": 1, "text": "thank you for this wonderful database"}\n'
    (found,) = rows(call(service, "predict", "--model", "intent", input=message).stdout)
    assert (found["prediction"], found["band"]) == ("praise", None)
    assert found["score"]["praise"] > 0.5
    (explained,) = rows(call(service, "predict", "--explain", input=lines([SPAMMER])).stdout)
    assert explained["reasons"]


def test_a_task_is_waited_for_or_named(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "messages.json"
    file.write_text('[{"id": 1, "text": "thank you for this wonderful database"}]')
    command = ("predict", file, "--model", "intent")
    assert json.loads(call(service, *command, "--wait").stdout)["predictions"] == {"1": "praise"}
    task = call(service, *command, "--no-wait").stdout.strip()
    assert service.get(f"/get-result/{task}").json()["status"] == "completed"
    file.write_text('[{"id": 1}]')
    assert "text" in call(service, *command, "--wait", code=exit_codes.FAILED).stderr


def test_a_task_may_come_from_any_format_and_is_told_as_json(service: Service, tmp_path: Path) -> None:
    editors = make_editors(4)
    (tmp_path / "in.json").write_text(json.dumps(editors))
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(lines(editors)))
    told = [
        json.loads(call(service, "predict", tmp_path / name, "--no-wait", "--json").stdout)
        for name in ("in.json", "in.jsonl.gz")
    ]
    assert told[0] == told[1]
    answer = json.loads(call(service, "predict", tmp_path / "in.jsonl.gz", "--wait", "--json").stdout)
    assert answer["predictions"].keys() == {"0", "1", "2", "3"}
    refused = call(service, "predict", tmp_path / "in.json", "--wait", "-o", tmp_path / "out", code=exit_codes.USAGE)
    assert "--output: not with --wait" in refused.stderr
    (tmp_path / "in.csv").write_text("id,bio\n1,x\n2\n")
    broken = call(service, "predict", tmp_path / "in.csv", "--no-wait", code=exit_codes.FAILED)
    assert "Line 3 has 1 of 2 columns." in broken.stderr


def test_without_a_file_of_wrong_rows_the_first_of_them_is_told(service: Service) -> None:
    done = call(service, "predict", input=b'{"id": 1}\n{"id": 2, "privs": "all"}\n[]\n', code=exit_codes.SOME_WRONG)
    assert "1 judged, 2 rows wrong (line 2: privs " in done.stderr
    assert "--wrong FILE" in done.stderr
    done = call(service, "predict", input=b"id,bio\n1,a\n1,b\n2\n", code=exit_codes.SOME_WRONG)
    assert "1 judged, 2 rows wrong (line 3: id an earlier record has the id 1 too; --wrong FILE" in done.stderr
    done = call(service, "predict", input=b"id,bio\n1\n2,b\n", code=exit_codes.SOME_WRONG)
    assert "1 judged, 1 row wrong (line 2: has 1 of 2 columns; --wrong FILE" in done.stderr


def test_a_record_nested_without_end_is_a_wrong_row(service: Service, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b'{"id": 1, "verdict": 1, "x": %b%b}\n' % (b"[" * 5000, b"]" * 5000))
    for command in ("train", "predict"):
        wrong = tmp_path / f"{command}.wrong"
        call(service, command, tmp_path / "in.jsonl", "--wrong", wrong, code=exit_codes.SOME_WRONG)
        assert [row["line"] for row in rows(wrong.read_bytes())] == [1]


def test_a_dash_is_standard_output(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert rows(call(service, "predict", "-o", "-", input=b'{"id": 1}\n').stdout)[0]["id"] == 1
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_gone_on_with_nobody_is_told_so(service: Service) -> None:
    environment = clean_environment(SB_API_URL=service.address)
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "sb_api", "predict", "-"]
        done = subprocess.run(
            command, input=b'{"id": 1}\n', stdout=full, stderr=subprocess.PIPE, cwd=ROOT, env=environment, check=False
        )
    assert (done.returncode, b"No space left" in done.stderr, b"goes on" in done.stderr) == (1, True, False)


@pytest.mark.parametrize("options", [("-o", "in.jsonl"), ("-o", "out", "--wrong", "out"), ("--wrong", "./in.jsonl")])
def test_what_is_read_is_never_written_over(options: tuple[str, ...], tmp_path: Path) -> None:
    content = lines(make_editors(3))
    (tmp_path / "in.jsonl").write_bytes(content)
    paths = [tmp_path / option if not option.startswith("-") else option for option in options]
    done = call("http://127.0.0.1:1", "predict", tmp_path / "in.jsonl", *paths, "--restart", code=exit_codes.USAGE)
    assert "written over" in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"in.jsonl": content}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--columns", "id,bio"), "read as jsonl"),
        (("--format", "csv", "--columns", "a,b"), "names no column `id`"),
        (("--format", "csv", "--columns", "id,id"), "twice"),
        (("--url", "nonsense"), "no HTTP address"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: tuple[str, ...], told: str) -> None:
    given = lines(make_editors(1))
    assert told in call("http://127.0.0.1:1", "predict", *options, input=given, code=exit_codes.USAGE).stderr
    document = json.loads(call("http://127.0.0.1:1", "predict", *options, "--json", input=given, code=2).stderr)
    assert told in document["detail"]


def test_a_place_that_cannot_be_written_to_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(make_editors(1)))
    command = ("predict", tmp_path / "in.jsonl", "-o", tmp_path / "nowhere" / "out")
    told = call("http://127.0.0.1:1", *command, code=exit_codes.FAILED).stderr
    assert told == f"Error: {tmp_path}/nowhere/out.journal: No such file or directory\n"
    assert json.loads(call("http://127.0.0.1:1", *command, "--json", code=exit_codes.FAILED).stderr)["success"] is False


def test_a_broken_document_is_told_after_what_came_before_it(service: Service, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_bytes(b'[{"id": 1}, {"id": 2}, {"id"')
    done = call(service, "predict", tmp_path / "in.json", code=exit_codes.FAILED)
    assert [row["id"] for row in rows(done.stdout)] == [1, 2]
    assert "after its record 2" in done.stderr


# train, rollback, weights, replay


def test_labelled_records_are_learned_and_taken_back(service: Service, tmp_path: Path) -> None:
    original = service.get("/weights").json()["slots"]["current"]
    file = tmp_path / "verdicts.jsonl"
    file.write_bytes(lines(make_verdicts(5)) + b'{"id": 9, "verdict": 7}\nnonsense\n')
    done = call(service, "train", file, "--json", code=exit_codes.SOME_WRONG)
    trained, in_all = rows(done.stdout)
    assert trained["learned"] == 5
    counted = {"trainings": 1, "learned": 5, **dict.fromkeys(("along", "known", "superseded", "kept", "lost"), 0)}
    counted |= {"refused": 0, "wrong": 2}
    assert in_all == {"success": True, "whole": True, **counted}
    assert [row["line"] for row in rows((tmp_path / "verdicts.jsonl.wrong").read_bytes())] == [7, 6]
    assert "0 learned, 5 known before" in call(service, "train", file, code=exit_codes.SOME_WRONG).stdout
    current = service.get("/weights").json()["slots"]["current"]
    listed = call(service, "weights").stdout
    assert re.search(rf"{original} .* F1 0\.\d+ on the reference set  <- original, previous$", listed, re.MULTILINE)
    assert re.search(r" F1 0\.\d+ .*<- original, current", call(service, "weights", "--model", "intent").stdout)
    assert re.search(rf"{current} .* 5 learned.*<- current", listed)
    assert json.loads(call(service, "weights", "--json").stdout)["slots"]["current"] == current
    replayed = call(service, "replay")
    assert "5 verdicts replayed in" in replayed.stdout
    assert json.loads(call(service, "rollback", "original", "--json").stdout)["weights"]["version"] == original
    assert "original" in call(service, "rollback", "nothing", code=exit_codes.FAILED).stderr


def test_verdicts_may_be_written_as_pandas_writes_them_and_others_are_told_what_they_may_be(
    service: Service, tmp_path: Path
) -> None:
    file = tmp_path / "verdicts.csv"
    file.write_text("id,bio,verdict\n9101,buy cheap pills,1.0\n9102,i play the oboe,0.0\n9103,hello,spam\n")
    trained, in_all = rows(call(service, "train", file, "--json", code=exit_codes.SOME_WRONG).stdout)
    assert (trained["learned"], in_all["wrong"]) == (2, 1)
    (wrong,) = rows((tmp_path / "verdicts.csv.wrong").read_bytes())
    assert (wrong["line"], wrong["field"]) == (4, "verdict")
    assert wrong["detail"] == 'must be 1 (spam) or 0 (not spam), not "spam"'
    file.write_text("id,bio,label\n9101,buy cheap pills,1\n")
    told = call(service, "train", file, code=exit_codes.FAILED).stderr
    assert "names no column `verdict`" in told
    assert "Did you mean `verdict` by `label`?" in told


def test_a_row_that_training_finds_wrong_is_named_by_its_line_whatever_its_id(service: Service, tmp_path: Path) -> None:
    """Ids that look like places are none: good rows were dropped for them."""
    chain = service.get("/weights?model=intent").json()
    # Of the current ones: the newest may have been rolled back by another test, with what it called its classes.
    intents = next(one["labels"] for one in chain["versions"] if one["version"] == chain["slots"]["current"])
    named = [(2, "no such class"), (0, intents[0]), (1, intents[1])]
    file = tmp_path / "messages.jsonl"
    messages = [{"id": key, "text": f"how do I merge {key} artists", "intent": intent} for key, intent in named]
    file.write_bytes(lines(messages))
    done = call(service, "train", file, "--model", "intent", "--json", code=exit_codes.SOME_WRONG)
    trained, in_all = rows(done.stdout)
    assert (trained["learned"], in_all["wrong"]) == (2, 1)
    assert [row["line"] for row in rows((tmp_path / "messages.jsonl.wrong").read_bytes())] == [1]


def test_rows_that_are_wrong_are_kept_though_a_later_training_fails(service: Service, tmp_path: Path) -> None:
    file, wrong = tmp_path / "verdicts.csv", tmp_path / "wrong"
    file.write_text("id,verdict\n1,7\n2,1\n3\n4,9\n")
    with scripted(problem(errors.InvalidRecords), problem(errors.TrainingRefused)) as server:
        call(server.address, "train", file, "--wrong", wrong, "--rows", 3, code=exit_codes.FAILED)
    assert [row["line"] for row in rows(wrong.read_bytes())] == [4]
    assert wrong.stat().st_mode & 0o777 == 0o600
    told = call(service, "train", file, "--wrong", file, code=exit_codes.USAGE).stderr
    assert "choose another one" in told


def test_two_verdicts_on_one_record_are_two_trainings_and_are_named_by_their_lines(tmp_path: Path) -> None:
    """The second was a wrong row, and was not learned."""
    verdicts = [
        {"id": 7, "verdict": 1, "reporter": "ann"},
        {"id": 8, "verdict": 0, "reporter": "ann"},
        {"id": "7", "verdict": 1, "reporter": "bob"},
    ]
    (tmp_path / "in.jsonl").write_bytes(lines(verdicts) + b'{"verdict": 1}\n')
    accepted = (202, {}, json.dumps({"task_id": "a" * 32}).encode())
    trained = {"learned": 1, "weights": {"version": "1", "previous": None}}
    done_with = (200, {}, json.dumps({"success": True, "status": "completed", "data": trained}).encode())
    with scripted(accepted, done_with, accepted, done_with) as server:
        done = call(server.address, "train", tmp_path / "in.jsonl")
    assert [json.loads(body) for *_, body in server.seen if body] == [
        {"7": verdicts[0], "8": verdicts[1], "line 4, without an id": {"verdict": 1}},
        {"7": verdicts[2]},
    ]
    assert "line 3 is on the same record as line 1" in done.stderr
    assert "In all 2 learned, 0 known before, in 2 trainings." in done.stdout


def test_a_refused_training_does_not_keep_the_rest_of_a_file_from_being_sent(tmp_path: Path) -> None:
    """It ended there: the correction of the third line was lost, and the wrong verdict was kept to be learned."""
    verdicts = [{"id": 7, "verdict": 1}, {"id": 8, "verdict": 0}, {"id": 7, "verdict": 0}, {"id": 9, "verdict": 1}]
    (tmp_path / "in.jsonl").write_bytes(lines(verdicts))
    accepted = (202, {}, json.dumps({"task_id": "a" * 32}).encode())

    def ended(**members: Any) -> Any:
        return (200, {}, json.dumps({"success": True, "task_id": "a" * 32, **members}).encode())

    def refused(**members: Any) -> Any:
        error = {"type": "urn:sb_api:problem:training-refused", "detail": "It would be worse.", **members}
        return ended(status="failed", error=error)

    kept = {"7": {"state": "kept", "superseded": 1}, "8": {"state": "known"}}
    learned = ended(status="completed", data={"learned": 1, "along": 1, "weights": {"version": "1", "previous": None}})
    script = (accepted, refused(kept=1, records=kept), accepted, refused(), accepted, learned)
    counted = {"learned": 1, "along": 1, "known": 1, "superseded": 1, "kept": 1, "lost": 1}
    with scripted(*script) as server:
        done = call(server.address, "train", tmp_path / "in.jsonl", "--rows", 3, "--json", code=exit_codes.REFUSED)
    assert [json.loads(body) for *_, body in server.seen if body] == [
        {"7": verdicts[0], "8": verdicts[1]},
        {"7": verdicts[2]},
        {"9": verdicts[3]},
    ]
    *_, in_all = rows(done.stdout)
    about = {"trainings": 3, "refused": 2, "wrong": 0}
    assert in_all == {"success": False, "whole": True, **about, **counted}
    assert json.loads(done.stderr.splitlines()[-1])["type"] == "urn:sb_api:problem:training-refused"
    with scripted(*script) as server:
        said = call(server.address, "train", tmp_path / "in.jsonl", "--rows", 3, code=exit_codes.REFUSED)
    assert (
        "In all 1 learned, 1 known before, 1 earlier ones replaced, 1 kept before and learned now, 1 kept, 1 refused "
        "and not kept, in 3 trainings, of which 2 were refused." in said.stdout
    )
    assert "Error: The guard refused 2 of 3 trainings. Of the last: It would be worse." in said.stderr


def test_a_file_that_ends_in_an_error_is_said_to_be_sent_in_part(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(make_verdicts(4)))
    accepted = (202, {}, json.dumps({"task_id": "a" * 32}).encode())
    data = {"learned": 2, "weights": {"version": "1", "previous": None}}
    learned = (200, {}, json.dumps({"success": True, "status": "completed", "data": data}).encode())
    forbidden = (403, {}, json.dumps({"type": "urn:sb_api:problem:forbidden", "detail": "No."}).encode())
    with scripted(accepted, learned, forbidden) as server:
        done = call(server.address, "train", tmp_path / "in.jsonl", "--rows", 2, "--json", code=exit_codes.NOT_ALLOWED)
    *_, in_all = rows(done.stdout)
    assert (in_all["success"], in_all["whole"], in_all["learned"]) == (False, False, 2)


def test_of_no_records_nothing_is_learned_and_it_says_so(service: Service, tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").touch()
    assert "In all 0 learned" in call(service, "train", tmp_path / "none.jsonl").stdout
    told = json.loads(call(service, "train", tmp_path / "none.jsonl", "--json").stdout)
    assert (told["trainings"], told["learned"]) == (0, 0)


def test_a_training_that_may_have_been_done_has_an_exit_code_of_its_own() -> None:
    with scripted(CUT) as server:
        done = call(server.address, "train", "--json", input=lines(make_verdicts(1)), code=exit_codes.UNKNOWN)
    assert json.loads(done.stderr)["type"] == "urn:sb_api:problem:outcome-unknown"
    assert len(server.seen) == 1


def test_verdicts_that_are_learned_and_not_followed_yet_are_told_of() -> None:
    records = {"1": {"state": "learned"}, "2": {"state": "learned", "still": "no class"}}
    steps = {"version": "000001-aaaaaaaa", "previous": "000000-bbbbbbbb"}
    task = {"task_id": "a" * 32, "message": ""}
    answer = {"status": "completed", **task, "data": {"learned": 2, "records": records, "weights": steps}}
    with scripted((202, {}, json.dumps(task).encode()), (200, {}, json.dumps(answer).encode())) as server:
        done = call(server.address, "train", input=lines(make_verdicts(2)))
    assert "2 learned" in done.stdout
    assert "1 verdict is learned, but the weights still say otherwise" in done.stderr


# status, top


def test_status_cuts_nothing_at_80_columns() -> None:
    names = {slot: f"{number:09}-d185fc10" for number, slot in enumerate(("original", "previous", "current"))}
    chains = {model: WeightsChain(model=model, slots=dict(names), versions=[]) for model in RECORD_TYPES}
    problem = "a problem that takes more than eighty columns to be told, because " + "it is a long story " * 5 + "end"
    ready = {"success": False, "status": "not ready", "problems": [problem]}
    metrics = {"sb_api_process_resident_bytes": {"classify, a-host-of-a-long-name.example.org:12345": 2.0**30}}
    overview = Overview("http://127.0.0.1:4321", 0.0, ready, chains, metrics)
    shown = io.StringIO()
    Console(width=80, file=shown).print(render(overview))
    told = shown.getvalue()
    for name in (*names.values(), "a-host-of-a-long-name.example.org:12345", "1,024 MiB", "end"):
        assert name in told
    assert "…" not in told
    assert max(map(len, told.splitlines())) <= 80


def test_status_and_top_show_the_service(service: Service) -> None:
    shown = json.loads(call(service, "status", "--json").stdout)
    assert shown["ready"]["classify_processes"] >= 1
    assert shown["weights"].keys() == {"lodbrok", "intent", "sentiment"}
    current = shown["weights"]["lodbrok"]["slots"]["current"]
    told = call(service, "status").stdout
    assert "ready" in told
    assert current[:10] in told
    looks = rows(call(service, "top", "--count", 2, "--interval", 0.1, "--json").stdout)
    assert len(looks) == 2
    assert looks[1]["moment"] > looks[0]["moment"]
    assert call(service, "top", "--count", 2, "--interval", 0.1).stdout.count("classify processes") == 2


def test_top_goes_on_while_the_service_is_away_or_behind_a_proxy_that_says_so() -> None:
    ready = b'{"success": true, "status": "ready"}'
    weights = b'{"model": "m", "slots": {}, "versions": []}'
    look = [(200, {}, ready), *[(200, {}, weights)] * len(RECORD_TYPES), (200, {}, b"")]
    with scripted(*look, (502, {}, b"<html>"), *look) as server:
        shown = call(server.address, "top", "--count", 3, "--interval", 0.1, "--json").stdout
    states = [look["ready"]["status"] for look in rows(shown)]
    assert (states[0], states[2]) == ("ready", "ready")
    assert "502" in states[1]


@pytest.mark.parametrize("command", ["status", "top"])
def test_without_a_service_they_say_so(command: str) -> None:
    assert "no service" in call("http://127.0.0.1:1", command, code=exit_codes.AWAY).stderr


# Tokens


def test_the_token_comes_from_the_environment_or_a_private_file_and_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(0o644)
    with scripted(PREDICTED) as server:
        with pytest.raises(InvalidSettings, match="chmod 600"):
            open_client(server.address, None, file)
        file.chmod(0o600)
        for environment in ({"SB_API_TOKEN": "s3cret"}, {"SB_API_TOKEN_FILE": str(file)}):
            done = CliRunner(env={"SB_API_URL": server.address, **environment}).invoke(
                main, ["predict"], input='{"id": 1}\n'
            )
            assert done.exit_code == 0, done.output
            assert "s3cret" not in done.output
            assert server.seen[-1][2]["Authorization"] == "Bearer s3cret"
            helped = CliRunner(env=environment).invoke(main, ["predict", "--help"])
            assert "s3cret" not in helped.output


def test_who_may_not_is_told_by_the_exit_code(tmp_path: Path) -> None:
    """A token from `sb-api token add`: without it, or beyond its role, the exit code says so."""
    state = tmp_path / "state"
    runner = CliRunner(env={"SB_API_STATE_DIR": str(state)})
    secret = runner.invoke(main, ["token", "add", "cron", "--role", "predict"]).stdout.strip()
    with start_service(state, tmp_path) as service:
        assert "token" in call(service.address, "weights", code=exit_codes.NOT_ALLOWED).stderr.lower()
        result = CliRunner(env={"SB_API_URL": service.address, "SB_API_TOKEN": secret}).invoke(
            main, ["rollback", "original"]
        )
        assert result.exit_code == exit_codes.NOT_ALLOWED, result.output
        assert secret not in result.output


# Documents


def commands(group: click.Command, path: str = "sb-api") -> dict[str, click.Command]:
    found = {path: group}
    for name, command in getattr(group, "commands", {}).items():
        found |= commands(command, f"{path} {name}")
    return found


@pytest.mark.parametrize("name", [name for name in commands(main) if name != "sb-api"])
def test_every_command_explains_itself_and_is_documented(name: str) -> None:
    command = commands(main)[name]
    assert command.help
    assert f"`{name}`" in COMMANDS_DOC.read_text("utf-8")
    assert all(option.help for option in command.params if isinstance(option, click.Option) and option.name != "help")


@pytest.mark.parametrize(
    "name", [name for name, command in commands(main).items() if not isinstance(command, click.Group)]
)
def test_every_command_takes_json_and_tells_wrong_usage_as_a_problem_document(name: str) -> None:
    assert "--json" in {option for each in commands(main)[name].params for option in each.opts}
    done = CliRunner().invoke(main, [*name.split()[1:], "--json", "--no-such-option"])
    assert done.exit_code == exit_codes.USAGE
    assert done.stdout == ""
    assert json.loads(done.stderr)["type"] == "urn:sb_api:problem:invalid-parameter"


def test_the_exit_codes_are_in_the_help_and_in_the_document() -> None:
    helped = CliRunner().invoke(main, ["--help"]).output
    text = COMMANDS_DOC.read_text("utf-8")
    for code, meaning in exit_codes.EXIT_CODES.items():
        assert f"{code} " in helped
        assert meaning.split(";")[0][:40] in " ".join(helped.split())
        assert f"| {code} | {meaning} |" in text


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidSettings, exit_codes.USAGE),
        (errors.QueueFull, exit_codes.AWAY),
        (errors.Unavailable, exit_codes.AWAY),
        (errors.TrainingRefused, exit_codes.REFUSED),
        (errors.OutcomeUnknown, exit_codes.UNKNOWN),
        (errors.InvalidRecords, exit_codes.FAILED),
        (errors.UnexpectedAnswer, exit_codes.FAILED),
    ],
)
def test_an_error_has_its_exit_code(kind: type[errors.SbApiError], code: int) -> None:
    assert exit_codes.exit_code(kind("said")) == code


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_the_commands(shell: str) -> None:
    script = CliRunner().invoke(main, ["completion", shell]).output
    assert "_SB_API_COMPLETE" in script
    word = "pre" if shell == "fish" else "1"
    environment = clean_environment(_SB_API_COMPLETE=f"{shell}_complete", COMP_WORDS="sb-api pre", COMP_CWORD=word)
    program = "import sys; sys.argv[0] = 'sb-api'; from sb_api.cli import main; main(prog_name='sb-api')"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert "predict" in done.stdout


def test_a_pipe_that_is_closed_early_is_no_crash(service: Service, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(make_editors(3000)))
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "sb_api", "predict", str(tmp_path / "in.jsonl")],
        env=clean_environment(SB_API_URL=service.address),
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=100,
        cwd=ROOT,
    )
    os.close(write)
    assert b"Traceback" not in done.stderr
