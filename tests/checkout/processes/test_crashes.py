"""A process that dies between any two commits leaves nothing half-booked: the sweep mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from checkout.acceptance.nfc import terminal as tap
from checkout.acceptance.nfc.authorization import Evidence
from checkout.clearing.client.client import Exchange, NoAnswer, SwitchClient
from checkout.config import Config
from checkout.demo.payers import DEMO_PIN, DemoPayers, make_card
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payments import PaymentState
from checkout.shop.shop import Shop
from devices.nfc.emulated import in_process, open_card

AMOUNT = 1280
#: More commits than any of these takes; each run ends once it was not killed any more.
ENOUGH = 40

Step = Callable[[Shop, Order], None]


class Died(BaseException):
    """What kill -9 is to a process: nothing catches it."""


class SetClock:
    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_s(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def house(tmp_path: Path, clock: SetClock) -> Iterator[Shop]:
    """The process that lives on: its housekeeping finds what the others left, its switch stays."""
    shop = Shop.open(Config(home=tmp_path), payers=DemoPayers(), own_switch=True, clock=clock)
    shop.clearing()  # starts the switch here and not in a process that dies
    make_card("unionpay-debit", tmp_path)
    yield shop
    shop.close()


def tapped(shop: Shop, order: Order, *, offline: bool) -> Evidence:
    reader = in_process(open_card("unionpay-debit", shop.config.home))
    try:
        card = reader.wait_for_card(1)
        assert card is not None
        terminal = tap.load(shop.config.home, clock=shop.orders.clock)
        purchase = tap.purchase(terminal, order.amount_minor, order.currency)
        evidence = tap.evidence(tap.walk(terminal, card, purchase))
    finally:
        reader.close()
    assert evidence is not None
    return replace(evidence, decision="approved-offline") if offline else evidence


def by_code(shop: Shop, order: Order) -> None:
    shop.code_payments.pay(order.code, payer="wallet-balance", pin=DEMO_PIN)


def by_tap(shop: Shop, order: Order) -> None:
    shop.tap_payments.pay(order.id, tapped(shop, order, offline=False), emulated=True)


def by_tap_offline(shop: Shop, order: Order) -> None:
    shop.tap_payments.pay(order.id, tapped(shop, order, offline=True), emulated=True)


def refund_part(shop: Shop, order: Order) -> None:
    shop.refunds.refund(order.id, 300)


def refund_all(shop: Shop, order: Order) -> None:
    shop.refunds.refund(order.id)


def capture(shop: Shop, order: Order) -> None:
    shop.refunds.capture(order.id, 1000)


#: name -> whether it is a pre-authorisation, what went before, what the process dies in.
CASES: dict[str, tuple[bool, tuple[Step, ...], Step]] = {
    "code": (False, (), by_code),
    "tap": (False, (), by_tap),
    "tap approved offline": (False, (), by_tap_offline),
    "part refund": (False, (by_code,), refund_part),
    "full refund": (False, (by_code,), refund_all),
    "pre-authorisation": (True, (), by_code),
    "capture": (True, (by_code,), capture),
    "refund after capture": (True, (by_code, capture), refund_part),
}


def die_after(shop: Shop, commits: int) -> None:
    left = [commits]

    @event.listens_for(shop.engine, "commit")
    def _commit(_connection: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Died


def charged(shop: Shop) -> int:
    """What payers are down by, held and posted, in minor units."""
    balances = [one.balance for one in shop.books.accounts("payer/")]
    debits = sum(one.debits_pending + one.debits_posted for one in balances)
    return debits - sum(one.credits_pending + one.credits_posted for one in balances)


def check_books_agree(house: Shop, order: Order, taken: int) -> None:
    """The order, its payments and the ledger tell the same."""
    after = house.orders.get(order.id)
    payments = house.payments.of_order(order.id)
    unended = (PaymentState.PENDING, PaymentState.UNKNOWN)
    assert [one for one in payments if one.state in unended] == []
    given_back = sum(
        one.amount_minor
        for one in payments
        if one.kind == "refund" and one.state is PaymentState.APPROVED
    )
    assert after.refunded_minor == given_back
    captured = after.captured_minor
    if after.state is OrderState.PREAUTHORISED:
        assert (captured, given_back, taken) == (0, 0, AMOUNT)
        return
    assert taken == captured - given_back
    if not captured:
        assert after.state in (OrderState.OPEN, OrderState.EXPIRED)
    elif not given_back:
        assert after.state is OrderState.PAID
    elif given_back < captured:
        assert after.state is OrderState.PARTIALLY_REFUNDED
    else:
        assert after.state is OrderState.REFUNDED


@pytest.mark.parametrize("lost", [False, True], ids=["answered", "answer lost"])
@pytest.mark.parametrize("case", CASES)
def test_a_process_that_dies_at_any_commit_leaves_nothing_half_booked(
    house: Shop, clock: SetClock, case: str, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, before, what = CASES[case]
    heard = SwitchClient.authorize

    def unheard(self: SwitchClient, *given: Any, **more: Any) -> Exchange:
        heard(self, *given, **more)
        raise NoAnswer("lost on the way back")

    for commits in range(ENOUGH):
        at_first = charged(house)
        order = house.orders.create(amount_minor=AMOUNT, preauthorise=held)
        for step in before:
            step(house, order)
        doomed = Shop.open(house.config, payers=DemoPayers(), clock=clock)
        die_after(doomed, commits)
        died = False
        with monkeypatch.context() as patched:
            if lost:
                patched.setattr(SwitchClient, "authorize", unheard)
            try:
                what(doomed, order)
            except Died:
                died = True
        doomed.close()
        for _ in range(3):
            clock.pass_s(30)
            house.sweep()
        check_books_agree(house, order, charged(house) - at_first)
        if not died:
            break
    assert not died
    house.books.trial_balance()


def test_a_refund_that_two_processes_hear_declined_is_put_back_once(
    house: Shop, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = house.orders.create(amount_minor=AMOUNT)
    by_code(house, order)
    real = SwitchClient.authorize
    swept: list[int] = []

    def slow_and_declined(self: SwitchClient, *given: Any, **more: Any) -> Exchange:
        if not swept:
            swept.append(0)
            clock.pass_s(60)
            swept.append(house.sweep())
        exchange = real(self, *given, **more)
        return replace(exchange, response=replace(exchange.response, response_code="12"))

    with monkeypatch.context() as patched:
        patched.setattr(SwitchClient, "authorize", slow_and_declined)
        house.refunds.refund(order.id, 300)
    assert swept == [0, 1]
    after = house.orders.get(order.id)
    assert (after.refunded_minor, after.state) == (0, OrderState.PAID)


def test_what_a_card_approved_offline_too_late_costs_nothing(house: Shop, clock: SetClock) -> None:
    order = house.orders.create(amount_minor=AMOUNT)
    evidence = tapped(house, order, offline=True)
    begin = house.authorisation.begin

    def dawdle(*given: Any, **more: Any) -> Any:
        attempt = begin(*given, **more)
        clock.pass_s(house.config.order_ttl_s)
        return attempt

    house.authorisation.begin = dawdle  # type: ignore[method-assign]
    at_first = charged(house)
    payment = house.tap_payments.pay(order.id, evidence, emulated=True)
    assert payment.state is PaymentState.REVERSED
    assert charged(house) == at_first
    assert house.orders.get(order.id).state is OrderState.PAID_LATE
