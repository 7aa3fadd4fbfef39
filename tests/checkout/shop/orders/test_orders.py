"""Orders: states, codes and the compare-and-set that lets one payment have an order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checkout.acceptance.contract import Mode
from checkout.database import open_engine
from checkout.errors import ShopError
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payments import PaymentRecords, Source
from checkout.shop.shop import prepare_tables


@dataclass
class SetClock:
    now: datetime = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def orders(tmp_path: Path, clock: SetClock) -> Iterator[Orders]:
    engine = open_engine(f"sqlite:///{tmp_path / 'checkout.db'}")
    prepare_tables(engine, clock())
    yield Orders(engine, clock=clock)
    engine.dispose()


def claim(orders: Orders, order: Order, code: str | None = None) -> bool:
    kept = PaymentRecords(orders.engine, orders.clock)
    source = Source(
        mode=Mode.QR, scheme="unionpay", account="9999011000000019", payer=None, emulated=False
    )
    row = kept.new_row(order, "sale", source, kept.numbers(), order.amount_minor)
    return orders.claim(order.id, row, code=code)


def test_a_new_order_is_open_for_fifteen_minutes_and_its_code_for_one(orders: Orders) -> None:
    order = orders.create(amount_minor=1280)
    assert (order.state, order.currency, order.amount_minor) == (OrderState.OPEN, "CNY", 1280)
    assert order.expires_at - order.created_at == timedelta(minutes=15)
    assert order.code_expires_at - order.created_at == timedelta(seconds=60)


@pytest.mark.parametrize("amount", [0, -1, 5_000_001, True, 12.8, "12", None])
def test_an_amount_that_is_no_positive_whole_number_under_the_limit_is_refused(
    orders: Orders, amount: object
) -> None:
    with pytest.raises(ShopError, match=r"^amount") as caught:
        orders.create(amount_minor=amount)  # type: ignore[arg-type]
    assert caught.value.kind == "amount"
    assert orders.recent() == ()


@pytest.mark.parametrize("reference", ["", "x" * 65, "line\nbreak"])
def test_a_reference_is_one_printable_line(orders: Orders, reference: str) -> None:
    with pytest.raises(ShopError, match="reference: expected 1 to 64 printable"):
        orders.create(amount_minor=1, reference=reference)


def test_codes_are_64_random_bits_and_found_in_either_case(orders: Orders) -> None:
    codes = {orders.create(amount_minor=1).code for _ in range(50)}
    assert len(codes) == 50
    assert all(len(code) == 13 for code in codes)
    code = codes.pop()
    assert orders.resolve_code(code.lower()).status == "live"
    assert orders.resolve_code(code).code == code


@pytest.mark.parametrize("code", ["", "ABC", "A" * 13, "../../etc/passwd", "0' OR '1'='1"])
def test_an_unknown_code_is_told_so(orders: Orders, code: str) -> None:
    with pytest.raises(ShopError, match="this shop has no such code") as caught:
        orders.resolve_code(code)
    assert caught.value.kind == "unknown-code"


def test_a_code_runs_out_and_a_renewed_one_leads_to_the_same_order(
    orders: Orders, clock: SetClock
) -> None:
    order = orders.create(amount_minor=1280)
    clock.pass_s(61)
    assert orders.resolve_code(order.code).status == "expired"
    renewed = orders.renew_code(order.id)
    assert renewed.code != order.code
    found = orders.resolve_code(renewed.code)
    assert (found.status, found.order.id) == ("live", order.id)


def test_renewal_leaves_the_code_that_someone_is_scanning_valid(
    orders: Orders, clock: SetClock
) -> None:
    order = orders.create(amount_minor=1280)
    clock.pass_s(50)
    orders.renew_code(order.id)
    assert orders.resolve_code(order.code).status == "live"


def test_only_one_claim_takes_an_order(orders: Orders) -> None:
    order = orders.create(amount_minor=1280)
    assert claim(orders, order)
    assert not claim(orders, order)
    assert orders.get(order.id).state is OrderState.AUTHORIZING


def test_an_expired_code_claims_nothing_and_leaves_nothing_behind(
    orders: Orders, clock: SetClock
) -> None:
    order = orders.create(amount_minor=1280)
    clock.pass_s(61)
    assert not claim(orders, order, code=order.code)
    assert orders.get(order.id).state is OrderState.OPEN
    assert PaymentRecords(orders.engine, orders.clock).of_order(order.id) == ()


def test_an_order_that_has_run_out_is_expired_before_anyone_sweeps(
    orders: Orders, clock: SetClock
) -> None:
    order = orders.create(amount_minor=1280)
    clock.pass_s(900)
    assert orders.get(order.id).state is OrderState.EXPIRED
    assert not claim(orders, order)
    assert orders.expire_due() == 1
    assert orders.expire_due() == 0


def test_a_cancelled_order_cannot_be_paid_renewed_or_cancelled_again(orders: Orders) -> None:
    order = orders.create(amount_minor=1280)
    assert orders.cancel(order.id).state is OrderState.CANCELLED
    assert not claim(orders, order)
    assert orders.resolve_code(order.code).status == "used"
    for again in (orders.cancel, orders.renew_code):
        with pytest.raises(ShopError, match="it is cancelled, not open"):
            again(order.id)


def test_the_reader_charges_the_newest_open_order(orders: Orders, clock: SetClock) -> None:
    assert orders.payable() is None
    orders.create(amount_minor=1)
    clock.pass_s(1)
    newest = orders.create(amount_minor=2)
    payable = orders.payable()
    assert payable is not None
    assert payable.id == newest.id


def test_an_unknown_order_is_told_so(orders: Orders) -> None:
    with pytest.raises(ShopError, match="no order has the id 'ord_x'") as caught:
        orders.get("ord_x")
    assert caught.value.kind == "unknown-order"
