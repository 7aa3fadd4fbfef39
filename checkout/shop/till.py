"""The till: one loop that takes taps for orders."""

from __future__ import annotations

import logging
import time

from sqlalchemy.exc import SQLAlchemyError

from checkout.acceptance.nfc import terminal as tap
from checkout.acceptance.nfc.tap_loop import Charge, Signal, Verdict
from checkout.database import one_line
from checkout.demo.emulated_reader import EmulatedReader
from checkout.demo.payers import payer_of_account
from checkout.errors import ShopError
from checkout.shop.orders.milestones import CARD_SEEN
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.shop.shop import Shop
from checkout.trace import Trace, steps_to_json
from devices.nfc.contract import Card, Reader
from devices.nfc.emulated import CardFileError, CardInUse, ProfileError
from devices.nfc.emulated.air.timing_model import modelled_ms
from devices.nfc.kernel import Cvm, Resume, TapResult

_STATUS_EVERY_S = 1.0


_PIN_WANTED = "pin", "the card has been read: type its PIN on the counter's page"


_OVER_LIMIT = "61"


_UNKNOWN = Verdict(
    state="unknown", message="no answer: the payment is being reversed", signal="failure"
)


_NOT_KEPT = "nothing was charged: the shop's database takes no payment now"


_log = logging.getLogger("checkout.terminal")


class ShopTill:
    """What the tap loop needs of the shop."""

    def __init__(self, shop: Shop, terminal: tap.Terminal) -> None:
        self._shop = shop
        self._terminal = terminal
        self._told: tuple[str, str, str] | None = None
        self._told_at = 0.0
        self._resume: Resume | None = None
        self._unshown: tuple[str, Trace] | None = None  # approved, its payer not told yet

    def charge(self) -> Charge | None:
        """The newest open order."""
        order = self._shop.orders.payable()
        if order is None:
            return None
        return Charge(order_id=order.id, amount_minor=order.amount_minor, currency=order.currency)

    def tapped(self, charge: Charge, card: Card, reader: Reader) -> Verdict:
        """Walk the card, then settle the order with what it gave."""
        seen_at, trace = self._shop.orders.clock(), Trace()
        result = tap.walk(
            self._terminal,
            card,
            tap.purchase(self._terminal, charge.amount_minor, charge.currency),
            reader=reader,
            trace=trace,
            resume=self._resume,
        )
        self._resume = result.resume
        evidence = tap.evidence(result, self._shop.seal.fingerprint)
        if evidence is None or evidence.decision == "declined":
            # No claim takes this moment along, and nobody's money waits for it.
            self._shop.moments.once(
                CARD_SEEN, charge.order_id, at=seen_at, emulated=reader.emulated
            )
        if evidence is None:
            return _instruction(result)
        try:
            payment = self._shop.payments.pay_by_tap(
                charge.order_id,
                evidence,
                emulated=reader.emulated,
                payer=payer_of_account(evidence.pan),
                hold_for_pin=result.online_pin_required,
                modelled_ms=modelled_air_ms(result, reader, trace),
                seen_at=seen_at,
                trace=trace,
            )
        except ShopError as error:
            if error.kind == "outcome-unknown":
                return _UNKNOWN
            return Verdict(state="refused", message=str(error), signal="failure")
        except SQLAlchemyError as error:
            # Nothing was asked of anybody: what follows the question is no such error.
            _log.error("a tap could not be taken: %s", one_line(error))
            return Verdict(state="refused", message=_NOT_KEPT, signal="failure")
        if payment.state is PaymentState.APPROVED:
            self._unshown = payment.id, trace
        return _verdict(payment, signed=result.cvm is Cvm.SIGNATURE)

    def rest(self) -> tuple[str, str]:
        """Waiting for an amount, or for the PIN of the last card."""
        if self._shop.payments.waiting.at("counter") is not None:
            return _PIN_WANTED
        return "idle", "waiting for an amount"

    def tell(self, reader: Reader | None, state: str, message: str) -> None:
        """Show the reader's state; said again each second, so that silence means it is gone."""
        name = "" if reader is None else reader.name
        now = time.monotonic()
        same = (name, state, message) == self._told and now - self._told_at < _STATUS_EVERY_S
        if same and self._unshown is None:
            return
        self._told, self._told_at = (name, state, message), now
        emulated = False if reader is None else reader.emulated
        try:
            self._shop.terminal.tell(name, state, message, emulated=emulated)
        except SQLAlchemyError as error:  # light and sound go on; the page hears it once it can
            _log.error("the reader's state %s could not be told: %s", state, one_line(error))
            self._told = None
        if self._unshown is not None and state == "paid":
            (payment_id, trace), self._unshown = self._unshown, None
            payer_told(self._shop, payment_id, trace, message)

    def between_taps(self, reader: Reader) -> None:
        """Lay the emulated card that someone asked for on an emulated reader."""
        if not isinstance(reader, EmulatedReader):
            return
        name = self._shop.terminal.next_card()
        if name is None:
            return
        try:
            reader.lay(name)
        except (ProfileError, CardInUse, CardFileError) as error:
            self.tell(reader, "retry", str(error))

    def after_tap(self, reader: Reader) -> None:
        """An emulated card is lifted as soon as it has been read."""
        if isinstance(reader, EmulatedReader):
            reader.take_away()


def modelled_air_ms(result: TapResult, reader: Reader, trace: Trace) -> float:
    """The air and card time that an emulated tap did not take; recorded as a modelled step."""
    if not reader.emulated or not result.exchanges:
        return 0.0
    modelled = modelled_ms(result.exchanges)
    trace.record(
        "card",
        "terminal",
        "air and chip time of such a tap",
        took_ms=modelled.total_ms,
        at_ms=trace.now_ms(),
        nature="modelled",
        detail=modelled.as_json(),
    )
    return modelled.total_ms


def payer_told(shop: Shop, payment_id: str, trace: Trace, message: str) -> None:
    """Light, sound or screen have said it: the last step of an approved tap's story."""
    trace.record("terminal", "payer", f"shows: {message}", certain="payer")
    shop.payments.records.update(payment_id, steps=steps_to_json(trace.steps()))


def _instruction(result: TapResult) -> Verdict:
    state, sentence = tap.instruction(result)
    # A second tap is no failure: the reader waits for it.
    signal: Signal = "ready" if state == "see-phone" else "failure"
    return Verdict(state=state, message=sentence, signal=signal, stands=True)


def _verdict(payment: Payment, *, signed: bool) -> Verdict:
    if payment.state is PaymentState.PENDING:
        return Verdict(state=_PIN_WANTED[0], message=_PIN_WANTED[1], signal="ready")
    if payment.state is PaymentState.APPROVED:
        offline = payment.response_code == "Y1"
        message = "paid: the card approved it offline" if offline else "paid"
        if signed:
            message = "paid: have the receipt signed"
        return Verdict(state="paid", message=message, signal="success")
    if payment.state is PaymentState.DECLINED:
        message = f"declined: {payment.response_text}"
        if payment.real_card and payment.response_code == _OVER_LIMIT:
            message = "declined: it needs a PIN, and a real card is never asked for its PIN here"
        return Verdict(state="declined", message=message, signal="failure")
    return _UNKNOWN
