"""The PIN pad on the counter's page: whose PIN it takes, over what connection; no PIN is stored."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from checkout import create_app
from checkout.acceptance.nfc import terminal as tap
from checkout.acceptance.nfc.authorization import Evidence, last_four, surrogate
from checkout.demo.payers import DEMO_PIN, make_card
from checkout.shop.orders.states import OrderState
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.shop.shop import Shop
from devices.nfc.emulated import in_process, open_card

LARGE = 150_000
LAN = "http://192.0.2.10:8000"


@pytest.fixture
def held(shop: Shop) -> Payment:
    """A tapped card over the limit: its payment waits for the PIN."""
    home = shop.config.home
    make_card("unionpay-debit", home)
    order = shop.orders.create(amount_minor=LARGE)
    reader = in_process(open_card("unionpay-debit", home))
    card = reader.wait_for_card(1)
    assert card is not None
    terminal = tap.load(home, clock=shop.orders.clock)
    result = tap.walk(terminal, card, tap.purchase(terminal, LARGE, "CNY"))
    reader.close()
    evidence = tap.evidence(result)
    assert evidence is not None
    payment = shop.tap_payments.pay(
        order.id, evidence, emulated=True, hold_for_pin=result.online_pin_required
    )
    assert payment.state is PaymentState.PENDING
    return payment


@pytest.fixture
def operator(app: Flask, password: str) -> FlaskClient:
    """The operator on another machine of the LAN, signed in over plain http."""
    browser = app.test_client()
    browser.environ_base["REMOTE_ADDR"] = "192.0.2.77"
    signed = browser.post("/login", base_url=LAN, data={"password": password})
    assert signed.status_code == 303
    return browser


def enter(client: FlaskClient, payment: Payment, pin: str, **more: str):  # type: ignore[no-untyped-def]
    return client.post(
        f"/orders/{payment.order_id}/pin", data={"payment": payment.id, "pin": pin}, **more
    )


def test_the_counter_asks_for_the_pin_and_warns_of_real_ones(
    client: FlaskClient, held: Payment
) -> None:
    page = client.get(f"/orders/{held.order_id}").text
    assert 'type="password"' in page
    assert f'action="/orders/{held.order_id}/pin"' in page
    assert "Never type the PIN of a real card" in page
    assert "/cancel" in page


def test_the_pin_pays_and_the_page_shows_it(client: FlaskClient, held: Payment, shop: Shop) -> None:
    answer = enter(client, held, DEMO_PIN)
    assert answer.status_code == 303
    assert DEMO_PIN not in answer.headers["Location"]
    assert 'data-verdict="paid"' in client.get(answer.headers["Location"]).text
    assert shop.orders.get(held.order_id).state is OrderState.PAID


def test_sent_twice_it_pays_once(client: FlaskClient, held: Payment, shop: Shop) -> None:
    for _ in range(2):
        assert enter(client, held, DEMO_PIN).status_code == 303
    assert [each.state for each in shop.payments.of_order(held.order_id)] == ["approved"]


def test_a_wrong_pin_is_told_on_the_open_order(client: FlaskClient, held: Payment) -> None:
    page = client.get(enter(client, held, "000000").headers["Location"]).text
    assert "wrong PIN" in page
    assert "Nothing was charged" in page


def test_an_odd_pin_is_asked_for_again(client: FlaskClient, held: Payment, shop: Shop) -> None:
    answer = enter(client, held, "12ab")
    page = client.get(answer.headers["Location"]).text
    assert "six digits" in page
    assert "12ab" not in page + answer.headers["Location"]
    assert shop.pin_entry.get(held.id) is not None
    shop.pin_entry.cancel(held.id)


def test_a_pin_for_an_earlier_payment_is_not_used_for_the_next(
    client: FlaskClient, held: Payment, shop: Shop
) -> None:
    answer = client.post(
        f"/orders/{held.order_id}/pin", data={"payment": "pay_other", "pin": DEMO_PIN}
    )
    assert answer.status_code == 303
    assert shop.payments.get(held.id).state is PaymentState.PENDING
    shop.pin_entry.cancel(held.id)


def test_cancel_opens_the_order_again(client: FlaskClient, held: Payment, shop: Shop) -> None:
    answer = client.post(f"/orders/{held.order_id}/pin/cancel", data={"payment": held.id})
    page = client.get(answer.headers["Location"]).text
    assert "cancelled before the PIN" in page
    assert shop.orders.get(held.order_id).state is OrderState.OPEN


def test_an_open_connection_carries_no_pin(
    operator: FlaskClient, held: Payment, shop: Shop
) -> None:
    page = operator.get(f"/orders/{held.order_id}", base_url=LAN).text
    assert 'type="password"' not in page
    assert "--https" in page
    answer = enter(operator, held, DEMO_PIN, base_url=LAN)
    assert answer.status_code == 403
    assert shop.payments.get(held.id).state is PaymentState.PENDING
    shop.pin_entry.cancel(held.id)


def test_https_carries_it(operator: FlaskClient, held: Payment, password: str) -> None:
    secure = LAN.replace("http:", "https:")
    operator.post("/login", base_url=secure, data={"password": password})
    assert 'type="password"' in operator.get(f"/orders/{held.order_id}", base_url=secure).text
    assert enter(operator, held, DEMO_PIN, base_url=secure).status_code == 303


def test_strangers_reach_neither_pad_nor_cancel(
    stranger: FlaskClient, held: Payment, shop: Shop
) -> None:
    for path in ("pin", "pin/cancel"):
        answer = stranger.post(
            f"/orders/{held.order_id}/{path}",
            base_url=LAN,
            data={"payment": held.id, "pin": DEMO_PIN},
        )
        assert answer.status_code == 401
    assert shop.payments.get(held.id).state is PaymentState.PENDING
    shop.pin_entry.cancel(held.id)


def test_no_event_log_or_page_tells_the_pin(
    shop: Shop, password: str, held: Payment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    since = shop.feed._newest()
    client = create_app(shop=shop).test_client()
    enter(client, held, "135790")
    page = client.get(f"/orders/{held.order_id}").text
    from checkout.shop.orders.events import read_events

    with shop.engine.connect() as connection:
        payloads = [str(event.payload) for event in read_events(connection, after=since)]
    assert len(payloads) >= 1
    assert not re.search("135790", page + caplog.text + "".join(payloads))


def test_the_api_cancels_the_order_and_the_wait_for_its_pin(
    client: FlaskClient, held: Payment, shop: Shop
) -> None:
    path = f"/api/v1/orders/{held.order_id}/cancel"

    def cancel(key: str):  # type: ignore[no-untyped-def]
        return client.post(path, headers={"Idempotency-Key": key})

    answer = cancel("first")
    assert (answer.status_code, answer.json["state"]) == (200, "cancelled")
    payment = shop.payments.get(held.id)
    assert (payment.state, payment.response_code) == (PaymentState.DECLINED, "17")
    assert shop.pin_entry.get(held.id) is None
    again = cancel("first")
    assert (again.status_code, again.json) == (200, answer.json)
    assert cancel("second").status_code == 409


def test_a_cancel_of_the_order_from_a_stale_page_ends_the_wait(
    client: FlaskClient, held: Payment, shop: Shop
) -> None:
    assert client.post(f"/orders/{held.order_id}/cancel").status_code == 303
    assert shop.orders.get(held.order_id).state is OrderState.CANCELLED
    assert shop.payments.get(held.id).state is PaymentState.DECLINED


def test_a_real_card_over_the_limit_is_told_why_no_pin_is_asked_for(
    client: FlaskClient, shop: Shop
) -> None:
    """An enrolled card: its issuer declines (61), and the cashier reads what that means."""
    number = "6225880000005678"
    evidence = Evidence(
        decision="online",
        scheme="unionpay",
        pan=surrogate(number, shop.seal.fingerprint),
        shown=last_four(number),
        real=True,
    )
    order = shop.orders.create(amount_minor=LARGE)

    def tapped() -> Payment:
        return shop.tap_payments.pay(
            order.id, evidence, emulated=False, hold_for_pin=True, pin=DEMO_PIN
        )

    shop.enrolment.enrol(tapped().id)
    assert tapped().response_code == "61"
    page = client.get(f"/orders/{order.id}").text
    assert "a real card is never asked for its PIN" in page
    assert "CNY 1,500.00" in page
    assert "over the amount limit" not in page
    shop.orders.cancel(order.id)
