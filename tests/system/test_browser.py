"""The page in a real Chromium: every flow, by mouse, by keyboard and without JavaScript; screenshots are kept."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Locator, Page, expect

from sb_api import create_app
from sb_api.auth.credentials import add_credential
from sb_api.config import load_settings
from sb_api.learning.reference_set import pack_parts, read_part
from sb_api.records import Verdict
from sb_api.review.store import ReviewStore
from sb_api.synthetic.editors import generate_editors
from tests.support.browsers import HEAVIEST, PHONE, Visit, chromium, serving
from tests.support.redis_servers import free_port, redis_command
from tests.support.review import fill
from tests.support.service import (
    SHIPPED,
    Service,
    load_shipped,
    make_editors,
    make_verdicts,
    shown_score,
    start_service,
    thin_reference,
)

PLACES = (
    *("/", "/page/text", "/page/quality", "/page/weights", "/page/service", "/page/audit"),
    *("/page/review", "/page/sign-in"),
)
SPAMMER = {
    "id": 2451873,
    "name": "bestcasino_uk",
    "email": "winner@casino-bonus.example",
    "website": "http://win-casino.example",
    "bio": "Best online casino bonus, visit http://win-casino.example now!",
    "privs": 0,
    "member_since": "2024-01-01T10:00:00",
    "last_updated": "2024-01-01T10:02:00",
}
COLLECTOR = {
    "id": 184203,
    "name": "vinyl <b>collector</b>",
    "email": "someone@gmail.com",
    "website": "https://www.last.fm/user/vinyl",
    "bio": "I collect krautrock and free jazz records and scan the covers.",
    "area": 81,
    "gender": 1,
    "privs": 0,
    "birth_date": "1980-04-02",
    "member_since": "2004-10-13T11:03:46",
    "email_confirm_date": "2004-10-14T09:38:45",
    "last_updated": "2012-02-01T17:00:00",
    "last_login_date": "2023-02-01T17:00:00",
}
NEWCOMER = {
    "id": 2460112,
    "name": "seo-expert-77",
    "email": "info@seo-services.example",
    "website": "http://www.kisaiya.example",
    "bio": "music lover",
    "privs": 0,
    "member_since": "2023-05-05T08:00:00",
    "last_login_date": "2023-05-05T08:05:00",
}
COPY_ROW = "\t".join(
    [
        *("77", "tab lover", "0", "someone@example.org", "\\N", "two\\nlines and a \\\\", "2010-01-01 10:00:00+00"),
        *("\\N", "2012-01-01 10:00:00.5+00", "\\N", "\\N", "\\N", "\\N", "secret", "hash", "f"),
    ]
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Callable[..., Visit]]:
    """Opens windows on the shared service (or another address). None may complain, nor load from elsewhere."""
    visits: list[Visit] = []

    def make(address: str = "", **options: Any) -> Visit:
        context = browser.new_context(viewport=options.pop("viewport", {"width": 1200, "height": 800}), **options)
        visits.append(Visit(context, address or service.address))
        return visits[-1]

    yield make
    for made in visits:
        made.page.context.close()
    assert [text for made in visits for text in made.complaints] == []
    assert [url for made in visits for url in made.foreign] == []


def check(page: Page, *editors: dict[str, Any]) -> None:
    page.get_by_label("Paste one or many").fill(json.dumps(editors))
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("article.card")).to_have_count(min(len(editors), 25))


def current(service: Service, model: str = "lodbrok") -> str:
    return str(service.get(f"/weights?model={model}").json()["slots"]["current"])


def test_pasted_editors_get_scores_bands_and_reasons_and_a_verdict_shows_what_it_changed(
    visit: Callable[..., Visit], service: Service
) -> None:
    shown = visit()
    page = shown.open("/")
    check(page, COLLECTOR, SPAMMER, NEWCOMER)
    cards = page.locator("article.card")
    # The most suspicious first; what people wrote is text and nothing else.
    expect(cards.nth(0)).to_contain_text("bestcasino_uk")
    expect(cards.nth(2)).to_contain_text("vinyl <b>collector</b>")
    scores = service.post("/predict", [COLLECTOR, SPAMMER, NEWCOMER]).json()["scores"]
    expect(cards.nth(1).locator(".score")).to_contain_text(shown_score(scores["2460112"]))
    expect(cards.nth(1).locator(".reasons .bar").first).to_be_visible()
    expect(page.locator("#results h2").first).to_be_focused()
    expect(page.locator("#status")).to_have_text("3 judged")
    assert shown.audit() == []
    shown.shoot("check")
    before = current(service)
    cards.nth(1).get_by_role("button", name="Unsure").click()
    expect(cards.nth(1)).to_contain_text("Nothing was learned")
    assert current(service) == before
    cards.nth(1).get_by_role("button", name="Not spam").click()
    outcome = cards.nth(1).locator(".outcome")
    expect(outcome).to_contain_text("Thanks. This account now counts as fine", timeout=60_000)
    after = current(service)
    assert after != before
    again = service.post("/predict", [NEWCOMER]).json()["scores"]["2460112"]
    told = f"{shown_score(again)}, it was {shown_score(scores['2460112'])}."
    expect(outcome).to_contain_text(told)
    expect(page.locator("#status")).to_contain_text(told)
    expect(outcome.get_by_role("table")).to_be_hidden()
    expect(cards.nth(1).get_by_role("button", name="Not spam", pressed=True)).to_be_visible()
    assert shown.audit() == []
    shown.shoot("verdict")
    outcome.get_by_text("Figures").click()
    expect(outcome).to_contain_text(after)
    expect(outcome.get_by_role("row", name="Recall")).to_be_visible()
    cards.nth(1).get_by_text("on this account").click()
    past = cards.nth(1).locator(".past li").first
    expect(past).to_contain_text("Not spam by nobody named")
    expect(past).to_contain_text("learned")
    assert shown.audit() == []
    shown.shoot("figures-and-history")
    cards.nth(1).get_by_role("button", name="Undo my verdict").click()
    expect(outcome).to_contain_text("Your verdict is undone.", timeout=60_000)
    assert current(service) == before
    again = service.post("/predict", [NEWCOMER]).json()["scores"]["2460112"]
    assert again == pytest.approx(scores["2460112"], rel=1e-5)
    expect(cards.nth(1).get_by_role("button", name="Undo my verdict")).to_have_count(0)
    expect(cards.nth(1).get_by_text("on this account")).to_be_visible()
    assert shown.audit() == []
    shown.shoot("undone")


def test_whoever_waits_for_long_is_told_why_that_may_be_and_that_nothing_is_lost(
    visit: Callable[..., Visit], service: Service
) -> None:
    page = visit().open("/")
    check(page, NEWCOMER)
    card, trainer = page.locator("article.card"), service.child("sb_api trainer")
    trainer.suspend()
    try:
        card.get_by_role("button", name="Not spam").click()
        expect(card).to_contain_text("need not be sent again", timeout=30_000)
    finally:
        trainer.resume()
    expect(card.locator(".outcome")).to_contain_text("Thanks.", timeout=60_000)
    expect(page.get_by_text("need not be sent again")).to_have_count(0)


def test_rows_of_a_dump_a_filled_in_form_and_mistakes(visit: Callable[..., Visit]) -> None:
    shown = visit()
    page = shown.open("/")
    paste = page.get_by_label("Paste one or many")
    paste.fill(f"{COPY_ROW}\nno tabs here\n" + COPY_ROW.replace("77", "78", 1).replace("2010-01-01", "New Year"))
    page.get_by_role("button", name="Check", exact=True).click()
    card = page.locator("article.card")
    expect(card).to_have_count(1)
    expect(card).to_contain_text("tab lover #77")
    expect(card).not_to_contain_text("secret")
    faults = page.get_by_role("table", name="2 rows could not be read")
    expect(faults).to_contain_text("line 2")
    expect(faults).to_contain_text("13 are needed")
    expect(faults.get_by_role("row", name="line 3")).to_contain_text("member_since")
    assert shown.audit() == []
    shown.shoot("mistakes")
    paste.fill('[{"id": 1}')
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("not valid JSON")
    expect(page.get_by_role("alert")).to_contain_text("before it is complete")


def test_one_account_is_filled_in_and_each_change_of_it_shows_what_moved(visit: Callable[..., Visit]) -> None:
    shown = visit()
    page = shown.open("/")
    page.get_by_label("Website").fill("http://win-casino.example")
    page.get_by_label("Member since").fill("2024-01-01T10:00:05")
    page.get_by_role("button", name="Check this account").click()
    card = page.locator("article.card")
    expect(card).to_have_count(1)
    expect(page.locator(".change")).to_have_count(0)
    page.get_by_role("link", name="Try an example").click()
    expect(card).to_contain_text("bestcasino_uk #2451873")
    expect(page.get_by_label("Bio")).to_have_value(re.compile("Best online casino"))
    assert shown.audit() == []
    shown.shoot("example")
    website = page.get_by_label("Website")
    website.fill("https://www.last.fm/user/vinyl")
    website.press("Tab")  # nothing is pressed: a change is enough
    expect(card.locator(".outcome")).to_contain_text("Website changed: ")
    expect(page.get_by_label("Bio")).to_be_focused()
    expect(page.locator(".change tbody tr").filter(has_text="website").first).to_be_visible()
    assert shown.audit() == []
    shown.shoot("what-if")
    page.emulate_media(color_scheme="dark")
    shown.shoot("what-if-dark")
    number = page.get_by_label("Editor number")
    number.fill("")
    number.press("Tab")
    expect(card).not_to_contain_text("#2451873")


def test_a_change_of_a_field_without_javascript(visit: Callable[..., Visit]) -> None:
    shown = visit(java_script_enabled=False, viewport={"width": 375, "height": 740})
    page = shown.open("/?example=1")
    page.get_by_label("Bio").fill("I collect records.")
    page.get_by_role("button", name="Check this account").click()
    expect(page.locator(".outcome")).to_contain_text("Bio changed: ")
    expect(page.get_by_label("Bio")).to_have_value("I collect records.")
    assert not shown.overflows()
    shown.shoot("phone-what-if")


def test_a_band_says_what_it_means_and_two_versions_stand_side_by_side(
    visit: Callable[..., Visit], service: Service
) -> None:
    """By keys alone on a phone without JavaScript, and with it on a desk."""
    original = current(service)
    service.post("/train", make_verdicts(2))
    for name, options in (
        ("phone-versions", {"viewport": {"width": 375, "height": 740}, "java_script_enabled": False}),
        ("versions", {}),
    ):
        shown = visit(**options)
        page = shown.open("/?example=1")
        meaning = page.locator("article.card .chip p")
        expect(meaning).to_be_hidden()
        page.locator("article.card .chip summary").focus()
        page.keyboard.press("Enter")
        expect(meaning).to_contain_text("Of 1,000 innocent accounts")
        frame = meaning.bounding_box()
        assert frame is not None
        assert frame["x"] >= 0
        assert frame["x"] + frame["width"] <= page.viewport_size["width"]  # type: ignore[index]
        assert not shown.overflows()
        if "java_script_enabled" not in options:
            assert shown.audit() == []
        shown.shoot(f"{name}-chip")
        page.keyboard.press("Enter")
        expect(meaning).to_be_hidden()
        page.locator(".summary a.band").click()
        expect(page.locator("#bands")).to_be_visible()
        page.get_by_text("Compare two versions of the weights").click()
        page.get_by_label("Judge it also by").select_option(original)
        if "java_script_enabled" in options:
            page.get_by_role("button", name="Check this account").click()
        expect(page.locator(".beside").get_by_role("row", name="Band").locator(".band")).to_have_count(2)
        expect(page.locator(".beside thead")).to_contain_text(original)
        assert page.get_by_label("Judge it also by").input_value() == original
        assert not shown.overflows()
        if "java_script_enabled" not in options:
            assert shown.audit() == []
        shown.shoot(name)
        page.emulate_media(color_scheme="dark")
        shown.shoot(f"{name}-dark")


def test_a_large_paste_comes_in_pages(visit: Callable[..., Visit]) -> None:
    page = visit().open("/")
    check(page, *make_editors(600))
    expect(page.get_by_role("heading", name="600 judged")).to_be_visible()
    first = page.locator("article.card h3").first.inner_text()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Page 2 of 24")).to_be_visible()
    expect(page.get_by_text("Shown are 26 to 50.")).to_be_visible()
    assert page.locator("article.card h3").first.inner_text() != first


def test_messages_get_class_probabilities_and_can_be_taught(visit: Callable[..., Visit], service: Service) -> None:
    shown = visit()
    page = shown.open("/page/text")
    page.get_by_label("Messages").fill("the search page crashes when I press enter\n\nplease merge these two artists")
    page.get_by_role("button", name="Sort").click()
    cards = page.locator("article.card")
    expect(cards).to_have_count(2)
    expect(cards.nth(0).get_by_role("heading", level=3)).to_have_text("bug report")
    cards.nth(1).get_by_text("classes").click()
    known = {
        version["version"]: version["labels"] for version in service.get("/weights?model=intent").json()["versions"]
    }
    classes = known[current(service, "intent")]
    expect(cards.nth(1).locator("tbody tr")).to_have_count(len(classes))
    assert shown.audit() == []
    shown.shoot("text")
    before = current(service, "intent")
    cards.nth(1).get_by_label("Class").select_option("feature_request" if "feature_request" in classes else classes[0])
    cards.nth(1).get_by_role("button", name="Teach").click()
    expect(cards.nth(1).locator(".outcome")).to_contain_text("Thanks. This text", timeout=60_000)
    assert current(service, "intent") != before
    expect(cards.nth(1)).to_contain_text("You said: ")
    cards.nth(0).get_by_label("Class").select_option("no class")
    cards.nth(0).get_by_role("button", name="Teach").click()
    expect(cards.nth(0).locator(".outcome")).to_contain_text("Thanks. This text", timeout=60_000)
    expect(cards.nth(0)).to_contain_text("You said: no class")
    expect(cards.nth(0).get_by_label("Class")).to_have_value("")
    assert shown.audit() == []
    shown.shoot("taught")
    cards.nth(0).get_by_role("button", name="Undo my verdict").click()
    expect(cards.nth(0).locator(".outcome")).to_contain_text("Your verdict is undone.", timeout=60_000)
    # The same line of another paste is the same text; its first line is another one than before.
    page.get_by_label("Messages").fill("please merge these two artists")
    page.get_by_role("button", name="Sort").click()
    expect(cards).to_have_count(1)
    expect(cards).to_contain_text("You said: ")
    cards.get_by_role("button", name="Undo my verdict").click()
    expect(cards.locator(".outcome")).to_contain_text("Your verdict is undone.", timeout=60_000)
    assert current(service, "intent") == before


def test_quality_weights_rollback_and_replay(visit: Callable[..., Visit], service: Service) -> None:
    for number in (0, 1):
        verdicts = [{**v, "reporter": f"anna-{v['id'] % 2}"} for v in make_verdicts(30, 100 * number)]
        assert service.post("/train", verdicts).status_code == 200
    newest = current(service)
    shown = visit()
    page = shown.open("/page/weights")
    expect(page.locator("tr.current")).to_contain_text(newest)
    parent = next(about["parent"] for about in service.get("/weights").json()["versions"] if about["version"] == newest)
    expect(page.locator("tr.current")).to_contain_text(f"from {parent}")
    expect(page.get_by_role("table", name="On the reference set", exact=True)).to_contain_text(
        "False positives per 1,000"
    )
    told = page.locator("#threshold")
    about = next(about for about in service.get("/weights").json()["versions"] if about["version"] == newest)
    slider = page.get_by_label("Innocent accounts called spam")
    for place in (int(slider.input_value()), int(slider.input_value()) + 1):
        wanted, _, caught = about["figures"]["bands"]["curve"][place]
        expect(told).to_contain_text(f"at most {wanted:g} of 1,000")
        expect(told).to_contain_text(f"catches {100 * caught:.1f}% of the spam")
        slider.press("ArrowRight")
    older = page.locator("table.versions tbody tr").nth(1)
    older.locator("summary").click()
    assert current(service) == newest  # asked, not done
    assert shown.audit() == []
    shown.shoot("weights")
    older.get_by_role("button", name="Yes, roll back").click()
    expect(page.get_by_role("status").filter(has_text="Done.")).to_be_visible()
    back = current(service)
    assert back != newest
    expect(page.locator("tr.current")).to_contain_text(back)

    page.locator("section").filter(has_text="Rebuilds the weights").locator("summary").click()
    expect(page.get_by_text("30 verdicts of 1 training; that will take about")).to_be_visible()
    page.get_by_role("button", name="Yes, replay").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_text("of 30 verdicts")).to_be_visible(timeout=60_000)
    shown.shoot("replay")
    expect(page.get_by_text("30 verdicts were learned anew")).to_be_visible(timeout=60_000)
    rebuilt = current(service)
    assert rebuilt not in (back, newest)
    expect(page.locator("tr.current")).to_contain_text(rebuilt)

    page.locator("select[name=one]").select_option(newest)
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("columnheader", name=newest)).to_be_visible()

    page = shown.open("/page/quality")
    figures = service.get("/quality").json()
    expect(page.locator(".tiles")).to_contain_text(f"{100 * figures['all_time']['recall']:.1f}%")
    events = {event["kind"]: event for event in figures["events"]}
    for kind in ("training", "rollback", "replay"):
        marks = page.locator(f".chart .mark.{kind} title")
        expect(marks.first).to_be_attached()
        assert any(events[kind]["version"] in text for text in marks.all_text_contents())
    expect(page.get_by_role("img", name="False positives per thousand over time")).to_be_visible()
    confusion = page.get_by_role("table", name="Rows: what moderators said")
    expect(confusion).to_contain_text(str(figures["all_time"]["confusion"][0][0]))
    expect(page.get_by_role("row", name="anna-1")).to_be_visible()
    shown.shoot("quality")
    page.get_by_text("The same as tables").click()
    events = page.get_by_role("table", name="Trainings and rollbacks, latest first")
    expect(events.locator("tbody tr").first).to_contain_text(rebuilt)
    expect(page.get_by_role("img", name="Calibration")).to_be_visible()
    assert shown.audit() == []
    page = shown.open("/page/quality?model=intent")
    # Other tests may have taught the shared service already.
    expect(page.get_by_text("No verdicts yet").or_(page.locator(".tiles"))).to_be_visible()


def test_the_service_view_follows_by_itself_and_says_when_it_cannot(
    visit: Callable[..., Visit], service: Service
) -> None:
    shown = visit()
    page = shown.open("/page/service")
    expect(page.get_by_role("row", name="classify").first).to_contain_text("MiB")
    expect(page.get_by_role("row", name="train").first).to_contain_text(current(service))
    for number in range(3):
        service.post("/predict", [{"id": number}])
    row = page.get_by_role("row", name="POST /predict")
    expect(page.get_by_text("Rates and times over the last")).to_be_visible()
    expect(row.locator("td").nth(1)).to_contain_text("ms", timeout=10_000)
    assert shown.audit() == []
    shown.shoot("service")
    page.context.set_offline(True)
    expect(page.locator("#status")).to_contain_text("cannot be reached", timeout=10_000)
    page.context.set_offline(False)
    expect(page.locator("body.lost")).to_have_count(0, timeout=10_000)


def test_all_of_a_check_by_keyboard(visit: Callable[..., Visit]) -> None:
    page = visit().open("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Try an example")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Name")).to_be_focused()
    page.get_by_label("Paste one or many").focus()
    page.keyboard.insert_text(json.dumps(COLLECTOR))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#results h2").first).to_be_focused()
    for part in (
        page.locator(".summary a.band"),
        page.get_by_text("What the bands mean", exact=True),
        page.locator("article.card .chip summary"),
        page.get_by_text("The odds", exact=True),
    ):
        page.keyboard.press("Tab")
        expect(part).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Spam", exact=True)).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("article.card h3")).to_be_focused()
    expect(page.locator("article.card")).to_contain_text("Nothing was learned")


def test_a_check_and_a_rollback_without_javascript(visit: Callable[..., Visit], service: Service) -> None:
    assert service.post("/train", make_verdicts(4)).status_code == 200
    newest = current(service)
    page = visit(java_script_enabled=False).open("/")
    check(page, SPAMMER, COLLECTOR)
    page.get_by_role("button", name="Unsure").first.click()
    expect(page.get_by_text("Nothing was learned")).to_be_visible()
    page.get_by_role("button", name="Not spam").click()
    expect(page.get_by_text("Thanks. This account")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Undo my verdict").click()
    expect(page.get_by_text("Your verdict is undone.")).to_be_visible(timeout=60_000)
    assert current(service) == newest
    page.get_by_role("link", name="Weights").click()
    older = page.locator("table.versions tbody tr").last
    older.locator("summary").click()
    older.get_by_role("button", name="Yes, roll back").click()
    expect(page.get_by_text("Done. The current weights are")).to_be_visible()
    assert current(service) != newest


@pytest.fixture
def guarded(service: Service, tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The shared service behind a web part with credentials: its address, and the secret of each role."""
    settings = load_settings({}, redis_url=service.redis_url, state_dir=str(tmp_path))
    roles = ("predict", "train", "admin")
    secrets = {role: add_credential(settings.credentials_file, f"the-{role}", role) for role in roles}
    with serving(create_app(settings)) as address:
        yield address, secrets


def test_who_signs_in_is_offered_what_the_role_may_do(
    visit: Callable[..., Visit], guarded: tuple[str, dict[str, str]], service: Service
) -> None:
    address, secrets = guarded
    shown = visit(address)
    page = shown.open("/page/weights")
    expect(page).to_have_url(f"{address}/page/sign-in?next=/page/weights")
    page.get_by_label("Name").fill("the-predict")
    page.get_by_label("Secret").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    assert shown.audit() == []
    shown.shoot("sign-in")
    for role, may_teach, may_undo in (("predict", 0, 0), ("train", 1, 0), ("admin", 1, 1)):
        page.get_by_label("Name").fill(f"the-{role}")
        page.get_by_label("Secret").fill(secrets[role])
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text(f"the-{role}")).to_be_visible()
        page.goto(f"{address}/page/weights")
        expect(page.get_by_role("heading", name="Versions")).to_be_visible()
        expect(page.get_by_role("heading", name="Replay")).to_have_count(may_undo)
        page.goto(f"{address}/")
        check(page, NEWCOMER)
        expect(page.get_by_role("button", name="Not spam")).to_have_count(may_teach)
        if role == "train":
            page.get_by_role("button", name="Not spam").click()
            expect(page.locator(".outcome")).to_contain_text("Thanks.", timeout=60_000)
            assert "the-train" in service.get("/quality").json()["reporters"]
            page.get_by_text("on this account").click()
            expect(page.locator(".past li").first).to_contain_text("Not spam by you")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(f"{address}/page/service")
    expect(page).to_have_url(f"{address}/page/sign-in?next=/page/service")


def sign_in(page: Page, role: str, secrets: dict[str, str]) -> None:
    page.get_by_label("Name").fill(f"the-{role}")
    page.get_by_label("Secret").fill(secrets[role])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_session_that_ended_elsewhere_costs_nothing_but_to_sign_in_again(
    visit: Callable[..., Visit], guarded: tuple[str, dict[str, str]]
) -> None:
    address, secrets = guarded
    shown = visit(address)
    page = shown.open("/")
    sign_in(page, "train", secrets)
    check(page, NEWCOMER)
    other = page.context.new_page()
    other.goto(f"{address}/page/quality")
    other.get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_role("button", name="Unsure").click()
    alert = page.locator("article.card").get_by_role("alert")
    expect(alert).to_contain_text("You are no longer signed in")
    assert shown.audit() == []
    shown.shoot("signed-out")
    with page.context.expect_page() as opened:
        alert.get_by_role("link", name="Sign in").click()
    sign_in(opened.value, "train", secrets)
    # The token that this page was opened with is of a session that is over.
    page.get_by_role("button", name="Unsure").click()
    expect(page.locator(".outcome")).to_contain_text("Nothing was learned")
    expect(alert).to_have_count(0)


def test_the_service_view_says_that_redis_is_away_and_sees_it_come_back(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    port = free_port()
    settings = load_settings({}, redis_url=f"redis://127.0.0.1:{port}", state_dir=str(tmp_path / "state"))
    with serving(create_app(settings)) as address:
        shown = visit(address)
        page = shown.open("/page/service")
        expect(page.locator(".state")).to_have_text("Not ready")
        expect(page.locator("ul.problem")).to_contain_text("Redis: The queue cannot be reached")
        assert shown.audit() == []
        shown.shoot("redis-away")
        server = subprocess.Popen(redis_command(tmp_path / "redis", "127.0.0.1", port))
        try:
            expect(page.locator("ul.problem")).to_contain_text("no classify process is alive", timeout=20_000)
            expect(page.locator(".tiles")).to_contain_text("Trainings in the queue")
            page.goto(f"{address}/page/quality")
            expect(page.get_by_role("alert")).to_contain_text("No train process has published weights yet")
        finally:
            server.terminate()
            server.wait()


def guard_one(state: Path) -> dict[str, Any]:
    """Give a state directory a reference set whose guard has an account three hundred times over as innocent, of which
    the original says so but hardly: nothing that calls it spam passes. Returns the account."""
    thin_reference(state)
    editors = [editor.record for editor in generate_editors(2000, seed=31)]
    model = load_shipped().model
    vectors = SHIPPED.vectors([Verdict(**editor, verdict=0) for editor in editors], model.vocabularies)  # type: ignore[misc]
    spam = model.score(SHIPPED.name_inputs(vectors))[:, 1]
    place = int(np.where(spam < 0.5, spam, 0).argmax())
    file = state / "reference" / "lodbrok.npz"
    parts = {name: read_part(file, name) for name in ("vectors", "replay", "calibration")}
    parts["vectors"] = np.concatenate([parts["vectors"], vectors[place : place + 1].repeat(300, axis=0)])
    np.savez(file, **pack_parts(parts, {}))
    return editors[place]


def test_a_new_service_says_what_there_is_none_of_yet_and_keeps_what_it_does_not_learn(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    """What waits for a second reporter, and what the guard refuses."""
    strict = {"SB_API_TWO_REPORTERS": "on", "SB_API_TRAINER_IDLE": "86400"}
    guarded = guard_one(tmp_path / "state")
    with start_service(tmp_path / "state", tmp_path, **strict) as service:
        service.wait_warm()
        shown = visit(service.address)
        page = shown.open("/page/quality")
        expect(page.get_by_text("No verdicts yet")).to_be_visible()
        page.goto(f"{service.address}/page/weights")
        expect(page.get_by_text("There is one version alone")).to_be_visible()
        expect(page.get_by_text("There is nothing to rebuild yet")).to_be_visible()
        expect(page.get_by_role("button")).to_have_count(0)
        page.goto(f"{service.address}/page/service")
        expect(page.get_by_text("None in the last seven days")).to_be_visible()
        page.goto(f"{service.address}/")
        check(page, SPAMMER)
        before = current(service)
        said = shown_score(service.post("/predict", [SPAMMER]).json()["scores"][str(SPAMMER["id"])])
        page.get_by_role("button", name="Not spam").click()
        kept = page.locator(".outcome.refused")
        expect(kept).to_contain_text("Your verdict is kept, but not learned yet. It goes against a", timeout=120_000)
        expect(kept).to_contain_text(f"This account still counts as spam: {said}, as before.")
        expect(page.locator("#status")).to_contain_text("kept, but not learned yet")
        expect(page.get_by_role("button", name="Not spam", pressed=True)).to_be_visible()
        assert current(service) == before
        assert shown.audit() == []
        shown.shoot("kept")
        check(page, guarded)
        expect(page.get_by_role("heading", name=str(guarded["id"]))).to_be_visible()  # no longer the card before
        page.get_by_role("button", name="Spam", exact=True).click()
        expect(kept).to_contain_text("Your verdict is kept, but not learned yet. The guard refused", timeout=120_000)
        expect(kept).to_contain_text("This account still counts as unsure")
        kept.get_by_text("Figures").click()
        expect(kept).to_contain_text("Nothing was changed: ")
        assert current(service) == before
        refused = service.get("/verdicts?status=refused").json()["verdicts"]
        assert [row["record"] for row in refused] == [str(guarded["id"])]
        assert shown.audit() == []
        shown.shoot("refused")


def test_all_of_a_long_bio_is_there_and_stays_in_its_card(visit: Callable[..., Visit]) -> None:
    long = {
        **SPAMMER,
        "name": "n" * 200,
        "website": "http://" + "w" * 200 + ".example/" + "p" * 300,
        "email": "e" * 240 + "@example.org",
        "bio": "<b>wordy</b> " * 1000 + "the very end",
    }
    for viewport in ({"width": 1200, "height": 800}, PHONE):
        shown = visit(viewport=viewport)
        page = shown.open("/")
        check(page, long)
        card = page.locator("article.card")
        rest = card.locator("details").filter(has_text="13,012")
        expect(rest).to_contain_text("the very end")
        expect(rest).not_to_have_attribute("open", "")
        rest.get_by_text("All 13,012 characters").click()
        expect(rest).to_have_attribute("open", "")
        expect(card.locator("dd b")).to_have_count(0)
        assert cut_off(card) == [], viewport
    page.get_by_role("button", name="Not spam").click()
    expect(page.locator(".outcome")).to_contain_text("Thanks. This account", timeout=60_000)
    page.locator(".outcome").get_by_text("Figures").click()
    page.get_by_text("on this account").click()
    assert cut_off(card) == []
    assert not shown.overflows()
    assert shown.audit() == []
    page.emulate_media(color_scheme="dark")
    shown.shoot("phone-dark-verdict")


def cut_off(card: Locator) -> list[str]:
    """What of a card reaches past its right edge, where nobody can see it."""
    found: list[str] = card.evaluate(
        """card => [...card.querySelectorAll("*")]
            .filter(part => part.getBoundingClientRect().right > card.getBoundingClientRect().right + 1)
            .filter(part => !part.closest(".visually-hidden"))
            .map(part => part.outerHTML.slice(0, 100))"""
    )
    return found


def test_a_queue_is_reviewed_by_single_keys_and_many_at_once(
    visit: Callable[..., Visit], reviewing: FlaskClient, queue: ReviewStore
) -> None:
    entries = fill(reviewing, queue, 5)
    shown = visit()
    page = shown.open("/")
    page.get_by_role("link", name="Review", exact=True).click()
    expect(page.get_by_role("heading", name="5 accounts wait")).to_be_visible()
    assert shown.audit() == []
    shown.shoot("review-list")
    card = page.locator("#review article.card")
    page.keyboard.press("n")
    expect(card).to_have_count(1)
    expect(card.locator("h3")).to_be_focused()
    first = card.locator("h3").inner_text()
    page.keyboard.press("n")
    expect(card.locator("h3")).not_to_have_text(first)
    page.keyboard.press("s")
    expect(page.locator("#review .outcome")).to_contain_text(": spam, ", timeout=60_000)
    expect(page.get_by_role("heading", name="4 accounts wait")).to_be_visible()
    expect(card.locator(".links")).to_contain_text("casino.example: 4 other accounts link to it, 1 was spam")
    assert shown.audit() == []
    shown.shoot("review")
    page.keyboard.press("u")
    expect(page.locator("#review .notice").first).to_contain_text("The account is yours again", timeout=60_000)
    expect(card).to_have_count(2)
    # What is typed is no key.
    page.get_by_text("Which, and which first").click()
    page.get_by_label("Links to").fill("snu")
    expect(card).to_have_count(2)
    page.get_by_label("Links to").fill("")
    free = page.locator("#many li", has=page.get_by_role("button", name="Claim"))
    expect(free).to_have_count(3)
    for box in free.get_by_role("checkbox").all():
        box.check()
    page.locator("#many").get_by_role("button", name="Not spam").click()
    expect(page.locator("#review .outcome")).to_contain_text("3 accounts: not spam.", timeout=60_000)
    expect(page.get_by_role("heading", name="2 accounts wait")).to_be_visible()
    page.get_by_text("Undo one of them").click()
    shown.shoot("review-many")
    phone = visit(viewport=PHONE, device_scale_factor=2, is_mobile=True, has_touch=True, java_script_enabled=False)
    small = phone.open("/page/review")
    assert not phone.overflows()
    phone.page.emulate_media(color_scheme="dark")
    phone.shoot("phone-dark-review")
    small.get_by_role("button", name="Not spam").first.click()
    expect(small.locator("#review .outcome")).to_contain_text(": not spam, ", timeout=60_000)
    assert len(queue.found().summaries) == 1
    assert queue.read(entries).keys() == set(entries)


def test_every_page_is_light_accessible_and_fits_a_phone(visit: Callable[..., Visit]) -> None:
    wide, phone = visit(), visit(viewport=PHONE, device_scale_factor=2, is_mobile=True, has_touch=True)
    for place in PLACES:
        name = place.rpartition("/")[2] or "start"
        assert wide.weigh(place) < HEAVIEST, place
        assert wide.audit() == [], place
        phone.open(place)
        assert not phone.overflows(), place
        phone.shoot(f"phone-{name}")
    page = phone.open("/")
    check(page, SPAMMER, COLLECTOR, NEWCOMER)
    assert not phone.overflows()
    phone.page.emulate_media(color_scheme="dark")
    page.locator("article.card").nth(1).evaluate("card => card.scrollIntoView()")
    phone.shoot("phone-dark-check", whole=False)


def test_the_page_leads_to_the_calls(visit: Callable[..., Visit]) -> None:
    page = visit().open("/")
    page.get_by_role("link", name="Try the calls of the HTTP API").click()
    expect(page.locator(".opblock").first).to_be_visible()
