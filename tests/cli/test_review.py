"""`sb-api review add` and `purge`, on the shared service."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from sb_api.cli import main
from sb_api.cli.review import read_results
from sb_api.errors import MalformedBody
from sb_api.review.store import ReviewStore
from tests.conftest import wait_until
from tests.support.databases import musicbrainz
from tests.support.review import SPAMMERS
from tests.support.service import Service, clean_environment

Run = Callable[..., Result]


@pytest.fixture
def run(service: Service, queue: ReviewStore) -> Run:
    """Runs a command of the review queue, as on the machine of the shared service."""

    def run_command(*arguments: object, **variables: str) -> Result:
        redis = {"SB_API_REDIS_URL": service.redis_url, "SB_API_STATE_DIR": str(service.state)}
        environment: dict[str, Any] = clean_environment(SB_API_URL=service.address, **redis, **variables)
        return CliRunner().invoke(main, ["review", *map(str, arguments)], env=environment)

    return run_command


def waiting(queue: ReviewStore) -> list[int]:
    handles = {queue.handle(editor["id"]): editor["id"] for editor in SPAMMERS}
    return sorted(handles[handle] for handle in queue.found().summaries)


def test_accounts_of_a_file_wait_all_or_those_of_a_scan(run: Run, queue: ReviewStore, tmp_path: Path) -> None:
    file, results = tmp_path / "editors.jsonl", tmp_path / "results.jsonl"
    file.write_text("".join(f"{json.dumps(editor)}\n" for editor in SPAMMERS[:4]) + '{"id": 1, "privs": "x"}\n')
    bands = ("certain spam", "unsure", "likely fine", "likely spam")
    scan = [{"id": editor["id"], "band": band} for editor, band in zip(SPAMMERS, bands, strict=False)]
    results.write_text("".join(f"{json.dumps(line)}\n" for line in scan))
    chosen = run("add", file, "--results", results, "--band", "likely spam")
    assert chosen.exit_code == 0, chosen.output
    assert chosen.stdout.startswith("2 judged: ")
    wait_until(lambda: waiting(queue) == [9000, 9003])
    everything = run("add", file, "--json")
    assert everything.exit_code == 3
    told = json.loads(everything.stdout)
    assert (told["judged"], told["wrong"], sum(told["bands"].values())) == (4, 1, 4)
    wait_until(lambda: waiting(queue) == [9000, 9001, 9002, 9003])
    purged = run("purge", "--yes")
    assert (purged.exit_code, purged.stdout) == (0, "4 accounts deleted.\n")
    assert waiting(queue) == []


def test_results_of_a_scan_are_read_in_both_formats(tmp_path: Path) -> None:
    table = tmp_path / "results.csv"
    table.write_text("id,prediction,score,band,weights\r\n7,x,0.9,certain spam,w\r\na b,x,0.1,likely fine,w\r\n")
    assert read_results(table, "unsure") == {"7"}
    assert read_results(table, "likely fine") == {"7", "a b"}
    for content in ("id,score\n1,2\n", '{"id": 1}\nx\n', ""):
        table.write_text(content)
        with pytest.raises(MalformedBody, match="sb-api predict"):
            read_results(table, "unsure")


def test_accounts_of_the_editors_database_wait(run: Run, queue: ReviewStore, tmp_path: Path) -> None:
    results = tmp_path / "results.csv"
    results.write_text("\ufeffID, Band\n9001,certain spam\n77,certain spam\n")
    with TemporaryDirectory(prefix="sb_api_") as folder, musicbrainz(Path(folder)) as url:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            for editor in SPAMMERS[:3]:
                cursor.execute(
                    "INSERT INTO musicbrainz.editor (id, name, email, website, bio, member_since, password, ha1)"
                    " VALUES (%(id)s, %(name)s, %(email)s, %(website)s, %(bio)s, %(member_since)s, 'secret', 'secret')",
                    editor,
                )
        scanner = url.replace("tester", "scanner")
        found = run("add", "--results", results, SB_API_EDITORS_URL=scanner)
        assert found.exit_code == 0, found.output
        wait_until(lambda: waiting(queue) == [9001])
        query = "SELECT id, name, bio, website FROM musicbrainz.editor WHERE id <> 9000"
        asked = run("add", scanner, "--query", query)
        assert asked.exit_code == 0, asked.output
        wait_until(lambda: waiting(queue) == [9001, 9002])
    assert "secret" not in str([kept.editor for kept in queue.read(list(queue.found().summaries)).values()])


@pytest.mark.parametrize(
    "arguments", [["add"], ["add", "FILE", "--query", "x"], ["add", "postgresql://a/b", "--format", "csv"], ["purge"]]
)
def test_what_does_not_go_together_is_refused(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    file = tmp_path / "editors.jsonl"
    file.write_text("")
    result = run(*[str(file) if one == "FILE" else one for one in arguments])
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output
