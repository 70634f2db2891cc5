"""Each script of examples/ does against a real service what it says."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import psycopg
import pytest
import requests

from sb_api.config import load_settings
from sb_api.errors import QueueFull, Unauthenticated
from sb_api.local.columns import judge_frame
from sb_api.local.judge import load
from sb_api.webhooks.endpoints import parse_endpoints
from sb_api.webhooks.messages import make_message
from sb_api.webhooks.sending import send, trusted
from sb_api.webhooks.signing import load_secrets, make_secret, sign
from tests.client.test_http import CUT, problem, scripted
from tests.support.databases import postgresql
from tests.support.service import ROOT, Service, clean_environment, make_editors, make_verdicts

EXAMPLES = ROOT / "examples"
TESTED = {"judge_new_editors.py", "send_verdicts.py", "with_curl.sh", "dask_scan.py", "receive_webhooks.py"}
BY_MAKE = {"spark_scan.py"}  # `make spark` runs it in a real Spark, which is half a gigabyte


def run(
    service: Service | str, *command: object, given: bytes = b"", code: int = 0, **variables: str
) -> tuple[str, str]:
    address = service if isinstance(service, str) else service.address
    script, *rest = map(str, command)
    program = [sys.executable] if script.endswith(".py") else ["bash"]
    done = subprocess.run(
        [*program, str(EXAMPLES / script), *rest],
        input=given,
        capture_output=True,
        timeout=100,
        env=clean_environment(SB_API_URL=address, PYTHONPATH=str(ROOT), **variables),
    )
    assert done.returncode == code, done.stderr
    return done.stdout.decode(), done.stderr.decode()


def report(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh")} == TESTED | BY_MAKE
    assert all(name in (ROOT / "tools" / "spark.py").read_text("utf-8") for name in BY_MAKE)


def test_two_workers_of_dask_judge_what_one_process_judges(tmp_path: Path) -> None:
    whole = pd.DataFrame(make_editors(60))
    (tmp_path / "rows").mkdir()
    for part in range(4):
        whole[15 * part : 15 * (part + 1)].to_parquet(tmp_path / "rows" / f"{part}.parquet")
    program = [sys.executable, str(EXAMPLES / "dask_scan.py"), str(tmp_path / "rows"), str(tmp_path / "scores")]
    environment = clean_environment(PYTHONPATH=str(ROOT), SOURCE=str(ROOT / "static"), WORKERS="2")
    done = subprocess.run(program, capture_output=True, timeout=150, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"2 workers" in done.stdout
    found = pd.read_parquet(tmp_path / "scores").reset_index(drop=True)
    expected = judge_frame(whole, load(source=ROOT / "static").reference)
    pd.testing.assert_frame_equal(found, expected, check_exact=False, atol=1e-6)


@pytest.mark.parametrize("band", ["unsure", "certain spam"])
def test_the_cron_job_reports_editors_above_a_band_and_each_once(service: Service, band: str, tmp_path: Path) -> None:
    editors = make_editors(40, start=1)
    bands = service.post("/predict", editors).json()["bands"]
    order = ["likely fine", "unsure", "likely spam", "certain spam"]
    expected = {int(key) for key, value in bands.items() if order.index(value) >= order.index(band)}
    command = ["judge_new_editors.py", "--band", band, "--report", tmp_path / "r", "--state", tmp_path / "last"]
    lines = [json.dumps(editor).encode() + b"\n" for editor in editors]
    assert run(service, *command, given=b"".join(lines[:25]))[0].startswith("25 judged")
    assert run(service, *command, given=b"".join(lines))[0].startswith("15 judged")
    found = report(tmp_path / "r")
    assert {line["id"] for line in found} == expected
    assert len(found) == len(expected)
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600


def test_the_cron_job_reads_from_postgresql(service: Service, tmp_path: Path) -> None:
    with (
        TemporaryDirectory(prefix="sb_api-", dir="/tmp") as folder,
        postgresql(Path(folder)) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute(
            "CREATE TABLE editor (id int, name text, email text, website text, bio text, area int, privs int, "
            "gender int, birth_date date, member_since timestamptz, email_confirm_date timestamptz, "
            "last_updated timestamptz, last_login_date timestamptz)"
        )
        rows = [(n, f"http://casino{n}.example", "2024-01-01T10:00:00+00") for n in range(1, 6)]
        connection.cursor().executemany("INSERT INTO editor (id, website, member_since) VALUES (%s, %s, %s)", rows)
        command = ["judge_new_editors.py", "--dsn", url, "--band", "likely fine"]
        command += ["--report", tmp_path / "r", "--state", tmp_path / "last"]  # type: ignore[list-item]
        run(service, *command)
    assert {line["id"] for line in report(tmp_path / "r")} == set(range(1, 6))
    assert (tmp_path / "last").read_text() == "5\n"


def test_a_cron_job_that_cannot_do_its_work_says_so_and_changes_nothing(service: Service, tmp_path: Path) -> None:
    """One line for whoever gets cron's mail; the next run makes up for it."""
    command = ["judge_new_editors.py", "--report", tmp_path / "r", "--state", tmp_path / "last"]
    given = b'{"id": 1}\n'
    with scripted(problem(QueueFull, **{"Retry-After": "600"})) as server:
        told = run(server.address, *command, given=given, code=75)[1]
    assert told.startswith("nothing reported, the next run makes up for it: ")
    away = ["--dsn", f"host={tmp_path} dbname=none connect_timeout=2"]
    told = run("http://127.0.0.1:9", *command, *away, code=75)[1]
    assert told.startswith("nothing reported, the next run makes up for it: the database of the editors is away: ")
    assert told.count("\n") == 1
    told = run(service, *command, given=given + b"nonsense\n", code=1)[1]
    assert told.startswith("nothing reported: line 2 is no JSON")
    with (tmp_path / "last").open("a") as state:
        fcntl.flock(state, fcntl.LOCK_EX)
        assert run(service, *command, given=given, code=75)[1] == "another run is under way\n"
    assert not (tmp_path / "r").exists()
    assert run(service, *command, given=b"\n" + given + b"\n")[0].startswith("1 judged")


def test_the_receiver_takes_what_is_signed_and_each_message_once(tmp_path: Path) -> None:
    secret, events = tmp_path / "secret", tmp_path / "events"
    make_secret(secret)
    keys, tls = load_secrets(secret), trusted()
    command = [sys.executable, str(EXAMPLES / "receive_webhooks.py"), "--port", "0", "--events", str(events)]
    # Without anything of sb_api: it runs elsewhere.
    environment = clean_environment(SB_API_WEBHOOK_SECRET=str(secret))
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, cwd=tmp_path) as receiver:
        assert receiver.stdout is not None
        port = receiver.stdout.readline().decode().strip().rpartition(":")[2]
        endpoint = parse_endpoints(load_settings({}, webhooks=f"http://127.0.0.1:{port}/hook"))[0]
        try:
            message = make_message("training.refused", {"verdicts": 2})
            for signed, said in ((keys, ""), (keys, ""), ([b"x" * 32, *keys], ""), ([b"x" * 32], "answered 401")):
                assert send(endpoint, message, signed, tls).reason == said
            old = {"webhook-id": "1", **sign(keys, "1", int(time.time()) - 1000, b"{}")}
            assert requests.post(endpoint.url, b"{}", headers=old, timeout=10).status_code == 401
            odd = {"webhook-id": "1", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,\xe9"}
            assert requests.post(endpoint.url, b"{}", headers=odd, timeout=10).status_code == 401
            assert requests.post(endpoint.url, b"x" * 100_000, timeout=10).status_code == 413
        finally:
            receiver.terminate()
    (event,) = report(events)
    assert (event["id"], event["type"], event["data"]) == (message.id, "training.refused", {"verdicts": 2})
    assert run("http://127.0.0.1:9", "receive_webhooks.py", "--events", events, code=1)[1].startswith("SB_API_WEBHOOK")


def test_verdicts_are_sent_back_once(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    lines = [json.dumps({**verdict, "reporter": "ann"}) + "\n" for verdict in make_verdicts(6)]
    lines.insert(2, "\n")  # a blank line is none
    file.write_text("".join(lines[:5]))
    assert run(service, "send_verdicts.py", file)[0].startswith("4 learned")
    file.write_text("".join(lines))
    assert run(service, "send_verdicts.py", file)[0].startswith("2 learned")
    assert run(service, "send_verdicts.py", file)[0] == ""
    assert len(service.verdict_log().find(reporter="ann")) == 6
    file.write_text("".join([*lines, '{"id": 7, "verdict": 5}\n']))
    assert run(service, "send_verdicts.py", file, code=1)[1].startswith("line 8: verdict")
    file.write_text("".join([*lines, "nonsense\n"]))
    assert run(service, "send_verdicts.py", file, code=1)[1].startswith("line 8: is not JSON")


def test_what_follows_a_refused_training_is_sent_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    file.write_text("".join(f'{{"id": {number}, "verdict": 1}}\n' for number in range(201)))
    accepted = (202, {}, b'{"task_id": "a"}')
    error = {"type": "urn:sb_api:problem:training-refused", "detail": "Worse.", "kept": 200}
    refused = (200, {}, json.dumps({"status": "failed", "error": error}).encode())
    learned = (
        200,
        {},
        b'{"status": "completed", "data": {"learned": 1, "weights": {"version": "1", "previous": "0"}}}',
    )
    with scripted(accepted, refused, accepted, learned) as server:
        printed, told = run(server.address, "send_verdicts.py", file, code=1)
    assert "lines 1 to 200 were refused: Worse." in told
    assert printed.startswith("1 learned")
    assert file.with_name("verdicts.jsonl.sent").read_text() == "201\n"


def test_verdicts_that_may_have_been_learned_are_not_sent_again_by_themselves(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.jsonl"
    file.write_text('{"id": 1, "verdict": 1}\n')
    with scripted(CUT) as server:
        assert "Run this again" in run(server.address, "send_verdicts.py", file, code=2)[1]
        assert len(server.seen) == 1
    assert not (tmp_path / "verdicts.jsonl.sent").exists()


def test_each_script_takes_its_token_from_a_file(tmp_path: Path) -> None:
    """A variable is seen by whoever may look at the process."""
    (tmp_path / "token").write_text("the-token\n")
    (tmp_path / "editors.json").write_text('[{"id": 1, "verdict": 1}]')
    (tmp_path / "verdicts.jsonl").write_text('{"id": 1, "verdict": 1}\n')
    for command, code in (
        (("with_curl.sh", tmp_path / "editors.json"), 22),
        (("send_verdicts.py", tmp_path / "verdicts.jsonl"), 2),
        (("judge_new_editors.py", "--report", tmp_path / "r", "--state", tmp_path / "last"), 1),
    ):
        with scripted(problem(Unauthenticated)) as server:
            run(server.address, *command, given=b'{"id": 1}', code=code, SB_API_TOKEN_FILE=str(tmp_path / "token"))
        assert server.seen[0][2]["Authorization"] == "Bearer the-token", command


def test_with_curl_alone(service: Service, tmp_path: Path) -> None:
    editors = make_editors(30)
    bands = service.post("/predict", editors).json()["bands"]
    (tmp_path / "editors.json").write_text(json.dumps([*editors, {"id": 99, "privs": "all"}]))
    printed, told = run(service, "with_curl.sh", tmp_path / "editors.json")
    assert printed.split() == [key for key, band in bands.items() if band == "certain spam"]
    assert '"30":{"field":"privs"' in told
    assert (printed == "") == ("certain spam" not in bands.values())


def test_curl_tells_what_the_service_refused_and_who_sends_no_token(tmp_path: Path) -> None:
    file = tmp_path / "editors.json"
    file.write_text('[{"id": 1}]')
    with scripted((200, {}, b'{"bands":{"1":"certain spam","21":"unsure"},"errors":{}}')) as server:
        assert run(server.address, "with_curl.sh", file) == ("1\n", "")
        assert "Authorization" not in server.seen[0][2]
    with scripted(problem(Unauthenticated)) as server:
        printed, told = run(server.address, "with_curl.sh", file, code=22)
    assert printed == ""
    assert Unauthenticated.title in told
    assert run("http://127.0.0.1:1", "with_curl.sh", file, code=7)[0] == ""
