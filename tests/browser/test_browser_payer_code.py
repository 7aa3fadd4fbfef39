"""The code on the customer's phone and the shop's printed codes, in real Chromium windows."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from checkout.acceptance.qr import payer_code
from checkout.shop.orders.states import OrderState
from checkout.web.payer import my_code
from devices.qr.scanner import read
from tests.browser.filming import film

pytestmark = pytest.mark.browser

SMALL, LARGE = "12.80", "1000.01"


@pytest.fixture(scope="module")
def served(serve):  # type: ignore[no-untyped-def]
    return serve()


def new_order(page: Page, amount: str = SMALL) -> str:
    page.fill("#amount", amount)
    page.click("text=Take payment")
    page.wait_for_selector("#payment-code")
    return page.url.rsplit("/", 1)[1]


def showing_phone(windows, served, payer: str, **settings: object) -> Page:  # type: ignore[no-untyped-def]
    """A phone on the LAN with an account of its own (a code pays once), its code on the screen."""
    phone = windows.open(f"{served.lan}/wallet", phone=True, **settings)
    phone.select_option("#payer", payer)
    phone.click("text=Use this account")
    phone.click("text=Show my code")
    expect(phone.locator(".code-in")).to_be_visible()
    return phone


def digits(phone: Page) -> str:
    found = phone.locator(".code-in").get_attribute("data-digits")
    assert found is not None
    return found


def test_the_phones_screen_shows_a_barcode_and_a_symbol_that_read_alike(windows, served) -> None:
    phone = showing_phone(windows, served, "unionpay-debit", color_scheme="dark")
    shown = {found.text for found in read(phone.screenshot(full_page=True))}
    code = served.shop.payer_codes.show("unionpay-debit")
    assert shown == {code.digits, code.emv}
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    ("part", "payer"),
    [(".paper:not(.strip)", "unionpay-credit"), (".strip", "unionpay-class2")],
    ids=["symbol", "barcode"],
)
def test_the_counters_camera_scans_the_phone(
    fake_camera: Callable[[Path], Browser], windows, served, tmp_path: Path, part: str, payer: str
) -> None:
    phone = showing_phone(windows, served, payer)
    picture = tmp_path / "phone.png"
    phone.locator(part).screenshot(path=picture)
    counter = fake_camera(film(picture, tmp_path / "camera.y4m")).new_page()
    counter.goto(served.here)
    order = new_order(counter)
    counter.click("[data-start-camera]")
    expect(counter.locator("[data-verdict='paid'] h2")).to_have_text("Paid by code", timeout=15_000)
    expect(phone.locator("[data-outcome='paid']")).to_be_visible()
    assert [each.payer for each in served.shop.payments.of_order(order)] == [payer]


def test_a_scanner_that_types_pays_wherever_the_focus_is(windows, served) -> None:
    phone = showing_phone(windows, served, "unionpay-class3")
    counter = windows.open(served.here)
    new_order(counter)
    counter.locator("body").click(position={"x": 5, "y": 300})
    counter.keyboard.type(digits(phone))
    counter.keyboard.press("Enter")
    expect(counter.locator("[data-verdict='paid']")).to_be_visible()
    expect(phone.locator("[data-outcome='paid']")).to_be_visible()


def test_the_counter_reads_a_photo_on_plain_http(windows, served, tmp_path: Path) -> None:
    phone = showing_phone(windows, served, "wallet-balance")
    photo = tmp_path / "phone.png"
    phone.screenshot(path=photo)
    counter = windows.open(served.lan)
    counter.fill("#password", served.password)
    counter.click("button:has-text('Sign in')")
    new_order(counter)
    # Neither https nor this machine itself: no live camera is offered.
    expect(counter.locator("[data-start-camera]")).to_be_hidden()
    counter.set_input_files("#customer-photo", photo)
    expect(counter.locator("[data-verdict='paid']")).to_be_visible()


def test_a_large_amount_waits_for_the_pin_on_the_phone(windows, served) -> None:
    phone = showing_phone(windows, served, "wallet-quick")
    counter = windows.open(served.here)
    order = new_order(counter, LARGE)
    counter.fill("#payment-code", digits(phone))
    counter.click("text=Charge")
    expect(counter.locator("#pin-title")).to_have_text("PIN on the phone, please")
    expect(phone.locator("h1")).to_contain_text("1,000.01")  # the phone went there by itself
    assert served.shop.orders.get(order).state is OrderState.AUTHORIZING
    phone.fill("#pin", "123456")
    phone.click("button:has-text('Pay CNY')")
    expect(phone.locator("[data-outcome='paid']")).to_be_visible()
    expect(counter.locator("[data-verdict='paid']")).to_be_visible()


def test_a_wait_that_the_counter_ends_ends_on_the_phone_too(windows, served) -> None:
    phone = showing_phone(windows, served, "mastercard-abroad")
    order = served.shop.orders.create(amount_minor=100_001)
    served.shop.payer_codes.present(order.id, digits(phone))
    expect(phone.locator("#pin")).to_be_visible()
    (payment,) = served.shop.payments.of_order(order.id)
    served.shop.pin_entry.cancel(payment.id)
    expect(phone.locator("[data-outcome='declined']")).to_be_visible()


def test_what_is_no_code_is_told_and_the_order_goes_on(windows, served) -> None:
    counter = windows.open(served.here)
    order = new_order(counter)
    counter.fill("#payment-code", "6901234567892")
    counter.click("text=Charge")
    expect(counter.locator("[role=alert]")).to_contain_text("no payment code")
    counter.click("text=Back to the order")
    expect(counter.locator("#payment-code")).to_be_visible()
    assert served.shop.orders.get(order).state is OrderState.OPEN


def test_both_ends_work_without_javascript(
    windows, served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(my_code, "_RELOAD_S", 1)
    phone = showing_phone(windows, served, "visa-abroad", java_script_enabled=False)
    counter = windows.open(served.here, java_script_enabled=False)
    order = new_order(counter)
    counter.fill("#payment-code", digits(phone))
    counter.click("text=Charge")
    expect(counter.locator("[data-verdict='paid']")).to_be_visible()
    expect(phone.locator("[data-outcome='paid']")).to_be_visible()  # it looked again by itself
    assert served.shop.orders.get(order).state is OrderState.PAID


def test_the_code_renews_itself_without_a_flash(
    windows, served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payer_code, "STEP_S", 1)
    phone = showing_phone(windows, served, "mastercard-abroad")
    phone.evaluate(
        """() => {
          window.flashes = 0;
          window.shown = new Set();
          const look = () => {
            const code = document.querySelector(".code-in");
            window.shown.add(code.dataset.digits);
            for (const picture of code.querySelectorAll("img"))
              if (!picture.complete || picture.naturalWidth === 0) window.flashes += 1;
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    deadline = time.monotonic() + 20
    while phone.evaluate("window.shown.size") < 3 and time.monotonic() < deadline:
        phone.wait_for_timeout(100)
    assert phone.evaluate("window.shown.size") >= 3
    assert phone.evaluate("window.flashes") == 0
    expect(phone.locator("#code-announcement")).to_have_text("A new payment code is shown")


def test_a_sale_by_a_printed_code_is_told_at_the_counter(windows, served) -> None:
    desk = windows.open(f"{served.here}/stickers")
    desk.fill("#label", "door")
    desk.click("text=Make a printed code")
    desk.locator(".sticker img").evaluate("picture => picture.decode()")
    (sticker,) = read(desk.locator(".sticker .paper").screenshot())
    counter = windows.open(served.here)
    phone = windows.open(sticker.text, phone=True)
    expect(phone.locator("body")).to_contain_text("Lane Tea House")
    phone.fill("#amount", SMALL)
    phone.fill("#pin", "123456")
    phone.click("button:has-text('Pay Lane Tea House')")
    expect(phone.locator("[data-outcome='paid']")).to_be_visible()
    expect(counter.locator("[data-sticker-announcement]")).to_have_text(
        "Paid by printed code: CNY 12.80, door"
    )
    expect(counter.locator("[data-live-sales] li").first).to_contain_text("printed code")
