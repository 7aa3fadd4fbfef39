"""A database takes no writes, before or after the bank was asked: every message stays true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event

from checkout import create_app
from checkout.config import Config
from checkout.demo.payers import DEMO_PIN, DemoPayers, make_card
from checkout.errors import ShopError
from checkout.processes.terminal import counter_till
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payments import PaymentState
from checkout.shop.shop import Shop
from checkout.shop.till import Charge
from devices.nfc.emulated import in_process, open_card


class Disk:
    """Makes every connection of the shop's read-only while it is full."""

    def __init__(self, shop: Shop) -> None:
        self.full = False
        event.listen(shop.engine, "checkout", self._checked_out)

    def _checked_out(self, connection: Any, *_: Any) -> None:
        connection.execute(f"PRAGMA query_only = {int(self.full)}")

    def full_from_the_answer_on(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        client = shop.clearing()
        authorize = client.authorize

        def answered(*given: Any, **named: Any) -> Any:
            exchange = authorize(*given, **named)
            self.full = True
            return exchange

        monkeypatch.setattr(client, "authorize", answered)


class Later:
    """A clock to be moved on."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Later:
    return Later()


@pytest.fixture
def shop(tmp_path: Path, clock: Later) -> Iterator[Shop]:
    shop = Shop.open(Config(home=tmp_path), payers=DemoPayers(), own_switch=True, clock=clock)
    shop.clearing()
    yield shop
    shop.close()


@pytest.fixture
def disk(shop: Shop) -> Disk:
    return Disk(shop)


@pytest.fixture
def order(shop: Shop) -> Order:
    return shop.orders.create(amount_minor=1280)


def kept(shop: Shop, order: Order) -> list[str]:
    """The purchases of the order that stand in the books."""
    return [
        entry.kind
        for payment in shop.payments.of_order(order.id)
        for entry in shop.books.entries(rrn=payment.rrn)
        if entry.kind == "purchase" and str(entry.status) in ("pending", "posted")
    ]


def room_again(shop: Shop, disk: Disk, clock: Later) -> None:
    """There is room, and the housekeeping finds what was left behind."""
    disk.full = False
    clock.ahead += timedelta(seconds=30)
    shop.sweep()


def pay(shop: Shop, order: Order) -> None:
    shop.code_payments.pay(order.code, payer="unionpay-debit", pin=DEMO_PIN)


def present(shop: Shop, order: Order) -> None:
    shop.payer_codes.present(order.id, shop.payer_codes.show("unionpay-debit").digits)


@pytest.mark.parametrize("way", [pay, present])
def test_an_answer_that_cannot_be_kept_is_unknown_and_taken_back(
    way: Callable[[Shop, Order], None],
    shop: Shop,
    order: Order,
    disk: Disk,
    clock: Later,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk.full_from_the_answer_on(shop, monkeypatch)
    with pytest.raises(ShopError) as told:
        way(shop, order)
    assert told.value.kind == "outcome-unknown"
    assert kept(shop, order) == ["purchase"]  # the bank has said yes
    monkeypatch.undo()
    room_again(shop, disk, clock)
    assert kept(shop, order) == []
    assert shop.orders.get(order.id).state is OrderState.OPEN
    assert [each.state for each in shop.payments.of_order(order.id)] == [PaymentState.REVERSED]


def test_a_code_whose_outcome_is_unknown_is_not_good_again(
    shop: Shop, order: Order, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = shop.payer_codes.show("unionpay-debit").digits
    disk.full_from_the_answer_on(shop, monkeypatch)
    with pytest.raises(ShopError):
        shop.payer_codes.present(order.id, digits)
    monkeypatch.undo()
    disk.full = False
    other = shop.orders.create(amount_minor=500)
    with pytest.raises(ShopError) as told:
        shop.payer_codes.present(other.id, digits)
    assert told.value.kind == "used-payer-code"


def test_a_story_that_cannot_be_kept_costs_no_payment(
    shop: Shop, order: Order, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = shop.payments.finish

    def late(*given: Any) -> None:
        disk.full = True
        finish(*given)
        disk.full = False

    monkeypatch.setattr(shop.payments, "finish", late)
    payment = shop.code_payments.pay(order.code, payer="unionpay-debit", pin=DEMO_PIN)
    assert payment.state is PaymentState.APPROVED
    assert shop.orders.get(order.id).state is OrderState.PAID


def test_a_refund_whose_answer_cannot_be_kept_is_unknown_and_given_once(
    shop: Shop, order: Order, disk: Disk, clock: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay(shop, order)
    disk.full_from_the_answer_on(shop, monkeypatch)
    with pytest.raises(ShopError) as told:
        shop.refunds.refund(order.id, 280)
    assert told.value.kind == "outcome-unknown"
    monkeypatch.undo()
    room_again(shop, disk, clock)
    refund = shop.payments.of_order(order.id)[-1]
    assert (refund.kind, refund.state) == ("refund", PaymentState.APPROVED)
    assert shop.orders.get(order.id).refunded_minor == 280
    given = [entry for entry in shop.books.entries(rrn=refund.rrn) if entry.kind == "refund"]
    assert [entry.amount_minor for entry in given] == [280]


# -- what pages, API and terminal say -------------------------------------------------------------


@pytest.fixture
def web(shop: Shop) -> FlaskClient:
    return create_app(shop=shop).test_client()


def test_the_api_says_unknown_not_nothing_booked(
    web: FlaskClient, shop: Shop, order: Order, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = shop.payer_codes.show("unionpay-debit").digits
    disk.full_from_the_answer_on(shop, monkeypatch)
    answer = web.post(
        f"/api/v1/orders/{order.id}/payment-codes",
        json={"text": digits},
        headers={"Idempotency-Key": "k1"},
    )
    assert answer.status_code == 504
    assert answer.json is not None
    assert answer.json["type"].endswith("/outcome-unknown")


def test_before_the_bank_was_asked_the_api_says_that_nothing_was_booked(
    web: FlaskClient, shop: Shop, order: Order, disk: Disk
) -> None:
    digits = shop.payer_codes.show("unionpay-debit").digits
    disk.full = True
    answer = web.post(
        f"/api/v1/orders/{order.id}/payment-codes",
        json={"text": digits},
        headers={"Idempotency-Key": "k1"},
    )
    assert (answer.status_code, kept(shop, order)) == (503, [])
    assert answer.json is not None
    assert answer.json["detail"].startswith("Nothing was booked")


def test_the_payers_page_says_unknown_and_asks_for_nothing_more(
    web: FlaskClient, shop: Shop, order: Order, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.full_from_the_answer_on(shop, monkeypatch)
    form = {"payer": "unionpay-debit", "pin": DEMO_PIN, "submission": "s" * 20}
    page = web.post(f"/p/{order.code}", data=form)
    assert page.status_code == 504
    assert "The outcome is unknown" in page.text
    assert "data-pay" not in page.text


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_terminal_goes_on_and_says_what_is_true(
    when: str,
    shop: Shop,
    order: Order,
    disk: Disk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_card("unionpay-debit", tmp_path)
    till = counter_till(shop)
    reader = in_process(open_card("unionpay-debit", tmp_path))
    try:
        card = reader.wait_for_card(1)
        assert card is not None
        if when == "before":
            disk.full = True
        else:
            disk.full_from_the_answer_on(shop, monkeypatch)
        charge = Charge(order_id=order.id, amount_minor=order.amount_minor, currency="CNY")
        verdict = till.take_tap(charge, card, reader)  # shown to nobody, and it does not matter
    finally:
        reader.close()
    assert verdict.signal == "failure"
    if when == "before":
        assert (verdict.state, kept(shop, order)) == ("refused", [])
        assert verdict.message.startswith("nothing was charged")
    else:
        assert (verdict.state, kept(shop, order)) == ("unknown", ["purchase"])
        assert "being reversed" in verdict.message
