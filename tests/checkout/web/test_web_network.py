"""The back office: messages, books, participants, masked throughout."""

from __future__ import annotations

import re
from collections.abc import Callable

from flask.testing import FlaskClient

from checkout.orders import Order
from checkout.shop import Shop

WHOLE_NUMBER = re.compile(r"(?<![0-9])9999[0-9]{12,15}(?![0-9])")


def test_a_payment_shows_among_the_messages_with_its_number_masked(
    client: FlaskClient, shop: Shop, order: Order, pay: Callable[..., object]
) -> None:
    pay(order.code)
    rrn = shop.payments.of_order(order.id)[0].rrn
    page = client.get(f"/network/?q={rrn}").text
    assert "999901******0019" in page
    assert re.search(r"/network/messages/\d+", page)
    assert not WHOLE_NUMBER.search(page)


def test_a_message_opens_field_by_field_with_the_money_it_moved(
    client: FlaskClient, shop: Shop, order: Order, pay: Callable[..., object]
) -> None:
    pay(order.code)
    rrn = shop.payments.of_order(order.id)[0].rrn
    (said,) = shop.books.messages(rrn=rrn)
    page = client.get(f"/network/messages/{said.seq}").text
    for name in ("DE4", "DE37", "DE39", "DE49"):
        assert name in page
    assert rrn in page
    assert "12.80" in page
    assert "merchant/" in page
    assert not WHOLE_NUMBER.search(page)


def test_every_currency_adds_up_to_zero(
    client: FlaskClient, order: Order, pay: Callable[..., object]
) -> None:
    pay(order.code, payer="visa-abroad")
    page = client.get("/network/").text
    totals = re.findall(r'all accounts</td><td class="right num">([^<]+)<', page)
    assert len(totals) >= 2
    assert {total.strip("0.") for total in totals} == {""}


def test_a_message_that_was_never_heard_is_a_404(client: FlaskClient) -> None:
    assert client.get("/network/messages/999999999").status_code == 404
    assert client.get(f"/network/messages/{10**30}").status_code == 404


def test_a_search_cannot_be_a_query(client: FlaskClient) -> None:
    for wanted in ("' OR 1=1 --", "%", "<script>alert(1)</script>", '"', "\\"):
        page = client.get("/network/", query_string={"q": wanted})
        assert page.status_code == 200
        assert "<script>alert" not in page.text
