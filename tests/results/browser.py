"""Pages in Debian's Chromium, which must ask for nothing and complain of nothing; how a person uses a dashboard."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from scripts.dashboard import main

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 30


@pytest.fixture(scope="session")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here (apt-get install chromium): the page is not tested in a browser")
    yield _launched(playwright)
    _close()


@cache
def _launched(playwright):
    """One for all modules that import the fixture: Playwright starts once a process."""
    started = playwright.sync_playwright().start()
    _RUNNING.append(started)
    return started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


_RUNNING: list = []


def _close() -> None:
    while _RUNNING:
        _RUNNING.pop().stop()


@contextmanager
def opened(browser, path: Path, view: str = "runs", width: int = 1440, scheme: str = "light") -> Iterator:
    """The page at `path`; fails if by the end it has sent a request, written to the console, or raised an error."""
    complaints: list[str] = []

    def refuse(route) -> None:
        complaints.append(f"request: {route.request.url}")
        route.abort()

    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(SECONDS * 1000)
    page.on("console", lambda message: complaints.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.route(lambda url: not url.startswith(("file:", "data:", "blob:")), refuse)
    page.goto(path.as_uri())
    page.wait_for_selector("#view-answer[aria-busy=false]")
    if view != "answer":
        look_at(page, view)
    yield page
    page.close()
    assert complaints == []


def look_at(page, view):
    page.click(f"#tab-{view}")
    if view == "answer":
        page.wait_for_selector("#view-answer[aria-busy=false]")
    if view == "runs":
        page.wait_for_selector("#panel[aria-busy=false]")


def built(folder, path, configs):
    assert main([str(folder), "--output", str(path), "--configs", str(configs)]) == 0
    return path


def column(page, title):
    """The table's cells below the head that ends in `title`."""
    heads = page.locator(".dt-scroll-head thead th").all_inner_texts()
    (place,) = (place for place, head in enumerate(heads) if " ".join(head.split()).endswith(title))
    return [row.locator("td").nth(place).inner_text() for row in page.locator("#runs tbody tr").all()]


def click_head(page, title):
    page.locator(".dt-scroll-head thead th", has_text=title).first.locator(".dt-column-title").click()


def eventually(page, holds):
    """Sorting begins after the click has been dealt with."""
    for _ in range(100):
        if holds():
            return
        page.wait_for_timeout(100)
    pytest.fail("this has not come about within 10 s")


def select(page, *folders):
    page.click("#select-none")
    for folder in folders:
        page.locator("#runs tbody tr", has_text=str(folder)).locator("td").nth(1).click()
    drawn(page)


def select_shown(page):
    page.click("#select-shown")
    drawn(page)


def drawn(page):
    page.wait_for_selector("#panel[aria-busy=false]")


def panel(page, name):
    page.click(f"#tab-{name}")
    drawn(page)


def traces(page, chart):
    """Plotly's own record of what it has drawn."""
    text = page.evaluate("id => JSON.stringify(document.getElementById(id).data)", chart)
    return json.loads(text)


def compared(page, key):
    """The values of a line of the table of differences and which of them are marked; None where it is not there."""
    row = page.locator("#compare tr").filter(has=page.locator(f"th:text-is('{key}')"))
    if row.count() == 0:
        return None
    cells = row.locator("td").all()
    return [cell.inner_text() for cell in cells], [cell.get_attribute("class") == "differs" for cell in cells]
