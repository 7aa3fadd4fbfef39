"""The till: the one loop that takes taps, whoever asks for them.

The till invites a tap, waits for a card on a reader, walks it through the terminal and shows the
verdict. Its `Cashier` decides what is charged, and what becomes of a card that was read: the
terminal process serves the counter's orders, a command or the comparison serves one sale.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from checkout.acceptance.nfc.authorization import Evidence
from checkout.acceptance.nfc.terminal import Terminal, evidence, purchase, walk
from checkout.shop.payments.pay_by_tap import TapPayments
from checkout.shop.payments.payments import Payment, PaymentRecords
from checkout.trace import Trace, steps_to_json
from devices.nfc.contract import Card, CardGone, Reader, ReaderGone, TransportError
from devices.nfc.emulated.air.timing_model import modelled_ms
from devices.nfc.kernel import Resume, TapResult, Transaction

Signal = Literal["success", "failure", "ready", "off"]

_IDLE_S = 0.1
_LOOK_S = 0.25
_LOOK_AGAIN_S = 0.05
_REOPEN_S = 1.0
_REMOVAL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What the next tap pays: an amount, and the order it is for ("" where nothing is sold)."""

    order_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """One card that has been read; `evidence` is None where the card must be presented again."""

    result: TapResult
    evidence: Evidence | None
    transaction: Transaction
    trace: Trace
    seen_at: datetime
    emulated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a tap came to: a word for the page, a sentence for the payer, light and sound.

    A sentence that `stands` stays on show until the next card, while the same order is open: it
    tells the payer what to do with that card. A `final` verdict ends the loop.
    """

    state: str
    message: str
    signal: Signal
    stands: bool = False
    final: bool = False


class Cashier(Protocol):
    """What the till asks of its caller. A class that derives from this one has the defaults."""

    def charge(self) -> Charge | None:
        """What the next tap pays; None while there is nothing to pay."""

    def settle(self, charge: Charge, tap: Tap) -> Verdict:
        """Decide what becomes of a card that has been read and released."""

    def idle(self) -> tuple[str, str]:
        """State and sentence while there is nothing to pay."""
        return "idle", "waiting for an amount"

    def place_card(self, reader: Reader) -> None:
        """Place a card on an emulated reader, if one is due; called before each look."""
        return

    def card_found(self, card: Card) -> tuple[Card, Trace]:
        """Called with the card that was found; the card to walk, and the trace for its steps."""
        return card, Trace()

    def remove_card(self, reader: Reader) -> None:
        """Take the card that was read off an emulated reader."""
        return

    def report(self, reader: Reader | None, state: str, message: str) -> None:
        """Show the reader's state; called at every look, also where nothing changed."""
        return


_TAP_HERE = Verdict(state="ready", message="tap here", signal="ready")
_TOO_SHORT = Verdict(
    state="retry",
    message="the card was taken away too soon: present it again",
    signal="failure",
    stands=True,
)


class Till:
    """Takes taps for one cashier, on one thread.

    With `card_within_s` the till serves one sale: it gives up where no card comes for so long, and
    on any fault of the reader; a card may be read a second time where it lies. Without, the till
    waits for ever, goes on after faults, and waits for the removal of each card. `fingerprint` is
    the keyed hash under which the shop knows a real card (see `evidence`).
    """

    def __init__(
        self,
        terminal: Terminal,
        cashier: Cashier,
        *,
        fingerprint: Callable[[str], int] | None = None,
        card_within_s: float | None = None,
    ) -> None:
        self._terminal = terminal
        self._cashier = cashier
        self._fingerprint = fingerprint
        self._card_within_s = card_within_s
        self._wait = _Wait(card_within_s)
        self._resume: Resume | None = None
        self._shown: tuple[str, str] | None = None
        self._invited: str | None = None  # the order whose invitation is on show
        self._standing: tuple[str, Verdict] | None = None

    def run(self, open_reader: Callable[[], Reader], stop: threading.Event) -> None:
        """Serve until `stop`; a reader that is missing or unplugged is opened again."""
        while not stop.is_set():
            try:
                reader = open_reader()
            except TransportError as error:
                self._cashier.report(None, "fault", str(error))
                stop.wait(_REOPEN_S)
                continue
            try:
                self.serve(reader, stop)
            except ReaderGone as error:
                self._cashier.report(None, "fault", str(error))
                stop.wait(_REOPEN_S / 2)
            finally:
                reader.close()

    def serve(self, reader: Reader, stop: threading.Event | None = None) -> None:
        """Take taps on an open reader until a verdict is final, or until `stop`.

        Raises ReaderGone. With `card_within_s` also TransportError: `no-card` where none came in
        time, CardGone where one came and could not be read, and what else the reader raises.
        """
        stop = stop or threading.Event()
        self._shown = self._invited = None
        self._wait = _Wait(self._card_within_s)
        while not stop.is_set():
            self._cashier.place_card(reader)
            charge = self._cashier.charge()
            if charge is None:
                state, message = self._cashier.idle()
                self._show(reader, Verdict(state=state, message=message, signal="off"))
                self._invited = None
                stop.wait(_IDLE_S)
                continue
            if self._invited != charge.order_id:
                self._invite(reader, charge)
            card = self._look(reader, charge, stop)
            if card is None:
                self._wait.check()
                continue
            verdict = self.take_tap(charge, card, reader)
            if verdict.final:
                return
            self._after_tap(reader, verdict, stop)

    def take_tap(self, charge: Charge, card: Card, reader: Reader) -> Verdict:
        """Read a card that was found, settle what it gave, and show the verdict."""
        self._shown = None
        self._cashier.report(reader, "reading", "hold the card still")
        tap = self._read(charge, card, reader)
        self._cashier.remove_card(reader)
        verdict = self._cashier.settle(charge, tap)
        self._show_for(reader, charge, verdict)
        return verdict

    def _read(self, charge: Charge, card: Card, reader: Reader) -> Tap:
        seen_at = self._terminal.clock()
        card, trace = self._cashier.card_found(card)
        transaction = purchase(self._terminal, charge.amount_minor, charge.currency)
        try:
            result = walk(
                self._terminal, card, transaction, reader=reader, trace=trace, resume=self._resume
            )
        finally:
            reader.release()
        self._resume = result.resume
        return Tap(
            result=result,
            evidence=evidence(result, self._fingerprint),
            transaction=transaction,
            trace=trace,
            seen_at=seen_at,
            emulated=reader.emulated,
        )

    def _look(self, reader: Reader, charge: Charge, stop: threading.Event) -> Card | None:
        try:
            card = reader.wait_for_card(self._wait.at_most(_LOOK_S))
        except ReaderGone:
            raise
        except CardGone as error:
            self._wait.error = error
            self._show_for(reader, charge, _TOO_SHORT)
            stop.wait(_LOOK_AGAIN_S)
            return None
        except TransportError as error:  # two cards, or one that is no payment card
            if self._card_within_s is not None:
                raise
            self._show(reader, Verdict(state="retry", message=str(error), signal="failure"))
            return None
        if card is None:
            self._invite(reader, charge)
        return card

    def _after_tap(self, reader: Reader, verdict: Verdict, stop: threading.Event) -> None:
        if self._card_within_s is None:
            # One presentation is one tap: the same card lying there must not pay the next order.
            while not stop.is_set() and not reader.wait_for_removal(_REMOVAL_S):
                self._cashier.report(reader, verdict.state, verdict.message)
        self._invited = None
        self._wait = _Wait(self._card_within_s)

    def _invite(self, reader: Reader, charge: Charge) -> None:
        """Show that a card may come; a standing sentence for this order stays on show instead."""
        self._invited = charge.order_id
        verdict = _TAP_HERE
        if self._standing is not None and self._standing[0] == charge.order_id:
            verdict = Verdict(state="ready", message=self._standing[1].message, signal="ready")
        self._show(reader, verdict)

    def _show_for(self, reader: Reader, charge: Charge, verdict: Verdict) -> None:
        self._standing = (charge.order_id, verdict) if verdict.stands else None
        self._show(reader, verdict)

    def _show(self, reader: Reader, verdict: Verdict) -> None:
        """Report the state always; signal it by light and sound once, however long it lasts."""
        if self._shown != (verdict.state, verdict.message):
            self._shown = verdict.state, verdict.message
            reader.signal(verdict.signal)
        self._cashier.report(reader, verdict.state, verdict.message)


class _Wait:
    """The time within which the next card must come; without `within_s` it never ends."""

    def __init__(self, within_s: float | None) -> None:
        self._until = None if within_s is None else time.monotonic() + within_s
        self.error = TransportError("no-card", f"no card was presented within {within_s or 0:g} s")

    def at_most(self, seconds: float) -> float:
        """`seconds`, or the time that is left where that is less."""
        if self._until is None:
            return seconds
        return max(0.0, min(seconds, self._until - time.monotonic()))

    def check(self) -> None:
        """Raise `error` where the time has run out."""
        if self._until is not None and time.monotonic() >= self._until:
            raise self.error


def read_card(
    terminal: Terminal, reader: Reader, *, amount_minor: int, currency: str, card_within_s: float
) -> Tap:
    """Have one card read for an amount, and charge nobody.

    Raises what `Till.serve` raises, and TransactionError for an amount that no card can be asked
    for.
    """
    purchase(terminal, amount_minor, currency)  # refuse an amount before a card is asked for
    cashier = _OneCard(Charge(order_id="", amount_minor=amount_minor, currency=currency))
    Till(terminal, cashier, card_within_s=card_within_s).serve(reader)
    assert cashier.tap is not None
    return cashier.tap


class _OneCard(Cashier):
    """Ends with the first card that was read, whatever it gave."""

    def __init__(self, charge: Charge) -> None:
        self._charge = charge
        self.tap: Tap | None = None

    def charge(self) -> Charge:
        return self._charge

    def settle(self, charge: Charge, tap: Tap) -> Verdict:
        self.tap = tap
        good = tap.evidence is not None and tap.evidence.decision != "declined"
        return Verdict(
            state="read",
            message=tap.result.reason,
            signal="success" if good else "failure",
            final=True,
        )


def pay_with_card(
    payments: TapPayments,
    charge: Charge,
    tap: Tap,
    *,
    payer: str | None,
    pin: str | None = None,
    hold_for_pin: bool = False,
) -> Payment:
    """Pay the order of a charge with a card that was read; `tap` has evidence.

    Where the card wants its PIN, `pin` is the one typed at once; with `hold_for_pin` the payment
    waits for the counter's pad instead. ShopError says why nothing was tried.
    """
    assert tap.evidence is not None
    asks_pin = tap.result.online_pin_required
    return payments.pay(
        charge.order_id,
        tap.evidence,
        emulated=tap.emulated,
        payer=payer,
        pin=pin if asks_pin else None,
        hold_for_pin=hold_for_pin and asks_pin,
        modelled_ms=_record_modelled_air(tap),
        seen_at=tap.seen_at,
        trace=tap.trace,
    )


def record_shown(payments: PaymentRecords, payment_id: str, trace: Trace, message: str) -> None:
    """Record that the terminal showed an approval to the payer: the payment's last step."""
    trace.record("terminal", "payer", f"shows: {message}", certain="payer")
    payments.update(payment_id, steps=steps_to_json(trace.steps()))


def _record_modelled_air(tap: Tap) -> float:
    """Record the air and chip time that an emulated tap did not take; returns its milliseconds."""
    if not tap.emulated or not tap.result.exchanges:
        return 0.0
    modelled = modelled_ms(tap.result.exchanges)
    tap.trace.record(
        "card",
        "terminal",
        "air and chip time of such a tap",
        took_ms=modelled.total_ms,
        at_ms=tap.trace.now_ms(),
        nature="modelled",
        detail=modelled.as_json(),
    )
    return modelled.total_ms
