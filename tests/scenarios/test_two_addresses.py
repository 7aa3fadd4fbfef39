"""A counter on loopback and a phone on the LAN address of one machine, over plain http."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from checkout import create_app
from checkout.addresses import lan_address
from checkout.config import Config
from checkout.demo.payers import DemoPayers
from checkout.shop.shop import Shop
from devices.phone import Phone, PhoneError

CODE_TTL_S = 2


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Counter:
    """The counter's browser, on this machine itself."""

    shop: Shop
    origin: str
    phone_host: str

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.origin + path, timeout=20) as answer:
            return bytes(answer.read())

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def new_order(self) -> dict[str, Any]:
        """Type an amount on the keypad; what the API says of the order."""
        form = urllib.parse.urlencode({"amount": "12.80", "currency": "CNY"}).encode()
        with urllib.request.urlopen(f"{self.origin}/orders", form, timeout=20) as page:
            order_id = page.url.rsplit("/", 1)[1]
        return dict(self.json(f"/api/v1/orders/{order_id}"))

    def picture(self, order: dict[str, Any]) -> bytes:
        """What the counter's screen shows now."""
        return self.get(f"/orders/{order['id']}/code.svg")

    def state(self, order: dict[str, Any]) -> str:
        return str(self.json(f"/api/v1/orders/{order['id']}")["state"])


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    probe = make_server("0.0.0.0", 0, lambda *_: [])
    port = probe.server_port
    probe.server_close()
    config = Config(home=tmp_path_factory.mktemp("two"), port=port, code_ttl_s=CODE_TTL_S)
    shop = Shop.open(config, payers=DemoPayers(), own_switch=True)
    server = make_server(
        "0.0.0.0", port, create_app(shop=shop), threaded=True, request_handler=Quiet
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Counter(shop=shop, origin=f"http://127.0.0.1:{port}", phone_host=lan_address())
    server.shutdown()
    thread.join(5)
    server.server_close()
    shop.close()


def test_the_phone_pays_on_the_lan_what_the_counter_made_on_loopback(counter: Counter) -> None:
    order = counter.new_order()
    seen = Phone("unionpay-credit").pay(counter.picture(order))
    assert seen.outcome == "paid"
    assert urllib.parse.urlsplit(seen.url).hostname == counter.phone_host
    assert counter.state(order) == "paid"


def test_a_code_opened_after_it_ran_out_says_so_and_is_one_tap_from_a_fresh_one(
    counter: Counter,
) -> None:
    order = counter.new_order()
    photo = counter.picture(order)
    time.sleep(CODE_TTL_S + 0.2)
    late = Phone("unionpay-credit").pay(photo, fresh=False)
    assert (late.outcome, counter.state(order)) == ("expired", "open")
    assert "run out" in late.text
    tapped = Phone("unionpay-credit").pay(photo, fresh=True)
    assert tapped.outcome == "paid"
    taps = [each.what for each in tapped.exchanges if each.what.startswith("GET")]
    assert taps[:2] == ["GET open the page of the code", "GET ask for a fresh code"]
    assert counter.state(order) == "paid"
    assert len(counter.shop.payments.of_order(order["id"])) == 1


def test_a_code_opened_after_the_sale_says_paid_and_charges_nobody(counter: Counter) -> None:
    order = counter.new_order()
    photo = counter.picture(order)
    assert Phone("unionpay-credit").pay(photo).outcome == "paid"
    again = Phone("unionpay-debit").pay(photo)
    assert again.outcome == "used"
    assert len(counter.shop.payments.of_order(order["id"])) == 1


def test_a_phone_on_the_lan_reaches_no_page_of_the_counter(counter: Counter) -> None:
    if counter.phone_host.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    port = urllib.parse.urlsplit(counter.origin).port
    for path in ("/", "/compare", "/network", "/stickers"):
        with urllib.request.urlopen(f"http://{counter.phone_host}:{port}{path}") as page:
            assert "/login" in page.url


def test_a_printed_code_is_paid_from_the_lan_and_heard_of_at_the_counter(counter: Counter) -> None:
    sticker = counter.shop.static_codes.create("door")
    picture = counter.get(f"/stickers/{sticker.code}.png")
    with pytest.raises(PhoneError, match="amount"):
        Phone("unionpay-credit").pay(picture)
    seen = Phone("unionpay-credit", amount="3.00").pay(picture)
    assert seen.outcome == "paid"
    assert "type the amount" in [each.what for each in seen.exchanges if each.modelled]
    assert b'data-sticker="CNY 3.00, door"' in counter.get("/sales")
