"""The page to try the calls: works in a browser, needs no other host, and runs no script of its own text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page

from sb_api.web.api_docs import SHIPPED
from tests.support.browsers import chromium
from tests.support.service import Service, assert_problem


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as browser:
        yield browser.new_page()


def test_a_call_can_be_tried_and_no_other_host_is_asked(service: Service, page: Page) -> None:
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{service.address}/docs")
    call = page.locator("#operations-predict-post_predict")
    call.locator(".opblock-summary-control").click()
    call.get_by_text("Try it out").click()
    call.locator("button.execute").click()
    answer = call.locator(".live-responses-table .response-col_status").filter(has_text="200")
    answer.wait_for()
    assert '"predictions"' in call.locator(".live-responses-table").inner_text()
    assert page.locator(".opblock").count() >= 15
    assert [url for url in asked if not url.startswith((service.address, "data:", "blob:"))] == []
    assert said == []


def test_the_page_may_load_from_this_service_alone_and_run_no_inline_script(client: FlaskClient) -> None:
    response = client.get("/docs")
    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    text = response.get_data(as_text=True)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", text) == ["", ""]
    assert "http:" not in text.replace("https:", "http:")
    assert "style=" not in text


def test_every_file_of_the_page_is_there(client: FlaskClient) -> None:
    named = re.findall(r'(?:src|href)="([^"]+)"', client.get("/docs").get_data(as_text=True))
    assert {path.removeprefix("docs/") for path in named} == {*SHIPPED, "start.js"}
    for path in (f"/{path}" for path in named):
        with client.get(path) as response:
            assert (response.status_code, response.headers["X-Content-Type-Options"]) == (200, "nosniff")
        with client.get(path, headers={"If-None-Match": response.headers["ETag"]}) as again:
            assert again.status_code == 304


@pytest.mark.parametrize("name", ["index.html", "swagger-ui.js", "..", "%2e%2e%2fLICENSE", "LICENSE", "VERSION"])
def test_no_other_file_is_served(client: FlaskClient, name: str) -> None:
    assert_problem(client.get(f"/docs/{name}"), 404)


def test_the_viewer_ships_its_licence() -> None:
    assert "Apache License" in (files("flask_swagger_ui") / "dist" / "LICENSE").read_text("utf-8")
