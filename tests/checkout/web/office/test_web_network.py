"""The back office: messages, books, participants, masked throughout."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from checkout.clearing.scheme.business_date import settlement_date
from checkout.shop.orders.states import Order
from checkout.shop.shop import Shop

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
    (logged,) = shop.books.messages(rrn=rrn)
    page = client.get(f"/network/messages/{logged.seq}").text
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


def test_a_day_is_closed_once_and_its_report_is_on_page_and_api(
    client: FlaskClient, clock, order: Order, pay: Callable[..., object]
) -> None:
    pay(order.code)
    today = settlement_date(clock()).isoformat()
    closed = client.post("/network/settlements", data={"date": today})
    assert closed.headers["Location"] == f"/network/settlements/{today}"
    page = client.get(closed.headers["Location"]).text
    assert "Net positions" in page
    report = client.get(f"/api/v1/settlements/{today}").json
    assert report["date"] == today
    by_currency: dict[str, int] = {}
    for one in report["positions"]:
        by_currency[one["currency"]] = by_currency.get(one["currency"], 0) + one["net_minor"]
    assert set(by_currency.values()) == {0}
    client.post("/network/settlements", data={"date": today})
    assert client.get(f"/api/v1/settlements/{today}").json == report
    # What comes after belongs to the next day, so the other tests go on there.
    clock.advance(24 * 3600)


@pytest.mark.parametrize("date", ["", "yesterday", "2026-02-30", "2999-01-01"])
def test_a_date_that_cannot_be_closed_is_told(client: FlaskClient, date: str) -> None:
    assert client.post("/network/settlements", data={"date": date}).status_code == 422
