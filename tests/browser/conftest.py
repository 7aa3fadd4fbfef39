"""Real Chromium against a real shop: pages on the LAN address, a switch, a housekeeper."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Playwright,
    Request,
    sync_playwright,
)
from werkzeug.serving import WSGIRequestHandler, make_server

from checkout import create_app
from checkout.addresses import lan_address
from checkout.config import Config
from checkout.demo.payers import DemoPayers
from checkout.shop.shop import Shop
from checkout.web.access import credentials

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Quiet(WSGIRequestHandler):
    """Keeps the test's output to the tests."""

    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Served:
    """A shop with its addresses: `here` for this machine, `lan` for phones."""

    shop: Shop
    here: str
    lan: str
    password: str


def chromium_path() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs Debian's Chromium: apt-get install chromium")
    return found


# Playwright keeps an event loop running in the main thread, where other folders' tests run theirs:
# it must be gone when a file's tests are.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    opened = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """Start shops whose lifetimes are of the test's choice."""
    endings: list[Callable[[], None]] = []

    def start(**settings: object) -> Served:
        home = tmp_path_factory.mktemp("browser-home")
        password = credentials.ensure(home).fresh_password or ""
        # The port has to be known before the shop that prints it into its codes.
        probe = make_server("0.0.0.0", 0, lambda *_: [], threaded=True)
        port = probe.server_port
        probe.server_close()
        config = Config(home=home, port=port, heartbeat_s=1, **settings)  # type: ignore[arg-type]
        shop = Shop.open(config, payers=DemoPayers(), own_switch=True)
        server = make_server(
            "0.0.0.0", port, create_app(shop=shop), threaded=True, request_handler=Quiet
        )
        stop = threading.Event()

        def keep_house() -> None:
            while not stop.wait(0.3):
                shop.sweep()

        threads = [
            threading.Thread(target=server.serve_forever, daemon=True),
            threading.Thread(target=keep_house, daemon=True),
        ]
        for thread in threads:
            thread.start()

        def end() -> None:
            stop.set()
            shop.feed.close()
            server.shutdown()
            for thread in threads:
                thread.join(5)
            server.server_close()
            shop.close()

        endings.append(end)
        return Served(
            shop=shop,
            here=f"http://localhost:{port}",
            lan=f"http://{lan_address()}:{port}",
            password=password,
        )

    yield start
    for end in endings:
        end()


@pytest.fixture(scope="module")
def served(serve: Callable[..., Served]) -> Served:
    return serve()


class Pages:
    """Pages of a file's tests: one is costly to open, so it is wiped and lent again."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._idle: dict[bool, list[Page]] = {True: [], False: []}

    def lend(self, *, phone: bool, **settings: object) -> Page:
        """One in a context of its own; with `settings` of its own it is new."""
        if not settings and self._idle[phone]:
            return self._idle[phone].pop()
        context = self._browser.new_context(
            viewport=PHONE if phone else DESK,
            has_touch=phone,
            is_mobile=phone,
            **settings,  # type: ignore[arg-type]
        )
        context.set_default_timeout(10_000)
        return context.new_page()

    def give_back(self, page: Page, *, phone: bool, plain: bool) -> None:
        """Take away what the test left in it."""
        if not plain:
            page.context.close()
            return
        page.goto("about:blank")
        page.context.clear_cookies()
        page.emulate_media(color_scheme="null")
        page.set_viewport_size(PHONE if phone else DESK)
        self._idle[phone].append(page)


class Windows:
    """Opens pages and remembers what went wrong on them."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._lent: list[tuple[Page, bool, bool]] = []
        self.troubles: list[str] = []
        self.hosts: set[str] = set()

    def open(self, url: str, *, phone: bool = False, **settings: object) -> Page:
        page = self._pages.lend(phone=phone, **settings)
        self._lent.append((page, phone, not settings))
        page.on("pageerror", self._failed)
        page.on("request", self._asked)
        page.on("console", self._said)
        page.goto(url)
        return page

    def _failed(self, error: Error) -> None:
        self.troubles.append(str(error))

    def _asked(self, request: Request) -> None:
        self.hosts.add(request.url.split("/")[2])

    def _said(self, message: ConsoleMessage) -> None:
        if "Security Policy" in message.text:
            self.troubles.append(message.text)

    def close(self) -> None:
        for page, phone, plain in self._lent:
            page.remove_listener("pageerror", self._failed)
            page.remove_listener("request", self._asked)
            page.remove_listener("console", self._said)
            self._pages.give_back(page, phone=phone, plain=plain)


@pytest.fixture(scope="module")
def pages(browser: Browser) -> Pages:
    return Pages(browser)


@pytest.fixture
def windows(pages: Pages) -> Iterator[Windows]:
    opened = Windows(pages)
    yield opened
    opened.close()
    assert opened.troubles == []


@pytest.fixture
def fake_camera(playwright: Playwright, tmp_path: Path) -> Iterator[Callable[[Path], Browser]]:
    """A Chromium whose camera shows a film; the permission is given without asking."""
    opened: list[Browser] = []

    def launch(film: Path) -> Browser:
        arguments = [
            *ARGUMENTS,
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-video-capture={film}",
        ]
        opened.append(playwright.chromium.launch(executable_path=chromium_path(), args=arguments))
        return opened[-1]

    yield launch
    for each in opened:
        each.close()
