"""The page's routes: what people wrote is shown and never run, and each role is offered and allowed its own."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from flask import Flask, render_template_string
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sb_api import create_app
from sb_api.auth.credentials import add_credential
from sb_api.broker.jobs import BULK
from sb_api.config import Settings, load_settings
from sb_api.judgements import Judged, PastVerdict
from sb_api.pages.history import History
from sb_api.web.service import judge
from tests.conftest import wait_until
from tests.support.jobs import Jobs
from tests.support.service import EDITOR, Service, make_editors, make_verdicts, shown_score

HOSTILE = "</textarea><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"
VIEWS = ("/", "/page/text", "/page/quality", "/page/weights", "/page/service")
CHANGES = {"/page/verdict": "train", "/page/rollback": "admin", "/page/replay": "admin"}
CHANGES |= {"/page/class": "admin", "/page/rename-class": "admin"}
CHANGES |= dict.fromkeys((f"/page/weights/{call}" for call in ("stage", "promote", "drop")), "admin")


def paste(client: FlaskClient, records: Any, path: str = "/", **fields: str) -> TestResponse:
    return client.post(path, data={"paste": json.dumps(records), **fields}, content_type="multipart/form-data")


def alive(text: str) -> list[str]:
    """What a browser would run, or take for markup, of what was sent."""
    return re.findall(r"<script(?! type=\"module\" src=\"/assets/)|<img src=x|\son\w+=|\sstyle=|javascript:", text)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_has_nothing_inline_and_a_policy_that_allows_nothing_else(client: FlaskClient, view: str) -> None:
    response = client.get(view)
    assert response.status_code == 200, response.text
    assert response.content_type == "text/html; charset=utf-8"
    assert alive(response.text) == []
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert "://" not in re.sub(r"http://www.w3.org/\S*", "", response.text)


def test_hostile_fields_are_text(client: FlaskClient) -> None:
    fields = dict.fromkeys(("email", "website", "bio", "area", "gender", "name"), HOSTILE)
    response = paste(client, {HOSTILE: {**fields, "id": HOSTILE}})
    assert response.status_code == 200
    assert alive(response.text.replace("&lt;", "").replace("onerror=alert(1)&gt;", "")) == []
    assert "&lt;script&gt;alert(1)" in response.text
    assert "49" not in re.findall(r"<dd>(.*?)</dd>", response.text, re.DOTALL)


def test_hostile_mistakes_and_messages_are_text(client: FlaskClient) -> None:
    wrong = paste(client, {HOSTILE: {"id": 1, "member_since": HOSTILE[:40]}})
    assert wrong.status_code == 422
    message = paste(client, [{"id": HOSTILE, "text": HOSTILE}], "/page/text")
    assert message.status_code == 200
    assert client.post("/page/verdict", data={"record": HOSTILE, "verdict": "1"}).status_code == 400
    unknown = client.get("/page/quality", query_string={"model": HOSTILE})
    assert unknown.status_code == 400
    for response in (wrong, message, unknown):
        assert "&lt;/textarea&gt;" in response.text
        assert alive(response.text.replace("onerror=alert(1)&gt;", "")) == []


def test_texts_are_sorted_by_the_classifier_that_is_chosen(client: FlaskClient) -> None:
    empty = client.get("/page/text?model=sentiment").text
    assert re.findall(r'aria-current="true">(\w+)</a>', empty) == ["Sentiments"]
    assert empty.count('name="model" value="sentiment"') == 3, "in the form, and in those of classes"
    shown = paste(client, [{"id": 1, "text": "wonderful, I am so happy"}], "/page/text", model="sentiment")
    assert (shown.status_code, "positive</h3>" in shown.text) == (200, True)
    assert shown.text.count('name="model" value="sentiment"') == 4
    record = json.dumps({"id": 1, "text": "wonderful, I am so happy"})
    said = client.post(
        "/page/verdict", data={"model": "sentiment", "record": record, "verdict": "", "instead": "unsure"}
    )
    assert (said.status_code, "Nothing was learned" in said.text) == (200, True)
    assert paste(client, [{"id": 1, "text": "x"}], "/page/text", model="lodbrok").status_code == 400


@pytest.mark.parametrize(
    ("score", "shown"),
    [
        *((0.0, "<0.01%"), (0.0014, "0.14%"), (0.0099, "0.99%"), (0.01, "1.0%"), (0.573, "57.3%")),
        *((0.99, "99.0%"), (0.9912, "99.12%"), (0.99996, ">99.99%"), (1.0, ">99.99%"), (None, "–")),
    ],
)
def test_a_score_has_more_digits_where_one_would_make_a_certain_thing_of_a_likely_one(
    client: FlaskClient, score: float | None, shown: str
) -> None:
    """Or an account of 0.1% would be `unsure` beside one of 0.1% that is `likely fine`."""
    with client.application.test_request_context():
        template = "{% from '_macros.html' import score with context %}{{ score(value) }}"
        assert html.unescape(render_template_string(template, value=score)) == shown
    if score is not None:
        assert shown_score(score) == shown


@pytest.mark.parametrize(
    ("log_odds", "shown"),
    [(0.1, "× 1.1"), (-0.7, "÷ 2.0"), (2.3, "× 10"), (-4.6, "÷ 99"), (9.0, "× >1,000")],
)
def test_a_reason_says_how_many_times_it_makes_the_odds(client: FlaskClient, log_odds: float, shown: str) -> None:
    with client.application.test_request_context():
        template = "{% from '_macros.html' import times with context %}{{ times(value) }}"
        assert html.unescape(render_template_string(template, value=log_odds)) == shown


@pytest.mark.parametrize(
    ("log_odds", "shown"),
    [(3.0, "strongly"), (-2.4, "strongly"), (1.0, "somewhat"), (-0.2, "a little"), (0.0, "a little")],
)
def test_a_reason_says_in_a_word_how_much_it_weighs(client: FlaskClient, log_odds: float, shown: str) -> None:
    with client.application.test_request_context():
        template = "{% from '_macros.html' import strength with context %}{{ strength(value) }}"
        assert render_template_string(template, value=log_odds) == shown


@pytest.mark.parametrize(("count", "shown"), [(4, "too few to tell"), (19, "too few to tell"), (20, "100.0%")])
def test_a_share_of_few_is_too_few_to_tell(client: FlaskClient, count: int, shown: str) -> None:
    """Of four, all may be right by chance."""
    with client.application.test_request_context():
        template = "{% from '_macros.html' import figure_of with context %}{{ figure_of(row, name) }}"
        row = {"count": count, "precision": 1.0}
        assert shown in render_template_string(template, row=row, name="precision")
        assert render_template_string(template, row=row, name="count") == str(count)


def test_the_bands_are_explained_by_what_the_weights_were_measured_on(client: FlaskClient) -> None:
    told = html.unescape(re.sub(r"<[^>]+>", "", paste(client, make_editors(3)).text))
    told = re.sub(r"\s+", " ", told)
    chain = client.get("/weights").get_json()
    current = next(each for each in chain["versions"] if each["version"] == chain["slots"]["current"])
    bands = current["figures"]["bands"]
    innocent, spam = (sum(bands[label].values()) for label in ("innocent", "spam"))
    assert f"Counted on {innocent:,} innocent accounts and {spam:,} spam accounts" in told
    for name, wrong in bands["innocent"].items():
        assert f"{name} " in told
        share = 1000 * wrong / innocent
        assert (
            f"Of 1,000 innocent accounts {f'{share:.1f}' if 0 < share < 100 else f'{share:.0f}' if wrong else 'none'}"
            in told
        )
    certain, likely, fine = current["borders"]
    assert f"above {100 * certain:.1f}%" in told
    assert f"{100 * fine:.1f}% to {100 * likely:.1f}%" in told


def test_a_band_says_itself_what_it_means(client: FlaskClient) -> None:
    page = paste(client, [EDITOR]).text
    band = client.post("/predict", json=[EDITOR]).get_json()["bands"][str(EDITOR["id"])]
    (chip,) = re.findall(r'<details class="chip">(.*?)</details>', page, re.DOTALL)
    summary, meaning = re.findall(r"<summary.*?>(.*?)</summary>\s*<p>(.*?)</p>", chip, re.DOTALL)[0]
    assert summary == band
    assert re.search(r"A score .*%\. .*Of 1,000 innocent accounts .*, of 1,000 spammers .*\.", meaning)
    assert meaning in page.replace(chip, ""), "as the legend says it"
    assert re.findall(r'<a class="band [\w-]+" href="#bands">(.*?)</a>', page) == [band]
    assert page.count('id="bands"') == 1


def test_an_account_of_which_hardly_anything_is_known_is_not_called_fine(client: FlaskClient) -> None:
    known = {**EDITOR, "birth_date": "1980-02-29", "last_login_date": "2017-11-20T01:02:03"}
    for record, sparse in (({"id": 1}, True), ({"id": 1, "member_since": "2004-01-01"}, True), (known, False)):
        band = client.post("/predict", json=record).get_json()["bands"][str(record["id"])]
        told = paste(client, record).text
        assert ("Hardly anything is known of this account" in told) == (sparse and band == "likely fine")


def test_the_explorer_says_what_the_weights_say_at_each_place(client: FlaskClient) -> None:
    chain = client.get("/weights").get_json()
    current = next(each for each in chain["versions"] if each["version"] == chain["slots"]["current"])
    curve = current["figures"]["bands"]["curve"]
    for place in (0, len(curve) - 1, 10_000, -5, "x"):
        shown = client.get("/page/weights", query_string={"innocents": place}).text
        row = curve[min(max(place if isinstance(place, int) else 3, 0), len(curve) - 1)]
        told = re.search(r'id="threshold"[^>]*>([^<]*)<', shown)
        assert told is not None
        assert f"{row[0]:g} of 1,000 innocent accounts" in told[1]
        assert f"catches {100 * row[2]:.1f}% of the spam" in told[1]
    assert 'id="threshold"' not in client.get("/page/weights?model=intent").text


def test_scores_are_those_of_predict_and_the_highest_come_first(client: FlaskClient) -> None:
    editors = make_editors(40)
    scores = client.post("/predict", json=editors).get_json()["scores"]
    response = paste(client, editors)
    shown = re.findall(r"<h3[^>]*>\s*Editor (\d+)</h3>", response.text)
    told = re.findall(r"<b>([^<]+)</b> spam", response.text)
    assert len(shown) == 25
    assert [shown_score(scores[number]) for number in shown] == [html.unescape(text) for text in told]
    assert sorted(scores.values(), reverse=True)[:25] == [scores[number] for number in shown]
    rest = re.findall(r"<h3[^>]*>\s*Editor (\d+)</h3>", paste(client, editors, page="2").text)
    assert len(rest) == 15
    assert {*shown, *rest} == {str(editor["id"]) for editor in editors}
    for odd, same in (("99", rest), ("-1", shown), ("x", shown)):
        assert re.findall(r"<h3[^>]*>\s*Editor (\d+)</h3>", paste(client, editors, page=odd).text) == same


def test_a_form_is_one_editor(client: FlaskClient) -> None:
    response = client.post("/", data={"id": "7", "privs": "1", "bio": "x", "member_since": "2024-01-01T10:00"})
    assert response.status_code == 200
    assert "Editor 7" in response.text
    unnumbered = client.post("/", data={"bio": "x", "id": " "})
    assert "Editor account " in unnumbered.text
    wrong = client.post("/", data={"id": "7", "privs": "all"})
    assert wrong.status_code == 422
    assert "privs" in wrong.text
    assert client.post("/", data={}).status_code == 400


def test_a_change_of_a_form_is_shown_with_what_it_moved(client: FlaskClient) -> None:
    before = {"id": 7, "bio": "x", "website": "http://win-casino.example"}
    form = {"id": "7", "bio": "x", "website": "https://www.last.fm/user/x"}
    response = client.post("/", data={**form, "before": json.dumps(before)})
    scores = [client.post("/predict", json=one).get_json()["scores"]["7"] for one in (before, form)]
    told = html.unescape(re.sub(r"\s+", " ", response.text))
    assert f"Website changed: {shown_score(scores[1])} spam, it was {shown_score(scores[0])}" in told
    assert response.text.count("<article") == 1
    for odd in ("", "{", "[]", '{"id": 5, "privs": "all"}', json.dumps({**form, "id": 8})):
        again = client.post("/", data={**form, "before": odd})
        assert again.status_code == 200
        assert " changed: " not in again.text


def test_one_account_is_judged_by_two_versions_side_by_side(client: FlaskClient) -> None:
    learned = client.post("/train", json=make_verdicts(2)).get_json()["weights"]["version"]
    original = client.get("/weights").get_json()["slots"]["original"]
    offered = client.get("/").text
    assert f'<option value="{original}">' in offered
    assert f'<option value="{learned}">' not in offered, "it is the current one"
    fields = {"id": "1", "website": "http://win-casino.example"}
    page = client.post("/", data={**fields, "against": original}).text
    assert f'<option value="{original}" selected>' in page
    scores = [
        client.post(f"/predict?weights={version}", json=[fields]).get_json()["scores"]["1"]
        for version in (learned, original)
    ]
    table = re.findall(r'<table class="change beside">(.*?)</table>', page, re.DOTALL)[0]
    shown = [html.escape(shown_score(score)) for score in scores]
    assert re.findall(r"Score</th><td>(.*?)</td><td>(.*?)</td>", table) == [tuple(shown)]
    assert table.index(learned) < table.index(original)
    assert "website" in table
    gone = client.post("/", data={**fields, "against": "000099-00000000"})
    assert gone.status_code == 200
    assert "There are no weights" in gone.text
    assert 'class="change beside"' not in gone.text


def test_what_is_no_field_is_named_on_the_page(client: FlaskClient) -> None:
    response = paste(client, [{"id": 1, "webiste": "http://x.example", HOSTILE: 1}])
    assert "<code>webiste</code> is no field and was not used: did you mean <code>website</code>?" in response.text
    assert alive(response.text.replace("onerror=alert(1)&gt;", "")) == []


def test_a_paste_past_the_limits_is_refused_in_words(service: Service, tmp_path: Path) -> None:
    settings = load_settings(
        {}, redis_url=service.redis_url, state_dir=str(tmp_path), max_records=3, max_body_bytes=2_000_000
    )
    client = create_app(settings).test_client()
    many = paste(client, [{"id": number} for number in range(4)])
    assert many.status_code == 413
    assert "4 records are more than the 3" in many.text
    # The first is larger than what Werkzeug reads of a form by default.
    for size, status in ((900_000, 200), (3_000_000, 413)):
        form = urlencode({"paste": json.dumps([{"id": 1, "bio": "x" * size}])})
        assert client.post("/", data=form, content_type="application/x-www-form-urlencoded").status_code == status


def test_what_a_browser_shows_is_a_page_also_when_it_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(msgspec.structs.replace(settings, max_body_bytes=1000))
    client = app.test_client()
    wanted = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    monkeypatch.setattr("sb_api.pages.moderation.read_messages", lambda *_: 1 / 0)
    for answer, status in (
        (client.get("/nothing", headers=wanted), 404),
        (client.get("/predict", headers=wanted), 405),
        (client.get("/page/verdict"), 405),
        (client.post("/", data={"paste": "x" * 2000}), 413),
        (client.post("/page/text", data={"paste": "x"}), 500),
    ):
        assert (answer.status_code, answer.mimetype) == (status, "text/html")
        assert "That did not work" in answer.text
        assert "Back to the start" in answer.text
    # Whoever takes anything is no browser.
    assert client.get("/nothing", headers={"Accept": "*/*"}).mimetype == "application/problem+json"
    assert client.post("/predict", data="x" * 2000, headers=wanted).mimetype == "application/problem+json"


def test_without_redis_the_service_view_says_so(settings: Settings) -> None:
    away = msgspec.structs.replace(settings, redis_url="unix:///nonexistent/redis.sock")
    client = create_app(away).test_client()
    shown = client.get("/page/service")
    assert shown.status_code == 200
    assert "Not ready" in shown.text
    assert "Redis: The queue cannot be reached" in shown.text
    check = paste(client, [EDITOR])
    assert check.status_code == 503
    assert check.headers["Retry-After"]
    assert "The queue cannot be reached" in check.text


def test_overload_and_no_answer_in_time_are_told_of_and_are_among_the_last_errors(
    jobs: Jobs, settings: Settings
) -> None:
    hurried = msgspec.structs.replace(settings, predict_timeout=0.01, slice_records=100, queue_limit=3)
    client = create_app(hurried).test_client()
    late = paste(client, make_editors(200))
    assert late.status_code == 504
    assert "The answer did not come in time" in late.text
    wait_until(lambda: jobs.redis.xlen(BULK) == 2)
    # A refusal takes as long as the machine is busy, which may be more than 0.01 s.
    client = create_app(msgspec.structs.replace(hurried, predict_timeout=20.0)).test_client()
    full = paste(client, make_editors(200))
    assert full.status_code == 503
    assert full.headers["Retry-After"]
    assert "Too much is waiting already" in full.text
    view = client.get("/page/service").text
    assert re.search(r"Large requests in the queue</dt><dd>2</dd>", view)
    assert "POST /: No answer within 0.01 s." in view


def test_credentials_that_cannot_be_read_are_told_of_on_a_page(settings: Settings) -> None:
    settings.credentials_file.parent.mkdir(parents=True, exist_ok=True)
    settings.credentials_file.write_text("nonsense")
    answer = create_app(settings).test_client().get("/")
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert "The credentials cannot be read" in answer.text


@pytest.mark.parametrize(
    ("band", "score", "said"),
    [
        ("unsure", 0.17, "counts as unsure: 17.0%, as before"),
        ("unsure", 0.6, "counts as unsure: 60.0%, as before"),
        ("likely spam", 0.45, "counts as spam: 45.0%, as before"),
        ("likely fine", 0.01, "counts as fine: 1.0%, as before"),
    ],
)
def test_what_an_account_counts_as_goes_by_its_band(
    band: str, score: float, said: str, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was called fine beside a band that says that nobody can tell."""

    def judging(*arguments: Any, **options: Any) -> Judged:
        return msgspec.structs.replace(judge(*arguments, **options), bands=[band], scores=[score])

    monkeypatch.setattr("sb_api.pages.moderation.judge", judging)
    shown = client.post("/page/verdict", data={"record": json.dumps({"id": "nobody"}), "instead": "undo"}).text
    assert said in shown


def test_after_an_undo_the_page_tells_what_is_kept_again(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict that was given twice while it waited was "undone", and waited on."""
    earlier = PastVerdict(
        number=1,
        record="nobody",
        reporter="",
        label=1,
        label_name="Spam Editor Account",
        predicted=0,
        predicted_name="Non Spam Editor Account",
        score=0.01,
        weights="000000-aaaaaaaa",
        received="2026-11-30T12:00:00Z",
        status="waiting",
    )
    history = History({"nobody": [earlier]})
    monkeypatch.setattr("sb_api.pages.moderation.recall", lambda *_: history)
    undone = {"withdrawn": 1, "unlearned": True, "standing": None}
    monkeypatch.setattr("sb_api.pages.moderation.await_withdrawal", lambda *_: undone)
    shown = client.post("/page/verdict", data={"record": json.dumps({"id": "nobody"}), "instead": "undo"}).text
    assert "Your verdict is undone. What you had said before it, spam, is kept again" in shown


def test_what_was_taken_back_and_comes_back_with_a_rollback_can_be_undone_again(
    client: FlaskClient, service: Service
) -> None:
    """There was no button for it any more."""
    form, button = {"record": json.dumps(EDITOR)}, "Undo my verdict"
    client.post("/page/verdict", data={**form, "verdict": "1"})
    client.post("/page/verdict", data={"record": json.dumps({"id": 77, "bio": "another one"}), "verdict": "1"})
    version = service.get("/weights").json()["slots"]["current"]
    client.post("/page/verdict", data={**form, "instead": "undo"})
    assert button not in paste(client, [EDITOR]).text
    service.post("/rollback", {"to": version})
    again = paste(client, [EDITOR]).text
    assert button in again
    assert "The weights know it all the same" in again
    client.post("/page/verdict", data={**form, "instead": "undo"})
    last = paste(client, [EDITOR]).text
    assert (button in last, "know it all the same" in last, "taken back" in last) == (False, False, True)


def test_an_unsure_verdict_teaches_nothing(client: FlaskClient, service: Service) -> None:
    before = service.get("/weights").json()["slots"]["current"]
    answer = client.post("/page/verdict", data={"record": json.dumps(EDITOR), "instead": "unsure"})
    assert "Nothing was learned" in answer.text
    assert client.post("/page/verdict", data={"record": json.dumps(EDITOR), "verdict": "2"}).status_code == 400
    assert service.get("/weights").json()["slots"]["current"] == before


def test_staged_weights_are_shown_beside_the_current_ones_and_promoted(client: FlaskClient) -> None:
    first = client.post("/train", json=make_verdicts(2)).get_json()["weights"]["version"]
    client.post("/train", json=make_verdicts(2, 10))
    assert "No weights are staged" in client.get("/page/weights").text
    assert client.post("/page/weights/stage", data={"version": first}).status_code == 303
    client.get("/weights/staged")  # what takes longer than the page waits is known then
    shown = client.get("/page/weights").text
    assert "It judges" in shown
    assert "Who is right, where labels are known" in shown
    assert "It first learns 2 verdicts that only the current weights have" in shown
    started = client.post("/page/weights/promote", data={"version": first, "as_is": "1"})
    assert started.status_code == 303
    wait_until(lambda: "Promoted" in client.get(started.headers["Location"]).text)
    assert client.get("/weights").get_json()["slots"]["current"] == first
    problem = client.post("/page/weights/drop", data={"version": first})
    assert problem.status_code == 404
    assert "No such weights are staged" in problem.text


def test_a_class_with_too_few_examples_is_refused_and_its_form_is_as_it_was(client: FlaskClient) -> None:
    answer = client.post("/page/class", data={"name": "order <status>", "examples": "where is it?\nwhen does it come?"})
    assert answer.status_code == 422
    assert "3 missing" in answer.text
    assert 'value="order &lt;status&gt;"' in answer.text
    assert "where is it?\nwhen does it come?</textarea>" in answer.text
    assert client.post("/page/class", data={"name": " ", "examples": "x"}).status_code == 400


def test_classes_become_one_on_the_page_and_any_name_can_be_taught(client: FlaskClient) -> None:
    """Also one that the page's buttons go by: `unsure` and `undo` are names of classes like others."""
    form = client.get("/page/text").text
    assert re.findall(r'name="old" value="([^"]+)"', form)[:3] == ["account question", "bug report", "complaint"]
    done = client.post("/page/rename-class", data={"old": ["bug report", "complaint"], "new": "unsure"})
    assert done.status_code == 200
    told = html.unescape(re.sub(r"<[^>]+>", "", done.text))
    assert "'bug report' and 'complaint' are called 'unsure' now." in told
    assert re.search(r"To undo it, roll back to \d{6}-\w{8} under Weights\.", told)
    assert 'name="old" value="unsure"' in done.text

    shown = paste(client, [{"id": 1, "text": "the search page crashes on my phone"}], "/page/text").text
    assert '<span class="band">unsure</span>' in shown, "a class, and no band of accounts"
    record = json.dumps({"id": "a page", "text": "the quokka frobnicates my zither"})
    taught = client.post("/page/verdict", data={"model": "intent", "record": record, "verdict": "unsure"})
    assert "Nothing was learned" not in taught.text
    verdicts = client.get("/verdicts?model=intent&id=a page").get_json()["verdicts"]
    assert [(one["label_name"], one["status"]) for one in verdicts] == [("unsure", "learned")]
    form = {"model": "intent", "record": record, "verdict": "unsure"}
    assert "Nothing was learned" in client.post("/page/verdict", data={**form, "instead": "unsure"}).text
    assert client.post("/page/verdict", data={**form, "instead": "praise"}).status_code == 400


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"new": "problem"}, "Choose the class"),
        ({"old": ["praise"], "new": " "}, "has 1 to 255 characters"),
        ({"old": ["praise"], "new": "x" * 256}, "has 1 to 255 characters"),
        ({"old": ["poetry"], "new": "prose"}, "is no class of the current weights"),
        ({"old": ["praise"], "new": "<No Class>"}, "what it is called that a message fits none"),
        ({"old": ["praise"], "new": "x", "model": "lodbrok"}, "judges no messages"),
    ],
)
def test_what_cannot_be_renamed_is_said_and_the_form_is_as_it_was(
    client: FlaskClient, form: dict[str, Any], told: str
) -> None:
    answer = client.post("/page/rename-class", data=form)
    assert (answer.status_code, told in answer.text) == (400, True)
    if form.get("old") == ["praise"] and "model" not in form:
        assert re.search(r'value="praise" checked', answer.text)


def test_what_no_log_takes_and_names_past_the_limit_are_refused(client: FlaskClient) -> None:
    messages = [{"id": f"a\0{n}", "text": f"text {n}"} for n in range(5)]
    form = {"name": "orders", "examples": json.dumps(messages)}
    answer = client.post("/page/class", data=form)
    assert (answer.status_code, "U+0000" in answer.text) == (422, True)
    verdict = {"record": json.dumps({**EDITOR, "id": "a\0b"}), "verdict": "1"}
    assert client.post("/page/verdict", data=verdict).status_code == 422
    long = {"name": "x" * 256, "examples": "one"}
    assert client.post("/page/class", data=long).status_code == 400
    assert client.post("/", data={"name": "ann", "privs": "--5"}).status_code == 422


def test_a_version_that_is_not_there_cannot_be_rolled_back_to(client: FlaskClient) -> None:
    answer = client.post("/page/rollback", data={"to": "000009-deadbeef"})
    assert answer.status_code == 404
    assert "There are no such weights" in answer.text


def test_without_the_rest_of_the_service_the_views_say_so(lonely_client: FlaskClient) -> None:
    for view in ("/page/quality", "/page/weights"):
        response = lonely_client.get(view)
        assert response.status_code == 503
        assert "No train process has published weights yet" in response.text
    assert "no classify process is alive" in lonely_client.get("/page/service").text
    audit = lonely_client.get("/page/audit")
    assert audit.status_code == 503
    assert "The train process, which keeps the log, is busy or away." in audit.text


def test_assets_are_kept_as_long_as_their_address_stays(lonely_client: FlaskClient) -> None:
    page = lonely_client.get("/page/sign-in").text
    addresses = re.findall(r'(?:href|src)="(/assets/[^"]+)"', page)
    assert len(set(addresses)) == 4
    for address in addresses:
        with lonely_client.get(address) as response:
            assert response.status_code == 200
            assert "immutable" in response.headers["Cache-Control"]
        with lonely_client.get(address, headers={"If-None-Match": response.headers["ETag"]}) as again:
            assert again.status_code == 304
    with lonely_client.get("/assets/page.css") as unversioned:
        assert "immutable" not in unversioned.headers["Cache-Control"]
    assert lonely_client.get("/assets/../pages.py").status_code == 404


@pytest.fixture
def guarded(service: Service, tmp_path: Path) -> tuple[Flask, dict[str, str]]:
    """The page of the shared service with a credential for each role, and their secrets."""
    settings = load_settings({}, redis_url=service.redis_url, state_dir=str(tmp_path))
    return create_app(settings), _add_roles(settings)


def _add_roles(settings: Settings) -> dict[str, str]:
    roles = ("predict", "train", "admin")
    return {role: add_credential(settings.credentials_file, role, role) for role in roles}


@pytest.fixture
def signed_in(guarded: tuple[Flask, dict[str, str]]) -> Callable[[str], tuple[FlaskClient, str]]:
    """Signs in a role by the form; returns the client and its token against forged requests."""

    def sign_in(role: str) -> tuple[FlaskClient, str]:
        app, secrets = guarded
        client = app.test_client()
        answer = client.post("/page/sign-in", data={"name": role, "secret": secrets[role], "next": "/page/text"})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/page/text")
        token = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/").text)
        assert token is not None
        return client, token[1]

    return sign_in


def test_who_is_not_signed_in_is_sent_to_do_so(guarded: tuple[Flask, dict[str, str]]) -> None:
    client = guarded[0].test_client()
    for view in (*VIEWS, "/page/audit"):
        answer = client.get(view)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/page/sign-in?next=")
    for path in ("/", "/page/text", *CHANGES):
        refused = client.post(path, data={"paste": "x"})
        assert (refused.status_code, refused.mimetype) == (401, "text/html")
        assert "You are no longer signed in" in refused.text
    for view in ("/page/sign-in", "/assets/page.css"):
        with client.get(view) as response:
            assert response.status_code == 200
    wrong = client.post("/page/sign-in", data={"name": "admin", "secret": "wrong"})
    assert wrong.status_code == 401
    assert "Set-Cookie" not in wrong.headers


@pytest.mark.parametrize("address", ["//evil.example", "https://evil.example/", "/\\evil.example", "", "javascript:x"])
def test_signing_in_leads_nowhere_else(guarded: tuple[Flask, dict[str, str]], address: str) -> None:
    app, secrets = guarded
    data = {"name": "predict", "secret": secrets["predict"], "next": address}
    assert app.test_client().post("/page/sign-in", data=data).headers["Location"] == "/"


def test_a_role_is_neither_offered_nor_allowed_what_is_above_it(
    signed_in: Callable[[str], tuple[FlaskClient, str]],
) -> None:
    order = ("predict", "train", "admin")
    for role in order:
        client, token = signed_in(role)
        check = paste(client, [EDITOR], csrf_token=token).text
        assert ("Not spam</button>" in check) == (order.index(role) >= 1)
        assert ("Verdicts need the role <b>train</b>; you have <b>predict</b>." in check) == (role == "predict")
        needs = "To roll back and to replay needs the role <b>admin</b>" in client.get("/page/weights").text
        assert needs == (role != "admin")
        assert (">Replay</h2>" in client.get("/page/weights").text) == (role == "admin")
        assert ("Who had what done" in client.get("/page/service").text) == (role == "admin")
        assert (client.get("/page/audit").status_code == 403) == (role != "admin")
        other = client.post("/", data={"id": "1", "against": "original", "csrf_token": token})
        assert other.status_code == (403 if role == "predict" else 200)
        for path, least in CHANGES.items():
            if order.index(role) < order.index(least):
                assert client.post(path, data={"csrf_token": token}).status_code == 403, (role, path)


def test_nobody_takes_back_what_another_said(guarded: tuple[Flask, dict[str, str]]) -> None:
    app, secrets = guarded
    headers = {"Authorization": f"Bearer {secrets['train']}"}
    client = app.test_client()
    assert client.post("/verdicts/undo", json={"id": 1, "reporter": "admin"}, headers=headers).status_code == 403
    assert client.post("/verdicts/undo", json={"id": 1, "reporter": "train"}, headers=headers).status_code == 200


def test_forms_of_a_session_need_its_token(signed_in: Callable[[str], tuple[FlaskClient, str]]) -> None:
    client, token = signed_in("admin")
    for path in ("/", *CHANGES, "/page/sign-out"):
        assert client.post(path, data={"paste": "[]"}).status_code == 403, path
        assert client.post(path, data={"csrf_token": token[:-1] + "?"}).status_code == 403, path
    assert paste(client, [EDITOR], csrf_token=token).status_code == 200
    by_header = client.post("/", data={"paste": json.dumps([EDITOR])}, headers={"X-CSRF-Token": token})
    assert by_header.status_code == 200
    assert client.post("/page/sign-out", data={"csrf_token": token}).status_code == 303
    assert client.get("/").status_code == 303
