"""Printed codes: made, paid by amounts that payers type, limited by the day, revoked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout.acceptance.qr.link import normalise_code
from checkout.acceptance.qr.signed_payload import open_payload
from checkout.config import Config
from checkout.demo.payers import DEMO_PIN, DemoPayers
from checkout.errors import ShopError
from checkout.shop.orders.states import OrderState
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.shop.payments.stickers import StaticCode
from checkout.shop.shop import Shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop.open(
        Config(home=tmp_path_factory.mktemp("static-home")), payers=DemoPayers(), own_switch=True
    )
    yield shop
    shop.close()


@pytest.fixture(scope="module")
def door(shop: Shop) -> StaticCode:
    return shop.static_codes.create("door")


def pay(shop: Shop, sticker: StaticCode, amount_minor: int | None, payer: str) -> Payment:
    return shop.static_codes.pay(sticker.code, payer=payer, amount_minor=amount_minor, pin=DEMO_PIN)


def refusal(call) -> str:  # type: ignore[no-untyped-def]
    with pytest.raises(ShopError) as refused:
        call()
    return refused.value.kind


def test_stickers_are_numbered_and_found_in_either_case(shop: Shop, door: StaticCode) -> None:
    other = shop.static_codes.create("  table   7 ", "HKD")
    assert (other.number, other.label, other.currency) == (door.number + 1, "table 7", "HKD")
    assert normalise_code(other.code) == other.code
    assert shop.static_codes.get(other.code.lower()) == other
    assert [each.code for each in shop.static_codes.all()][:2] == [door.code, other.code]
    assert shop.static_codes.find("A" * 13) is None
    assert shop.static_codes.find("no code") is None


def test_stickers_made_at_once_have_numbers_of_their_own(shop: Shop) -> None:
    start = threading.Barrier(6)
    made: list[StaticCode] = []

    def make() -> None:
        start.wait()
        made.append(shop.static_codes.create("at once"))

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({each.number for each in made}) == 6


@pytest.mark.parametrize(
    ("label", "currency", "amount_minor", "kind"),
    [
        ("", "CNY", None, "label"),
        ("x" * 26, "CNY", None, "label"),
        ("door", "XYZ", None, "currency"),
        ("door", "CNY", 0, "amount"),
        ("door", "CNY", 5_000_001, "amount"),
    ],
)
def test_an_odd_sticker_is_refused(
    shop: Shop, label: str, currency: str, amount_minor: int | None, kind: str
) -> None:
    before = len(shop.static_codes.all())
    made = lambda: shop.static_codes.create(label, currency, amount_minor=amount_minor)  # noqa: E731
    assert refusal(made) == kind
    assert len(shop.static_codes.all()) == before


def test_what_the_payer_types_is_ordered_and_paid_in_one_go(shop: Shop, door: StaticCode) -> None:
    heard = shop.feed.subscribe(None)
    payment = pay(shop, door, 1280, "unionpay-credit")
    order = shop.orders.get(payment.order_id)
    assert payment.state is PaymentState.APPROVED
    assert (order.state, order.amount_minor, order.reference) == (OrderState.PAID, 1280, "door")
    assert order.static_code == door.code
    assert payment.steps[-1].detail["request"]["DE60"]["value"][15] == "1"  # a static code
    kinds = []
    for event in heard:
        if event is not None and event.order_id == order.id:
            kinds.append(event.kind)
            if event.kind == "order-paid":
                break
    heard.close()
    assert kinds == ["order-created", "order-authorizing", "order-paid"]


def test_the_readers_order_is_never_one_of_a_sticker(shop: Shop, door: StaticCode) -> None:
    waiting = shop.orders.create(amount_minor=500)
    shop.orders.create(amount_minor=777, static_code=door.code)
    payable = shop.orders.payable()
    assert payable is not None
    assert payable.id == waiting.id


def test_five_hundred_a_day_by_static_codes_and_not_a_fen_more(
    shop: Shop, door: StaticCode
) -> None:
    counter = shop.static_codes.create("counter")
    assert pay(shop, door, 300_00, "unionpay-debit").state is PaymentState.APPROVED
    # Two stickers of one shop have one limit: it is the payer's.
    assert pay(shop, counter, 200_00, "unionpay-debit").state is PaymentState.APPROVED
    over = pay(shop, counter, 1, "unionpay-debit")
    assert (over.state, over.response_code) == (PaymentState.DECLINED, "61")
    assert shop.orders.get(over.order_id).state is OrderState.CANCELLED
    order = shop.orders.create(amount_minor=600_00)  # dynamic codes have another limit
    paid = shop.code_payments.pay(order.code, payer="unionpay-debit", pin=DEMO_PIN)
    assert paid.state is PaymentState.APPROVED
    other = pay(shop, door, 1, "unionpay-class2")  # and so has every other payer
    assert other.state is PaymentState.APPROVED


def test_a_decline_closes_its_order_and_charges_nothing(shop: Shop, door: StaticCode) -> None:
    declined = pay(shop, door, 100, "empty")
    assert (declined.state, declined.response_code) == (PaymentState.DECLINED, "51")
    order = shop.orders.get(declined.order_id)
    assert (order.state, order.payment_id) == (OrderState.CANCELLED, None)
    assert shop.orders.resolve_code(order.code).status == "used"


def test_a_sticker_with_an_amount_of_its_own_takes_no_other(shop: Shop) -> None:
    tea = shop.static_codes.create("tea", amount_minor=1500)
    assert str(tea.amount) == "CNY 15.00"
    assert "15.00" in tea.printed
    assert refusal(lambda: pay(shop, tea, 1, "unionpay-credit")) == "amount"
    paid = pay(shop, tea, None, "unionpay-credit")
    assert (paid.state, paid.amount_minor) == (PaymentState.APPROVED, 1500)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"payer": "nobody"}, "unknown-payer"),
        ({"payer": "hce-phone"}, "unknown-payer"),
        ({"pin": "12345"}, "pin"),
        ({"amount_minor": None}, "amount"),
        ({"amount_minor": -1}, "amount"),
    ],
)
def test_what_cannot_be_tried_leaves_no_order(
    shop: Shop, door: StaticCode, changes: dict[str, object], kind: str
) -> None:
    before = {order.id for order in shop.orders.recent(500)}
    form = {"payer": "unionpay-credit", "pin": DEMO_PIN, "amount_minor": 100, **changes}
    assert refusal(lambda: shop.static_codes.pay(door.code, **form)) == kind  # type: ignore[arg-type]
    assert {order.id for order in shop.orders.recent(500)} == before


def test_a_revoked_sticker_pays_nothing_any_more(shop: Shop) -> None:
    gone = shop.static_codes.revoke(shop.static_codes.create("window").code)
    assert gone.revoked
    assert refusal(lambda: pay(shop, gone, 100, "unionpay-credit")) == "revoked-code"
    assert refusal(lambda: shop.static_codes.revoke("A" * 13)) == "unknown-code"


def test_an_unanswered_payment_by_sticker_is_reversed_and_its_order_closed(
    shop: Shop, door: StaticCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    from checkout.clearing.client.client import NoAnswer

    client = shop.clearing()
    ask = client.authorize

    def lost(*arguments, **settings):  # type: ignore[no-untyped-def]
        ask(*arguments, **settings)
        raise NoAnswer("the answer was lost")

    with monkeypatch.context() as silent:
        silent.setattr(client, "authorize", lost)
        payment = pay(shop, door, 100, "unionpay-credit")
    shop.sweep()
    assert shop.payments.get(payment.id).state is PaymentState.REVERSED
    assert shop.orders.get(payment.order_id).state is OrderState.CANCELLED


def test_an_orders_emv_code_is_vouched_for_by_this_installation(shop: Shop, tmp_path: Path) -> None:
    order = shop.orders.create(amount_minor=1280, reference="tea")
    offer = open_payload(shop.emv_payload(order), key=shop.code_key)
    assert (offer.code, str(offer.amount), offer.dynamic) == (order.code, "CNY 12.80", True)
    other = Shop.open(Config(home=tmp_path), payers=DemoPayers())
    try:
        assert other.code_key != shop.code_key
    finally:
        other.close()
    assert shop.seal.derive("emv codes") == shop.code_key != shop.seal.derive("payer codes")
