"""The comparison page in real Chromium: opens offline, fits screens, follows the scheme."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from checkout.comparison.report.page import html_page
from tests.checkout.comparison.comparison_by_hand import made_comparison

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "comparison.html"
    path.write_text(html_page(made_comparison(places=("taxi",), customers=2_000)), "utf-8")
    return path


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_offline_and_fits_the_screen(
    browser: Browser, page_file: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    asked: list[str] = []
    troubles: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: troubles.append(message.text))
    page.goto(page_file.as_uri())
    assert asked == [page_file.as_uri()]
    assert troubles == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in background[4:-1].split(",")) / 3
    assert (brightness > 128) == (scheme == "light")
    context.close()


def test_steps_open_and_prints_fit_paper(browser: Browser, page_file: Path) -> None:
    page = browser.new_page()
    page.goto(page_file.as_uri())
    page.locator("details.steps > summary").first.click()
    page.locator("details.stepline > summary").first.click()
    assert page.get_by_text("999901******0019").first.is_visible()
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.pdf()[:5] == b"%PDF-"
    page.close()
