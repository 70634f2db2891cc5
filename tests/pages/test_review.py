"""The page of the review queue, by its routes: what a moderator sees and what each button does, without JavaScript."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import Any

import msgspec
import pytest
from flask import render_template_string
from flask.testing import FlaskClient

from sb_api.judgements import Outcome
from sb_api.records import Editor
from sb_api.review.entries import Kept
from sb_api.review.store import ReviewStore
from tests.support.review import SPAMMERS, fill
from tests.support.service import NOT_SPAM, SPAM

HOSTILE = "</textarea><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def press(client: FlaskClient, status: int = 200, **fields: Any) -> str:
    response = client.post("/page/review", data=fields, content_type="multipart/form-data")
    assert response.status_code == status, response.text
    return html.unescape(response.text)


def cards(text: str) -> list[str]:
    return re.findall(r"<h3[^>]*>\s*(\w+)", text)


def listed(text: str) -> list[str]:
    return re.findall(r'name="entry" value="(\w+)"[^>]*> <span', text)


def test_one_after_the_other_is_claimed_judged_and_taken_back(reviewing: FlaskClient, queue: ReviewStore) -> None:
    entries = fill(reviewing, queue, 3)
    start = reviewing.get("/page/review").text
    assert "3 accounts wait" in start
    assert sorted(listed(start)) == sorted(entries)
    assert cards(start) == []
    first = press(reviewing, next="1")
    assert len(cards(first)) == 1
    assert "Best online casino bonus" in first
    assert "odds of spam" in first
    mine = str(listed(start)[0])
    after = press(reviewing, entry=mine, one="1", verdict="1")
    assert re.search(r"</b>: spam, (learned|known already|kept)", after)
    assert len(cards(after)) == 1, "the next"
    assert cards(after) != cards(first)
    assert "2 accounts wait" in after
    undone = press(reviewing, undo=mine)
    assert "The account is yours again" in undone
    assert "3 accounts wait" in undone
    second = next(handle for handle in listed(undone) if handle != mine)
    given_back = press(reviewing, release=second)
    assert len(cards(given_back)) == 2


def test_many_at_once_and_what_others_have_is_not_theirs(reviewing: FlaskClient, queue: ReviewStore) -> None:
    entries = fill(reviewing, queue, 3)
    queue.claim(entries[:1], "anna", 1)
    page = reviewing.get("/page/review").text
    assert "claimed by anna" in page
    assert re.search(rf'value="{entries[0]}" disabled', page)
    assert "claimed by somebody else" in press(reviewing, 409, entry=entries, verdict="0")
    assert "3 accounts wait" in reviewing.get("/page/review").text
    done = press(reviewing, entry=entries[1:], verdict="1")
    assert "2 accounts: spam." in done
    assert "1 account waits" in done
    assert len(re.findall('name="undo"', done)) == 2
    taken = press(reviewing, 409, take=entries[0])
    assert "claimed by somebody else" in taken
    assert "No account waits" in press(reviewing, next="1")


def test_an_account_that_has_changed_is_shown_anew(reviewing: FlaskClient, queue: ReviewStore) -> None:
    entries = fill(reviewing, queue, 2)
    seen = re.findall(r'name="seen" value="(\w+ \w+)"', reviewing.get("/page/review").text)
    assert len(seen) == 2
    (kept,) = queue.read(entries[:1]).values()
    edited = msgspec.structs.replace(kept.editor, name="collector", bio="I love old records")
    queue.add([msgspec.structs.replace(kept, editor=edited)])
    refused = press(reviewing, 409, entry=entries, seen=seen, verdict="1")
    assert "1 of 2 accounts say something else" in refused
    assert "It says something else" in refused
    assert cards(refused)[0] == "collector"
    assert "2 accounts wait" in refused
    assert "disabled" not in refused, "all are one's own"
    again = re.findall(r'name="seen" value="(\w+ \w+)"', refused)
    assert set(again) != set(seen)
    undone = press(reviewing, entry=entries, seen=again, verdict="0")
    assert "2 accounts: not spam." in undone
    assert len(re.findall('name="undo"', undone)) == 2
    assert 'class="problem"' in press(reviewing, 400, entry=entries, seen="x", verdict="0")


def test_of_many_accounts_that_have_changed_those_that_are_not_shown_are_counted_and_marked(
    reviewing: FlaskClient, queue: ReviewStore
) -> None:
    entries = fill(reviewing, queue, 6)
    seen = re.findall(r'name="seen" value="(\w+ \w+)"', reviewing.get("/page/review").text)
    edited = [
        msgspec.structs.replace(kept, editor=msgspec.structs.replace(kept.editor, bio="I love old records"))
        for kept in queue.read(entries).values()
    ]
    queue.add(edited)
    refused = press(reviewing, 409, entry=entries, seen=seen, verdict="1")
    assert refused.count("It says something else") == len(cards(refused)) == 5
    assert "1 more account says something else than when you looked; in the list below it is marked" in refused
    assert refused.count("says something else now") == 6, "in the list, those that are shown above as well"


def test_filters_are_kept_and_wrong_forms_are_said_to_be(reviewing: FlaskClient, queue: ReviewStore) -> None:
    fill(reviewing, queue, 3)
    page = reviewing.get("/page/review?host=win1.casino.example&order=useful&age=older").text
    assert "1 account waits, of 3" in page
    assert 'name="host" value="win1.casino.example"' in page
    assert cards(press(reviewing, next="1", host="win1.casino.example")) == [SPAMMERS[1]["name"]]
    assert "No account waits" in press(reviewing, next="1", host="nowhere.example")
    assert "3 accounts wait" in reviewing.get("/page/review?page=x").text
    unread = reviewing.get("/page/review?age=x")
    assert unread.status_code == 400
    assert "3 accounts wait" not in unread.text
    assert reviewing.get("/page/review.csv?age=x").status_code == 400
    assert "No account" in reviewing.get("/page/review?host=http://").text
    assert "At most 100 accounts" in press(reviewing, 400, entry=[f"{n:024x}" for n in range(101)], verdict="1")
    for fields in ({}, {"verdict": "1"}, {"entry": "x", "verdict": "1"}, {"take": "x"}, {"undo": "../x"}):
        assert 'class="problem"' in press(reviewing, 400, **fields)
    assert reviewing.get("/page/review?band=x").status_code == 400
    assert "3 accounts wait" not in press(reviewing, 400, entry=queue.handle(9000), verdict="1", one="1", band="x")
    assert len(queue.found().summaries) == 3, "nothing was done"
    assert "no longer kept" in press(reviewing, 404, undo="0" * 24)


def test_what_is_shown_can_be_downloaded(reviewing: FlaskClient, queue: ReviewStore) -> None:
    fill(reviewing, queue, 3)
    queue.add([Kept(editor=Editor(id=7, name="=1+1"), score=0.6, band="likely spam", weights="w", judged=1)])
    table = reviewing.get("/page/review.csv?band=likely+spam")
    assert table.content_type == "text/csv; charset=utf-8"
    assert "attachment" in table.headers["Content-Disposition"]
    (row,) = csv.DictReader(io.StringIO(table.data.decode("utf-8-sig"), newline=""))
    assert (row["id"], row["name"], row["score"], row["band"]) == ("7", "'=1+1", "0.6", "likely spam")
    assert len(reviewing.get("/page/review.csv").data.splitlines()) == 5
    assert reviewing.get("/page/review.csv?order=x").status_code == 400
    assert "Download as CSV" in reviewing.get("/page/review").text


def test_hostile_accounts_are_text(reviewing: FlaskClient, queue: ReviewStore) -> None:
    editor = Editor(id=7, name=HOSTILE, bio=HOSTILE, website=HOSTILE, email=HOSTILE)
    queue.add([Kept(editor=editor, score=0.9, band="likely spam", weights="w", judged=1, host=HOSTILE)])
    for page in (reviewing.get("/page/review").text, reviewing.post("/page/review", data={"next": "1"}).text):
        assert "&lt;script&gt;" in page
        assert not re.search(r"<script(?! type=\"module\" src=\"/assets/)|<img src=x", page)


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome("learned"), "learned"),
        (Outcome("learned", still=SPAM), "learned, but for now still called spam"),
        (Outcome("learned", still=NOT_SPAM), "learned, but for now still called not spam"),
        (Outcome("kept", "It waits."), "kept, not learned yet. It waits."),
    ],
)
def test_what_became_of_a_verdict_is_told(client: FlaskClient, outcome: Outcome, told: str) -> None:
    with client.application.test_request_context():
        template = "{% from '_cards.html' import outcome_of with context %}{{ outcome_of(outcome) }}"
        assert render_template_string(template, outcome=outcome).strip() == told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("none", ""),
        (repr(SPAM), "The newest verdict that still counts says spam."),
        (repr(NOT_SPAM), "The newest verdict that still counts says not spam."),
        ("'bug_report', false", "The newest verdict that still counts says bug report."),
    ],
)
def test_what_counts_after_an_undo_is_told(client: FlaskClient, arguments: str, told: str) -> None:
    with client.application.test_request_context():
        template = "{% from '_cards.html' import what_stands with context %}{{ what_stands(" + arguments + ") }}"
        assert render_template_string(template).strip() == told


@pytest.mark.parametrize(("usual", "told"), [("0.00123", "A usual account: 0.12% spam."), ("none", "")])
def test_reasons_say_where_they_count_from(client: FlaskClient, usual: str, told: str) -> None:
    with client.application.test_request_context():
        template = "{% from '_cards.html' import reasons with context %}{{ reasons(found, usual=" + usual + ") }}"
        page = render_template_string(template, found=[{"feature": "no e-mail", "log_odds": 1.0}])
    assert told in page
    assert ("A usual account" in page) == bool(told)


def test_without_a_queue_there_is_no_tab(client: FlaskClient) -> None:
    assert "/page/review" not in client.get("/").text
    assert client.get("/page/review").status_code == 404
