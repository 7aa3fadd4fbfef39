"""Disputes in the back office, and the order that they take along."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from checkout.shop.orders.states import Order, OrderState
from checkout.shop.shop import Shop

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
_D, _P = OrderState.DISPUTED, OrderState.PAID


@pytest.fixture
def page(order: Order, pay: Callable[..., object], shop: Shop) -> str:
    pay(order.code)
    (logged,) = shop.books.messages(rrn=shop.payments.of_order(order.id)[0].rrn)
    return f"/network/messages/{logged.seq}"


@pytest.mark.parametrize(
    ("steps", "states", "expected"),
    [
        (("charge-back", "represent", "for-merchant"), (_D, _P, _P), "final for merchant"),
        (("charge-back", "represent", "for-payer"), (_D, _P, _D), "final for payer"),
    ],
)
def test_dispute_goes_step_by_step_and_the_order_with_it(
    client: FlaskClient,
    shop: Shop,
    order: Order,
    page: str,
    steps: tuple[str, ...],
    states: tuple[OrderState, ...],
    expected: str,
) -> None:
    assert "Issuer: charge back" in client.get(page).text
    for step, state in zip(steps, states, strict=True):
        sent = {"step": step, "reason": "not-received"}
        assert client.post(f"{page}/dispute", data=sent).status_code == 303
        assert shop.orders.get(order.id).state is state
    shown = client.get(page).text
    assert expected in shown and "not received" in shown and "Acquirer: represent" not in shown
    assert expected in client.get("/network/").text
    shop.books.trial_balance()


def test_part_of_a_sale_is_disputed_and_the_rest_is_not_refunded_meanwhile(
    client: FlaskClient, shop: Shop, order: Order, page: str
) -> None:
    sent = {"step": "charge-back", "amount": "2.00"}
    assert client.post(f"{page}/dispute", data=sent).status_code == 303
    assert "2.00" in client.get(page).text
    assert shop.orders.get(order.id).state is OrderState.DISPUTED


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 409),
        ({"step": "win"}, 409),
        ({"step": "represent"}, 409),
        ({"step": "for-payer"}, 409),
        ({"step": "charge-back", "reason": "spite"}, 409),
        ({"step": "charge-back", "amount": "much"}, 409),
        ({"step": "charge-back", "amount": "99999.00"}, 409),
    ],
)
def test_step_that_cannot_be_taken_is_told_and_changes_nothing(
    client: FlaskClient, shop: Shop, order: Order, page: str, sent: dict[str, str], status: int
) -> None:
    before = shop.books.accounts()
    assert client.post(f"{page}/dispute", data=sent).status_code == status
    assert shop.books.accounts() == before
    assert shop.orders.get(order.id).state is OrderState.PAID


def test_only_approved_sales_are_disputed_and_strangers_dispute_nothing(
    client: FlaskClient, stranger: FlaskClient, shop: Shop, page: str
) -> None:
    signing_on = next(one for one in shop.books.messages(search="sign-on"))
    assert "charge back" not in client.get(f"/network/messages/{signing_on.seq}").text
    answer = stranger.post(f"{page}/dispute", data={"step": "charge-back"})
    assert answer.status_code in (302, 303, 401, 403)
    assert "Issuer: charge back" in client.get(page).text
    assert client.post("/network/messages/999999999/dispute", data={}).status_code == 404


def test_dispute_that_others_move_reaches_the_order_too(
    shop: Shop, order: Order, page: str
) -> None:
    rrn = shop.payments.of_order(order.id)[0].rrn
    shop.clearing().operate("charge-back", {"rrn": rrn})
    assert [shop.disputes.sweep() for _ in range(2)] == [1, 0]
    assert shop.orders.get(order.id).state is OrderState.DISPUTED
    assert page
