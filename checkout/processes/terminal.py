"""The terminal process: it takes taps for the counter, does housekeeping and sends webhooks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from checkout.acceptance.nfc.terminal import instruction, load
from checkout.config import Config
from checkout.database import one_line
from checkout.demo.emulated_reader import EmulatedReader, choose_reader
from checkout.demo.payers import DemoPayers, prepare_home
from checkout.demo.provisioning import shared_service
from checkout.errors import ShopError
from checkout.shop.orders.milestones import CARD_SEEN
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.shop.shop import Shop
from checkout.shop.till import (
    Cashier,
    Charge,
    Signal,
    Tap,
    Till,
    Verdict,
    pay_with_card,
    record_shown,
)
from checkout.shop.webhooks.worker import run_delivery_worker
from checkout.trace import Trace
from devices.nfc.contract import Reader
from devices.nfc.emulated import CardFileError, CardInUse, ProfileError
from devices.nfc.kernel import Cvm
from devices.nfc.transcript import TranscriptReader

_HOUSEKEEPING_S = 0.5
_STATUS_EVERY_S = 1.0
_OVER_LIMIT = "61"

_PIN_WANTED = "pin", "the card has been read: type its PIN on the counter's page"
_UNKNOWN = Verdict(
    state="unknown", message="no answer: the payment is being reversed", signal="failure"
)
_NOT_STORED = "nothing was charged: the shop's database takes no payment now"

_log = logging.getLogger("checkout.terminal")


def run(config: Config, stop: threading.Event, *, ready: Callable[[], None]) -> None:
    """Own the reader until `stop`; housekeeping and webhooks run in a thread each."""
    prepare_home(config.home)
    shop = Shop.open(config, payers=DemoPayers())
    housekeeping = threading.Thread(
        target=_run_housekeeping, args=(shop, stop), name="housekeeping"
    )
    worker = threading.Thread(
        target=run_delivery_worker,
        args=(config, shop.seal, shop.orders.clock, stop),
        name="webhooks",
    )
    housekeeping.start()
    worker.start()
    try:
        till = counter_till(shop)
        service = shared_service(shop.clearing)
        ready()
        till.run(lambda: choose_reader(config.reader, config.home, service), stop)
    finally:
        stop.set()
        housekeeping.join(3)
        worker.join(2)
        shop.close()


def counter_till(shop: Shop) -> Till:
    """The till that takes taps for the newest open order of this shop."""
    terminal = load(shop.config.home, clock=shop.orders.clock)
    return Till(terminal, CounterCashier(shop), fingerprint=shop.seal.fingerprint)


class CounterCashier(Cashier):
    """Charges the newest open order, and shows the reader's state on the counter's page."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._reported: tuple[str, str, str] | None = None
        self._reported_at = 0.0
        self._recording_presented_for: str | None = None
        self._unshown: tuple[str, Trace] | None = None  # approved; the payer has not seen it yet

    def charge(self) -> Charge | None:
        """The newest open order."""
        order = self._shop.orders.payable()
        if order is None:
            return None
        return Charge(order_id=order.id, amount_minor=order.amount_minor, currency=order.currency)

    def settle(self, charge: Charge, tap: Tap) -> Verdict:
        """Pay the order with what the card gave, or show what to do with the card."""
        if tap.evidence is None or tap.evidence.decision == "declined":
            # No claim of the order records this moment, and nobody's money waits for the write.
            self._shop.milestones.record(
                CARD_SEEN, charge.order_id, at=tap.seen_at, emulated=tap.emulated
            )
        if tap.evidence is None:
            state, message = instruction(tap.result)
            # A second tap is no failure: the reader waits for it.
            signal: Signal = "ready" if state == "see-phone" else "failure"
            return Verdict(state=state, message=message, signal=signal, stands=True)
        try:
            payment = pay_with_card(
                self._shop.tap_payments,
                charge,
                tap,
                payer=self._shop.payers.name_of(tap.evidence.pan),
                hold_for_pin=True,
            )
        except ShopError as error:
            if error.kind == "outcome-unknown":
                return _UNKNOWN
            return Verdict(state="refused", message=str(error), signal="failure")
        except SQLAlchemyError as error:
            # Nobody has been asked for money yet: a failure after that is a ShopError.
            _log.error("a tap could not be taken: %s", one_line(error))
            return Verdict(state="refused", message=_NOT_STORED, signal="failure")
        if payment.state is PaymentState.APPROVED:
            self._unshown = payment.id, tap.trace
        return _verdict(payment, signed=tap.result.cvm is Cvm.SIGNATURE)

    def idle(self) -> tuple[str, str]:
        """Waiting for an amount, or for the PIN of the last card."""
        if self._shop.pin_entry.at("counter") is not None:
            return _PIN_WANTED
        return super().idle()

    def place_card(self, reader: Reader) -> None:
        """Place the emulated card that a page asked for on an emulated reader.

        A recorded card is presented once for each order.
        """
        if isinstance(reader, TranscriptReader):
            self._present_recording(reader)
        if not isinstance(reader, EmulatedReader):
            return
        name = self._shop.reader.next_card()
        if name is None:
            return
        try:
            reader.place_card(name)
        except (ProfileError, CardInUse, CardFileError) as error:
            self.report(reader, "retry", str(error))

    def _present_recording(self, reader: TranscriptReader) -> None:
        order = self._shop.orders.payable()
        if order is not None and order.id != self._recording_presented_for:
            self._recording_presented_for = order.id
            reader.present()

    def remove_card(self, reader: Reader) -> None:
        """An emulated card is lifted as soon as it has been read."""
        if isinstance(reader, EmulatedReader):
            reader.remove_card()

    def report(self, reader: Reader | None, state: str, message: str) -> None:
        """Show the reader's state; repeated each second, so that silence means it is gone."""
        name = "" if reader is None else reader.name
        now = time.monotonic()
        same = (name, state, message) == self._reported
        if same and now - self._reported_at < _STATUS_EVERY_S and self._unshown is None:
            return
        self._reported, self._reported_at = (name, state, message), now
        emulated = False if reader is None else reader.emulated
        try:
            self._shop.reader.report(name, state, message, emulated=emulated)
        except SQLAlchemyError as error:  # light and sound go on; the page follows once it can
            _log.error("the reader's state %s could not be stored: %s", state, one_line(error))
            self._reported = None
        if self._unshown is not None and state == "paid":
            (payment_id, trace), self._unshown = self._unshown, None
            record_shown(self._shop.payments, payment_id, trace, message)


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


def _run_housekeeping(shop: Shop, stop: threading.Event) -> None:
    while not stop.wait(_HOUSEKEEPING_S):
        try:
            shop.sweep()
            shop.top_ups.sweep()
            shop.disputes.sweep()
        except Exception as error:  # the next round must come, whatever this one met
            _log.error("housekeeping failed (%s); it is tried again", one_line(error))
            _log.debug("housekeeping failed", exc_info=True)
