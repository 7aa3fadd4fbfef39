"""The code on the customer's phone: shown there, scanned at the counter, the PIN asked for."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from checkout.demo.payers import DEMO_PIN
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.shop import Shop
from devices.qr.drawing import rasterise
from devices.qr.scanner import read
from devices.qr.symbol import rendering

LAN = "http://192.0.2.10:8000"
LARGE = 100_001


@pytest.fixture(autouse=True)
def next_minute(clock) -> None:  # type: ignore[no-untyped-def]
    clock.advance(60)


@pytest.fixture
def phone(stranger: FlaskClient) -> FlaskClient:
    """A stranger's browser on the LAN that has unionpay-credit in its wallet."""
    stranger.post("/wallet/account", base_url=LAN, data={"payer": "unionpay-credit"})
    return stranger


@pytest.fixture
def large(shop: Shop) -> Order:
    return shop.orders.create(amount_minor=LARGE)


def shown(page: str) -> tuple[str, list[str]]:
    """The digits that the page says, and what a camera reads in its pictures."""
    pictures = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    digits = re.search(r'data-digits="(\d+)"', page)
    assert digits is not None
    return digits[1], [read(base64.b64decode(picture))[0].text for picture in pictures]


def since_of(page: str) -> str:
    found = re.search(r'data-since="(\d+)"', page)
    assert found is not None
    return found[1]


def scan(client: FlaskClient, order: Order, text: str):  # type: ignore[no-untyped-def]
    return client.post(f"/orders/{order.id}/payment-code", data={"text": text})


def form_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page))


def test_the_phone_shows_one_code_as_barcode_and_as_symbol(phone: FlaskClient, shop: Shop) -> None:
    digits, read_off = shown(phone.get("/wallet/code", base_url=LAN).text)
    code = shop.payer_codes.show("unionpay-credit")
    assert read_off == [code.digits, code.emv]
    assert digits == code.digits
    assert len(digits) == 19


def test_the_code_is_another_a_minute_later(phone: FlaskClient, clock) -> None:  # type: ignore[no-untyped-def]
    first, _ = shown(phone.get("/wallet/code", base_url=LAN).text)
    clock.advance(60)
    second, _ = shown(phone.get("/wallet/code/part", base_url=LAN).text)
    assert first != second


def test_a_small_amount_is_paid_as_soon_as_the_counter_has_scanned(
    phone: FlaskClient, client: FlaskClient, shop: Shop, order: Order
) -> None:
    page = phone.get("/wallet/code", base_url=LAN).text
    since = since_of(page)
    state = f"/wallet/code/state?since={since}"
    assert phone.get(state, base_url=LAN).json == {"go": None}
    answer = scan(client, order, shown(page)[0] + "\r\n")  # as a scanner ends its line
    assert (answer.status_code, answer.location) == (303, f"/orders/{order.id}")
    assert shop.orders.get(order.id).state is OrderState.PAID
    receipt = phone.get(phone.get(state, base_url=LAN).json["go"], base_url=LAN).text
    assert 'data-outcome="paid"' in receipt
    # A page without JavaScript goes there by itself.
    assert phone.get(f"/wallet/code?since={since}", base_url=LAN).status_code == 303


def test_a_large_amount_asks_for_the_pin_on_the_phone(
    phone: FlaskClient, client: FlaskClient, shop: Shop, large: Order
) -> None:
    page = phone.get("/wallet/code", base_url=LAN).text
    assert scan(client, large, shown(page)[0]).status_code == 303
    counter = client.get(f"/orders/{large.id}").text
    assert "PIN on the phone" in counter
    go = phone.get(f"/wallet/code/state?since={since_of(page)}", base_url=LAN).json["go"]
    asked = phone.get(go, base_url=LAN).text
    assert "1,000.01" in asked
    assert "Lane Tea House" in asked
    assert "A payment waits for your PIN" in phone.get("/wallet/", base_url=LAN).text
    odd = phone.post(go, base_url=LAN, data={**form_of(asked), "pin": "12"})
    assert odd.status_code == 422
    form = {**form_of(odd.text), "pin": DEMO_PIN}
    first = phone.post(go, base_url=LAN, data=form)
    second = phone.post(go, base_url=LAN, data=form)
    assert first.status_code == 303
    assert first.location == second.location
    assert 'data-outcome="paid"' in phone.get(first.location, base_url=LAN).text
    assert shop.orders.get(large.id).state is OrderState.PAID
    assert len(shop.payments.of_order(large.id)) == 1


def test_the_payer_may_say_no(
    phone: FlaskClient, client: FlaskClient, shop: Shop, large: Order
) -> None:
    page = phone.get("/wallet/code", base_url=LAN).text
    scan(client, large, shown(page)[0])
    go = phone.get(f"/wallet/code/state?since={since_of(page)}", base_url=LAN).json["go"]
    answer = phone.post(f"{go}/refuse", base_url=LAN)
    assert 'data-outcome="declined"' in phone.get(answer.location, base_url=LAN).text
    assert shop.orders.get(large.id).state is OrderState.OPEN
    late = phone.get(go, base_url=LAN)  # the page left open leads to what became of it
    assert late.status_code == 303


def test_the_counter_revokes_after_fifteen_seconds_not_before(
    phone: FlaskClient, client: FlaskClient, shop: Shop, large: Order, clock
) -> None:  # type: ignore[no-untyped-def]
    scan(client, large, shop.payer_codes.show("unionpay-credit").digits)
    early = client.post(f"/orders/{large.id}/revoke")
    assert "15 seconds" in client.get(early.location).text
    assert shop.orders.get(large.id).state is OrderState.AUTHORIZING
    clock.advance(16)
    client.post(f"/orders/{large.id}/revoke")
    assert shop.orders.get(large.id).state is OrderState.OPEN


def test_nobody_without_the_sealed_address_confirms_or_refuses(
    phone: FlaskClient, client: FlaskClient, shop: Shop, large: Order
) -> None:
    scan(client, large, shop.payer_codes.show("unionpay-credit").digits)
    (payment,) = shop.payments.of_order(large.id)
    for path in (payment.id, "x", "x/refuse"):
        answer = phone.post(f"/wallet/confirm/{path}", base_url=LAN, data={"pin": DEMO_PIN})
        assert answer.status_code == 404
    assert shop.orders.get(large.id).state is OrderState.AUTHORIZING
    shop.pin_entry.cancel(payment.id)


def test_the_counters_own_pages_are_not_for_strangers(stranger: FlaskClient, order: Order) -> None:
    for path in ("payment-code", "frame", "revoke"):
        answer = stranger.post(f"/orders/{order.id}/{path}", base_url=LAN, data={"text": "1"})
        assert answer.status_code == 401


def barcode_png(text: str) -> bytes:
    out = io.BytesIO()
    rasterise(rendering.code_128_svg(text).encode()).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("form", ["digits", "emv"])
def test_the_counter_reads_a_photo_of_the_code(
    client: FlaskClient, shop: Shop, order: Order, form: str
) -> None:
    text = getattr(shop.payer_codes.show("unionpay-credit"), form)
    picture = barcode_png(text) if form == "digits" else rendering.png(text)
    answer = client.post(
        f"/orders/{order.id}/payment-code",
        data={"photo": (io.BytesIO(picture), "photo.png")},
        content_type="multipart/form-data",
    )
    assert answer.status_code == 303
    assert shop.orders.get(order.id).state is OrderState.PAID


def test_a_frame_with_the_code_pays_and_one_without_says_nothing(
    client: FlaskClient, shop: Shop, order: Order
) -> None:
    frame = f"/orders/{order.id}/frame"
    wrong = rendering.png("https://example.org/")
    assert client.post(frame, data=b"no picture").json == {"taken": False, "trouble": None}
    trouble = client.post(frame, data=wrong).json
    assert trouble["taken"] is False
    assert "no payment code" in trouble["trouble"]
    right = rendering.png(shop.payer_codes.show("unionpay-credit").emv)
    assert client.post(frame, data=right).json == {"taken": True, "trouble": None}
    assert shop.orders.get(order.id).state is OrderState.PAID
    # The camera's next frame comes a moment later and changes nothing.
    assert client.post(frame, data=right).json == {"taken": True, "trouble": None}
    assert len(shop.payments.of_order(order.id)) == 1


def test_what_is_no_code_is_told_at_the_counter(
    client: FlaskClient, shop: Shop, order: Order
) -> None:
    answer = scan(client, order, "6901234567892")
    assert answer.status_code == 422
    assert "no payment code" in answer.text
    assert shop.orders.get(order.id).state is OrderState.OPEN


@pytest.fixture
def post(app: Flask, merchant_key: str) -> Callable[..., object]:
    def send(path: str, body: dict[str, object], key: str | None = None):  # type: ignore[no-untyped-def]
        return app.test_client().post(
            f"/api/v1{path}",
            json=body,
            headers={
                "Authorization": f"Bearer {merchant_key}",
                "Idempotency-Key": key or os.urandom(12).hex(),
            },
        )

    return send


def test_the_api_pays_by_what_a_till_has_scanned(post, shop: Shop, order: Order) -> None:  # type: ignore[no-untyped-def]
    text = shop.payer_codes.show("unionpay-credit").digits
    answer = post(f"/orders/{order.id}/payment-codes", {"text": text}, key="scan1")
    assert (answer.status_code, answer.json["state"]) == (201, "paid")
    again = post(f"/orders/{order.id}/payment-codes", {"text": text}, key="scan1")
    assert again.json == answer.json
    other = shop.orders.create(amount_minor=1)
    used = post(f"/orders/{other.id}/payment-codes", {"text": text})
    assert (used.status_code, used.json["type"]) == (409, "/api/v1/problems/used-payer-code")


def test_the_api_says_that_the_phone_asks_for_the_pin(post, shop: Shop, large: Order) -> None:  # type: ignore[no-untyped-def]
    text = shop.payer_codes.show("unionpay-credit").emv
    answer = post(f"/orders/{large.id}/payment-codes", {"text": text})
    assert (answer.status_code, answer.json["state"]) == (202, "pending")
    assert set(answer.json["user_paying"]) == {"query_at", "revocable_at", "until"}
    assert answer.headers["Location"].endswith(f"/payments/{answer.json['id']}")
    shop.pin_entry.enter_pin(answer.json["id"], DEMO_PIN)
    assert shop.payments.get(answer.json["id"]).as_json()["state"] == "paid"


def test_the_api_lists_the_printed_codes(client: FlaskClient, shop: Shop) -> None:
    made = shop.static_codes.create("till", amount_minor=1500)
    listed = client.get("/api/v1/static-codes").json["static_codes"]
    shown_code = next(each for each in listed if each["code"] == made.code)
    assert shown_code["label"] == "till"
    assert shown_code["link"].endswith(f"/P/{made.code}")
    assert shown_code["emv"].startswith("000201010211")
