"""Where accounts link to, what is known of others that do, and in which language they write."""

from __future__ import annotations

import csv
import io
import time
from typing import Any

import pytest

from sb_api.broker.connection import PREFIX
from sb_api.config import Settings
from sb_api.records import Editor
from sb_api.review import links
from sb_api.review.entries import Waiting
from sb_api.review.languages import guess_language
from sb_api.review.links import Linked, find_links
from sb_api.review.store import ReviewStore
from sb_api.review.table import COLUMNS, write_table
from tests.review.test_store import kept, opened, verdict
from tests.support.jobs import Jobs


@pytest.mark.parametrize(
    ("fields", "host", "domains"),
    [
        ({}, "", []),
        ({"website": "http://www.Shop.Watches.example/x"}, "shop.watches.example", ["watches.example"]),
        ({"bio": "see https://a.blogspot.com/, or http://b.co.uk"}, "a.blogspot.com", ["a.blogspot.com", "b.co.uk"]),
        ({"website": "http://w.example", "bio": "HTTP://w.example http://v.example http://u.example"}, "w.example", 2),
        ({"website": "none", "bio": "http://localhost " + "http://" * 1000}, "", []),
    ],
)
def test_links_are_of_the_website_and_the_bio(fields: dict[str, str], host: str, domains: Any) -> None:
    found = find_links(Editor(id=1, **fields))
    assert found.host == host
    assert len(found.domains) == domains if isinstance(domains, int) else found.domains == domains


def about(store: ReviewStore, number: int) -> Linked:
    handle = store.handle(number)
    return store.linked(store.read([handle]))[handle][0]


def test_what_became_of_the_others_that_link_there_is_told_and_taken_back(settings: Settings, jobs: Jobs) -> None:
    store = opened(settings, jobs)
    store.add([kept(number, domains=["watches.example"]) for number in range(5)])
    assert about(store, 0) == Linked("watches.example", 4, 0, 0)
    store.decide([verdict(1), verdict(2), verdict(3, 0), verdict(77), verdict(78, website="http://other.example")])
    assert about(store, 0) == Linked("watches.example", 5, 3, 1)
    assert about(store, 1) == Linked("watches.example", 5, 2, 1), "without itself"
    store.restore(1)
    assert about(store, 0) == Linked("watches.example", 5, 2, 1)
    store.add([kept(2, domains=["watches.example"])])
    assert about(store, 0).spam == 2, "judged again is no news"
    raw = b" ".join(store.redis.scan_iter())
    assert b"watches" not in raw


def test_domains_and_their_accounts_are_bounded(
    settings: Settings, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MOST_ACCOUNTS", 3)
    store = opened(settings, jobs, review_most=2)
    store.decide([verdict(number) for number in range(9)])
    store.add([kept(100, domains=["watches.example"])])
    assert about(store, 100).accounts == 3
    store.decide([verdict(200 + number, website=f"http://w{number}.example") for number in range(9)])
    assert store.redis.zcard(f"{PREFIX}review:domains") == 4
    assert len([key for key in store.redis.scan_iter() if b":domain:" in key]) == 4


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", ""),
        ("12 34 !!", ""),
        ("jazz", ""),
        ("I collect records of the seventies and scan their covers", "en"),
        ("Купить диплом недорого с доставкой по всей России", "ru"),
        ("Ich sammle Schallplatten und suche nach alten Aufnahmen", "de"),
    ],
)
def test_the_language_of_a_bio_is_told_where_it_can_be(text: str, language: str) -> None:
    pytest.importorskip("py3langid")
    assert guess_language(text) == language


def test_nothing_in_a_table_is_a_formula() -> None:
    shown = {
        **{name: f"'{name}" for name in ("=1+1", "+1", "-1", "@x", " =1", "＝1")},
        **{name: name for name in ('"=1"', "a=1", "a,b\n", "a; b", 'say "-1"', "a - b")},
        # For spreadsheets that split at semicolons or tabs, each of these begins a cell.
        "\t=1": "'\t'=1",
        "\r=1": "'\r'=1",
        "a;=1": "a;'=1",
        "a\t@x": "a\t'@x",
        "a\n\n-1;+2": "a\n\n'-1;'+2",
        'a; "=1"': 'a; "\'=1"',
        ";=1": ";'=1",
        "a;＝1": "a;'＝1",
        "a;;;b": "a;;;b",
    }
    hostile = list(shown)
    entries = [
        Waiting(
            entry="0" * 24,
            digest="0" * 32,
            editor=Editor(id=number, name=name, bio="=cmd|' /C calc'!A0"),
            score=0.5,
            band="unsure",
            weights="w",
            judged=str(time.time()),
            claimed_by="=x",
        )
        for number, name in enumerate(hostile)
    ]
    table = write_table(entries)
    assert table.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert {name: row["name"] for name, row in zip(hostile, rows, strict=True)} == shown
    assert {row["bio"][0] for row in rows} == {row["claimed_by"][0] for row in rows} == {"'"}
    assert [row["id"] for row in rows] == [str(number) for number in range(len(hostile))]
