"""Printed codes over the pages: made and printed at the counter, paid on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from checkout.acceptance.qr.signed_payload import static_payload
from checkout.shop.orders.states import OrderState
from checkout.shop.payments.stickers import StaticCode
from checkout.shop.shop import Shop
from checkout.web import codes
from devices.qr.scanner import read
from devices.qr.symbol import fonts

LAN = "http://192.0.2.10:8000"
Pay = Callable[..., object]


@pytest.fixture
def sticker(shop: Shop) -> StaticCode:
    return shop.static_codes.create("door")


def last_order(shop: Shop):  # type: ignore[no-untyped-def]
    return shop.orders.recent(1)[0]


def test_a_sticker_is_made_printed_and_revoked_at_the_counter(
    client: FlaskClient, shop: Shop
) -> None:
    assert client.post("/stickers", data={"label": "window 3"}).status_code == 303
    made = shop.static_codes.all()[-1]
    assert "window 3" in client.get("/stickers").text
    link = codes.link_to(shop.config, made.code)
    for form, mime in (("svg", "image/svg+xml"), ("png", "image/png")):
        picture = client.get(f"/stickers/{made.code}.{form}")
        assert picture.mimetype == mime
        assert [found.text for found in read(picture.data)] == [link]
    sheet = client.get(f"/stickers/{made.code}.pdf")
    assert (sheet.mimetype, sheet.data[:5]) == ("application/pdf", b"%PDF-")
    assert client.get(f"/stickers/{made.code}.gif").status_code == 404
    client.post(f"/stickers/{made.code}/revoke")
    assert shop.static_codes.get(made.code).revoked


@pytest.mark.parametrize(
    "form", [{"label": ""}, {"label": "x", "amount": "abc"}, {"label": "x", "currency": "XYZ"}]
)
def test_an_odd_sticker_is_told_on_the_page(
    client: FlaskClient, shop: Shop, form: dict[str, str]
) -> None:
    before = len(shop.static_codes.all())
    answer = client.post("/stickers", data=form)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert len(shop.static_codes.all()) == before


def test_the_payer_types_the_amount_and_the_counter_sees_the_sale(
    pay: Pay, stranger: FlaskClient, client: FlaskClient, shop: Shop, sticker: StaticCode
) -> None:
    page = stranger.get(f"/p/{sticker.code}", base_url=LAN)
    assert page.status_code == 200
    assert "Lane Tea House" in page.text
    assert 'name="amount"' in page.text
    answer = pay(sticker.code, amount="12.80", payer="unionpay-credit")
    assert answer.status_code == 303
    assert 'data-outcome="paid"' in stranger.get(answer.headers["Location"], base_url=LAN).text
    order = last_order(shop)
    assert (order.state, order.amount_minor) == (OrderState.PAID, 1280)
    assert order.static_code == sticker.code
    sales = client.get("/sales").text
    assert f'data-order="{order.id}" data-sticker="CNY 12.80, door"' in sales


def test_a_form_sent_twice_pays_once(
    stranger: FlaskClient, shop: Shop, sticker: StaticCode
) -> None:
    page = stranger.get(f"/p/{sticker.code}", base_url=LAN).text
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page))
    form = {**fields, "payer": "unionpay-credit", "pin": "123456", "amount": "1.00"}
    before = len(shop.orders.recent(500))
    answers = [stranger.post(f"/p/{sticker.code}", base_url=LAN, data=form) for _ in range(3)]
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(shop.orders.recent(500)) == before + 1
    # The same form with another amount is another wish: it is refused, not paid.
    other = stranger.post(f"/p/{sticker.code}", base_url=LAN, data={**form, "amount": "2.00"})
    assert other.status_code == 422
    assert len(shop.orders.recent(500)) == before + 1


@pytest.mark.parametrize("amount", ["", "0", "-1", "1.234", "abc", "99999999", "١٢"])
def test_an_amount_that_cannot_be_taken_is_told_and_nothing_is_ordered(
    pay: Pay, shop: Shop, sticker: StaticCode, amount: str
) -> None:
    before = len(shop.orders.recent(500))
    answer = pay(sticker.code, amount=amount)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert len(shop.orders.recent(500)) == before


@pytest.mark.parametrize("currency", ["KWD", "CNY", "JPY"])
def test_a_comma_before_three_digits_is_asked_about_and_nothing_is_paid(
    pay: Pay, shop: Shop, currency: str
) -> None:
    sticker = shop.static_codes.create("door", currency)
    before = len(shop.orders.recent(500))
    answer = pay(sticker.code, amount="1,234", payer="unionpay-credit")
    assert answer.status_code == 422
    assert "1,234 can mean 1234 or 1.234" in answer.text
    assert len(shop.orders.recent(500)) == before


def test_a_comma_that_can_only_be_a_decimal_mark_is_taken_as_one(pay: Pay, shop: Shop) -> None:
    sticker = shop.static_codes.create("door", "KWD")
    pay(sticker.code, amount="0,500", payer="unionpay-credit")
    assert last_order(shop).amount_minor == 500


def test_more_than_the_days_limit_is_declined_by_the_bank(
    pay: Pay, stranger: FlaskClient, shop: Shop, sticker: StaticCode
) -> None:
    answer = pay(sticker.code, amount="500.01", payer="unionpay-class2")
    receipt = stranger.get(answer.headers["Location"], base_url=LAN).text
    assert 'data-response-code="61"' in receipt
    assert f'href="/p/{sticker.code}"'.lower() in receipt.lower()  # another try is another order
    assert last_order(shop).state is OrderState.CANCELLED


def test_a_sticker_out_of_use_says_so_and_takes_nothing(
    stranger: FlaskClient, shop: Shop, sticker: StaticCode
) -> None:
    page = stranger.get(f"/p/{sticker.code}", base_url=LAN).text
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page))
    shop.static_codes.revoke(sticker.code)
    before = len(shop.orders.recent(500))
    form = {**fields, "payer": "unionpay-credit", "pin": "123456", "amount": "1.00"}
    for answer in (
        stranger.get(f"/p/{sticker.code}", base_url=LAN),
        stranger.post(f"/p/{sticker.code}", base_url=LAN, data=form),
    ):
        assert answer.status_code == 410
        assert 'data-outcome="revoked"' in answer.text
    assert len(shop.orders.recent(500)) == before


def test_a_pasted_over_sticker_is_refused_before_anyone_confirms(
    stranger: FlaskClient, shop: Shop, sticker: StaticCode
) -> None:
    genuine = static_payload(
        merchant=shop.config.merchant, code=sticker.code, currency="CNY", key=shop.code_key
    )
    opened = stranger.post("/wallet/scan", base_url=LAN, data={"text": genuine})
    assert opened.status_code == 303
    assert opened.location.lower() == f"/p/{sticker.code}".lower()
    forged = static_payload(
        merchant=shop.config.merchant, code=sticker.code, currency="CNY", key=b"a stranger's key"
    )
    other_shop = f"HTTP://192.0.2.66:8000/P/{sticker.code}"
    for text in (forged, other_shop, genuine.replace("Lane Tea House", "Line Tea House")):
        answer = stranger.post("/wallet/scan", base_url=LAN, data={"text": text})
        assert answer.status_code == 422, text
        assert 'role="alert"' in answer.text


@pytest.mark.parametrize("form", ["png", "pdf"])
def test_a_sticker_that_no_font_here_writes_is_told_on_the_page(
    client: FlaskClient, shop: Shop, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    made = shop.static_codes.create("门口")
    monkeypatch.setattr(fonts, "_KNOWN_FONTS", ())
    monkeypatch.setenv("PATH", "/nowhere")
    fonts.font_for.cache_clear()
    answer = client.get(f"/stickers/{made.code}.{form}")
    assert answer.status_code == 422
    assert "sticker: no font" in answer.text
    assert client.get(f"/stickers/{made.code}.svg").status_code == 200
