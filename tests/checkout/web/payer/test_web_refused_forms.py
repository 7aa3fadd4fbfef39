"""Forms of strangers that are refused leave nothing on the disk and cost ever less."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from checkout.shop.orders.states import Order
from checkout.shop.shop import Shop
from checkout.web.idempotency import STORED_FOR, StoredResponses, answers

LAN = "http://192.0.2.10:8000"


def stored(shop: Shop) -> int:
    with shop.engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(answers)).scalar_one()


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/p/{code}", {"payer": "nobody", "pin": "123456"}),
        ("/p/{code}", {"payer": "unionpay-debit", "pin": "12"}),
        ("/p/AAAAAAAAAAAAA", {"payer": "unionpay-debit", "pin": "123456"}),
        ("/wallet/top-up", {"amount": "much", "pin": "123456"}),
        ("/wallet/top-up", {"amount": "1.00", "pin": "1"}),
    ],
)
def test_a_refused_form_leaves_no_row(
    stranger: FlaskClient, shop: Shop, order: Order, path: str, fields: dict[str, str]
) -> None:
    if "top-up" in path:
        stranger.post("/wallet/account", base_url=LAN, data={"payer": "wallet-balance"})
    before = stored(shop)
    for number in range(5):
        data = {"submission": f"refused-{number:04d}-{secrets.token_hex(8)}", **fields}
        answer = stranger.post(path.format(code=order.code), base_url=LAN, data=data)
        assert 400 <= answer.status_code < 500
    assert stored(shop) == before


def test_who_sends_refused_forms_all_the_time_has_to_wait_before_anything_is_written(
    stranger: FlaskClient, shop: Shop, order: Order
) -> None:
    def send(number: int) -> TestResponse:
        data = {"submission": f"pace-{number:020d}", "payer": "nobody"}
        return stranger.post(f"/p/{order.code}", base_url=LAN, data=data)

    assert {send(number).status_code for number in range(60)} == {422}
    before = stored(shop)
    refused = send(60)
    assert (refused.status_code, int(refused.headers["Retry-After"]) <= 60) == (429, True)
    assert stored(shop) == before


def test_a_wrong_pin_sent_twice_by_one_form_is_tried_once(
    shop: Shop, order: Order, pay: Callable[..., TestResponse]
) -> None:
    same = {"payer": "unionpay-class2", "pin": "000000", "submission": "twice-0123456789abcdef"}
    assert [pay(order.code, **same).status_code for _ in range(2)] == [403, 403]
    assert len(shop.payments.of_order(order.id)) == 1


def test_stored_responses_leave_when_their_week_is_over(
    shop: Shop, order: Order, pay: Callable[..., TestResponse], clock
) -> None:
    responses = StoredResponses(shop.engine, clock=clock)
    assert pay(order.code).status_code == 303
    assert stored(shop) > 0
    clock.advance(STORED_FOR.total_seconds() + 1)
    with pytest.raises(RuntimeError):  # any request does, an hour after the last look
        responses.once("payer", "sweep", "mark", _fail)
    assert stored(shop) == 1


def _fail() -> object:
    raise RuntimeError
