"""A log that the release before has written goes on to be right: what it implies is found, and nothing is lost."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa

from sb_api.config import load_settings
from sb_api.verdicts.databases import open_database
from sb_api.verdicts.log_schema import LoggedVerdict
from sb_api.verdicts.verdict_log import VerdictLog, open_verdict_log
from tests.support import databases

# What release 0.1 wrote: 1 was called spam and then corrected, 3 was judged with two contents, and the weights that had
# learned 4 were rolled back; 5 to 7 are kept.
BEFORE = Path(__file__).parent / "verdict_log_before.sql"
ORIGINAL, FIRST, SECOND, THIRD = "000000-aaaaaaaa", "000001-11111111", "000002-22222222", "000003-33333333"


def open_log(folder: Path) -> VerdictLog:
    log = open_verdict_log(load_settings({}, state_dir=str(folder)), "lodbrok")
    assert log is not None
    return log


@pytest.fixture
def log(tmp_path: Path) -> VerdictLog:
    with sqlite3.connect(tmp_path / "verdicts.sqlite") as database:
        database.executescript(BEFORE.read_text())
    return open_log(tmp_path)


def states(log: VerdictLog) -> list[tuple[str, int, str]]:
    return [(row.record, row.label, row.status) for row in reversed(log.find())]


EXPECTED = [
    ("1", 1, "superseded"),
    ("2", 0, "learned"),
    ("1", 0, "learned"),
    ("3", 1, "learned"),
    ("4", 1, "undone"),
    ("5", 1, "refused"),
    ("6", 1, "waiting"),
    ("7", 1, "held"),
    ("3", 0, "refused"),
]


def test_corrections_and_rollbacks_of_an_older_log_are_found(log: VerdictLog, tmp_path: Path) -> None:
    assert states(log) == EXPECTED
    assert states(open_log(tmp_path)) == EXPECTED, "the second time nothing is left to do"


def test_which_version_learned_what_goes_on_from_there(log: VerdictLog) -> None:
    parents = {ORIGINAL: None, FIRST: ORIGINAL, SECOND: FIRST}
    assert log.ancestry(SECOND, {}) == {ORIGINAL, FIRST, SECOND}
    log.follow(SECOND, parents)
    assert states(log) == EXPECTED
    log.follow(FIRST, parents)
    assert [row.record for row in log.find(statuses=["learned"])] == ["2"]
    log.follow(THIRD, parents)
    assert [row.record for row in log.find(statuses=["undone"])] == []


def test_a_verdict_of_an_older_log_is_known_by_its_numbers(log: VerdictLog) -> None:
    (row,) = log.find(record="2")
    assert row.digest == ""
    again = LoggedVerdict(**{**{f: getattr(row, f) for f in row.__struct_fields__}, "digest": "new", "number": 0})
    assert row.is_about_the_same(again)


def test_a_new_log_has_nothing_to_migrate(tmp_path: Path) -> None:
    assert open_log(tmp_path).find() == []
    assert open_log(tmp_path).find() == []


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_an_older_log_on_a_database_server_is_migrated_too(server: str) -> None:
    with tempfile.TemporaryDirectory(prefix="sb_api-db-") as folder, getattr(databases, server)(Path(folder)) as url:
        settings = load_settings({}, state_dir=folder, verdict_log=url)
        engine = open_database(url, "SB_API_VERDICT_LOG", Path(folder))
        with sqlite3.connect(":memory:") as old, engine.begin() as connection:
            old.executescript(BEFORE.read_text())
            for table in ("events", "verdicts"):
                (made,) = old.execute("select sql from sqlite_master where name = ?", (table,)).fetchone()
                binary = "BYTEA" if server == "postgresql" else "BLOB"
                moment = "TIMESTAMP" if server == "postgresql" else "DATETIME"
                key = "SERIAL" if server == "postgresql" else "INTEGER AUTO_INCREMENT"
                made = made.replace("number INTEGER", f"number {key}").replace("BLOB", binary)
                connection.execute(sa.text(made.replace("DATETIME", moment)))
                rows = old.execute(f"select * from {table}")
                names = [column[0] for column in rows.description]
                values = ", ".join(f":{name}" for name in names)
                wanted = sa.text(f"insert into {table} ({', '.join(names)}) values ({values})")
                connection.execute(wanted, [dict(zip(names, row, strict=True)) for row in rows])
        engine.dispose()
        log = open_verdict_log(settings, "lodbrok")
        assert log is not None
        assert states(log) == EXPECTED
        log.close()
