"""The tap of `checkout pay --mode nfc`."""

from __future__ import annotations

import sys
import time

from checkout.acceptance.nfc import terminal as tap
from checkout.config import Config
from checkout.demo.emulated_reader import EmulatedReader, choose_reader, next_card
from checkout.demo.payers import Payer, payer_of_account
from checkout.demo.provisioning import borrowed
from checkout.errors import ShopError
from checkout.shop.orders.states import Order
from checkout.shop.payments.pay_by_code import Payment, PaymentState
from checkout.shop.shop import Shop
from checkout.shop.till import modelled_air_ms, payer_told
from checkout.trace import Trace
from devices.nfc.contract import TransportError
from devices.nfc.kernel import Outcome

_CARD_WITHIN_S = 30.0


def pay_by_tap(
    shop: Shop, config: Config, order: Order, who: Payer, pin: str, path: str
) -> Payment:
    """Wait for one card and settle the order with it; a torn tap may be tried again."""
    reader = choose_reader(path, config.home, borrowed(shop.clearing))
    try:
        if isinstance(reader, EmulatedReader):
            reader.lay(who.name)
        else:
            sys.stderr.write(f"{reader.name}: tap a card for {order.amount}\n")
        terminal = tap.load(config.home, clock=shop.orders.clock)
        deadline = time.monotonic() + _CARD_WITHIN_S
        resume = None
        while True:
            card = next_card(reader, max(0.1, deadline - time.monotonic()))
            seen_at, trace = shop.orders.clock(), Trace()
            result = tap.walk(
                terminal,
                card,
                tap.purchase(terminal, order.amount_minor, order.currency),
                reader=reader,
                trace=trace,
                resume=resume,
            )
            reader.release()
            evidence = tap.evidence(result, shop.seal.fingerprint)
            if evidence is not None:
                break
            sentence = f"{tap.instruction(result)[1]} ({result.reason})"
            if result.outcome is not Outcome.TRY_AGAIN or time.monotonic() > deadline:
                raise ShopError(result.outcome, f"tap: {sentence}")
            if isinstance(reader, EmulatedReader):
                raise TransportError("card-gone", f"tap: {sentence}")
            sys.stderr.write(sentence + "\n")
            resume = result.resume
        payment = shop.payments.pay_by_tap(
            order.id,
            evidence,
            emulated=reader.emulated,
            payer=payer_of_account(evidence.pan),
            pin=pin if result.online_pin_required else None,
            modelled_ms=modelled_air_ms(result, reader, trace),
            seen_at=seen_at,
            trace=trace,
        )
        if payment.state is PaymentState.APPROVED:
            payer_told(shop, payment.id, trace, "paid")
        return shop.payments.get(payment.id)
    finally:
        reader.close()
