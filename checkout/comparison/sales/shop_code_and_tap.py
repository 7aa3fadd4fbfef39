"""One attempt to pay an order, by the shop's code or by tap, through the software as it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from checkout.acceptance.nfc.terminal import instruction
from checkout.acceptance.qr.link import build_link
from checkout.comparison.testbed.testbed import Testbed
from checkout.demo.payers import DEMO_PIN
from checkout.demo.phone_steps import scan_steps
from checkout.errors import ShopError
from checkout.shop.orders.states import Order
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.shop.till import Cashier, Charge, Tap, Till, Verdict, pay_with_card
from checkout.trace import Step, Trace
from devices.nfc.contract import Card, Reader, TransportError
from devices.nfc.emulated.air.timing_model import ModelledTime, modelled_ms
from devices.nfc.kernel import TapResult
from devices.phone import Exchange, HttpNetwork, Network, Phone, PhoneError, PhoneResult
from devices.qr.symbol.rendering import png

WRONG_PIN = "654321"

_CARD_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAttempt:
    """What came of one attempt to pay.

    `steps` are on the attempt's own clock; `software_ms` is the measured time; `shop_ms` is when
    the shop had the switch's response. `refused` says why there is no payment, `shop_refusal` says
    it in the shop's words where the shop refused. `pins` counts the PINs that were typed.
    `exchanges` are by HTTP, `tap_result` is the kernel's.
    """

    payment: Payment | None
    steps: tuple[Step, ...]
    software_ms: float
    shop_ms: float | None
    payer_saw: str
    refused: str = ""
    pins: int = 0
    air: ModelledTime | None = None
    exchanges: tuple[Exchange, ...] = ()
    shop_refusal: str = ""
    tap_result: TapResult | None = None


def scan_and_pay(
    testbed: Testbed,
    order: Order,
    payer: str,
    *,
    origin: str | None = None,
    pin: str = DEMO_PIN,
    network: Network | None = None,
    fresh: bool = True,
) -> PaymentAttempt:
    """The payer's phone scans the picture of the order's code and follows its page.

    `origin` is where another process serves the shop.
    """
    began = time.perf_counter()
    picture = png(build_link(origin or testbed.origin, order.code))
    drawn_ms = (time.perf_counter() - began) * 1000
    before = len(testbed.shop.payments.of_order(order.id))
    phone = Phone(payer, pin=pin, network=network or HttpNetwork())
    try:
        seen = phone.pay(picture, fresh=fresh)
    except (PhoneError, OSError):
        took_ms = (time.perf_counter() - began) * 1000
        return no_attempt(took_ms, "no page: the network is gone", "phone offline", pins=1)
    payments = testbed.shop.payments.of_order(order.id)
    payment = payments[-1] if len(payments) > before else None
    if payment is None:
        took_ms = drawn_ms + measured_ms(seen.exchanges)
        attempt = no_attempt(took_ms, page_words(seen, None), _refused(seen), pins=1)
        return replace(attempt, exchanges=seen.exchanges)
    steps = scan_steps(seen, payment, len(picture))
    return PaymentAttempt(
        payment=payment,
        steps=steps,
        software_ms=drawn_ms + _measured_end_ms(steps),
        shop_ms=last_answer_ms(steps),
        payer_saw=page_words(seen, payment),
        pins=1,
        exchanges=seen.exchanges,
    )


def no_attempt(software_ms: float, saw: str, refused: str, *, pins: int = 0) -> PaymentAttempt:
    """The end of an attempt that made no payment and no step."""
    return PaymentAttempt(
        payment=None,
        steps=(),
        software_ms=software_ms,
        shop_ms=None,
        payer_saw=saw,
        refused=refused,
        pins=pins,
    )


def measured_ms(exchanges: Sequence[Exchange]) -> float:
    """The time of a phone's exchanges without what was modelled."""
    return sum(exchange.took_ms for exchange in exchanges if not exchange.modelled)


def tap_and_pay(
    testbed: Testbed,
    order: Order,
    payer: str,
    *,
    pin: str | None = DEMO_PIN,
    wrap: Callable[[Card], Card] | None = None,
    retry: bool = True,
    on_reader: bool = False,
) -> PaymentAttempt:
    """The payer lays the card on the reader; with `retry`, a torn tap is made once more.

    `wrap` puts something between reader and card on the first tap. Where `pin` is None, no PIN is
    typed when one is asked for. `on_reader`: the card lies there already.
    """
    cashier = _MeasuringCashier(
        testbed, order, payer, pin=pin, wrap=wrap, retry=retry, on_reader=on_reader
    )
    till = Till(testbed.terminal, cashier, card_within_s=_CARD_WITHIN_S)
    try:
        till.serve(testbed.reader)
    except TransportError as error:
        return _no_payment(cashier.trace, str(error), error.reason)
    finally:
        testbed.reader.remove_card()
    assert cashier.attempt is not None
    return cashier.attempt


class _MeasuringCashier(Cashier):
    """Charges one order for the comparison: one trace for all its taps, and a PIN or none."""

    def __init__(
        self,
        testbed: Testbed,
        order: Order,
        payer: str,
        *,
        pin: str | None,
        wrap: Callable[[Card], Card] | None,
        retry: bool,
        on_reader: bool,
    ) -> None:
        self._testbed = testbed
        self._charge = Charge(
            order_id=order.id, amount_minor=order.amount_minor, currency=order.currency
        )
        self._payer = payer
        self._pin = pin
        self._wrap = wrap
        self._taps_left = 2 if retry else 1
        self._placed = on_reader
        self._began_ms = 0.0
        self.trace = Trace()
        self.attempt: PaymentAttempt | None = None

    def charge(self) -> Charge:
        """The order of this attempt."""
        return self._charge

    def place_card(self, reader: Reader) -> None:
        """Place the payer's card, once for each tap."""
        if not self._placed:
            self._testbed.reader.place_card(self._payer)
            self._placed = True
            self._began_ms = self.trace.now_ms()

    def card_found(self, card: Card) -> tuple[Card, Trace]:
        """Record how long it took to find the card, and put the wrapping around the first one."""
        self.trace.record(
            "terminal",
            "terminal",
            "card found, chosen and activated (ISO/IEC 14443-3 and -4)",
            at_ms=self._began_ms,
            took_ms=self.trace.now_ms() - self._began_ms,
        )
        wrap, self._wrap = self._wrap, None
        return card if wrap is None else wrap(card), self.trace

    def remove_card(self, reader: Reader) -> None:
        """The payer takes the card back."""
        self._testbed.reader.remove_card()

    def settle(self, charge: Charge, tap: Tap) -> Verdict:
        """Pay with the card, or have it tapped again; the result is `attempt`."""
        self._taps_left -= 1
        if tap.evidence is None and self._taps_left:
            self._placed = False
            state, message = instruction(tap.result)
            return Verdict(state=state, message=message, signal="failure")
        self.attempt = self._pay(charge, tap)
        return Verdict(state="done", message=self.attempt.payer_saw, signal="off", final=True)

    def _pay(self, charge: Charge, tap: Tap) -> PaymentAttempt:
        air = modelled_ms(tap.result.exchanges)
        asks_pin = tap.result.online_pin_required
        if tap.evidence is None:
            sentence, refused = instruction(tap.result)[1], f"card refused: {tap.result.outcome}"
            return _no_payment(self.trace, sentence, refused, air=air, tap_result=tap.result)
        if asks_pin and self._pin is None:
            return _no_payment(
                self.trace, "asks for the PIN", "no PIN was typed", air=air, tap_result=tap.result
            )
        try:
            payment = pay_with_card(
                self._testbed.shop.tap_payments,
                charge,
                tap,
                payer=self._testbed.shop.payers.name_of(tap.evidence.pan),
                pin=self._pin,
            )
        except ShopError as error:
            words = _REFUSALS.get(error.kind, str(error))
            return _no_payment(
                self.trace,
                words,
                error.kind,
                air=air,
                pins=int(asks_pin),
                tap_result=tap.result,
                shop_refusal=words,
            )
        return PaymentAttempt(
            payment=payment,
            steps=payment.steps,
            software_ms=payment.total_ms - payment.modelled_ms,
            shop_ms=last_answer_ms(payment.steps),
            payer_saw=_shown(payment),
            pins=int(asks_pin),
            air=air,
            tap_result=tap.result,
        )


NO_BANK = "the bank cannot be reached"
_REFUSALS = {"clearing-unavailable": NO_BANK}
_PAGES = {
    "paid": "paid",
    "unknown": "not known yet",
    "reversed": "taken back",
    "expired": "the code has run out",
    "used": "the code has been used",
}


def _shown(payment: Payment) -> str:
    """What the terminal shows to the payer."""
    if payment.state is PaymentState.DECLINED:
        return f"declined: {payment.response_text}"
    return "taken back" if payment.state is PaymentState.REVERSED else str(payment.state)


def page_words(seen: PhoneResult, payment: Payment | None) -> str:
    """What the payer's page shows, in a few words."""
    if seen.outcome in _PAGES:
        return _PAGES[seen.outcome]
    if seen.outcome == "problem":
        return seen.text
    if payment is not None and payment.state is PaymentState.DECLINED:
        return _REFUSALS.get(_unsent(payment), f"declined: {payment.response_text}")
    return seen.outcome


def _refused(seen: PhoneResult) -> str:
    if seen.outcome != "problem":
        return seen.outcome
    return f"answered the phone HTTP {seen.exchanges[-1].status}"


def _unsent(payment: Payment) -> str:
    """The kind of a decline that no bank gave, since no request could be sent; else empty."""
    asked = any(step.target == "switch" for step in payment.steps)
    return "clearing-unavailable" if payment.response_code == "91" and not asked else ""


def _no_payment(
    trace: Trace,
    saw: str,
    refused: str,
    *,
    air: ModelledTime | None = None,
    pins: int = 0,
    tap_result: TapResult | None = None,
    shop_refusal: str = "",
) -> PaymentAttempt:
    return PaymentAttempt(
        payment=None,
        steps=trace.steps(),
        software_ms=trace.now_ms(),
        shop_ms=None,
        payer_saw=saw,
        refused=refused,
        pins=pins,
        air=air,
        tap_result=tap_result,
        shop_refusal=shop_refusal,
    )


def _measured_end_ms(steps: Sequence[Step]) -> float:
    return max((step.end_ms for step in steps if step.nature == "measured"), default=0.0)


def last_answer_ms(steps: Sequence[Step]) -> float | None:
    """When the shop had the switch's last answer; None where it asked nothing."""
    asked = [step for step in steps if step.target == "switch"]
    return asked[-1].end_ms if asked else None
