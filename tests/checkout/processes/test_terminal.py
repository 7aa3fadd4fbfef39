"""The terminal process as `checkout serve` runs it: the message and the money of each card."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from checkout.clearing.hsm.keystore import KeyStore
from checkout.config import Config
from checkout.demo.payers import DEMO_PIN, DemoPayers
from checkout.processes.supervisor import Supervisor
from checkout.processes.terminal import counter_till
from checkout.shop.orders.events import Event
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.shop.shop import Shop
from checkout.shop.till import Verdict
from devices.nfc.emulated import (
    Behaviour,
    CardProfile,
    ensure_authority,
    load_profile,
    personalise,
)
from devices.nfc.emulated.profile import OfflineLimits
from devices.nfc.transcript import TranscriptReader

LARGE = 150_000
TORN = Verdict(state="retry", message="again", signal="failure", stands=True)
CONTACTLESS_LIMIT = 400_000
BETWEEN = frozenset({"idle", "ready", "reading", "none"})


def own_card(home: Path, name: str, base: str, **changes: object) -> None:
    """A card like one of the demo's, but for some habits."""
    profile: CardProfile = replace(load_profile(base), name=name, **changes)  # type: ignore[arg-type]
    ensure_authority(home)
    key = KeyStore(home).card_key(profile.pan, profile.pan_sequence)
    personalise(profile, card_key=key, home=home)


class Terminal:
    """The switch and the terminal as processes; this process plays the web workers' part."""

    def __init__(self, home: Path) -> None:
        self.shop = Shop.open(Config(home=home, reader="emulated"), payers=DemoPayers())
        self.supervisor = Supervisor(self.shop.config, roles=("switch", "terminal"))
        up = threading.Event()
        self._thread = threading.Thread(
            target=self.supervisor.run, kwargs={"on_ready": up.set}, daemon=True
        )
        self._thread.start()
        assert up.wait(60)
        self._said: list[tuple[str, str]] = []
        self.subscription = self.shop.feed.subscribe()
        threading.Thread(target=self._listen, daemon=True).start()
        self.until(lambda: self.shop.reader.status().emulated)

    def _listen(self) -> None:
        for event in self.subscription:
            if isinstance(event, Event) and event.kind == "reader-state":
                self._said.append((event.payload["state"], event.payload["message"]))

    def until(self, condition, within_s: float = 20.0):  # type: ignore[no-untyped-def]
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.01)
        raise AssertionError(f"it did not come about; the reader said {self._said[-8:]}")

    def order(self, amount_minor: int = 1280) -> Order:
        order = self.shop.orders.create(amount_minor=amount_minor)
        self.until(lambda: self.shop.reader.status().state == "ready")
        return order

    def tap(self, name: str) -> tuple[str, str]:
        """Lay a card on the reader; the word and the sentence that it comes to."""
        before = len(self._said)
        self.shop.reader.request_card(name)
        return self.until(
            lambda: next((s for s in self._said[before:] if s[0] not in BETWEEN), None)
        )

    def standing(self) -> str:
        """What the counter shows once the card is gone and the reader is ready again."""
        status = self.until(
            lambda: s if (s := self.shop.reader.status()).state == "ready" else None
        )
        return str(status.message)

    def payments(self, order: Order) -> list[Payment]:
        return list(self.shop.payments.of_order(order.id))

    def charged(self) -> int:
        sales = ("purchase", "offline-advice")
        return sum(
            entry.amount_minor
            for entry in self.shop.books.entries(limit=1000)
            if entry.kind in sales and str(entry.status) in ("pending", "posted")
        )

    def end(self) -> None:
        self.supervisor.stop()
        self._thread.join(10)
        self.shop.close()


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    home = tmp_path_factory.mktemp("terminal") / "home"
    asking = load_profile("hce-phone").phone
    assert asking is not None
    own_card(home, "asking-phone", "hce-phone", phone=replace(asking, confirms="when-asked"))
    once = Behaviour(pull_at=3, pull_when="after", pull_presentations=1)
    own_card(home, "torn-once", "pulled-away", behaviour=once)
    purse = OfflineLimits(single_minor=20_000, cumulative_minor=50_000)
    own_card(home, "purse", "unionpay-debit", aid="A000000333010106", offline=purse)
    china = resources.files("devices.nfc.kernel").joinpath("terminal_china.toml").read_text("utf-8")
    changed = china.replace(
        "from = 2018-06-01\ncvm", f"from = 2018-06-01\ncontactless = {CONTACTLESS_LIMIT}\ncvm"
    )
    assert changed != china
    (home / "terminal.toml").write_text(changed, encoding="utf-8")
    running = Terminal(home)
    yield running
    running.end()


@pytest.fixture(autouse=True)
def settled(terminal: Terminal) -> Iterator[None]:
    """Each test leaves no open order behind for the next one's card."""
    yield
    for order in terminal.shop.orders.recent(5):
        wait = terminal.shop.pin_entry.of_order(order.id)
        if wait is not None:
            terminal.shop.pin_entry.cancel(wait.payment_id)
        if terminal.shop.orders.get(order.id).state is OrderState.OPEN:
            terminal.shop.orders.cancel(order.id)


@pytest.mark.parametrize("name", ["unionpay-debit", "slow", "type-b", "visa-abroad"])
def test_a_good_card_pays_once(terminal: Terminal, name: str) -> None:
    before = terminal.charged()
    order = terminal.order()
    assert terminal.tap(name) == ("paid", "paid")
    assert terminal.shop.orders.get(order.id).state is OrderState.PAID
    assert [each.state for each in terminal.payments(order)] == [PaymentState.APPROVED]
    assert terminal.charged() - before == order.amount_minor


def test_a_large_amount_waits_for_the_pin_typed_at_the_counter(terminal: Terminal) -> None:
    before = terminal.charged()
    order = terminal.order(LARGE)
    state, sentence = terminal.tap("unionpay-debit")
    assert state == "pin"
    assert "type its PIN" in sentence
    assert terminal.charged() == before
    (payment,) = terminal.payments(order)
    assert payment.state is PaymentState.PENDING
    paid = terminal.shop.pin_entry.enter_pin(payment.id, DEMO_PIN)
    assert paid.state is PaymentState.APPROVED
    assert paid.modelled_ms > 0  # the card's part of the story went along
    assert terminal.charged() - before == LARGE
    terminal.until(lambda: terminal.shop.reader.status().state == "idle")


def test_a_signature_is_asked_for_where_the_card_wants_one(terminal: Terminal) -> None:
    terminal.order(LARGE)
    assert terminal.tap("unionpay-credit") == ("paid", "paid: have the receipt signed")


def test_the_pin_may_come_after_the_terminal_died(terminal: Terminal) -> None:
    before = terminal.charged()
    order = terminal.order(LARGE)
    assert terminal.tap("unionpay-debit")[0] == "pin"
    pid = terminal.supervisor.pids()["terminal"]
    os.kill(pid, signal.SIGKILL)
    (payment,) = terminal.payments(order)
    terminal.until(lambda: terminal.supervisor.pids().get("terminal", pid) != pid)
    paid = terminal.shop.pin_entry.enter_pin(payment.id, DEMO_PIN)
    assert paid.state is PaymentState.APPROVED
    assert terminal.charged() - before == LARGE


def test_a_phone_that_must_be_unlocked_is_tapped_twice_and_charged_once(
    terminal: Terminal,
) -> None:
    before = terminal.charged()
    order = terminal.order(LARGE)
    assert terminal.tap("asking-phone") == ("see-phone", "verify on the phone, then tap it again")
    assert terminal.standing() == "verify on the phone, then tap it again"
    assert terminal.payments(order) == []
    assert terminal.tap("asking-phone") == ("paid", "paid")
    assert terminal.charged() - before == LARGE


def test_a_torn_tap_is_told_until_the_same_card_is_back(terminal: Terminal) -> None:
    before = terminal.charged()
    order = terminal.order()
    assert terminal.tap("torn-once") == ("retry", "present the same card again")
    assert terminal.standing() == "present the same card again"
    assert terminal.payments(order) == []
    assert terminal.charged() == before
    assert terminal.tap("torn-once") == ("paid", "paid")
    assert terminal.charged() - before == order.amount_minor


def test_a_card_that_is_always_pulled_away_never_pays_and_another_does(
    terminal: Terminal,
) -> None:
    before = terminal.charged()
    order = terminal.order()
    for _ in range(2):
        assert terminal.tap("pulled-away") == ("retry", "present the same card again")
        terminal.standing()
    assert terminal.charged() == before
    assert terminal.tap("unionpay-debit") == ("paid", "paid")
    assert terminal.charged() - before == order.amount_minor


def test_what_the_last_order_was_told_does_not_stand_on_the_next(terminal: Terminal) -> None:
    first = terminal.order()
    terminal.tap("pulled-away")
    assert terminal.standing() == "present the same card again"
    terminal.shop.orders.cancel(first.id)
    terminal.until(lambda: terminal.shop.reader.status().state == "idle")
    terminal.order()
    assert terminal.standing() == "tap here"


def test_a_blocked_card_is_told_apart_and_the_next_tap_works(terminal: Terminal) -> None:
    before = terminal.charged()
    order = terminal.order()
    state, sentence = terminal.tap("blocked")
    assert state == "retry"
    assert "another" in sentence
    terminal.standing()
    assert terminal.payments(order) == []
    assert terminal.tap("unionpay-debit") == ("paid", "paid")
    assert terminal.charged() - before == order.amount_minor


def test_a_forged_card_is_declined_by_the_terminal(terminal: Terminal) -> None:
    before = terminal.charged()
    order = terminal.order()
    state, sentence = terminal.tap("tampered-certificate")
    assert state == "declined"
    assert "offline" in sentence
    assert [each.response_code for each in terminal.payments(order)] == ["Z1"]
    assert terminal.charged() == before
    assert terminal.standing() == "tap here"
    assert terminal.tap("unionpay-debit") == ("paid", "paid")


def test_an_offline_approval_is_paid_at_once_and_advised(terminal: Terminal) -> None:
    before = terminal.charged()
    order = terminal.order()
    assert terminal.tap("purse") == ("paid", "paid: the card approved it offline")
    (payment,) = terminal.payments(order)
    assert (payment.state, payment.response_code) == (PaymentState.APPROVED, "Y1")
    terminal.until(lambda: terminal.charged() - before == order.amount_minor)
    assert terminal.shop.orders.get(order.id).state is OrderState.PAID


def test_over_the_contactless_limit_the_card_is_sent_to_another_interface(
    terminal: Terminal,
) -> None:
    order = terminal.order(CONTACTLESS_LIMIT + 1)  # over it for every kernel
    state, sentence = terminal.tap("unionpay-debit")
    assert state == "retry"
    assert "inserted or swiped" in sentence
    assert "inserted or swiped" in terminal.standing()
    assert terminal.payments(order) == []


def test_a_card_that_nobody_made_is_said_to_be_none(terminal: Terminal) -> None:
    terminal.order()
    state, sentence = terminal.tap("no-such-card")
    assert state == "retry"
    assert "no-such-card" in sentence


def test_the_books_balance_after_all_of_it(terminal: Terminal) -> None:
    for totals in terminal.shop.books.trial_balance().values():
        assert totals.debits_posted == totals.credits_posted
        assert totals.debits_pending == totals.credits_pending


def test_the_first_cards_of_a_new_home_are_authenticated_at_once(tmp_path: Path) -> None:
    first_run = Terminal(tmp_path / "home")
    try:
        for name in ("tampered-certificate", "altered-data"):
            order = first_run.order()
            assert first_run.tap(name)[0] == "declined", name
            assert first_run.shop.orders.get(order.id).state is OrderState.OPEN
            first_run.shop.orders.cancel(order.id)
        assert first_run.charged() == 0
        order = first_run.order()
        assert first_run.tap("mastercard-abroad") == ("paid", "paid")
        assert first_run.charged() == order.amount_minor
    finally:
        first_run.end()


def test_a_recorded_card_is_tapped_once_for_each_order(tmp_path: Path) -> None:
    file = tmp_path / "torn.apdu"
    file.write_text("> 00A404000E325041592E5359532E444446303100\n<\n", "utf-8")
    shop = Shop.open(Config(home=tmp_path / "home"), payers=DemoPayers())
    stop = threading.Event()
    reader = TranscriptReader.open(file)
    till = counter_till(shop)
    taps = []
    till.take_tap = lambda charge, *_: taps.append(charge.order_id) or TORN  # type: ignore[method-assign,assignment,func-returns-value]
    serving = threading.Thread(target=till.run, args=(lambda: reader, stop))
    serving.start()
    try:
        orders = []
        for _ in range(2):
            orders.append(shop.orders.create(amount_minor=1280).id)
            time.sleep(1.0)
        assert taps == orders
    finally:
        stop.set()
        serving.join(5)
        shop.close()
