"""The page that a scanned code opens, from the scan to the receipt."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from checkout.shop.orders.states import Order, OrderState
from checkout.shop.shop import Shop

LAN = "http://192.0.2.10:8000"
STRANGER = {"REMOTE_ADDR": "192.0.2.77"}
Pay = Callable[..., object]


def outcome(page: str) -> str:
    found = re.search(r'data-outcome="([^"]+)"', page)
    return found[1] if found else "none"


@pytest.mark.parametrize("path", ["/p/{}", "/P/{}"])
@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_a_code_opens_in_any_case_and_shows_who_is_paid_how_much(
    stranger: FlaskClient, order: Order, path: str, case: Callable[[str], str]
) -> None:
    page = stranger.get(path.format(case(order.code)), base_url=LAN)
    assert page.status_code == 200
    assert "Lane Tea House" in page.text
    assert "12.80" in page.text
    assert "real card" in page.text


def test_paying_shows_a_receipt_with_a_masked_number(
    stranger: FlaskClient, shop: Shop, order: Order, pay: Pay
) -> None:
    answer = pay(order.code)
    assert answer.status_code == 303
    receipt = stranger.get(answer.headers["Location"], base_url=LAN)
    assert outcome(receipt.text) == "paid"
    assert "999901******0019" in receipt.text
    assert not re.search(r"(?<![0-9])9999[0-9]{12}(?![0-9])", receipt.text)
    assert shop.orders.get(order.id).state is OrderState.PAID


def test_the_story_has_the_phone_in_it_and_what_the_payer_took(
    shop: Shop, order: Order, pay: Pay
) -> None:
    pay(order.code)
    payment = shop.payments.of_order(order.id)[0]
    routes = [(step.source, step.target, step.nature) for step in payment.steps]
    assert routes == [
        ("phone", "shop", "measured"),
        ("payer", "phone", "waited"),
        ("phone", "shop", "measured"),
        ("shop", "switch", "measured"),
    ]
    opened, _, confirmed, asked = payment.steps
    assert opened.bytes_received > 2000
    assert confirmed.bytes_sent > 200 and confirmed.bytes_received > 300
    assert confirmed.at_ms <= asked.at_ms
    assert asked.at_ms + asked.took_ms <= confirmed.at_ms + confirmed.took_ms


def test_a_form_sent_twice_charges_once_and_answers_the_same(
    stranger: FlaskClient, shop: Shop, order: Order
) -> None:
    page = stranger.get(f"/p/{order.code}", base_url=LAN).text
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page))
    form = {**fields, "payer": "unionpay-debit", "pin": "123456"}
    first = stranger.post(f"/p/{order.code}", base_url=LAN, data=form)
    second = stranger.post(f"/p/{order.code}", base_url=LAN, data=form)
    assert first.headers["Location"] == second.headers["Location"]
    assert len(shop.payments.of_order(order.id)) == 1


def test_a_form_sent_eight_times_at_once_charges_once(
    app: Flask, stranger: FlaskClient, shop: Shop, order: Order
) -> None:
    page = stranger.get(f"/p/{order.code}", base_url=LAN).text
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page))
    form = {**fields, "payer": "unionpay-debit", "pin": "123456"}
    places: list[str] = []

    def send() -> None:
        phone = app.test_client()
        phone.environ_base.update(STRANGER)
        answer = phone.post(f"/p/{order.code}", base_url=LAN, data=form)
        places.append(answer.headers["Location"])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(places) == 8
    assert len(set(places)) == 1
    assert len(shop.payments.of_order(order.id)) == 1


def test_two_payers_with_one_code_charge_one_of_them(
    stranger: FlaskClient, shop: Shop, order: Order, pay: Pay
) -> None:
    first = pay(order.code)
    second = stranger.post(
        f"/p/{order.code}",
        base_url=LAN,
        data={"submission": "x" * 24, "payer": "unionpay-credit", "pin": "123456"},
    )
    assert first.status_code == 303
    assert second.status_code == 409
    assert outcome(second.text) == "used"
    assert "Already paid" in second.text
    approved = [p for p in shop.payments.of_order(order.id) if str(p.state) == "approved"]
    assert len(approved) == 1


def test_a_wrong_pin_charges_nothing_and_may_be_tried_again(
    stranger: FlaskClient, shop: Shop, order: Order, pay: Pay
) -> None:
    wrong = pay(order.code, payer="unionpay-credit", pin="111111")
    assert wrong.status_code == 403
    assert "PIN is wrong" in wrong.text
    assert 'aria-invalid="true"' in wrong.text
    assert shop.orders.get(order.id).state is OrderState.OPEN
    assert pay(order.code, payer="unionpay-credit").status_code == 303
    assert shop.orders.get(order.id).state is OrderState.PAID


def test_the_third_wrong_pin_blocks_the_account(shop: Shop, order: Order, pay: Pay) -> None:
    answers = [pay(order.code, payer="mastercard-abroad", pin="000000") for _ in range(4)]
    assert {answer.status_code for answer in answers} == {403}
    assert "blocked" in answers[-1].text
    refused = pay(order.code, payer="mastercard-abroad", pin="123456")
    assert refused.status_code == 403
    assert shop.orders.get(order.id).state is OrderState.OPEN


@pytest.mark.parametrize("pin", ["", "12345", "1234567", "12345a", "１２３４５６", "123 56"])
def test_a_pin_that_is_none_is_not_even_sent(shop: Shop, order: Order, pay: Pay, pin: str) -> None:
    assert pay(order.code, pin=pin).status_code == 422
    assert shop.payments.of_order(order.id) == ()


@pytest.mark.parametrize("payer", ["", "nobody", "hce-phone", "x" * 500])
def test_an_account_that_cannot_pay_by_code_is_refused(
    shop: Shop, order: Order, pay: Pay, payer: str
) -> None:
    assert pay(order.code, payer=payer).status_code == 422
    assert shop.payments.of_order(order.id) == ()


def test_a_decline_says_why_and_offers_another_account(
    stranger: FlaskClient, shop: Shop, order: Order, pay: Pay
) -> None:
    answer = pay(order.code, payer="empty")
    page = stranger.get(answer.headers["Location"], base_url=LAN).text
    assert outcome(page) == "declined"
    assert "nsufficient funds" in page
    again = re.search(r'href="(/[pP]/[A-Z2-7]+/fresh)"', page)
    assert again is not None
    live = stranger.get(again[1], base_url=LAN, follow_redirects=True)
    assert outcome(live.text) == "none" and 'name="pin"' in live.text


def test_a_code_that_ran_out_leads_to_a_fresh_one_in_one_tap(
    stranger: FlaskClient, shop: Shop, order: Order, clock, pay: Pay
) -> None:
    clock.advance(61)
    late = stranger.get(f"/p/{order.code}", base_url=LAN)
    assert (late.status_code, outcome(late.text)) == (410, "expired")
    assert "12.80" in late.text
    fresh = re.search(r'href="(/[pP]/[A-Za-z2-7]+/fresh)"', late.text)
    assert fresh is not None
    answer = stranger.get(fresh[1], base_url=LAN)
    code = answer.headers["Location"].rsplit("/", 1)[1]
    assert code != order.code
    assert pay(code).status_code == 303
    assert shop.orders.get(order.id).state is OrderState.PAID


def test_paying_by_a_code_that_ran_out_while_typing_charges_nothing(
    stranger: FlaskClient, shop: Shop, order: Order, clock
) -> None:
    page = stranger.get(f"/p/{order.code}", base_url=LAN).text
    fields = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page))
    clock.advance(61)
    answer = stranger.post(
        f"/p/{order.code}",
        base_url=LAN,
        data={**fields, "payer": "unionpay-debit", "pin": "123456"},
    )
    assert (answer.status_code, outcome(answer.text)) == (410, "expired")
    assert "/fresh" in answer.text
    assert shop.payments.of_order(order.id) == ()


def test_an_order_that_ran_out_offers_nothing_fresh(
    stranger: FlaskClient, order: Order, clock
) -> None:
    clock.advance(901)
    page = stranger.get(f"/p/{order.code}", base_url=LAN)
    assert page.status_code == 410
    assert "/fresh" not in page.text
    assert "order has run out" in page.text
    again = stranger.get(f"/p/{order.code}/fresh", base_url=LAN, follow_redirects=True)
    assert again.status_code == 410


def test_a_cancelled_order_says_so(stranger: FlaskClient, shop: Shop, order: Order) -> None:
    shop.orders.cancel(order.id)
    page = stranger.get(f"/p/{order.code}", base_url=LAN)
    assert page.status_code == 409
    assert "cancelled" in page.text


def test_a_renewed_code_leaves_the_one_already_scanned_good(
    shop: Shop, order: Order, pay: Pay
) -> None:
    shop.orders.renew_code(order.id)
    assert pay(order.code).status_code == 303


def test_guessing_codes_is_slowed_down(stranger: FlaskClient, order: Order) -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for letter in letters[:20]:
        assert stranger.get(f"/p/{letter * 13}", base_url=LAN).status_code == 404
    answer = stranger.get(f"/p/{order.code}", base_url=LAN)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("code", ["A" * 13, "x", "%00", "..%2f..", "ä" * 13, "1" * 400])
def test_an_unknown_code_warns_of_stickers(stranger: FlaskClient, code: str) -> None:
    answer = stranger.get(f"/p/{code}", base_url=LAN)
    assert answer.status_code == 404


@pytest.mark.parametrize("sealed", ["x", "InBheV8x.abc", "InBheV9za24zemZndHQxNHR6NHB0Ig.x"])
def test_a_receipt_needs_its_signed_address(stranger: FlaskClient, sealed: str) -> None:
    assert stranger.get(f"/receipt/{sealed}", base_url=LAN).status_code == 404


def test_a_submission_of_another_form_cannot_be_reused(
    stranger: FlaskClient, shop: Shop, order: Order, pay: Pay
) -> None:
    submission = "s" * 30
    assert pay(order.code, submission=submission).status_code == 303
    other = shop.orders.create(amount_minor=500, currency="CNY")
    assert pay(other.code, submission=submission).status_code == 422
    assert shop.orders.get(other.id).state is OrderState.OPEN


def test_the_chosen_account_is_offered_first_next_time(
    stranger: FlaskClient, shop: Shop, order: Order, pay: Pay
) -> None:
    pay(order.code, payer="visa-abroad")
    other = shop.orders.create(amount_minor=500, currency="CNY")
    page = stranger.get(f"/p/{other.code}", base_url=LAN).text
    assert re.search(r'value="visa-abroad" required checked', page)


def test_the_pin_never_reaches_a_log_or_the_database(
    shop: Shop, order: Order, pay: Pay, caplog: pytest.LogCaptureFixture
) -> None:
    pay(order.code, payer="wallet-balance", pin="123457")
    stored = shop.config.home / "checkout.db"
    assert b"123457" not in stored.read_bytes()
    assert "123457" not in caplog.text
