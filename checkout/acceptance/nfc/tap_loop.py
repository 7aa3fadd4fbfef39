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
    """What the till made of a card: a word for the page, a sentence for the payer."""

    state: str
    message: str
    signal: Signal


class Till(Protocol):
    """What the loop needs of the shop."""

    def charge(self) -> Charge | None:
        """The order to be paid by the next tap."""

    def tapped(self, charge: Charge, card: Card, reader: Reader) -> Verdict:
        """Walk the card and settle the order; TransportError when the reader failed."""

    def tell(self, reader: Reader | None, state: str, message: str) -> None:
        """Show the reader's state."""

    def between_taps(self, reader: Reader) -> None:
        """Called a few times a second while nothing is being read."""

    def after_tap(self, reader: Reader) -> None:
        """Called once a card has been read and released."""


class TapLoop:
    """One reader, one thread, until `stop`."""

    def __init__(self, open_reader: Callable[[], Reader], till: Till) -> None:
        self._open_reader = open_reader
        self._till = till

    def run(self, stop: threading.Event) -> None:
        """Serve taps; a reader that is missing or unplugged is tried again each second."""
        while not stop.is_set():
            try:
                reader = self._open_reader()
            except TransportError as error:
                self._till.tell(None, "fault", str(error))
                stop.wait(_REOPEN_S)
                continue
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
                self._till.tell(reader, "idle", "waiting for an amount")
                stop.wait(_IDLE_S)
                continue
            self._till.tell(reader, "ready", "tap here")
            try:
                card = reader.wait_for_card(_SENSE_S)
            except ReaderGone:
                raise
            except TransportError as error:  # two cards, one that was lost, one that cannot pay
                self._show(reader, Verdict(state="retry", message=str(error), signal="failure"))
                continue
            if card is not None:
                self._take(reader, card, charge, stop)

    def _take(self, reader: Reader, card: Card, charge: Charge, stop: threading.Event) -> None:
        self._till.tell(reader, "reading", "hold the card still")
        try:
            verdict = self._till.tapped(charge, card, reader)
        finally:
            reader.release()
        self._till.after_tap(reader)
        self._show(reader, verdict)
        # One presentation is one tap: the same card lying there must not pay the next order.
        while not stop.is_set() and not reader.wait_for_removal(_REMOVAL_S):
            self._till.tell(reader, verdict.state, verdict.message)

    def _show(self, reader: Reader, verdict: Verdict) -> None:
        reader.signal(verdict.signal)
        self._till.tell(reader, verdict.state, verdict.message)
