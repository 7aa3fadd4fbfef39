"""A card that leaves, or a reader that is unplugged, at every single APDU of every profile.

Each ends in a named outcome, and the next tap works normally. The books hold one charge for an
order that was paid, and none for one that was not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from checkout.config import Config
from checkout.demo.payers import DEMO_PIN, DemoPayers, make_card
from checkout.processes.terminal import counter_till
from checkout.shop.shop import Shop
from checkout.shop.till import Charge, Till
from devices.nfc.contract import CardDescription, ReaderGone
from devices.nfc.emulated import in_process, open_card, profile_names

#: One that never gets far, and those whose own trouble would hide the one made here.
PROFILES = [name for name in profile_names() if name not in ("blocked", "pulled-away")]
NAMED = {"paid", "declined", "retry", "see-phone"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop.open(
        Config(home=tmp_path_factory.mktemp("home")), own_switch=True, payers=DemoPayers()
    )
    yield shop
    shop.close()


@pytest.fixture(scope="module")
def till(shop: Shop) -> Till:
    for name in PROFILES:
        make_card(name, shop.config.home)
    # A sale starts the switch, which makes the tables that the books are read from.
    order = shop.orders.create(amount_minor=100)
    shop.code_payments.pay(order.code, payer="unionpay-credit", pin=DEMO_PIN)
    return counter_till(shop)


class UnpluggedAt:
    """A card on a reader that is pulled out when its n-th command is on the way."""

    def __init__(self, card, step: int) -> None:  # type: ignore[no-untyped-def]
        self._card, self._left = card, step

    @property
    def description(self) -> CardDescription:
        return self._card.description  # type: ignore[no-any-return]

    def transceive(self, command: bytes) -> bytes:
        self._left -= 1
        if self._left == 0:
            raise ReaderGone
        return self._card.transceive(command)  # type: ignore[no-any-return]


def present(till: Till, shop: Shop, name: str, charge: Charge, **how) -> tuple[str, int]:  # type: ignore[no-untyped-def]
    """One tap; the reader's state afterwards and how many commands the card received."""
    card = open_card(name, shop.config.home)
    if "pull_at" in how:
        card.behaviour = replace(card.behaviour, **how)
    else:
        card.behaviour = replace(card.behaviour, pull_at=None, delays_ms=())
    reader = in_process(card)
    try:
        presented = reader.wait_for_card(1)
        assert presented is not None
        on_reader = UnpluggedAt(presented, how["unplug_at"]) if "unplug_at" in how else presented
        verdict = till.take_tap(charge, on_reader, reader)
        return verdict.state, card.step
    finally:
        reader.close()


def new_charge(shop: Shop) -> Charge:
    order = shop.orders.create(amount_minor=100)
    return Charge(order_id=order.id, amount_minor=100, currency="CNY")


def charges(shop: Shop, order_id: str) -> int:
    """How many purchases of this order stand in the books."""
    return sum(
        entry.kind == "purchase" and str(entry.status) in ("pending", "posted")
        for payment in shop.payments.of_order(order_id)
        for entry in shop.books.entries(rrn=payment.rrn)
    )


@pytest.mark.parametrize("fault", ["pull-before", "pull-after", "unplug"])
@pytest.mark.parametrize("name", PROFILES)
def test_torn_at_every_apdu(name: str, fault: str, shop: Shop, till: Till, record_property) -> None:  # type: ignore[no-untyped-def]
    usual, length = present(till, shop, name, new_charge(shop))
    outcomes: Counter[str] = Counter()
    for step in range(1, length + 1):
        charge = new_charge(shop)
        how = (
            {"unplug_at": step}
            if fault == "unplug"
            else {"pull_at": step, "pull_when": fault.removeprefix("pull-")}
        )
        state, _ = present(till, shop, name, charge, **how)
        assert state in NAMED, (step, state)
        assert state != "paid"
        assert charges(shop, charge.order_id) == 0
        assert shop.orders.get(charge.order_id).state == "open"
        outcomes[state] += 1
        again, _ = present(till, shop, name, charge)
        assert again == usual, (step, again)
        expected = 1 if usual == "paid" else 0
        assert charges(shop, charge.order_id) == expected
    record_property("outcomes", dict(outcomes))
    print(f"{name} {fault}: {length} APDUs, {dict(outcomes)}, then {usual}")


def test_the_books_balance_after_all_of_it(shop: Shop) -> None:
    for totals in shop.books.trial_balance().values():
        assert totals.debits_posted == totals.credits_posted
        assert totals.debits_pending == totals.credits_pending


def test_a_torn_tap_is_told_apart_from_another_card(shop: Shop, till: Till) -> None:
    charge = new_charge(shop)
    assert present(till, shop, "unionpay-debit", charge, pull_at=4)[0] == "retry"
    assert present(till, shop, "unionpay-credit", charge)[0] == "paid"
    assert charges(shop, charge.order_id) == 1


def test_the_home_holds_no_card_file_lock_afterwards(shop: Shop) -> None:
    for name in PROFILES:
        card = open_card(name, shop.config.home)
        card.power_on()
        card.power_off()
    assert Path(shop.config.home / "cards").is_dir()
