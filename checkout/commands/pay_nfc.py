"""`checkout pay --mode nfc`: a card on the reader, emulated or real, pays the order."""

from __future__ import annotations

import sys
import time

from checkout.acceptance.nfc.terminal import instruction, load
from checkout.config import Config
from checkout.demo.emulated_reader import EmulatedReader, choose_reader
from checkout.demo.provisioning import shared_service
from checkout.errors import ShopError
from checkout.shop.orders.states import Order
from checkout.shop.payments.payers import Payer
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.shop.shop import Shop
from checkout.shop.till import Cashier, Charge, Tap, Till, Verdict, pay_with_card, record_shown
from devices.nfc.contract import TransportError
from devices.nfc.kernel import Outcome
from devices.nfc.transcript import TranscriptReader

_CARD_WITHIN_S = 30.0


def pay_order_by_tap(
    shop: Shop, config: Config, order: Order, who: Payer, pin: str, path: str
) -> Payment:
    """Wait for one card and settle the order with it; a torn tap may be tried again."""
    reader = choose_reader(path, config.home, shared_service(shop.clearing))
    try:
        cashier = _CommandCashier(shop, order, pin)
        # Nobody is there to present an emulated or a recorded card a second time.
        cashier.may_present_again = not isinstance(reader, EmulatedReader | TranscriptReader)
        if isinstance(reader, EmulatedReader):
            reader.place_card(who.name)
        else:
            sys.stderr.write(f"{reader.name}: tap a card for {order.amount}\n")
        terminal = load(config.home, clock=shop.orders.clock)
        till = Till(
            terminal, cashier, fingerprint=shop.seal.fingerprint, card_within_s=_CARD_WITHIN_S
        )
        till.serve(reader)
        assert cashier.payment_id is not None
        return shop.payments.get(cashier.payment_id)
    finally:
        reader.close()


class _CommandCashier(Cashier):
    """Charges one order, types the PIN that the command was given, and ends with the first card
    that decides something."""

    def __init__(self, shop: Shop, order: Order, pin: str) -> None:
        self._shop = shop
        self._charge = Charge(
            order_id=order.id, amount_minor=order.amount_minor, currency=order.currency
        )
        self._pin = pin
        self._deadline = time.monotonic() + _CARD_WITHIN_S
        self.may_present_again = True
        self.payment_id: str | None = None

    def charge(self) -> Charge:
        """The order of this command."""
        return self._charge

    def settle(self, charge: Charge, tap: Tap) -> Verdict:
        """Pay; ShopError or TransportError for a card that decided nothing and gets no try more."""
        if tap.evidence is None:
            return self._ask_again(tap)
        payment = pay_with_card(
            self._shop.tap_payments,
            charge,
            tap,
            payer=self._shop.payers.name_of(tap.evidence.pan),
            pin=self._pin,
        )
        self.payment_id = payment.id
        approved = payment.state is PaymentState.APPROVED
        if approved:
            record_shown(self._shop.payments, payment.id, tap.trace, "paid")
        return Verdict(
            state=str(payment.state),
            message=payment.response_text or "",
            signal="success" if approved else "failure",
            final=True,
        )

    def _ask_again(self, tap: Tap) -> Verdict:
        state, message = instruction(tap.result)
        sentence = f"{message} ({tap.result.reason})"
        if tap.result.outcome is not Outcome.TRY_AGAIN or time.monotonic() > self._deadline:
            raise ShopError(tap.result.outcome, f"tap: {sentence}")
        if not self.may_present_again:
            raise TransportError("card-gone", f"tap: {sentence}")
        sys.stderr.write(sentence + "\n")
        return Verdict(state=state, message=message, signal="failure", stands=True)
