"""The tap loop: what the payer is told and shown by light, and when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from checkout.acceptance.nfc.tap_loop import Charge, TapLoop, Verdict
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
class ScriptedTill:
    """Orders and verdicts in the order in which they are asked for."""

    verdicts: list[Verdict]
    charges: Callable[[], Charge | None]
    told: list[tuple[str, str]] = field(default_factory=list)
    tapped_for: list[str] = field(default_factory=list)

    def charge(self) -> Charge | None:
        return self.charges()

    def rest(self) -> tuple[str, str]:
        return "idle", "waiting for an amount"

    def tapped(self, charge: Charge, card: Card, reader: Reader) -> Verdict:
        self.tapped_for.append(charge.order_id)
        return self.verdicts.pop(0)

    def tell(self, reader: Reader | None, state: str, message: str) -> None:
        if not self.told or self.told[-1] != (state, message):
            self.told.append((state, message))

    def between_taps(self, reader: Reader) -> None:
        return

    def after_tap(self, reader: Reader) -> None:
        return


TEA = Charge(order_id="tea", amount_minor=1280, currency="CNY")
AGAIN = Verdict(state="retry", message="present it again", signal="failure", stands=True)
PHONE = Verdict(state="see-phone", message="look at the phone", signal="ready", stands=True)
PAID = Verdict(state="paid", message="paid", signal="success")
CARD, NOTHING = Plastic(), None


def run(script: list[object], verdicts: list[Verdict], charges=None, **more):  # type: ignore[no-untyped-def]
    stop = threading.Event()
    reader = ScriptedReader(script, stop, **more)
    till = ScriptedTill(verdicts, charges or (lambda: TEA))
    TapLoop(lambda: reader, till).run(stop)
    return reader, till


def test_what_to_do_next_stands_until_the_next_card() -> None:
    _, till = run([CARD, NOTHING, NOTHING, CARD, NOTHING], [AGAIN, PAID])
    assert till.told == [
        ("ready", "tap here"),
        ("reading", "hold the card still"),
        ("retry", "present it again"),
        ("ready", "present it again"),
        ("reading", "hold the card still"),
        ("paid", "paid"),
        ("ready", "tap here"),
    ]


def test_it_does_not_stand_on_another_order() -> None:
    other = Charge(order_id="cake", amount_minor=500, currency="CNY")
    orders = iter([TEA] * 2 + [other] * 3)
    _, till = run([CARD, NOTHING, NOTHING], [AGAIN], charges=lambda: next(orders, other))
    assert till.told[-1] == ("ready", "tap here")


def test_lights_tell_ready_failure_success_and_a_second_tap_apart() -> None:
    reader, _ = run([CARD, NOTHING, CARD, NOTHING, CARD, NOTHING], [AGAIN, PHONE, PAID])
    assert reader.signals == [
        *("ready", "failure", "ready"),
        *("ready", "ready"),  # see phone, and ready for the phone
        *("success", "ready"),
    ]


def test_two_cards_that_stay_there_sound_once() -> None:
    reader, till = run([SeveralCards(), SeveralCards(), SeveralCards(), NOTHING, NOTHING], [])
    assert reader.signals == ["ready", "failure", "ready"]
    assert [state for state, _ in till.told] == ["ready", "retry", "ready"]
    assert "one only" in till.told[1][1]
    assert till.told[2] == ("ready", "tap here")


def test_a_card_that_came_and_went_is_asked_back() -> None:
    _, till = run([CardGone(), NOTHING, CARD], [PAID])
    assert [message for _, message in till.told[:3]] == [
        "tap here",
        *["the card was taken away too soon: present it again"] * 2,
    ]


def test_a_card_that_stays_does_not_pay_the_next_order() -> None:
    other = Charge(order_id="cake", amount_minor=500, currency="CNY")
    orders = iter([TEA])
    _, till = run([CARD, NOTHING], [PAID], charges=lambda: next(orders, other), lies_there=3)
    assert till.tapped_for == ["tea"]


def test_light_goes_out_when_there_is_nothing_to_pay() -> None:
    orders = iter([TEA, None, None])
    reader, till = run([NOTHING, NOTHING], [], charges=lambda: next(orders, TEA))
    assert reader.signals == ["ready", "off", "ready"]
    assert ("idle", "waiting for an amount") in till.told


@pytest.mark.parametrize("fault", [ReaderGone(), ReaderGone("it was unplugged")])
def test_an_unplugged_reader_is_told_closed_and_opened_again(fault: TransportError) -> None:
    stop = threading.Event()
    gone = ScriptedReader([fault], stop)
    back = ScriptedReader([CARD, NOTHING], stop)
    readers = iter([gone, back])
    till = ScriptedTill([PAID], lambda: TEA)
    TapLoop(lambda: next(readers), till).run(stop)
    assert ("fault", str(fault)) in till.told
    assert gone.closed == back.closed == 1
    assert till.tapped_for == ["tea"]
