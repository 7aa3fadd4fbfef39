"""Phones have their keys from the token service: at first, when they run low, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from checkout.clearing.client.client import OperationFailed
from checkout.clearing.hsm.keystore import KeyStore
from checkout.config import Config
from checkout.demo.payers import DemoPayers, make_card, payer
from checkout.demo.provisioning import NotProvisioned, OperationClient, TokenService, shared_service
from checkout.processes.terminal import counter_till
from checkout.shop.shop import Shop
from checkout.shop.till import Charge, Till
from devices.nfc.emulated import card_path, in_process, open_card

PHONES = ("hce-phone", "se-phone")


class Asked:
    """The token service by the shop's line; notes what it is asked."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.names: list[str] = []

    def operate(self, name, arguments=None, *, timeout_s=60.0):  # type: ignore[no-untyped-def]
        self.names.append(name)
        return self._shop.clearing().operate(name, arguments, timeout_s=timeout_s)

    @property
    def service(self) -> TokenService:
        return shared_service(lambda: self)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop.open(Config(home=tmp_path), own_switch=True, payers=DemoPayers())
    yield shop
    shop.close()


@pytest.fixture
def asked(shop: Shop) -> Asked:
    return Asked(shop)


@pytest.fixture
def till(shop: Shop, asked: Asked) -> Till:
    make_card("unionpay-debit", shop.config.home)
    return counter_till(shop)


def pay(shop: Shop, till: Till, name: str) -> str:
    """Tap the phone for a new order; what the reader says then."""
    order = shop.orders.create(amount_minor=100)
    reader = in_process(open_card(name, shop.config.home))
    try:
        card = reader.wait_for_card(1)
        assert card is not None
        charge = Charge(order_id=order.id, amount_minor=100, currency="CNY")
        return till.take_tap(charge, card, reader).state
    finally:
        reader.close()


def advance(shop: Shop, name: str, action: str) -> None:
    given = {"payment_token": payer(name).account, "action": action}
    shop.clearing().operate("advance-token", given)


def nobody() -> AbstractContextManager[OperationClient]:
    raise AssertionError("the token service was asked")


@pytest.mark.parametrize(
    ("name", "operations"),
    [("hce-phone", ["token-keys"] * 5), ("se-phone", ["personalise-token"])],
)
def test_a_phone_is_provisioned_once_and_pays(
    name: str, operations: list[str], shop: Shop, asked: Asked, till: Till
) -> None:
    make_card(name, shop.config.home, service=asked.service)
    assert asked.names == operations
    assert pay(shop, till, name) == "paid"
    make_card(name, shop.config.home, service=nobody)


def test_an_hce_phone_never_holds_its_tokens_key(shop: Shop, asked: Asked) -> None:
    path = make_card("hce-phone", shop.config.home, service=asked.service)
    token_key = KeyStore(shop.config.home).card_key(payer("hce-phone").account, "001")
    content = path.read_text()
    assert token_key.hex() not in content.lower()
    assert [key["serial"] for key in json.loads(content)["memory"]["keys"]] == [1, 2, 3, 4, 5]


def test_used_up_keys_are_replaced_by_newer_ones(shop: Shop, asked: Asked, till: Till) -> None:
    home = shop.config.home
    make_card("hce-phone", home, service=asked.service)
    first = open_card("hce-phone", home).keys_left
    assert [pay(shop, till, "hce-phone") for _ in range(first)] == ["paid"] * first
    assert open_card("hce-phone", home).keys_left == 0
    assert pay(shop, till, "hce-phone") != "paid"
    asked.names.clear()
    path = make_card("hce-phone", home, service=asked.service)
    assert asked.names == ["token-keys"] * 5
    assert json.loads(path.read_text())["memory"]["keys"][0]["serial"] == 6
    assert pay(shop, till, "hce-phone") == "paid"


@pytest.mark.parametrize("action", ["suspend", "delete"])
def test_a_token_taken_back_gets_no_new_keys_and_pays_nothing(
    action: str, shop: Shop, asked: Asked, till: Till
) -> None:
    home = shop.config.home
    make_card("hce-phone", home, service=asked.service)
    while open_card("hce-phone", home).keys_left > 2:
        make_low(home)
    advance(shop, "hce-phone", action)
    make_card("hce-phone", home, service=asked.service)
    assert open_card("hce-phone", home).keys_left == 2
    assert pay(shop, till, "hce-phone") == "declined"
    if action == "suspend":
        advance(shop, "hce-phone", "resume")
        make_card("hce-phone", home, service=asked.service)
        assert open_card("hce-phone", home).keys_left > 2
        assert pay(shop, till, "hce-phone") == "paid"


def make_low(home: Path) -> None:
    """As if it had been tapped until two uses are left."""
    path = card_path("hce-phone", home)
    content = json.loads(path.read_text())
    content["memory"]["keys"] = [content["memory"]["keys"][-1] | {"uses": 2}]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("name", PHONES)
def test_a_phone_whose_token_is_deleted_is_never_made(name: str, shop: Shop, asked: Asked) -> None:
    advance(shop, name, "delete")
    with pytest.raises(NotProvisioned, match=f"{name}: not provisioned.*only when active"):
        make_card(name, shop.config.home, service=asked.service)
    assert not card_path(name, shop.config.home).exists()


def test_a_phone_on_a_reader_is_left_alone(shop: Shop, asked: Asked) -> None:
    home = shop.config.home
    make_card("hce-phone", home, service=asked.service)
    make_low(home)
    card = open_card("hce-phone", home)
    card.power_on()
    make_card("hce-phone", home, service=nobody)
    card.power_off()
    make_card("hce-phone", home, service=asked.service)
    assert open_card("hce-phone", home).keys_left > 2


def test_a_phone_older_than_the_tables_is_given_serials_it_never_had(tmp_path: Path) -> None:
    for database in ("one.db", "two.db"):
        shop = Shop.open(
            Config(home=tmp_path, database=str(tmp_path / database)),
            own_switch=True,
            payers=DemoPayers(),
        )
        try:
            path = make_card("hce-phone", tmp_path, service=Asked(shop).service)
            make_low(tmp_path)
        finally:
            shop.close()
    assert json.loads(path.read_text())["memory"]["last_serial"] == 10


@pytest.mark.parametrize("after", [-1, 1 << 31, "7", None])
def test_an_absurd_serial_is_refused(after: object, shop: Shop) -> None:
    given = {"payment_token": payer("hce-phone").account, "after": after}
    with pytest.raises(OperationFailed, match="serial number"):
        shop.clearing().operate("token-keys", given)


def test_without_a_line_a_switch_runs_as_long_as_it_takes_and_another_process_reuses_it_all(
    tmp_path: Path,
) -> None:
    paths = [make_card(name, tmp_path) for name in PHONES]
    before = [path.read_bytes() for path in paths]
    code = (
        "import sys; from pathlib import Path; from checkout.demo.payers import make_card\n"
        "import checkout.demo.provisioning as p\n"
        "def never(*_, **__): raise AssertionError('asked')\n"
        "p.open_client = never\n"
        "for name in sys.argv[2:]: make_card(name, Path(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), *PHONES]
    environment = os.environ | {"CHECKOUT_HOME": str(tmp_path)}
    subprocess.run(command, check=True, timeout=60, env=environment)
    assert [path.read_bytes() for path in paths] == before
