"""Live numbers, when each side was certain, and the details of a step."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine
from werkzeug.serving import WSGIRequestHandler, make_server

from checkout import create_app
from checkout.acceptance.contract import Mode
from checkout.acceptance.nfc.decoded_steps import decoded
from checkout.comparison.report.sequence_diagram import Side, draw_in_rows, parties_of, side_of
from checkout.demo.payers import DEMO_PIN, make_card, payers
from checkout.demo.phone_steps import scan_steps
from checkout.processes.terminal import counter_till
from checkout.shop.orders.milestones import (
    CARD_SEEN,
    CODE_OPENED,
    CODE_SCANNED,
    RESULT_SHOWN,
    SHOWN,
    Milestones,
)
from checkout.shop.orders.states import Order
from checkout.shop.payments.payment_times import certain
from checkout.shop.payments.payments import Payment, PaymentState, Source
from checkout.shop.shop import Shop
from checkout.shop.till import Charge, Till
from checkout.trace import Trace, steps_to_json
from checkout.web.payer import phone_trace
from devices.nfc.contract import Reader
from devices.nfc.emulated import in_process, open_card
from devices.phone import USER_AGENT, Phone
from devices.qr.symbol.rendering import png
from tests.checkout.web.conftest import LAN, Clock

Pay = Callable[..., Any]
#: Numbers of the demo world: none may stand anywhere in full.
WHOLE_NUMBER = re.compile(r"(?<![0-9.])9999[0-9]{12,15}(?![0-9])")


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def origin(shop: Shop, password: str) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_app(shop=shop), request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.fixture(scope="module")
def till(shop: Shop) -> Till:
    for name in ("unionpay-debit", "tampered-certificate"):
        make_card(name, shop.config.home)
    return counter_till(shop)


def lay(till: Till, shop: Shop, order: Order, name: str = "unionpay-debit") -> Reader:
    """One tap at the terminal, its verdict shown."""
    reader = in_process(open_card(name, shop.config.home))
    card = reader.wait_for_card(1)
    assert card is not None
    charge = Charge(order_id=order.id, amount_minor=order.amount_minor, currency=order.currency)
    till.take_tap(charge, card, reader)
    reader.close()
    return reader


def only(shop: Shop, order: Order) -> Payment:
    (payment,) = shop.payments.of_order(order.id)
    return payment


def kinds(shop: Shop, order: Order) -> list[str]:
    return [moment.kind for moment in shop.milestones.of_order(order.id)]


def group(client: FlaskClient, mode: str, *, emulated: bool) -> dict[str, Any]:
    groups = client.get("/api/v1/comparison").json["groups"]
    found = [each for each in groups if (each["mode"], each["emulated"]) == (mode, emulated)]
    return found[0] if found else {"payments": 0, "live": {"sales": 0}}


# -- moments ------------------------------------------------------------------------------------


def test_a_codes_moments_are_kept_once_however_often_it_is_opened(
    client: FlaskClient, stranger: FlaskClient, shop: Shop, order: Order
) -> None:
    for _ in range(2):
        client.get(f"/orders/{order.id}/code.svg")
        stranger.get(f"/p/{order.code}", base_url=LAN)
    assert kinds(shop, order).count(SHOWN) == 1
    assert kinds(shop, order).count(CODE_OPENED) == 1
    # Another process has no memory of it, and keeps it once all the same.
    fresh = type(shop.milestones)(shop.engine, shop.orders.clock)
    assert not fresh.record(SHOWN, order.id)
    renewed = shop.orders.renew_code(order.id)
    stranger.get(f"/p/{renewed.code.lower()}", base_url=LAN)
    assert kinds(shop, order).count(CODE_OPENED) == 2


@pytest.mark.parametrize("header", ["Sec-Purpose", "Purpose"])
def test_a_browser_that_looks_ahead_has_scanned_nothing(
    stranger: FlaskClient, shop: Shop, order: Order, header: str
) -> None:
    stranger.head(f"/p/{order.code}", base_url=LAN)
    stranger.get(f"/p/{order.code}", base_url=LAN, headers={header: "prefetch"})
    assert CODE_OPENED not in kinds(shop, order)


def test_no_event_gives_a_code_away(stranger: FlaskClient, shop: Shop, order: Order) -> None:
    stranger.get(f"/p/{order.code}", base_url=LAN)
    shown = json.dumps([moment.payload for moment in shop.milestones.of_order(order.id)])
    assert order.code not in shown and order.code[:6] not in shown


def test_a_moment_that_cannot_be_kept_costs_no_page(
    stranger: FlaskClient, shop: Shop, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shop.engine.url.database
    read_only = create_engine(f"sqlite:///file:{file}?mode=ro&uri=true")
    monkeypatch.setattr(shop, "milestones", Milestones(read_only, shop.orders.clock))
    assert not shop.milestones.record(SHOWN, order.id)
    assert stranger.get(f"/p/{order.code}", base_url=LAN).status_code == 200
    assert kinds(shop, order) == ["order-created"]
    read_only.dispose()
    read_only.dispose()


def test_a_card_that_fails_is_seen_too(till: Till, shop: Shop, order: Order) -> None:
    lay(till, shop, order, "tampered-certificate")
    assert CARD_SEEN in kinds(shop, order)


# -- real or emulated -----------------------------------------------------------------------------


def test_the_emulated_phone_is_known_by_what_it_calls_itself(
    origin: str, shop: Shop, order: Order
) -> None:
    assert phone_trace.USER_AGENT == USER_AGENT
    assert Phone("unionpay-debit").pay_at(f"{origin}/p/{order.code}").outcome == "paid"
    assert only(shop, order).emulated is True


def test_any_other_phone_is_real(shop: Shop, order: Order, pay: Pay) -> None:
    pay(order.code)
    assert only(shop, order).emulated is False


def test_without_any_phone_it_is_no_real_sale(shop: Shop, order: Order) -> None:
    assert shop.code_payments.pay(order.code, payer="unionpay-debit", pin=DEMO_PIN).emulated


def test_a_sale_counts_in_its_own_group_only(
    client: FlaskClient, origin: str, shop: Shop, pay: Pay
) -> None:
    before = {each: group(client, "qr", emulated=each)["live"]["sales"] for each in (True, False)}
    pay(shop.orders.create(amount_minor=100).code)
    assert group(client, "qr", emulated=False)["live"]["sales"] == before[False] + 1
    assert group(client, "qr", emulated=True)["live"]["sales"] == before[True]
    Phone("unionpay-debit").pay_at(f"{origin}/p/{shop.orders.create(amount_minor=100).code}")
    assert group(client, "qr", emulated=False)["live"]["sales"] == before[False] + 1
    assert group(client, "qr", emulated=True)["live"]["sales"] == before[True] + 1


def test_a_real_phone_that_only_looked_does_not_time_an_emulated_sale(
    stranger: FlaskClient, client: FlaskClient, origin: str, clock: Clock, shop: Shop
) -> None:
    order = shop.orders.create(amount_minor=100)
    stranger.get(f"/p/{order.code}", base_url=LAN)
    clock.advance(20)
    Phone("unionpay-debit").pay_at(f"{origin}/p/{order.code}")
    page = client.get(f"/orders/{order.id}").text
    assert [float(shown) for shown in stretch_times(page)[1:2]] == [pytest.approx(20, abs=4)]


# -- where the time went --------------------------------------------------------------------------


def stretch_times(page: str) -> list[str]:
    """Seconds of shown-to-paid, shown-to-noticed, noticed-to-paid as the order's page says them."""
    found = re.search(r'<dl class="stretches".*?</dl>', page, re.S)
    assert found is not None
    shown = re.findall(r"<dd>([\d.]+) (ms|s)</dd>", found[0])
    return [str(float(value) / (1000 if unit == "ms" else 1)) for value, unit in shown]


def test_the_orders_page_says_where_the_time_went(
    client: FlaskClient, stranger: FlaskClient, clock: Clock, shop: Shop, order: Order, pay: Pay
) -> None:
    client.get(f"/orders/{order.id}/code.svg")
    clock.advance(9)
    stranger.get(f"/p/{order.code}", base_url=LAN)
    clock.advance(5)
    pay(order.code)
    whole, to_scan, to_pay = map(float, stretch_times(client.get(f"/orders/{order.id}").text))
    assert to_scan == pytest.approx(9, abs=3)
    assert to_pay == pytest.approx(5, abs=3)
    assert whole == pytest.approx(to_scan + to_pay, abs=0.2)


def test_a_tap_is_timed_from_the_card_in_the_field(
    client: FlaskClient, clock: Clock, till: Till, shop: Shop, order: Order
) -> None:
    before = group(client, "nfc", emulated=True)["live"]["sales"]
    real_before = group(client, "nfc", emulated=False)["payments"]
    clock.advance(7)
    lay(till, shop, order)
    page = client.get(f"/orders/{order.id}").text
    assert "until the card was seen" in page
    whole, to_card, to_pay = map(float, stretch_times(page))
    assert to_card == pytest.approx(7, abs=3)
    assert to_pay < to_card < whole + 0.1
    live = group(client, "nfc", emulated=True)["live"]
    assert live["sales"] == before + 1
    assert live["shown_to_noticed_ms"]["p90"] >= live["shown_to_noticed_ms"]["median"]
    assert group(client, "nfc", emulated=False)["payments"] == real_before


def test_a_phones_own_code_is_timed_from_its_scan(
    client: FlaskClient, clock: Clock, shop: Shop, order: Order
) -> None:
    clock.advance(70)  # a code of its own minute
    client.get(f"/orders/{order.id}/code.svg")
    shown = shop.payer_codes.show("unionpay-class2").digits
    clock.advance(4)
    client.post(f"/orders/{order.id}/payment-code", data={"text": shown})
    assert CODE_SCANNED in kinds(shop, order)
    _, to_scan, to_pay = map(float, stretch_times(client.get(f"/orders/{order.id}").text))
    assert to_scan == pytest.approx(74, abs=5) or to_scan == pytest.approx(4, abs=3)
    assert to_pay < 4


def test_the_comparison_page_shows_medians_and_tails_by_mode(
    client: FlaskClient, till: Till, shop: Shop, order: Order, pay: Pay
) -> None:
    pay(shop.orders.create(amount_minor=100).code)
    lay(till, shop, order)
    table = re.search(r'<table[^>]*class="live".*?</table>', client.get("/compare").text, re.S)
    assert table is not None
    rows = re.findall(r"<tr><td>.*?</tr>", table[0], re.S)
    found = [("tap" if "pill nfc" in row else "code", "pill emulated" in row) for row in rows]
    assert ("code", False) in found and ("tap", True) in found
    assert len(found) == len(set(found))
    assert all(row.count("p90") == 3 for row in rows)


# -- certain of the money -------------------------------------------------------------------------


def test_the_payer_is_certain_once_the_phone_has_the_result(
    stranger: FlaskClient, client: FlaskClient, shop: Shop, order: Order, pay: Pay
) -> None:
    receipt = pay(order.code).headers["Location"]
    knows = certain(only(shop, order))
    assert knows.shop_ms is not None and knows.payer_ms is None
    assert "the payer has not seen the result yet" in client.get(f"/orders/{order.id}").text
    for _ in range(2):
        stranger.get(receipt, base_url=LAN)
    payment = only(shop, order)
    knows = certain(payment)
    assert knows.payer_ms is not None and knows.payer_ms > knows.shop_ms
    last = payment.steps[-1]
    assert (last.source, last.target, last.certain) == ("phone", "shop", "payer")
    assert last.bytes_received > 1000
    assert [step.n for step in payment.steps] == list(range(1, 6))
    assert kinds(shop, order).count(RESULT_SHOWN) == 1


def test_a_decline_makes_nobody_certain_of_money(
    stranger: FlaskClient, shop: Shop, order: Order, pay: Pay
) -> None:
    stranger.get(pay(order.code, payer="empty").headers["Location"], base_url=LAN)
    payment = only(shop, order)
    assert payment.state is PaymentState.DECLINED
    assert (certain(payment).shop_ms, certain(payment).payer_ms) == (None, None)


def test_the_payer_of_a_tap_is_certain_once_the_terminal_has_shown_it(
    till: Till, shop: Shop, order: Order
) -> None:
    lay(till, shop, order)
    payment = only(shop, order)
    last = payment.steps[-1]
    assert (last.source, last.target, last.what) == ("terminal", "payer", "shows: paid")
    knows = certain(payment)
    assert knows.shop_ms is not None and knows.payer_ms is not None
    assert knows.shop_ms < knows.payer_ms


def test_the_emulated_phone_tells_when_its_payer_knew(
    origin: str, shop: Shop, order: Order
) -> None:
    picture = png(f"{origin}/p/{order.code}")
    seen = Phone("unionpay-debit").pay(picture)
    steps = scan_steps(seen, only(shop, order), len(picture))
    marked = [step for step in steps if step.certain == "payer"]
    assert [step.what for step in marked] == ["GET follow to the result"]
    shown = [step.detail for step in steps if step.source == "phone" and step.detail]
    assert shown[0] == {"request": f"GET /p/{order.code[:4]}…", "status": 200}
    assert shown[1] == {"request": f"POST /p/{order.code[:4]}…", "status": 303}
    assert order.code not in steps_to_json(steps)


def test_both_marks_stand_in_the_diagrams_in_their_order(
    client: FlaskClient, till: Till, shop: Shop, order: Order
) -> None:
    lay(till, shop, order)
    payment = only(shop, order)
    for page in (f"/compare?left={payment.id}", f"/orders/{order.id}"):
        drawn = re.search(r"<svg xmlns.*?</svg>", client.get(page).text, re.S)
        assert drawn is not None
        shop_at, payer_at = (drawn[0].index(f'class="certain {who}"') for who in ("shop", "payer"))
        assert shop_at < payer_at
        assert "the payer is certain of the money" in drawn[0]


# -- the diagram ----------------------------------------------------------------------------------


def heights(drawn: str) -> list[float]:
    return [float(y) for y in re.findall(r'class="sent" d="M[\d.]+ ([\d.]+)H', drawn)]


def test_arrows_come_in_the_order_of_the_steps_and_never_on_each_other(
    till: Till, shop: Shop, order: Order
) -> None:
    lay(till, shop, order)
    payment = only(shop, order)
    drawn = str(draw_in_rows([side_of(payment, "left")]))
    labels = re.findall(r'href="#left-(\d+)"', drawn)
    assert [int(n) for n in labels] == sorted(int(n) for n in labels)
    ys = heights(drawn)
    assert all(after - before > 24.5 for before, after in itertools.pairwise(ys))


def test_parties_stand_from_the_payers_hand_to_the_bank(
    till: Till, shop: Shop, order: Order, pay: Pay
) -> None:
    lay(till, shop, order)
    assert parties_of(only(shop, order).steps) == ["payer", "card", "terminal", "shop", "switch"]
    other = shop.orders.create(amount_minor=100)
    pay(other.code)
    assert parties_of(only(shop, other).steps) == ["payer", "phone", "shop", "switch"]


@pytest.mark.parametrize("waited_s", [1, 60, 800])
def test_a_long_wait_is_drawn_longer_but_never_off_the_page(
    clock: Clock, shop: Shop, pay: Pay, waited_s: int
) -> None:
    order = shop.orders.create(amount_minor=100)
    pay(order.code)
    payment = only(shop, order)
    later = tuple(
        step.changed(at_ms=step.at_ms + (waited_s * 1000 if step.n > 2 else 0))
        for step in payment.steps
    )
    steps = [s.changed(took_ms=waited_s * 1000.0) if s.n == 2 else s for s in later]
    drawn = str(draw_in_rows([Side(key="left", mode="qr", title="", steps=steps)]))
    ys = heights(drawn)
    assert ys == sorted(ys)
    assert max(ys) < 420
    confirm = next(step for step in steps if step.what == "confirm with the PIN")
    minutes, seconds = divmod(round(confirm.at_ms / 1000), 60)
    assert (f"{minutes} min {seconds} s" if minutes else f"{confirm.at_ms / 1000:.1f} s") in drawn


# -- what a step opens to -------------------------------------------------------------------------


def test_exchanges_with_the_card_open_tag_by_tag(till: Till, shop: Shop, order: Order) -> None:
    lay(till, shop, order)
    steps = {step.what: step.detail for step in decoded(only(shop, order).steps)}
    ppse = steps["SELECT PPSE"]
    assert ppse["command"]["name"] == "2PAY.SYS.DDF01"
    assert ppse["response"]["status"] == "9000 done"
    assert ppse["response"]["6F"]["name"].startswith("File control information")
    options = steps["GET PROCESSING OPTIONS"]
    assert options["command"]["values"]["9F02"] == {
        "name": "Amount, authorised (numeric)", "value": "000000001280",
    }  # fmt: skip
    assert options["command"]["values"]["5F2A"]["value"] == "0156"
    assert options["response"]["77"]["value"]["9F26"]["name"] == "Application cryptogram (AC)"
    shown = json.dumps(steps)
    assert "999901******0019" in shown


def test_nothing_that_is_shown_gives_a_number_a_pin_or_a_code_away(
    client: FlaskClient, stranger: FlaskClient, till: Till, shop: Shop, order: Order, pay: Pay
) -> None:
    lay(till, shop, order)
    other = shop.orders.create(amount_minor=100)
    stranger.get(pay(other.code).headers["Location"], base_url=LAN)
    tapped, by_code = only(shop, order), only(shop, other)
    pages = [
        client.get(f"/compare?left={by_code.id}&right={tapped.id}").text,
        client.get(f"/orders/{order.id}").text,
        client.get(f"/orders/{other.id}").text,
        json.dumps(client.get(f"/api/v1/payments/{tapped.id}").json),
        json.dumps(client.get(f"/api/v1/payments/{by_code.id}").json),
    ]
    accounts = {payer.account for payer in payers()}
    for page in pages:
        tight = re.sub(r"(?<=[0-9A-F]{2}) (?=[0-9A-F]{2}\b)", "", page)  # bytes apart, joined
        for text in (page, tight):
            assert not WHOLE_NUMBER.search(text)
            assert not any(account in text for account in accounts)
            assert DEMO_PIN not in re.sub(r"every demo account has.*?</", "", text)
    assert other.code not in pages[0] and other.code not in pages[4]
    assert f"POST /p/{other.code[:4]}…" in pages[0]


def test_the_pin_pad_tells_its_payer_too(
    app: Flask, client: FlaskClient, till: Till, shop: Shop
) -> None:
    order = shop.orders.create(amount_minor=150_000)
    lay(till, shop, order)
    held = only(shop, order)
    assert held.state is PaymentState.PENDING
    client.post(f"/orders/{order.id}/pin", data={"payment": held.id, "pin": DEMO_PIN})
    payment = only(shop, order)
    assert payment.state is PaymentState.APPROVED
    last = payment.steps[-1]
    assert (last.source, last.target, last.certain) == ("counter", "payer", "payer")
    assert certain(payment).payer_ms >= certain(payment).shop_ms  # type: ignore[operator]


def test_a_payment_that_has_just_begun_is_compared_with_no_steps(
    client: FlaskClient, shop: Shop
) -> None:
    """It is pending, and nothing has been written down of it yet."""
    order = shop.orders.create(amount_minor=1280)
    source = Source(
        mode=Mode.NFC, scheme="unionpay", account="9999011000000019", payer=None, emulated=True
    )
    begun = shop.authorisation.begin(order.id, source, trace=Trace())
    page = client.get(f"/compare?left={begun.payment_id}")
    assert page.status_code == 200
    assert "Nothing has been recorded yet" in page.text
    shop.authorisation.give_back(begun, "91")
    shop.orders.cancel(order.id)


# -- printed codes --------------------------------------------------------------------------------


def stickers(client: FlaskClient) -> dict[bool, dict[str, Any]]:
    found = client.get("/api/v1/comparison").json["stickers"]
    return {each["emulated"]: each for each in found}


def test_a_sale_by_sticker_is_timed_apart_from_the_page_to_the_money(
    client: FlaskClient, stranger: FlaskClient, shop: Shop, origin: str
) -> None:
    sticker = shop.static_codes.create("door")
    before, codes = stickers(client), group(client, "qr", emulated=False)["live"]["sales"]
    page = stranger.get(f"/p/{sticker.code}").text
    opened = re.search(r'name="opened" value="([^"]+)"', page)
    assert opened is not None
    time.sleep(0.2)
    fields = {
        "opened": opened[1],
        "submission": "s" * 20,
        "payer": "unionpay-credit",
        "amount": "3.00",
        "pin": DEMO_PIN,
    }
    assert stranger.post(f"/p/{sticker.code}", data=fields).status_code == 303
    after = stickers(client)
    assert after[False]["sales"] == before.get(False, {"sales": 0})["sales"] + 1
    assert after[False]["opened_to_paid_ms"]["max"] >= 200
    assert after.get(True) == before.get(True)
    assert group(client, "qr", emulated=False)["live"]["sales"] == codes

    Phone("unionpay-credit", amount="4.00").pay_at(f"{origin}/p/{sticker.code}")
    last = stickers(client)
    assert last[True]["sales"] == before.get(True, {"sales": 0})["sales"] + 1
    assert last[False] == after[False]
    shown = client.get("/compare").text
    assert "By printed sticker" in shown


def test_a_forged_mark_of_opening_times_nothing(
    client: FlaskClient, stranger: FlaskClient, shop: Shop
) -> None:
    sticker = shop.static_codes.create("window", amount_minor=100)
    before = stickers(client)
    fields = {
        "opened": "forged",
        "submission": "t" * 20,
        "payer": "unionpay-credit",
        "pin": DEMO_PIN,
    }
    assert stranger.post(f"/p/{sticker.code}", data=fields).status_code == 303
    assert stickers(client) == before
