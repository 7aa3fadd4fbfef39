"""The wallet's top-up page, as a phone on the LAN sees it."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from checkout.shop.shop import Shop

WALLET = "9999801000000013"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture
def phone(stranger: FlaskClient, shop: Shop) -> FlaskClient:
    shop.clearing().echo()
    assert stranger.post("/wallet/account", data={"payer": "wallet-balance"}).status_code == 303
    return stranger


def _submission(page: str) -> str:
    found = re.search(r'name="submission" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def _sent(phone: FlaskClient, **changed: str) -> dict[str, str]:
    page = phone.get("/wallet/top-up").get_data(as_text=True)
    return {"submission": _submission(page), "amount": "25.00", "pin": "123456"} | changed


def _stored(shop: Shop) -> int:
    return shop.books.available(WALLET, "CNY")


def test_balance_grows_once_however_often_the_form_is_sent(phone: FlaskClient, shop: Shop) -> None:
    before = _stored(shop)
    form = _sent(phone)
    for _ in range(3):
        assert phone.post("/wallet/top-up", data=form).status_code == 303
    assert _stored(shop) == before + 25_00
    home = phone.get("/wallet/").get_data(as_text=True)
    assert "CNY 25.00" in home
    assert f"{_stored(shop) / 100:,.2f}".replace(",", "") in home.replace(",", "")


@pytest.mark.parametrize(
    ("changed", "status", "text"),
    [
        ({"amount": "nothing"}, 422, "Expected digits"),
        ({"amount": "0"}, 422, "xpected more than zero"),
        ({"amount": "1.234"}, 422, "2 decimals"),
        ({"amount": "99999999999.00"}, 422, "More than a top-up can be"),
        ({"pin": "12"}, 422, "six digits"),
        ({"pin": "654321"}, 403, "PIN is wrong"),
        ({"amount": "190000.00"}, 409, "than this class"),
    ],
)
def test_what_cannot_be_is_said_on_the_page_and_moves_nothing(
    phone: FlaskClient, shop: Shop, changed: dict[str, str], status: int, text: str
) -> None:
    before = _stored(shop)
    answer = phone.post("/wallet/top-up", data=_sent(phone, **changed))
    assert (answer.status_code, text in answer.get_data(as_text=True)) == (status, True)
    assert _stored(shop) == before


def test_only_wallets_with_a_bank_account_behind_them_are_topped_up(
    phone: FlaskClient, shop: Shop
) -> None:
    form = _sent(phone)
    before = _stored(shop)
    for payer in ("unionpay-debit", "wallet-quick"):
        phone.post("/wallet/account", data={"payer": payer})
        assert "/wallet/top-up" not in phone.get("/wallet/").get_data(as_text=True)
        assert phone.get("/wallet/top-up").location == "/wallet/"
        assert phone.post("/wallet/top-up", data=form).status_code == 303
    assert _stored(shop) == before
