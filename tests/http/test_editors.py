"""GET /editors and the page look accounts up in MusicBrainz's database, which is a real PostgreSQL here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from flask.testing import FlaskClient

from sb_api import create_app
from sb_api.client import Client
from sb_api.config import Settings, load_settings
from sb_api.errors import InvalidSettings, NotOffered
from tests.support.databases import musicbrainz
from tests.support.service import Service, assert_problem

ACCOUNTS = [
    (7, "Zoë", "zoe@example.org", "http://zoe.example", "I collect records", 5, "0044-03-15 BC"),
    (8, "casino4u", "a@example.org", "http://casino.example", "best online casino bonus", None, None),
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with TemporaryDirectory(prefix="sb_api_") as folder, musicbrainz(Path(folder)) as url:
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO musicbrainz.editor (id, name, email, website, bio, area, birth_date, member_since,"
                " password, ha1) VALUES (%s, %s, %s, %s, %s, %s, %s, '2020-01-01', 'secret', 'secret')",
                ACCOUNTS,
            )
        yield url


@pytest.fixture
def looking(service: Service, server: str) -> FlaskClient:
    """A client of the routes in this process, at the queue of the shared service and with a database of editors."""
    editors = server.replace("tester", "scanner")
    settings = load_settings({}, redis_url=service.redis_url, state_dir=str(service.state), editors_url=editors)
    return create_app(settings).test_client()


def test_accounts_are_found_by_number_or_name_and_judged(looking: FlaskClient) -> None:
    answer = looking.get("/editors?id=7&id=9&name=CASINO4U&name=nobody&name=zo%C3%8B").get_json()
    assert [(one["id"], one["name"]) for one in answer["editors"]] == [(7, "Zoë"), (8, "casino4u")]
    assert answer["missing"] == ["9", "nobody"]
    assert (answer["editors"][0]["area"], answer["editors"][0]["birth_date"]) == ("Réunion", "0044-03-15 BC")
    assert "secret" not in str(answer)
    judged = looking.post("/predict", json=answer["editors"]).get_json()
    assert judged["predictions"].keys() == {"7", "8"}


@pytest.mark.parametrize(
    "query", ["", "id=x", "name=%20", "id=99999999999", "name=a%00b", "&".join(f"id={n}" for n in range(26))]
)
def test_what_cannot_be_looked_up_is_refused(looking: FlaskClient, query: str) -> None:
    assert_problem(looking.get(f"/editors?{query}"), 400, "invalid-parameter")


def test_the_page_looks_up_and_judges(looking: FlaskClient) -> None:
    assert 'name="lookup"' in looking.get("/").text
    found = looking.post("/", data={"lookup": "8\r\nZOË\r\nnobody\r\n"}).text
    assert "casino4u" in found
    assert "I collect records" in found
    assert "no editor has this number or name" in found
    missing = looking.post("/", data={"lookup": "nobody"})
    assert (missing.status_code, "no editor has this number or name" in missing.text) == (422, True)
    many = looking.post("/", data={"lookup": "\n".join(map(str, range(26)))})
    assert (many.status_code, "25 at most" in many.text) == (400, True)


def test_without_a_database_nothing_is_looked_up(client: FlaskClient, running: Service) -> None:
    assert_problem(client.get("/editors?id=7"), 404, "not-offered")
    assert 'name="lookup"' not in client.get("/").text
    with Client(running.address) as asking, pytest.raises(NotOffered, match="SB_API_EDITORS_URL"):
        asking.look_up(ids=[7], names=["x"])


def test_a_database_that_refuses_or_is_away_is_said_to_be(settings: Settings, server: str) -> None:
    for url, said in (
        (server.replace("tester", "stranger"), "GRANT SELECT"),
        (server.replace("/postgres?", "/template1?"), 'relation "editor" does not exist'),
        ("postgresql://u:pw@127.0.0.1:1/x", "cannot"),
    ):
        settings = load_settings({}, redis_url=settings.redis_url, state_dir=settings.state_dir, editors_url=url)
        problem = assert_problem(create_app(settings).test_client().get("/editors?id=7"), 503, "unavailable")
        assert said in problem["detail"]
        assert "pw" not in problem["detail"]
    for url in ("mysql://a/b", "x"):
        with pytest.raises(InvalidSettings, match="EDITORS_URL"):
            load_settings({}, editors_url=url)
