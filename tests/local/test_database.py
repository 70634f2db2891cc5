"""Editors of a real PostgreSQL, whose tables are MusicBrainz's: read, judged, and judged again where they changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from sb_api.cli import main
from sb_api.client.result_database import open_table
from sb_api.client.rows import Judgement
from sb_api.errors import Forbidden, InvalidParameter, Unavailable
from sb_api.local.judge import Judge, load
from sb_api.readers.database import Mark, open_database, with_ids
from sb_api.readers.rows import Batch
from tests.support.databases import musicbrainz
from tests.support.service import ROOT, make_editors

COUNT = 40


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with TemporaryDirectory(prefix="sb_api_") as folder, musicbrainz(Path(folder)) as url:
        yield url


@pytest.fixture
def database(server: str) -> str:
    """As the role that may scan; with editors that were changed last in 2020."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("TRUNCATE musicbrainz.editor; DROP SCHEMA spam CASCADE; CREATE SCHEMA spam")
        connection.execute("GRANT USAGE, CREATE ON SCHEMA spam TO scanner")
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO musicbrainz.editor (id, name, email, website, bio, privs, member_since, last_updated,"
                " area, gender, birth_date, password, ha1)"
                " VALUES (%s, %s, %s, %s, %s, 0, '2020-01-01', '2020-01-02', %s, %s, '1990-05-06', 'secret', 'secret')",
                [
                    (number, f"editor {number}", one.get("email"), one.get("website"), one.get("bio"), 5, 1)
                    for number, one in enumerate(make_editors(COUNT), start=1)
                ],
            )
    return server.replace("tester", "scanner")


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load(source=ROOT / "static")


def read(url: str, query: str = "", mark: Mark | None = None, after: int | None = None) -> list[Batch]:
    with open_database(url, query) as found:
        return list(with_ids(found.read(mark or Mark(found.source, found.now), after).batches(7), 0))


def records(batches: list[Batch]) -> list[dict[str, Any]]:
    return [json.loads(row) for batch in batches for row in batch.rows]


def predict(url: str, *options: str, monkeypatch: pytest.MonkeyPatch, judge: Judge, most: int = 10**6) -> Result:
    """The command, in this process; its judge fails after `most` rows."""
    done: list[Any] = []

    def judge_rows(rows: Any) -> Any:
        done.extend(rows)
        if len(done) > most:
            raise Unavailable("The judge is gone.")
        return judge.judge_rows(rows)

    monkeypatch.setattr("sb_api.cli.predict.choose_judge", lambda *_: (judge_rows, 1, lambda: None))
    return CliRunner().invoke(main, ["predict", url, "--rows", "7", *options])


def change(server: str, number: int) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        command = "UPDATE musicbrainz.editor SET bio = 'buy cheap pills', last_updated = now() WHERE id = %s"
        connection.execute(command, (number,))


def test_editors_come_with_names_of_area_and_gender_and_without_passwords(database: str) -> None:
    found = records(read(database))
    assert [one["id"] for one in found] == list(range(1, COUNT + 1))
    assert found[0] | {"bio": "", "website": "", "email": ""} == {
        "id": 1,
        "name": "editor 1",
        "privs": 0,
        "area": "Réunion",
        "gender": "Male",
        "birth_date": "1990-05-06",
        "member_since": "2020-01-01 00:00:00+00",
        "last_updated": "2020-01-02 00:00:00+00",
        "last_login_date": found[0]["last_login_date"],
        "bio": "",
        "website": "",
        "email": "",
    }
    assert "secret" not in json.dumps(found)


def test_reading_goes_on_after_an_id_and_with_what_changed(database: str, server: str) -> None:
    assert [one["id"] for one in records(read(database, after=37))] == [38, 39, 40]
    change(server, 9)
    with open_database(database) as found:
        source = found.source
    assert [one["id"] for one in records(read(database, mark=Mark(source, "", "2021-01-01 00:00:00+00")))] == [9]
    without = "SELECT id, bio FROM musicbrainz.editor"
    assert len(records(read(database, without))) == COUNT
    with pytest.raises(InvalidParameter, match="no column last_updated"):
        read(database, without, Mark("", "", "2021-01-01"))


def test_each_batch_knows_the_last_id(database: str) -> None:
    query = "SELECT id * 3 AS id, CASE id WHEN 14 THEN repeat('x', 2000000) END AS bio FROM musicbrainz.editor"
    batches = read(database, f"{query};")
    assert [batch.end for batch in batches][:2] == [(7, 21), (14, 42)]
    assert [row.detail for batch in batches for row in batch.wrong] == ["is longer than 1048576 bytes"]


def test_what_cannot_be_read_says_why(database: str, server: str) -> None:
    for query, said in (
        ("SELECT 1 AS number", "whole numbers"),
        ("SELECT 'x' AS id", "whole numbers"),
        ("SELECT 1 / (id - 20) AS id FROM musicbrainz.editor", "division by zero"),
        ("SELECT id FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELECT id, password AS bio FROM musicbrainz.editor", "permission denied"),
    ):
        with pytest.raises((InvalidParameter, Forbidden), match=said):
            read(database, query)
    with pytest.raises(Forbidden, match=r"GRANT SELECT \(id, name.*\) ON musicbrainz.editor"):
        read(server.replace("tester", "stranger"))
    with pytest.raises(Unavailable, match="cannot be used"):
        read("postgresql://nobody:secret@127.0.0.1:1/none")


def test_nothing_can_be_written(database: str, server: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS counter")
    with pytest.raises(InvalidParameter, match="read-only transaction"):
        read(server, "SELECT nextval('counter') AS id")
    with open_database(server) as found, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        found.connection.execute("DELETE FROM musicbrainz.editor")
    assert len(records(read(database))) == COUNT


def test_a_scan_that_is_broken_off_goes_on_and_the_next_one_is_of_what_changed(
    database: str, server: str, tmp_path: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    again: dict[str, Any] = {"monkeypatch": monkeypatch, "judge": judge}
    first = tmp_path / "first.jsonl"
    broken = predict(database, "-o", str(first), **again, most=20)
    assert broken.exit_code != 0
    assert not (tmp_path / "first.jsonl.mark").exists()
    done = predict(database, "-o", str(first), **again)
    assert done.exit_code == 0, done.output
    assert "Going on after the id 14" in done.output
    assert [json.loads(line)["id"] for line in first.read_text().splitlines()] == list(range(1, COUNT + 1))
    change(server, 3)
    second = predict(database, "-o", str(tmp_path / "second.csv"), "--since", str(first), **again)
    assert second.exit_code == 0, second.output
    assert [line.split(",")[0] for line in (tmp_path / "second.csv").read_text().splitlines()] == ["id", "3"]
    other = predict(database, "--since", str(first), "--query", "SELECT id FROM musicbrainz.editor", **again)
    assert "of another query" in other.output
    unmarked = predict(database, "--since", str(ROOT / "setup.py"), **again)
    assert "is no mark of a scan" in unmarked.output


def test_a_table_holds_the_last_judgement_of_each_id(
    database: str, server: str, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    again: dict[str, Any] = {"monkeypatch": monkeypatch, "judge": judge}

    def rows(what: str) -> list[Any]:
        with psycopg.connect(server) as connection:
            return connection.execute(what).fetchall()  # type: ignore[call-overload, no-any-return]

    assert predict(database, "--table", "spam.scores", **again, most=20).exit_code != 0
    assert rows("SELECT count(*) FROM spam.scores") == [(14,)]
    done = predict(database, "--table", "spam.scores", **again)
    assert (done.exit_code, "Going on after the id 14" in done.output) == (0, True), done.output
    expected = [one.score for one in judge(records(read(database))) if isinstance(one, Judgement)]
    found = rows("SELECT score FROM spam.scores ORDER BY id")
    assert [score for (score,) in found] == pytest.approx(expected, abs=1e-6)
    change(server, 3)
    third = predict(database, "--table", "spam.scores", **again)
    assert "1 judged" in third.output
    judged_again = "SELECT id FROM spam.scores WHERE judged > (SELECT min(judged) FROM spam.scores WHERE id = 40)"
    assert rows(judged_again) == [(3,)]
    assert predict(database, "--table", "spam.scores", "--restart", **again).output.endswith("40 judged.\n")
    with (
        open_table(database, "spam.scores", "x", "now"),
        pytest.raises(InvalidParameter, match="Another process"),
        open_table(database, "spam.scores", "x", "now"),
    ):
        pass
    for name in ("spam.scores_scans", "nowhere.scores", ""):
        with pytest.raises(InvalidParameter, match="cannot hold results"), open_table(database, name, "x", "now"):
            pass
    refused = predict(server.replace("tester", "stranger"), "--table", "spam.scores", **again)
    assert "GRANT USAGE" in refused.output


def test_options_of_files_and_of_databases_are_told_apart(
    database: str, tmp_path: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n')
    again: dict[str, Any] = {"monkeypatch": monkeypatch, "judge": judge}
    for what, options, said in (
        (str(tmp_path / "a.jsonl"), ("--table", "x"), "only of a database"),
        (database, ("--wait",), "not of a database"),
        (database, ("--format", "csv"), "not of a database"),
        (database, ("--table", "x", "--explain"), "--table: not with"),
    ):
        done = predict(what, *options, **again)
        assert (done.exit_code, said in done.output) == (2, True), done.output
