"""The terminal's loop: watch the reader while an order is open, read a card, hand it to the till.

The loop owns the reader for as long as it runs and opens it again when it was unplugged. It knows
no order book: what to charge and what to do with a card that was read are the `Till`'s business.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from devices.nfc.contract import (
    Card,
    CardGone,
    Reader,
    ReaderGone,
    TransportError,
)

Signal = Literal["success", "failure", "ready", "off"]

_IDLE_S = 0.1
_SENSE_S = 0.25
_REOPEN_S = 1.0
_REMOVAL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """The open order that a tap would pay now."""

    order_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the till made of a card: a word for the page, a sentence for the payer.

    `stands` keeps the sentence on show until the next card, while the same order is open: it tells
    the payer what to do then.
    """

    state: str
    message: str
    signal: Signal
    stands: bool = False


class Till(Protocol):
    """What the loop needs of the shop."""

    def charge(self) -> Charge | None:
        """The order to be paid by the next tap."""

    def rest(self) -> tuple[str, str]:
        """State and sentence while there is none."""

    def tapped(self, charge: Charge, card: Card, reader: Reader) -> Verdict:
        """Walk the card and settle the order; TransportError when the reader failed."""

    def tell(self, reader: Reader | None, state: str, message: str) -> None:
        """Show the reader's state."""

    def between_taps(self, reader: Reader) -> None:
        """Called a few times a second while nothing is being read."""

    def after_tap(self, reader: Reader) -> None:
        """Called once a card has been read and released."""


_TAP_HERE = Verdict(state="ready", message="tap here", signal="ready")
_TOO_SHORT = Verdict(
    state="retry",
    message="the card was taken away too soon: present it again",
    signal="failure",
    stands=True,
)


class TapLoop:
    """One reader, one thread, until `stop`."""

    def __init__(self, open_reader: Callable[[], Reader], till: Till) -> None:
        self._open_reader = open_reader
        self._till = till
        self._shown: tuple[str, str] | None = None
        self._invited: str | None = None  # the order whose invitation is on show
        self._standing: tuple[str, Verdict] | None = None

    def run(self, stop: threading.Event) -> None:
        """Serve taps; a reader that is missing or unplugged is tried again each second."""
        while not stop.is_set():
            try:
                reader = self._open_reader()
            except TransportError as error:
                self._till.tell(None, "fault", str(error))
                stop.wait(_REOPEN_S)
                continue
            self._shown = self._invited = None
            try:
                self._serve(reader, stop)
            except ReaderGone as error:
                self._till.tell(None, "fault", str(error))
                stop.wait(_REOPEN_S / 2)
            finally:
                reader.close()

    def _serve(self, reader: Reader, stop: threading.Event) -> None:
        while not stop.is_set():
            self._till.between_taps(reader)
            charge = self._till.charge()
            if charge is None:
                state, message = self._till.rest()
                self._show(reader, Verdict(state=state, message=message, signal="off"))
                self._invited = None
                stop.wait(_IDLE_S)
                continue
            if self._invited != charge.order_id:
                self._invite(reader, charge)
            try:
                card = reader.wait_for_card(_SENSE_S)
            except ReaderGone:
                raise
            except CardGone:
                self._say(reader, charge, _TOO_SHORT)
                continue
            except TransportError as error:  # two cards, or one that is no payment card
                self._show(reader, Verdict(state="retry", message=str(error), signal="failure"))
                continue
            if card is None:
                self._invite(reader, charge)
            else:
                self._take(reader, card, charge, stop)

    def _take(self, reader: Reader, card: Card, charge: Charge, stop: threading.Event) -> None:
        self._shown = None
        self._till.tell(reader, "reading", "hold the card still")
        try:
            verdict = self._till.tapped(charge, card, reader)
        finally:
            reader.release()
        self._till.after_tap(reader)
        self._say(reader, charge, verdict)
        # One presentation is one tap: the same card lying there must not pay the next order.
        while not stop.is_set() and not reader.wait_for_removal(_REMOVAL_S):
            self._till.tell(reader, verdict.state, verdict.message)
        self._invited = None

    def _invite(self, reader: Reader, charge: Charge) -> None:
        """Ready for a card; what the last one was told for this order stands until it comes."""
        self._invited = charge.order_id
        verdict = _TAP_HERE
        if self._standing is not None and self._standing[0] == charge.order_id:
            verdict = Verdict(state="ready", message=self._standing[1].message, signal="ready")
        self._show(reader, verdict)

    def _say(self, reader: Reader, charge: Charge, verdict: Verdict) -> None:
        self._standing = (charge.order_id, verdict) if verdict.stands else None
        self._show(reader, verdict)

    def _show(self, reader: Reader, verdict: Verdict) -> None:
        """On the page always; by light and sound once, however long the state lasts."""
        if self._shown != (verdict.state, verdict.message):
            self._shown = verdict.state, verdict.message
            reader.signal(verdict.signal)
        self._till.tell(reader, verdict.state, verdict.message)
