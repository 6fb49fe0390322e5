"""Pages in Debian's Chromium, which must ask for nothing and complain of nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 30


@pytest.fixture(scope="session")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here (apt-get install chromium): the page is not tested in a browser")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser, path: Path) -> Iterator:
    """The page at `path`; fails if by the end it has sent a request, written to the console, or raised an error."""
    complaints: list[str] = []

    def refuse(route) -> None:
        complaints.append(f"request: {route.request.url}")
        route.abort()

    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(SECONDS * 1000)
    page.on("console", lambda message: complaints.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.route(lambda url: not url.startswith(("file:", "data:", "blob:")), refuse)
    page.goto(path.as_uri())
    page.wait_for_selector("#panel[aria-busy=false]")
    yield page
    page.close()
    assert complaints == []
