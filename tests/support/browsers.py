"""A real Chromium for tests, and what is asked of every page in it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--force-color-profile=srgb"),
)
PHONE = {"width": 360, "height": 740}
PUBLISHED = ("verdict", "quality", "phone-dark-check")
HEAVIEST = 200_000  # bytes of a page and all that it loads


def find_chromium() -> str:
    """The browser, else the test is skipped (with CI=true: fails)."""
    # The first is the same without windows, tabs and menus, which a whole one draws though nobody sees them.
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("there is no Chromium: apt-get install chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        yield browser
        browser.close()


class Visit:
    """One page in one browser window, and what it loaded and complained of."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(30_000)
        self.address = address
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("request", self._note)

    def _hear(self, kind: str, text: str) -> None:
        # The browser itself says of every answer of 4xx that it failed to load.
        if kind in ("error", "warning") and "Failed to load resource" not in text:
            self.complaints.append(text)

    def _note(self, request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.address).netloc and not request.url.startswith("data:"):
            self.foreign.append(request.url)

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page

    def weigh(self, path: str) -> int:
        """The bytes of a page and all that it loads, with nothing kept from before."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        sizes: list[int] = []
        session.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
        self.page.goto(self.address + path, wait_until="networkidle" if "service" not in path else "load")
        session.send("Network.setCacheDisabled", {"cacheDisabled": False})
        session.detach()
        assert len(sizes) >= 3, "the page, its style and its script"
        return sum(sizes)

    def audit(self) -> list[str]:
        """What axe-core finds serious or critical, in light and in dark."""
        found = []
        if not self.page.evaluate("'axe' in window"):  # half a megabyte, which a page keeps until it is left
            self.page.evaluate(Axe().axe_script)
        for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
            self.page.emulate_media(color_scheme=scheme)
            results = self.page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **rules})
            assert results["passes"], "axe has looked at something"
            found += [
                f"{scheme}: {violation['id']}: {[node['html'][:120] for node in violation['nodes'][:3]]}"
                for violation in results["violations"]
                if violation["impact"] in ("serious", "critical")
            ]
        self.page.emulate_media(color_scheme="light")
        return found

    def overflows(self) -> bool:
        """Whether the page is wider than its window."""
        wider: bool = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        return wider

    def shoot(self, name: str, *, whole: bool = True) -> None:
        """Keep a picture, for whoever runs the tests of the page; of the whole suite nobody looks at dozens of them."""
        if "PYTEST_XDIST_WORKER" in os.environ:
            return
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole, animations="disabled")


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """An application in a thread of this process. Yields its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def publish_screenshots() -> None:
    """Put the pictures that the README shows into docs/images, with few colours, so that they stay small."""
    folder = SCREENSHOTS.parent.parent / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for name in PUBLISHED:
        with Image.open(SCREENSHOTS / f"{name}.png") as picture:
            few = picture.convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(folder / f"{name}.png", optimize=True)
        print(f"{name}.png: {(folder / f'{name}.png').stat().st_size} bytes")


if __name__ == "__main__":
    publish_screenshots()
