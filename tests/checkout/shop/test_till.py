"""The till: the messages and lights that the payer sees, and when."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import checkout
from checkout.acceptance.nfc.terminal import Terminal, load
from checkout.shop.till import Cashier, Charge, Tap, Till, Verdict
from devices.nfc.contract import (
    Card,
    CardDescription,
    CardGone,
    Reader,
    ReaderGone,
    SeveralCards,
    TransportError,
)


class Plastic:
    description = CardDescription(technology="A", uid=b"\x01\x02\x03\x04")

    def transceive(self, command: bytes) -> bytes:
        return b"\x90\x00"


@dataclass
class ScriptedReader:
    """A reader on which one thing after another happens; then `stop` is set."""

    script: list[object]
    stop: threading.Event
    lies_there: int = 0  # how often the field is found occupied after a tap
    signals: list[str] = field(default_factory=list)
    closed: int = 0
    name = path = "scripted"
    emulated = False

    def wait_for_card(self, timeout_s: float) -> Card | None:
        if not self.script:
            self.stop.set()
            return None
        happening = self.script.pop(0)
        if isinstance(happening, Exception):
            raise happening
        return happening  # type: ignore[return-value]

    def release(self) -> None:
        return

    def wait_for_removal(self, timeout_s: float) -> bool:
        self.lies_there -= 1
        return self.lies_there < 0

    def signal(self, result: str) -> None:
        self.signals.append(result)

    def close(self) -> None:
        self.closed += 1


@dataclass
class ScriptedCashier(Cashier):
    """Orders and verdicts in the order in which they are asked for."""

    verdicts: list[Verdict]
    charges: Callable[[], Charge | None]
    shown: list[tuple[str, str]] = field(default_factory=list)
    tapped_for: list[str] = field(default_factory=list)

    def charge(self) -> Charge | None:
        return self.charges()

    def settle(self, charge: Charge, tap: Tap) -> Verdict:
        self.tapped_for.append(charge.order_id)
        return self.verdicts.pop(0)

    def report(self, reader: Reader | None, state: str, message: str) -> None:
        if not self.shown or self.shown[-1] != (state, message):
            self.shown.append((state, message))


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    return load(tmp_path_factory.mktemp("home"), clock=lambda: datetime.now(UTC))


TEA = Charge(order_id="tea", amount_minor=1280, currency="CNY")
AGAIN = Verdict(state="retry", message="present it again", signal="failure", stands=True)
PHONE = Verdict(state="see-phone", message="look at the phone", signal="ready", stands=True)
PAID = Verdict(state="paid", message="paid", signal="success")
CARD, NOTHING = Plastic(), None


Run = Callable[..., tuple[ScriptedReader, ScriptedCashier]]


@pytest.fixture
def run(terminal: Terminal) -> Run:
    def run(script, verdicts, charges=None, **more):  # type: ignore[no-untyped-def]
        stop = threading.Event()
        reader = ScriptedReader(script, stop, **more)
        cashier = ScriptedCashier(verdicts, charges or (lambda: TEA))
        Till(terminal, cashier).run(lambda: reader, stop)
        return reader, cashier

    return run


def test_what_to_do_next_stands_until_the_next_card(run: Run) -> None:
    _, cashier = run([CARD, NOTHING, NOTHING, CARD, NOTHING], [AGAIN, PAID])
    assert cashier.shown == [
        ("ready", "tap here"),
        ("reading", "hold the card still"),
        ("retry", "present it again"),
        ("ready", "present it again"),
        ("reading", "hold the card still"),
        ("paid", "paid"),
        ("ready", "tap here"),
    ]


def test_it_does_not_stand_on_another_order(run: Run) -> None:
    other = Charge(order_id="cake", amount_minor=500, currency="CNY")
    orders = iter([TEA] * 2 + [other] * 3)
    _, cashier = run([CARD, NOTHING, NOTHING], [AGAIN], charges=lambda: next(orders, other))
    assert cashier.shown[-1] == ("ready", "tap here")


def test_lights_tell_ready_failure_success_and_a_second_tap_apart(run: Run) -> None:
    reader, _ = run([CARD, NOTHING, CARD, NOTHING, CARD, NOTHING], [AGAIN, PHONE, PAID])
    assert reader.signals == [
        *("ready", "failure", "ready"),
        *("ready", "ready"),  # see phone, and ready for the phone
        *("success", "ready"),
    ]


def test_two_cards_that_stay_there_sound_once(run: Run) -> None:
    reader, cashier = run([SeveralCards(), SeveralCards(), SeveralCards(), NOTHING, NOTHING], [])
    assert reader.signals == ["ready", "failure", "ready"]
    assert [state for state, _ in cashier.shown] == ["ready", "retry", "ready"]
    assert "one only" in cashier.shown[1][1]
    assert cashier.shown[2] == ("ready", "tap here")


def test_a_card_that_came_and_went_is_asked_back(run: Run) -> None:
    _, cashier = run([CardGone(), NOTHING, CARD], [PAID])
    assert [message for _, message in cashier.shown[:3]] == [
        "tap here",
        *["the card was taken away too soon: present it again"] * 2,
    ]


def test_a_card_that_stays_does_not_pay_the_next_order(run: Run) -> None:
    other = Charge(order_id="cake", amount_minor=500, currency="CNY")
    orders = iter([TEA])
    _, cashier = run([CARD, NOTHING], [PAID], charges=lambda: next(orders, other), lies_there=3)
    assert cashier.tapped_for == ["tea"]


def test_light_goes_out_when_there_is_nothing_to_pay(run: Run) -> None:
    orders = iter([TEA, None, None])
    reader, cashier = run([NOTHING, NOTHING], [], charges=lambda: next(orders, TEA))
    assert reader.signals == ["ready", "off", "ready"]
    assert ("idle", "waiting for an amount") in cashier.shown


@pytest.mark.parametrize("fault", [ReaderGone(), ReaderGone("it was unplugged")])
def test_an_unplugged_reader_is_reported_closed_and_opened_again(
    fault: TransportError, terminal: Terminal
) -> None:
    stop = threading.Event()
    gone = ScriptedReader([fault], stop)
    back = ScriptedReader([CARD, NOTHING], stop)
    readers = iter([gone, back])
    cashier = ScriptedCashier([PAID], lambda: TEA)
    Till(terminal, cashier).run(lambda: next(readers), stop)
    assert ("fault", str(fault)) in cashier.shown
    assert gone.closed == back.closed == 1
    assert cashier.tapped_for == ["tea"]


SOLD = replace(PAID, final=True)


@pytest.fixture
def one_sale(terminal: Terminal) -> Run:
    """A till that serves one sale on a reader that is open already."""

    def serve(script, verdicts, *, card_within_s=5.0, **more):  # type: ignore[no-untyped-def]
        reader = ScriptedReader(script, threading.Event(), **more)
        cashier = ScriptedCashier(verdicts, lambda: TEA)
        Till(terminal, cashier, card_within_s=card_within_s).serve(reader)
        return reader, cashier

    return serve


def test_one_sale_ends_with_a_final_verdict_and_leaves_the_reader_open(one_sale: Run) -> None:
    reader, cashier = one_sale([NOTHING, CARD, CARD], [SOLD], lies_there=9)
    assert cashier.shown[-1] == ("paid", "paid")
    assert reader.signals == ["ready", "success"]
    assert (cashier.tapped_for, len(reader.script), reader.closed) == (["tea"], 1, 0)


def test_one_sale_tries_a_card_again_where_it_lies(one_sale: Run) -> None:
    reader, cashier = one_sale([CARD, CARD], [AGAIN, SOLD], lies_there=9)
    assert cashier.tapped_for == ["tea", "tea"]
    assert reader.lies_there == 9  # nobody waited for it to be taken away


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([], "no-card"),
        ([CardGone()], "card-gone"),  # what came and went is looked for until the time is up
        ([NOTHING, SeveralCards(), CARD], "several-cards"),
        ([ReaderGone(), CARD], "reader-gone"),
    ],
)
def test_one_sale_ends_with_the_fault_that_stops_it(
    script: list[object], reason: str, one_sale: Run
) -> None:
    with pytest.raises(TransportError) as fault:
        one_sale(script, [SOLD], card_within_s=0.2)
    assert fault.value.reason == reason


def test_a_card_that_came_and_went_is_looked_for_again(one_sale: Run) -> None:
    _, cashier = one_sale([CardGone(), NOTHING, CardGone(), CARD], [SOLD])
    assert cashier.tapped_for == ["tea"]


def test_nothing_else_waits_for_cards_or_walks_them() -> None:
    """There is one tap loop; an emulated reader only passes the question on."""
    package = Path(checkout.__file__).parent
    sources = {str(path.relative_to(package)): path.read_text() for path in package.rglob("*.py")}
    waiting = {name for name, source in sources.items() if ".wait_for_card(" in source}
    assert waiting == {"shop/till.py", "demo/emulated_reader.py"}
    walking = {name for name, source in sources.items() if re.search(r"\bwalk\(", source)}
    assert walking == {"shop/till.py", "acceptance/nfc/terminal.py"}
