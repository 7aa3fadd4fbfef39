"""A code and a tap race for one order: it is paid once, the ledger stays in balance."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout.acceptance.contract import Mode
from checkout.acceptance.nfc import terminal as tap
from checkout.acceptance.nfc.authorization import Evidence
from checkout.config import Config
from checkout.demo.payers import DEMO_PIN, DemoPayers, make_card
from checkout.errors import ShopError
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.shop.shop import Shop
from devices.nfc.emulated import in_process, open_card

RACES = 200


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop.open(Config(home=tmp_path), payers=DemoPayers(), own_switch=True)
    yield shop
    shop.close()


def read_card(shop: Shop, order: Order, home: Path) -> Evidence:
    card = open_card("unionpay-debit", home)
    reader = in_process(card)
    try:
        presented = reader.wait_for_card(1)
        assert presented is not None
        terminal = tap.load(home, clock=shop.orders.clock)
        result = tap.walk(
            terminal, presented, tap.purchase(terminal, order.amount_minor, order.currency)
        )
    finally:
        reader.close()
    evidence = tap.evidence(result)
    assert evidence is not None, result.reason
    return evidence


def test_two_hundred_races_are_each_won_once(shop: Shop, tmp_path: Path) -> None:
    make_card("unionpay-debit", tmp_path)
    won: Counter[Mode] = Counter()
    for _ in range(RACES):
        order = shop.orders.create(amount_minor=1280)
        evidence = read_card(shop, order, tmp_path)
        start = threading.Barrier(2)
        approved: list[Payment] = []
        refused: list[str] = []

        def attempt(pay, start=start, approved=approved, refused=refused) -> None:  # type: ignore[no-untyped-def]
            start.wait()
            try:
                payment = pay()
            except ShopError as error:
                refused.append(error.kind)
                return
            if payment.state is PaymentState.APPROVED:
                approved.append(payment)

        code, tapped = (
            threading.Thread(target=attempt, args=(pay,))
            for pay in (
                lambda order=order: shop.code_payments.pay(
                    order.code, payer="unionpay-credit", pin=DEMO_PIN
                ),
                lambda order=order, evidence=evidence: shop.tap_payments.pay(
                    order.id, evidence, emulated=True
                ),
            )
        )
        for thread in (code, tapped):
            thread.start()
        for thread in (code, tapped):
            thread.join(30)
        assert len(approved) == 1, (approved, refused)
        assert refused
        assert refused[0] in ("order-busy", "already-paid", "used-code"), refused
        after = shop.orders.get(order.id)
        assert (after.state, after.payment_id) == (OrderState.PAID, approved[0].id)
        won[approved[0].mode] += 1
    assert sum(won.values()) == RACES
    assert won[Mode.QR] and won[Mode.NFC], won  # else nobody raced
    for totals in shop.books.trial_balance().values():
        assert totals.debits_posted == totals.credits_posted
    sales = [entry for entry in shop.books.entries(limit=1000) if entry.kind == "purchase"]
    kept = [entry for entry in sales if str(entry.status) in ("pending", "posted")]
    assert sum(entry.amount_minor for entry in kept) == RACES * 1280
