"""A sale as shop and payer see it, in real Chromium windows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import update

from checkout.shop import tables
from checkout.shop.orders.states import OrderState
from checkout.web.counter import counter as counter_pages
from devices.phone import Phone
from devices.qr.scanner import read
from tests.browser.filming import film
from tests.checkout.web import test_web_photos

pytestmark = pytest.mark.browser


def new_order(page: Page, amount: str = "12.80") -> str:
    """Type an amount on the counter; the id of the order that it opens."""
    page.fill("#amount", amount)
    page.click("text=Take payment")
    page.locator("#code").evaluate("picture => picture.decode()")
    return page.url.rsplit("/", 1)[1]


def scanned(page: Page) -> str:
    """What a camera reads off the screen."""
    (found,) = read(page.screenshot())
    return found.text


def pay(phone: Page, *, pin: str = "123456", payer: str | None = None) -> None:
    if payer is not None:
        phone.click("text=Another demo account")
        phone.check(f"input[value='{payer}']")
    phone.fill("#pin", pin)
    phone.click("button:has-text('Pay CNY')")


def test_a_phone_pays_what_it_scans_and_the_counter_turns_to_paid(windows, served) -> None:
    counter = windows.open(served.here)
    order = new_order(counter)
    counter.evaluate("window.stillTheSamePage = true")
    phone = windows.open(scanned(counter), phone=True)
    expect(phone.locator("h1")).to_contain_text("12.80")
    expect(phone.locator("body")).to_contain_text("Lane Tea House")
    pay(phone)
    expect(phone.locator("[data-outcome='paid']")).to_be_visible()
    expect(counter.locator("[data-verdict='paid'] h2")).to_have_text("Paid by code")
    expect(counter.locator(".took")).to_contain_text(re.compile(r"\d+(\.\d+)? m?s"))
    expect(counter.locator("#announcement")).to_have_text("Paid by code")
    assert counter.evaluate("window.stillTheSamePage") is True
    assert served.shop.orders.get(order).state is OrderState.PAID
    assert windows.hosts == {served.here[7:], served.lan[7:]}


def test_the_code_is_read_off_any_screen_without_scrolling(windows, served) -> None:
    counter = windows.open(served.here)
    order = new_order(counter)
    code = served.shop.orders.get(order).code
    for scheme in ("light", "dark"):
        counter.emulate_media(color_scheme=scheme)
        for width, height in ((1280, 800), (390, 844)):
            counter.set_viewport_size({"width": width, "height": height})
            assert scanned(counter) == f"{served.lan.upper()}/P/{code}"


def test_the_code_says_in_words_how_much_and_to_whom(windows, served) -> None:
    counter = windows.open(served.here)
    new_order(counter, "7.50")
    picture = counter.locator("#code")
    expect(picture).to_have_attribute("alt", "QR code to pay CNY 7.50 to Lane Tea House")
    expect(counter.locator("#link")).to_have_text(scanned(counter))


def test_the_emv_form_of_the_code_is_one_click_away_and_read_by_the_wallet(
    windows, served, tmp_path: Path
) -> None:
    counter = windows.open(served.here)
    order = new_order(counter)
    counter.click("text=EMV")
    counter.locator("#code").evaluate("picture => picture.decode()")
    payload = served.shop.emv_payload(served.shop.orders.get(order))
    assert scanned(counter) == payload == counter.inner_text("#link")
    photo = tmp_path / "photo.png"
    counter.screenshot(path=photo)
    phone = windows.open(f"{served.lan}/wallet/scan", phone=True)
    phone.set_input_files("#photo", photo)
    expect(phone.locator("h1")).to_contain_text("12.80")
    pay(phone)
    expect(counter.locator("[data-verdict='paid']")).to_be_visible()


def test_a_decline_shows_on_both_sides_and_another_account_pays(windows, served) -> None:
    counter = windows.open(served.here)
    new_order(counter)
    phone = windows.open(scanned(counter), phone=True)
    pay(phone, payer="empty")
    expect(phone.locator("[data-outcome='declined']")).to_contain_text("nsufficient funds")
    expect(counter.locator(".declined")).to_contain_text("insufficient funds")
    expect(counter.locator("#code")).to_be_visible()
    phone.click("text=Try another account")
    pay(phone, payer="unionpay-credit")
    expect(phone.locator("[data-outcome='paid']")).to_be_visible()
    expect(counter.locator("[data-verdict='paid']")).to_be_visible()


def test_a_wrong_pin_is_told_at_once_and_nothing_is_charged(windows, served) -> None:
    counter = windows.open(served.here)
    order = new_order(counter)
    phone = windows.open(scanned(counter), phone=True)
    pay(phone, pin="654321", payer="unionpay-credit")
    expect(phone.locator("[role=alert]")).to_contain_text("PIN is wrong")
    expect(phone.locator("#pin")).to_be_focused()
    assert served.shop.orders.get(order).state is OrderState.OPEN


def test_a_cancelled_order_leaves_counter_and_phone(windows, served) -> None:
    counter = windows.open(served.here)
    order = new_order(counter)
    link = scanned(counter)
    served.shop.orders.cancel(order)
    expect(counter.locator("[data-verdict='cancelled']")).to_be_visible()
    phone = windows.open(link, phone=True)
    expect(phone.locator("h1")).to_have_text("The shop has cancelled this order")


def test_the_counter_cancels_by_its_button(windows, served) -> None:
    counter = windows.open(served.here)
    order = new_order(counter)
    counter.click("text=Cancel this order")
    expect(counter.locator("[data-verdict='cancelled']")).to_be_visible()
    assert served.shop.orders.get(order).state is OrderState.CANCELLED


def test_a_code_is_renewed_without_a_flash_and_an_order_runs_out(windows, serve) -> None:
    served = serve(code_ttl_s=1, order_ttl_s=4)
    counter = windows.open(served.here)
    order = new_order(counter)
    first = served.shop.orders.get(order).code
    counter.evaluate(
        """() => {
          window.flashes = 0;
          window.codes = new Set();
          const look = () => {
            const code = document.getElementById("code");
            if (!code) return;
            window.codes.add(code.dataset.code);
            if (!code.complete || code.naturalWidth === 0) window.flashes += 1;
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    link = scanned(counter)
    expect(counter.locator("#code")).not_to_have_attribute("data-code", first)
    expect(counter.locator("[data-verdict='expired']")).to_be_visible()
    assert counter.evaluate("window.codes.size") >= 3
    assert counter.evaluate("window.flashes") == 0
    phone = windows.open(link, phone=True)
    expect(phone.locator("h1")).to_have_text("This order has run out")


def test_a_code_that_ran_out_is_one_tap_from_a_fresh_one(windows, served) -> None:
    order = served.shop.orders.create(amount_minor=1280, currency="CNY")
    phone = windows.open(f"{served.lan}/p/{order.code}", phone=True)
    with served.shop.engine.begin() as connection:  # its minute is over
        mine = tables.codes.c.order_id == order.id
        connection.execute(update(tables.codes).where(mine).values(expires_at=0))
    phone.reload()
    expect(phone.locator("h1")).to_have_text("This code has run out")
    phone.click("text=Get a fresh code")
    pay(phone)
    expect(phone.locator("[data-outcome='paid']")).to_be_visible()


def test_everything_works_without_javascript(
    windows, served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counter_pages, "_RELOAD_S", 1)
    counter = windows.open(served.here, java_script_enabled=False)
    order = new_order(counter, "3.00")
    code = served.shop.orders.get(order).code
    phone = windows.open(f"{served.lan}/P/{code}", phone=True, java_script_enabled=False)
    pay(phone)
    expect(phone.locator("[data-outcome='paid']")).to_be_visible()
    # The page looks again by itself.
    expect(counter.locator("[data-verdict='paid']")).to_be_visible()


def test_the_keypad_takes_keys_and_clicks(windows, served) -> None:
    counter = windows.open(served.here)
    for key in ("4", "2", ".", "0", "5", "9"):
        counter.click(f"[data-key='{key}']")
    expect(counter.locator("#amount")).to_have_value("42.05")
    counter.click("[data-key='delete']")
    counter.focus("#amount")
    counter.keyboard.press("End")
    counter.keyboard.type("9")
    counter.keyboard.press("Enter")
    expect(counter.locator(".order-head .amount")).to_have_text("CNY42.09")


@pytest.mark.parametrize("amount", ["0", "-1", "abc", "1.234", "99999999"])
def test_an_amount_that_cannot_be_taken_is_told_on_the_page(windows, served, amount: str) -> None:
    counter = windows.open(served.here)
    counter.fill("#amount", amount)
    counter.click("text=Take payment")
    expect(counter.locator("[role=alert]")).to_be_visible()
    expect(counter.locator("#amount")).to_have_value(amount)


def test_an_operator_on_the_lan_signs_in_and_copies_the_link(windows, served) -> None:
    counter = windows.open(served.lan)
    counter.fill("#password", served.password)
    counter.click("button:has-text('Sign in')")
    new_order(counter)
    # Plain http: no clipboard interface, and the link is copied all the same.
    assert counter.evaluate("typeof navigator.clipboard") == "undefined"
    counter.focus("[data-copy]")
    counter.keyboard.press("Enter")
    expect(counter.locator("[data-copy]")).to_have_text("Copied")
    counter.evaluate("document.body.append(document.createElement('textarea'))")
    counter.focus("textarea")
    counter.keyboard.press("Control+v")
    assert counter.input_value("textarea") == counter.inner_text("#link")


def test_the_photo_of_a_code_is_read_on_plain_http(windows, served, tmp_path: Path) -> None:
    counter = windows.open(served.here)
    new_order(counter)
    photo = tmp_path / "photo.png"
    counter.screenshot(path=photo)
    phone = windows.open(f"{served.lan}/wallet/scan", phone=True)
    expect(phone.locator("#no-live")).to_be_visible()
    phone.set_input_files("#photo", photo)
    expect(phone.locator("h1")).to_contain_text("12.80")
    pay(phone)
    expect(counter.locator("[data-verdict='paid']")).to_be_visible()


@pytest.mark.parametrize("size", [200_000, 800_000, 12_000_000])
def test_a_photo_as_large_as_a_phones_is_read(windows, served, tmp_path: Path, size: int) -> None:
    order = served.shop.orders.create(amount_minor=1280, currency="CNY")
    picture = tmp_path / "IMG_0001.jpg"
    picture.write_bytes(test_web_photos.photo(f"{served.lan}/p/{order.code}", size))
    phone = windows.open(f"{served.lan}/wallet/scan", phone=True)
    phone.set_input_files("#photo", picture)
    phone.wait_for_url(re.compile(r"/p/", re.IGNORECASE))


def test_the_live_camera_scans_the_counters_code(
    fake_camera: Callable[[Path], Browser], windows, served, tmp_path: Path
) -> None:
    counter = windows.open(served.here)
    new_order(counter)
    picture = tmp_path / "counter.png"
    counter.screenshot(path=picture)
    camera = fake_camera(film(picture, tmp_path / "camera.y4m"))
    phone = camera.new_page(viewport={"width": 390, "height": 844})
    phone.goto(f"{served.here}/wallet/scan")
    phone.click("#start-live")
    phone.wait_for_selector("#pin", timeout=15_000)
    pay(phone)
    expect(counter.locator("[data-verdict='paid']")).to_be_visible()


def test_the_emulated_phone_speaks_what_the_real_one_speaks(windows, served) -> None:
    counter = windows.open(served.here)
    order = new_order(counter)
    result = Phone("unionpay-debit").pay(counter.screenshot())
    assert result.outcome == "paid"
    expect(counter.locator("[data-verdict='paid'] h2")).to_have_text("Paid by code")
    assert served.shop.orders.get(order).payment_id == result.payment


def test_every_page_fits_a_phone_and_asks_nobody_else(windows, served) -> None:
    order = served.shop.orders.create(amount_minor=1280, currency="CNY")
    Phone("unionpay-debit").pay_at(f"{served.lan}/p/{order.code}")
    page = windows.open(served.here, phone=True)
    for path in ("/", f"/orders/{order.id}", "/compare", "/network", "/wallet", "/wallet/scan"):
        page.goto(served.here + path)
        wide: Any = page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert wide[0] <= wide[1], f"{path} is {wide[0]} px wide on a screen of {wide[1]}"
    assert windows.hosts == {served.here[7:]}


def test_a_message_of_the_diagram_opens_to_what_it_said(windows, served) -> None:
    order = served.shop.orders.create(amount_minor=1280, currency="CNY")
    Phone("unionpay-debit").pay_at(f"{served.lan}/p/{order.code}")
    payment = served.shop.payments.of_order(order.id)[0]
    page = windows.open(f"{served.here}/compare?left={payment.id}")
    page.locator("svg a", has_text="purchase").first.click()
    opened = page.locator(f"#left-{payment.steps[-1].n}")
    expect(opened).to_have_attribute("open", "")
    expect(opened).to_contain_text("DE39")
    expect(opened).not_to_contain_text("9999011000000019")
