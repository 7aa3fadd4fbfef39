"""The state of a sale after a failure between claim, message, answer and record.

The switch is real. Faults happen at the shop's end of its line, where a cable would be pulled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from checkout.clearing.client.client import Exchange, NoAnswer, NotSent, SwitchClient
from checkout.clearing.client.open_client import open_client
from checkout.config import Config
from checkout.database import open_engine
from checkout.demo.payers import DEMO_PIN, DemoPayers
from checkout.errors import ShopError
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payments import PaymentRecords, PaymentState
from checkout.shop.shop import Shop, prepare_tables

PAYER = "unionpay-credit"


class MovedClock:
    """Real time, moved on by hand."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_s(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


class Cable:
    """The client of a real switch, and what happens to the next questions on their way."""

    def __init__(self, client: SwitchClient) -> None:
        self._client = client
        self.faults: list[Callable[[Callable[[], Exchange]], Exchange]] = []
        self.reversals = 0

    def authorize(self, request: Any, *, timeout_s: float = 10.0) -> Exchange:
        def ask() -> Exchange:
            return self._client.authorize(request, timeout_s=timeout_s)

        return self.faults.pop(0)(ask) if self.faults else ask()

    def reverse(self, request: Any, *, reason: str, timeout_s: float = 10.0) -> Exchange:
        self.reversals += 1

        def ask() -> Exchange:
            return self._client.reverse(request, reason=reason, timeout_s=timeout_s)

        return self.faults.pop(0)(ask) if self.faults else ask()

    def encrypt_pin(self, pin: str, account: str) -> bytes:
        return self._client.encrypt_pin(pin, account)


def cut_before(_ask: Callable[[], Exchange]) -> Exchange:
    raise NotSent("the cable is cut")


def answer_lost(ask: Callable[[], Exchange]) -> Exchange:
    ask()
    raise NoAnswer("no answer within 10 s")


class PowerCut(BaseException):
    """Nothing after it runs."""


def power_cut_after_sending(ask: Callable[[], Exchange]) -> Exchange:
    ask()
    raise PowerCut


class Till:
    def __init__(self, home: Path) -> None:
        config = Config(home=home)
        self.clock = MovedClock()
        home.mkdir(exist_ok=True)
        engine = open_engine(config.database_url)
        prepare_tables(engine, self.clock())
        self.client = open_client(home, config.database_url, start=True)
        self.cable = Cable(self.client)
        self.shop = Shop(
            config, engine, payers=DemoPayers(), clearing=lambda: self.cable, clock=self.clock
        )  # type: ignore[arg-type,return-value]

    def order(self, amount_minor: int = 1280, **more: Any) -> Order:
        return self.shop.orders.create(amount_minor=amount_minor, **more)

    def pay(self, order: Order):  # type: ignore[no-untyped-def]
        return self.shop.code_payments.pay(order.code, payer=PAYER, pin=DEMO_PIN)

    def state(self, order: Order) -> str:
        return str(self.shop.orders.get(order.id).state)

    def charged_minor(self) -> int:
        """What the payers' accounts have been charged and not been given back."""
        total = 0
        for account in self.shop.books.accounts("payer/"):
            balance = account.balance
            total += balance.debits_pending - balance.credits_pending
            total += balance.debits_posted - balance.credits_posted
        return total

    def close(self) -> None:
        self.shop.close()
        self.client.close()
        self.shop.engine.dispose()


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    till = Till(tmp_path / "home")
    till.opening = till.charged_minor()  # type: ignore[attr-defined]
    yield till
    for totals in till.shop.books.trial_balance().values():
        assert totals.debits_posted == totals.credits_posted
        assert totals.debits_pending == totals.credits_pending
    till.close()


def charged_since(till: Till) -> int:
    return till.charged_minor() - till.opening  # type: ignore[attr-defined,no-any-return]


def test_a_sale_charges_once(till: Till) -> None:
    order = till.order()
    assert till.pay(order).state is PaymentState.APPROVED
    with pytest.raises(ShopError, match="used"):
        till.pay(order)
    assert (till.state(order), charged_since(till)) == ("paid", 1280)


def test_whoever_sees_an_order_paid_finds_the_whole_payment(till: Till) -> None:
    """Looked at between all commits: a merchant that asks at once gets all of it."""
    order = till.order()
    other = open_engine(till.shop.config.database_url)
    orders, payments = Orders(other, clock=till.clock), PaymentRecords(other, till.clock)
    seen: list[tuple[str, bool]] = []

    def look(_connection: object) -> None:
        told = payments.of_order(order.id)
        whole = bool(told and told[0].approval_code and told[0].finished_at and told[0].steps)
        seen.append((str(orders.get(order.id).state), whole))

    event.listen(till.shop.engine, "commit", look)  # comes before what it commits is there
    till.pay(order)
    event.remove(till.shop.engine, "commit", look)
    look(None)
    other.dispose()
    assert ("authorizing", False) in seen
    assert seen[-1] == ("paid", True)
    assert ("paid", False) not in seen


def test_a_message_that_never_left_leaves_the_order_open(till: Till) -> None:
    order = till.order()
    till.cable.faults = [cut_before]
    with pytest.raises(ShopError, match="the cable is cut") as caught:
        till.pay(order)
    assert caught.value.kind == "clearing-unavailable"
    assert (till.state(order), charged_since(till), till.cable.reversals) == ("open", 0, 0)
    assert till.pay(order).state is PaymentState.APPROVED


def test_a_lost_answer_is_reversed_and_the_order_can_be_paid_again(till: Till) -> None:
    order = till.order()
    till.cable.faults = [answer_lost]
    assert till.pay(order).state is PaymentState.REVERSED
    assert (till.state(order), charged_since(till)) == ("open", 0)
    till.clock.pass_s(1)
    till.shop.orders.renew_code(order.id)
    assert till.pay(till.shop.orders.get(order.id)).state is PaymentState.APPROVED
    assert charged_since(till) == 1280


def test_a_reversal_is_repeated_until_it_is_answered(till: Till) -> None:
    order = till.order()
    till.cable.faults = [answer_lost, answer_lost, cut_before, answer_lost]
    payment = till.pay(order)
    assert (payment.state, till.state(order)) == (PaymentState.UNKNOWN, "authorizing")
    with pytest.raises(ShopError):
        till.pay(order)  # nobody else may pay it meanwhile
    settled = 0
    for _ in range(10):
        till.clock.pass_s(61)
        settled += till.shop.sweep()
    assert settled == 1
    assert till.cable.reversals == 4
    assert till.shop.payments.get(payment.id).state is PaymentState.REVERSED
    assert charged_since(till) == 0


def test_a_power_cut_between_answer_and_record_charges_nobody(till: Till) -> None:
    order = till.order()
    till.cable.faults = [power_cut_after_sending]
    with pytest.raises(PowerCut):
        till.pay(order)
    assert (till.state(order), charged_since(till)) == ("authorizing", 1280)
    assert till.shop.sweep() == 0  # it may still be alive
    till.clock.pass_s(16)
    assert till.shop.sweep() == 1
    assert (till.state(order), charged_since(till)) == ("open", 0)


def test_an_attempt_given_up_by_the_sweep_is_not_paid_by_its_late_answer(till: Till) -> None:
    order = till.order()

    def swept_meanwhile(ask: Callable[[], Exchange]) -> Exchange:
        exchange = ask()
        till.clock.pass_s(16)
        till.cable.faults = [answer_lost]  # undone, though the sweep does not know it yet
        till.shop.sweep()
        return exchange

    till.cable.faults = [swept_meanwhile]
    payment = till.pay(order)
    assert till.state(order) != "paid"
    till.clock.pass_s(61)
    till.shop.sweep()
    assert till.shop.payments.get(payment.id).state is PaymentState.REVERSED
    assert charged_since(till) == 0


def test_an_answer_after_the_order_ran_out_is_paid_late_and_given_back(till: Till) -> None:
    order = till.order()

    def slow(ask: Callable[[], Exchange]) -> Exchange:
        exchange = ask()
        till.clock.pass_s(901)
        return exchange

    till.cable.faults = [slow]
    payment = till.pay(order)
    assert (payment.state, till.state(order)) == (PaymentState.REVERSED, "paid-late")
    assert charged_since(till) == 0


def test_refunds_never_give_back_more_than_was_paid(till: Till) -> None:
    order = till.order()
    till.pay(order)
    refund = till.shop.refunds.refund
    assert refund(order.id, 280).state is PaymentState.APPROVED
    assert (till.state(order), charged_since(till)) == ("partially-refunded", 1000)
    for amount in (1001, 0, -1, True):
        with pytest.raises(ShopError, match="expected 1 to 1000"):
            refund(order.id, amount)
    assert refund(order.id).state is PaymentState.APPROVED
    assert (till.state(order), charged_since(till)) == ("refunded", 0)
    with pytest.raises(ShopError, match="not refundable"):
        refund(order.id)


def test_a_refund_without_an_answer_is_repeated_and_given_once(till: Till) -> None:
    order = till.order()
    till.pay(order)
    till.cable.faults = [answer_lost, answer_lost]
    payment = till.shop.refunds.refund(order.id)
    assert payment.state is PaymentState.UNKNOWN
    till.clock.pass_s(61)
    assert till.shop.sweep() == 1
    assert till.shop.payments.get(payment.id).state is PaymentState.APPROVED
    assert (till.state(order), charged_since(till)) == ("refunded", 0)


def test_a_power_cut_in_a_refund_ends_in_one_refund(till: Till) -> None:
    order = till.order()
    till.pay(order)
    till.cable.faults = [power_cut_after_sending]
    with pytest.raises(PowerCut):
        till.shop.refunds.refund(order.id, 280)
    till.clock.pass_s(16)
    assert till.shop.sweep() == 1
    assert till.shop.orders.get(order.id).refunded_minor == 280
    assert (till.state(order), charged_since(till)) == ("partially-refunded", 1000)


def test_a_preauthorisation_is_captured_lower_or_higher_but_not_twice(till: Till) -> None:
    for amount in (900, 1472):
        before = charged_since(till)
        order = till.order(preauthorise=True)
        assert till.pay(order).state is PaymentState.APPROVED
        assert till.state(order) == "preauthorised"
        with pytest.raises(ShopError, match="expected 1 to 1472"):
            till.shop.refunds.capture(order.id, 1473)
        assert till.shop.refunds.capture(order.id, amount).state is PaymentState.APPROVED
        assert till.state(order) == "paid"
        with pytest.raises(ShopError, match="not preauthorised"):
            till.shop.refunds.capture(order.id, amount)
        assert charged_since(till) - before == amount


def test_a_cancelled_order_is_not_charged_by_a_payment_that_comes_after(till: Till) -> None:
    order = till.order()
    till.shop.orders.cancel(order.id)
    with pytest.raises(ShopError):
        till.pay(order)
    assert charged_since(till) == 0


def test_the_kept_request_is_sealed_and_holds_no_pin(till: Till) -> None:
    order = till.order()
    payment = till.pay(order)
    row = till.shop.payments.row(payment.id)
    assert row is not None
    assert b"9999031000000017" not in row.sealed_request
    assert b'"pin_block": null' in till.shop.seal.open(row.sealed_request)
    assert OrderState(till.state(order)) is OrderState.PAID


def test_a_pin_encrypted_for_a_session_that_is_over_is_never_sent(till: Till) -> None:
    order = till.order()
    tries_before = till.pay(till.order()).response_code

    def reconnect(ask: Callable[[], Exchange]) -> Exchange:
        line = till.client._connection._current
        assert line is not None
        line.close()
        return ask()

    till.cable.faults = [reconnect]
    with pytest.raises(ShopError, match="enter it again") as caught:
        till.pay(order)
    assert caught.value.kind == "clearing-unavailable"
    assert (till.state(order), tries_before) == ("open", "00")
    assert till.pay(order).state is PaymentState.APPROVED
