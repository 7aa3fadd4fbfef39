"""The way of a payment's money, stop by stop."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from checkout.shop.shop import Shop
from checkout.web.office.money_flow import flow_of


@pytest.mark.parametrize(
    ("payer", "billed"),
    [
        ("unionpay-debit", None),
        ("unionpay-credit", None),
        ("wallet-balance", None),
        ("wallet-quick", None),
        ("visa-abroad", "USD"),
    ],
)
def test_what_everyone_keeps_and_the_merchant_gets_is_what_was_paid(
    client: FlaskClient, shop: Shop, pay: Callable[..., object], payer: str, billed: str | None
) -> None:
    order = shop.orders.create(amount_minor=12_345, currency="CNY")
    assert pay(order.code, payer=payer).status_code == 303
    rrn = shop.payments.of_order(order.id)[0].rrn
    flow = flow_of(shop.books.postings(rrn))
    assert flow is not None
    assert flow.paid_minor == 12_345
    assert sum(stop.keeps_minor for stop in flow.stops) + flow.merchant_minor == 12_345
    assert flow.stops[-1].passes_minor == flow.merchant_minor
    assert (flow.billed and flow.billed[1]) == billed
    (logged,) = shop.books.messages(rrn=rrn)
    page = client.get(f"/network/messages/{logged.seq}").text
    assert "The payer pays CNY 123.45" in page


def test_a_sign_on_moves_no_money(shop: Shop) -> None:
    assert flow_of(()) is None
