"""Who had what done is kept beside the verdict log, and in log lines."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from sb_api.broker.jobs import Actor, Job
from sb_api.config import load_settings
from sb_api.errors import JobFailed, LeaseLost, TrainingRefused
from sb_api.judgements import AuditEntry
from sb_api.learning.train_jobs import audited
from sb_api.verdicts.audit import AuditLog, describe_changes, open_audit_log
from sb_api.verdicts.verdict_log import open_verdict_log
from tests.verdicts.test_verdict_log import NOON, verdict

JOB = Job(
    task="t", operation="train", classifier="lodbrok", body=b"", actor=Actor(credential="ninja", address="192.0.2.7")
)


@pytest.fixture
def audit(tmp_path: Path) -> AuditLog:
    return open_audit_log(load_settings({}, state_dir=str(tmp_path)))


def test_entries_are_told_newest_first(audit: AuditLog) -> None:
    for minute in range(3):
        moment = NOON + timedelta(minutes=minute)
        audit.append(AuditEntry(kind="rollback" if minute else "start", moment=moment, credential=f"c{minute}"))
    assert [entry.credential for entry in audit.latest(2)] == ["c2", "c1"]
    assert [entry.credential for entry in audit.latest(0, kind="start")] == ["c0"]
    assert [entry.credential for entry in audit.latest(0, since=NOON + timedelta(minutes=2))] == ["c2"]


def refuse(audit: AuditLog) -> None:
    with audited(JOB, audit) as deed:
        deed.forced = True
        raise TrainingRefused("it would be worse")


def test_who_is_set_aside_by_a_refusal_is_an_entry_of_its_own(audit: AuditLog) -> None:
    with pytest.raises(TrainingRefused), audited(JOB, audit):
        raise TrainingRefused("it would be worse", set_aside="ninja")
    assert [(entry.kind, entry.name, entry.credential) for entry in audit.latest(0)] == [
        ("set aside", "ninja", "ninja"),
        ("verdicts", "", "ninja"),
    ]


def test_what_a_job_did_is_written_down_whatever_came_of_it(audit: AuditLog) -> None:
    with audited(JOB, audit) as deed:
        deed.count, deed.names, deed.version, deed.detail = 7, ["mod A", "mod B"], "000002-bbbbbbbb", "done so"
    with pytest.raises(TrainingRefused):
        refuse(audit)
    with pytest.raises(JobFailed), audited(JOB, audit):
        raise JobFailed("no log")
    with pytest.raises(LeaseLost), audited(JOB, audit):
        raise LeaseLost("another does it")
    told = [(entry.outcome, entry.count, entry.name, entry.version, entry.detail) for entry in audit.latest(0)]
    assert told == [
        ("failed", 0, "", "", JobFailed.title),  # its detail may name a record
        ("refused", 0, "", "", "forced: it would be worse"),
        ("done", 7, "mod A, mod B", "000002-bbbbbbbb", "done so"),
    ]
    assert {(entry.kind, entry.credential, entry.address) for entry in audit.latest(0)} == {
        ("verdicts", "ninja", "192.0.2.7")
    }


def test_of_many_reporters_some_are_named(audit: AuditLog) -> None:
    with audited(JOB, audit) as deed:
        deed.names = [f"m{n}" for n in range(8)]
    assert audit.latest(1)[0].name == "m0, m1, m2, m3, m4 and 3 more"


def test_a_purge_of_the_verdict_log_leaves_it(audit: AuditLog, tmp_path: Path) -> None:
    log = open_verdict_log(load_settings({}, state_dir=str(tmp_path)), "lodbrok")
    assert log is not None
    log.add([verdict("1")])
    audit.append(AuditEntry(kind="purge", moment=NOON))
    log.purge([row.number for row in log.find()], {})
    assert len(audit.latest(0)) == 1


def test_every_entry_is_a_log_line_too_also_without_a_database(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sb_api.audit"):
        AuditLog(None).append(AuditEntry(kind="rollback", moment=NOON, credential="ann", version="000001-aaaaaaaa"))
    (record,) = caplog.records
    fields = {"kind": "rollback", "credential": "ann", "version": "000001-aaaaaaaa", "outcome": "done"}
    assert {name: value for name, value in record.fields.items() if name != "moment"} == fields  # type: ignore[attr-defined]
    assert AuditLog(None).latest(0) == []


def test_a_lost_database_is_an_error_in_the_log_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    AuditLog(sa.create_engine(f"sqlite:///{tmp_path}/missing/folder.sqlite")).append(
        AuditEntry(kind="start", moment=NOON)
    )
    assert "the audit log lacks" in caplog.text


def test_settings_are_told_without_passwords() -> None:
    settings = load_settings(
        {}, redis_url="redis://user:secret@host:6379/1", verdict_log="postgresql://u:hidden@db/x", replay_rows=64
    )
    told = describe_changes(settings)
    assert "SB_API_REPLAY_ROWS=64" in told
    assert "@host:6379" in told
    assert "secret" not in told
    assert "hidden" not in told
    assert describe_changes(load_settings({})) == "all settings as they are by default"


@pytest.mark.parametrize("password", ["s@cret", "s#cret", "s/cret", "s%23cret"])
def test_no_password_is_told_whatever_is_in_it(password: str) -> None:
    settings = load_settings({}, verdict_log=f"postgresql://u:{password}@db/x", redis_url="redis://h?password=s3cret")
    told = describe_changes(settings)
    assert "SB_API_VERDICT_LOG=postgresql://(not shown)@db/x" in told
    assert "cret" not in told
