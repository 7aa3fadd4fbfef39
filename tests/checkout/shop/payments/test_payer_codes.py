"""A payment by the code on the payer's phone: used once, paid at once or after the PIN, revoked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checkout.acceptance.contract import Mode
from checkout.clearing.client.client import NotSent
from checkout.config import Config
from checkout.demo.payers import DEMO_PIN, DemoPayers
from checkout.errors import ShopError
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payer_codes import UserPaying
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.shop.shop import Shop

SMALL, LARGE = 100_000, 100_001  # the last amount without a PIN, the first with one


@dataclass
class Clock:
    """The true time, moved on at will; a new minute gives a payer a new code."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("presented-home")
    shop = Shop.open(Config(home=home), own_switch=True, clock=clock, payers=DemoPayers())
    yield shop
    shop.close()


@pytest.fixture(autouse=True)
def next_minute(clock: Clock) -> None:
    clock.advance(60)


def order_of(shop: Shop, amount_minor: int, currency: str = "CNY") -> Order:
    return shop.orders.create(amount_minor=amount_minor, currency=currency)


def waiting(shop: Shop, payer: str = "unionpay-debit") -> UserPaying:
    order = order_of(shop, LARGE)
    held = shop.payer_codes.present(order.id, shop.payer_codes.show(payer).digits)
    assert isinstance(held, UserPaying)
    return held


def refusal(call) -> str:  # type: ignore[no-untyped-def]
    with pytest.raises(ShopError) as refused:
        call()
    return refused.value.kind


def told(payment: Payment) -> list[str]:
    return [step.what for step in payment.steps]


@pytest.mark.parametrize("form", ["digits", "emv"])
@pytest.mark.parametrize("payer", ["unionpay-debit", "unionpay-credit", "wallet-balance"])
def test_a_small_amount_goes_through_at_once_without_a_pin(
    shop: Shop, form: str, payer: str
) -> None:
    order = order_of(shop, 1280)
    payment = shop.payer_codes.present(order.id, getattr(shop.payer_codes.show(payer), form))
    assert isinstance(payment, Payment)
    assert (payment.state, payment.mode, payment.payer) == (PaymentState.APPROVED, Mode.QR, payer)
    assert shop.orders.get(order.id).state is OrderState.PAID
    sent = payment.steps[-1].detail["request"]
    assert sent["DE22"]["value"] == "030"
    assert sent["DE60"]["value"][15] == "3"  # the payer's code
    assert "DE52" not in sent  # no PIN block


def test_the_last_amount_without_a_pin_and_the_first_with_one(shop: Shop, clock: Clock) -> None:
    paid = shop.payer_codes.present(
        order_of(shop, SMALL).id, shop.payer_codes.show("unionpay-debit").digits
    )
    assert isinstance(paid, Payment)
    assert paid.state is PaymentState.APPROVED
    clock.advance(60)
    held = waiting(shop)
    assert held.payment.state is PaymentState.PENDING
    shop.pin_entry.cancel(held.payment.id)


def test_other_currencies_always_wait_for_the_pin(shop: Shop) -> None:
    held = shop.payer_codes.present(
        order_of(shop, 100, "USD").id, shop.payer_codes.show("unionpay-debit").digits
    )
    assert isinstance(held, UserPaying)
    shop.pin_entry.cancel(held.payment.id)


def test_the_pin_on_the_phone_pays_and_the_story_tells_who_waited(shop: Shop, clock: Clock) -> None:
    held = waiting(shop)
    assert shop.payer_codes.of_order(held.order.id) == held
    clock.advance(6)
    shop.sweep()
    paid = shop.pin_entry.enter_pin(held.payment.id, DEMO_PIN)
    assert paid.state is PaymentState.APPROVED
    assert shop.orders.get(held.order.id).state is OrderState.PAID
    assert shop.payer_codes.of_order(held.order.id) is None
    assert [(step.source, step.target) for step in paid.steps] == [
        ("phone", "counter"),
        ("shop", "wallet"),
        ("shop", "wallet"),
        ("payer", "phone"),
        ("shop", "switch"),
    ]
    waited = next(step for step in paid.steps if step.nature == "waited")
    assert 6_000 <= waited.took_ms <= paid.total_ms
    assert [step.n for step in paid.steps] == [1, 2, 3, 4, 5]


def test_a_wrong_pin_declines_and_the_order_is_open_again(shop: Shop) -> None:
    held = waiting(shop, "unionpay-class2")
    declined = shop.pin_entry.enter_pin(held.payment.id, "000000")
    assert (declined.state, declined.response_code) == (PaymentState.DECLINED, "55")
    assert shop.orders.get(held.order.id).state is OrderState.OPEN
    assert refusal(lambda: shop.pin_entry.enter_pin(held.payment.id, DEMO_PIN)) == "not-waiting"


def test_a_code_pays_once(shop: Shop) -> None:
    shown = shop.payer_codes.show("unionpay-debit")
    first, second = order_of(shop, 1280), order_of(shop, 1280)
    paid = shop.payer_codes.present(first.id, shown.digits)
    assert isinstance(paid, Payment)
    # The barcode and the symbol of one minute are one code.
    assert refusal(lambda: shop.payer_codes.present(second.id, shown.emv)) == "used-payer-code"
    assert shop.orders.get(second.id).state is OrderState.OPEN
    assert shop.payments.of_order(second.id) == ()


def test_the_same_scan_sent_twice_is_told_how_it_stands(shop: Shop) -> None:
    shown = shop.payer_codes.show("unionpay-debit")
    order = order_of(shop, 1280)
    once, again = (
        shop.payer_codes.present(order.id, shown.digits),
        shop.payer_codes.present(order.id, shown.emv),
    )
    assert once == again
    assert len(shop.payments.of_order(order.id)) == 1


def test_two_tills_that_scan_one_code_at_once_charge_it_once(shop: Shop) -> None:
    shown = shop.payer_codes.show("unionpay-debit")
    orders = [order_of(shop, 1280) for _ in range(4)]
    start = threading.Barrier(len(orders))
    ended: list[str] = []

    def scan(order: Order) -> None:
        start.wait()
        try:
            payment = shop.payer_codes.present(order.id, shown.digits)
            assert isinstance(payment, Payment)
            ended.append(str(payment.state))
        except ShopError as error:
            ended.append(error.kind)

    threads = [threading.Thread(target=scan, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(ended) == ["approved", *["used-payer-code"] * 3]
    states = [shop.orders.get(order.id).state for order in orders]
    assert sorted(states) == [*[OrderState.OPEN] * 3, OrderState.PAID]


@pytest.mark.parametrize(
    "text", ["", "hello", "6212345678901234567", "99" + "1" * 17, "HTTP://LAN/P/AAAAAAAAAAAAA"]
)
def test_a_strangers_text_pays_nothing(shop: Shop, text: str) -> None:
    order = order_of(shop, 1280)
    assert refusal(lambda: shop.payer_codes.present(order.id, text)) == "payer-code"
    assert shop.payments.of_order(order.id) == ()


def test_a_code_of_an_hour_ago_has_expired(shop: Shop, clock: Clock) -> None:
    shown = shop.payer_codes.show("unionpay-debit")
    clock.advance(3600)
    order = order_of(shop, 1280)
    assert refusal(lambda: shop.payer_codes.present(order.id, shown.digits)) == "expired-payer-code"


def test_another_shops_code_is_nobodys_here(shop: Shop, tmp_path: Path) -> None:
    other = Shop.open(Config(home=tmp_path), payers=DemoPayers())
    try:
        text = other.payer_codes.show("unionpay-debit").digits
    finally:
        other.close()
    assert refusal(lambda: shop.payer_codes.present(order_of(shop, 1280).id, text)) == "payer-code"


def test_while_the_phone_asks_every_other_payment_is_told_busy(shop: Shop, clock: Clock) -> None:
    held = waiting(shop)
    code = held.order.code
    by_code = refusal(lambda: shop.code_payments.pay(code, payer="unionpay-credit", pin=DEMO_PIN))
    assert by_code in ("order-busy", "used-code")
    clock.advance(1)
    other = shop.payer_codes.show("unionpay-credit").digits
    assert refusal(lambda: shop.payer_codes.present(held.order.id, other)) == "order-busy"
    shop.pin_entry.cancel(held.payment.id)


def test_the_shop_asks_in_the_documented_rhythm_and_revokes_in_the_end(
    shop: Shop, clock: Clock
) -> None:
    held = waiting(shop)
    asked_at: list[float] = []
    for second in range(1, 80):
        clock.advance(1)
        before = len(shop.payments.get(held.payment.id).steps)
        shop.sweep()
        if len(shop.payments.get(held.payment.id).steps) > before:
            asked_at.append(second)
    first, *rest = asked_at
    assert first == 5
    assert all(10 <= later - sooner <= 30 for sooner, later in zip(asked_at, rest, strict=False)), (
        asked_at
    )
    ended = shop.payments.get(held.payment.id)
    assert (ended.state, ended.response_code) == (PaymentState.DECLINED, "P1")
    assert told(ended)[-1].endswith("revoke")
    assert shop.orders.get(held.order.id).state is OrderState.OPEN
    assert refusal(lambda: shop.pin_entry.enter_pin(held.payment.id, DEMO_PIN)) == "not-waiting"


def test_the_counter_revokes_no_sooner_than_fifteen_seconds(shop: Shop, clock: Clock) -> None:
    held = waiting(shop)
    clock.advance(14)
    assert refusal(lambda: shop.payer_codes.revoke(held.order.id)) == "too-soon"
    clock.advance(1.5)
    revoked = shop.payer_codes.revoke(held.order.id)
    assert (revoked.state, revoked.response_code) == (PaymentState.DECLINED, "17")
    assert shop.orders.get(held.order.id).state is OrderState.OPEN
    assert told(revoked)[-1] == "revoke"


def test_cancelling_the_order_ends_the_wait_for_its_phone(shop: Shop, clock: Clock) -> None:
    held = waiting(shop)
    clock.advance(14)
    assert refusal(lambda: shop.cancel(held.order.id)) == "too-soon"
    assert shop.orders.get(held.order.id).state is OrderState.AUTHORIZING
    clock.advance(1.5)
    assert shop.cancel(held.order.id).state is OrderState.CANCELLED
    assert refusal(lambda: shop.pin_entry.enter_pin(held.payment.id, DEMO_PIN)) == "not-waiting"
    assert shop.payments.get(held.payment.id).state is PaymentState.DECLINED


def test_revoking_what_has_been_paid_meanwhile_refunds_it(shop: Shop, clock: Clock) -> None:
    held = waiting(shop)
    shop.pin_entry.enter_pin(held.payment.id, DEMO_PIN)
    clock.advance(20)
    refund = shop.payer_codes.revoke(held.order.id)
    assert (refund.kind, refund.state) == ("refund", PaymentState.APPROVED)
    assert shop.orders.get(held.order.id).state is OrderState.REFUNDED


def test_only_an_order_paid_by_a_phones_code_is_revoked(shop: Shop) -> None:
    order = order_of(shop, 1280)
    assert refusal(lambda: shop.payer_codes.revoke(order.id)) == "not-presented"
    shop.code_payments.pay(order.code, payer="unionpay-debit", pin=DEMO_PIN)
    assert refusal(lambda: shop.payer_codes.revoke(order.id)) == "not-presented"


def test_another_process_takes_the_pin_and_the_sweep(shop: Shop, clock: Clock) -> None:
    held, left = waiting(shop), waiting(shop, "unionpay-credit")
    other = Shop.open(shop.config, clock=clock, payers=DemoPayers())
    try:
        paid = other.pin_entry.enter_pin(held.payment.id, DEMO_PIN)
        assert paid.state is PaymentState.APPROVED
        clock.advance(66)
        other.sweep()
    finally:
        other.close()
    assert shop.payments.get(left.payment.id).response_code == "P1"
    assert shop.orders.get(left.order.id).state is OrderState.OPEN


def test_nothing_that_waits_is_taken_for_dead_nor_charged(shop: Shop, clock: Clock) -> None:
    held = waiting(shop)
    clock.advance(50)  # far beyond what an unanswered message is given
    shop.sweep()
    assert shop.payments.get(held.payment.id).state is PaymentState.PENDING
    assert not [entry for entry in shop.books.entries(limit=5) if entry.rrn == held.payment.rrn]
    shop.pin_entry.cancel(held.payment.id)


def test_a_code_that_reached_no_bank_is_good_for_another_try(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = shop.payer_codes.show("unionpay-debit")
    order = order_of(shop, 1280)

    def away(*_: object, **__: object) -> None:
        raise NotSent("no switch is running")

    client = shop.clearing()
    with monkeypatch.context() as down:
        down.setattr(client, "authorize", away)
        kind = refusal(lambda: shop.payer_codes.present(order.id, shown.digits))
    assert kind == "clearing-unavailable"
    paid = shop.payer_codes.present(order.id, shown.digits)
    assert isinstance(paid, Payment)
    assert paid.state is PaymentState.APPROVED


def test_a_phone_finds_what_its_code_was_scanned_for(shop: Shop, clock: Clock) -> None:
    opened = clock()
    assert shop.payer_codes.latest_of("unionpay-debit", opened) is None
    held = waiting(shop)
    found = shop.payer_codes.latest_of("unionpay-debit", opened)
    assert found is not None
    assert found.id == held.payment.id
    assert shop.payer_codes.latest_of("unionpay-credit", opened) is None
    shop.pin_entry.cancel(held.payment.id)
