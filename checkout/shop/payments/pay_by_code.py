"""Payments by code and by tap, and all that can be asked of them afterwards.

Both modes run the same three lines: begin (claim the order), turn the evidence into one
AuthorizationRequest, complete. After that nothing asks which mode it was.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, Engine

from checkout.acceptance.contract import Mode
from checkout.acceptance.nfc.authorization import Evidence, authorization as tap_authorization
from checkout.acceptance.qr.authorization import (
    CodeKind,
    Evidence as CodeEvidence,
    authorization as code_authorization,
)
from checkout.acceptance.qr.payer_code import PayerCodes
from checkout.clearing.client.client import NotSent, SwitchClient
from checkout.clearing.messages import AuthorizationRequest
from checkout.config import Merchant
from checkout.demo.payers import Payer, payer as find_payer, payers
from checkout.encryption import Seal
from checkout.errors import ShopError
from checkout.shop.orders.events import add_event
from checkout.shop.orders.milestones import CARD_SEEN
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import Order
from checkout.shop.payments.authorisation import Attempt, Attempts
from checkout.shop.payments.payer_codes import Presented
from checkout.shop.payments.payments import Payment, PaymentRecords, PaymentState, Source
from checkout.shop.payments.pin_entry import PIN, Waiting
from checkout.shop.payments.query_schedule import Rhythm
from checkout.shop.payments.refunds import AfterSale
from checkout.shop.payments.reversals import Repeats
from checkout.trace import Trace

__all__ = ["Attempt", "Payment", "PaymentState", "Payments", "Source"]


class Payments:
    """One per shop; safe to call from any thread."""

    def __init__(
        self,
        engine: Engine,
        orders: Orders,
        *,
        clearing: Callable[[], SwitchClient],
        seal: Seal,
        merchant: Merchant,
        clearing_timeout_s: float = 10.0,
        retry_s: float = 2.0,
        no_pin_minor: int = 100_000,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._orders = orders
        self._merchant = merchant
        self._clearing = clearing
        self._seal = seal
        self.records = PaymentRecords(engine, orders.clock)
        self.repeats = Repeats(
            self.records,
            clearing=clearing,
            seal=seal,
            timeout_s=clearing_timeout_s,
            retry_s=retry_s,
            settled=lambda connection, ended, kept: self._after.settled(
                connection, ended, kept=kept
            ),
        )
        self.attempts = Attempts(
            self.records,
            orders,
            self.repeats,
            clearing=clearing,
            seal=seal,
            timeout_s=clearing_timeout_s,
        )
        self._after = AfterSale(
            self.records,
            orders,
            clearing=clearing,
            seal=seal,
            timeout_s=clearing_timeout_s,
            repeat=self.repeats.one,
        )
        self.waiting = Waiting(
            self.records,
            orders,
            self.attempts,
            clearing=clearing,
            seal=seal,
            abandoned_after_s=clearing_timeout_s + 5,
        )
        self.presented = Presented(
            self.records,
            orders,
            self.attempts,
            self.waiting,
            codes=PayerCodes(
                seal.derive("payer codes"),
                [each.name for each in payers() if Mode.QR in each.modes],
            ),
            request_of=lambda attempt, who: self._question(attempt, who, "payer", None),
            refund=self._after.refund,
            no_pin_minor=no_pin_minor,
            rhythm=rhythm or Rhythm(),
        )
        self.get = self.records.get
        self.of_order = self.records.of_order
        self.recent = self.records.recent
        self.refund = self._after.refund
        self.capture = self._after.capture

    def pay_by_code(
        self,
        code: str,
        *,
        payer: str,
        pin: str | None = None,
        kind: CodeKind = "dynamic",
        emulated: bool = True,
        trace: Trace | None = None,
    ) -> Payment:
        """Pay the order behind a scanned code from a demo payer's account.

        `emulated` is False where a real phone stands behind it, which only a page can know.
        A decline comes back as a value; ShopError says why nothing was tried.
        """
        who = self.code_payer(payer, pin)
        lookup = self._orders.resolve_code(code)
        if lookup.status != "live":
            raise ShopError(f"{lookup.status}-code", f"code: it is {lookup.status}", "code")
        return self.pay_order(
            lookup.order.id,
            who,
            pin=pin,
            kind=kind,
            code=lookup.code,
            emulated=emulated,
            trace=trace,
        )

    def pay_order(
        self,
        order_id: str,
        who: Payer,
        *,
        pin: str | None,
        kind: CodeKind,
        code: str | None = None,
        emulated: bool = True,
        trace: Trace | None = None,
    ) -> Payment:
        """Pay an order that a payer has confirmed, whichever code led there."""
        source = Source(
            mode=Mode.QR, scheme=who.scheme, account=who.account, payer=who.name, emulated=emulated
        )
        attempt = self.attempts.begin(
            order_id, source, trace=Trace() if trace is None else trace, code=code
        )
        try:
            block = None if pin is None else self._clearing().encrypt_pin(pin, who.account)
        except NotSent as error:
            self.attempts.give_back(attempt, "91")
            raise ShopError("clearing-unavailable", f"clearing: {error}") from None
        return self.attempts.complete(attempt, self._question(attempt, who, kind, block))

    def _question(
        self, attempt: Attempt, who: Payer, kind: CodeKind, pin_block: bytes | None
    ) -> AuthorizationRequest:
        evidence = CodeEvidence(
            account=who.account,
            expiry=who.expiry,
            pan_sequence=who.pan_sequence,
            code_kind=kind,
            pin_block=pin_block,
        )
        return code_authorization(
            evidence,
            amount_minor=attempt.order.amount_minor,
            currency=attempt.order.currency,
            numbers=attempt.numbers,
            merchant=self._merchant,
            preauthorise=attempt.order.preauthorise,
        )

    def pay_by_tap(
        self,
        order_id: str,
        evidence: Evidence,
        *,
        emulated: bool,
        payer: str | None = None,
        pin: str | None = None,
        hold_for_pin: bool = False,
        modelled_ms: float = 0.0,
        seen_at: datetime | None = None,
        trace: Trace | None = None,
    ) -> Payment:
        """Settle a card that the terminal has read: online, offline, or declined by the card.

        `seen_at` is when it came into the reader's field; it is kept with the claim. With
        `hold_for_pin` it is not asked for yet: it waits for the PIN from the counter's pad
        (`waiting`). A real card is never asked for its PIN.
        """
        story = Trace() if trace is None else trace
        account = evidence.pan or ""
        if evidence.real:  # nobody's real PIN belongs here
            pin, hold_for_pin = None, False
        source = Source(
            mode=Mode.NFC,
            scheme=evidence.scheme,
            account=account,
            payer=payer,
            emulated=emulated,
            shown=evidence.shown,
        )
        if evidence.decision == "declined":
            return self.attempts.declined_by_card(
                order_id, source, trace=story, modelled_ms=modelled_ms
            )
        attempt = self.attempts.begin(
            order_id, source, trace=story, also=_seen(order_id, seen_at, emulated=emulated)
        )
        block = None
        if pin is not None:
            try:
                block = self._clearing().encrypt_pin(pin, account)
            except NotSent as error:
                self.attempts.give_back(attempt, "91", modelled_ms=modelled_ms)
                raise ShopError("clearing-unavailable", f"clearing: {error}") from None
        request = tap_authorization(
            evidence,
            account=account,
            pin_block=block,
            amount_minor=attempt.order.amount_minor,
            currency=attempt.order.currency,
            numbers=attempt.numbers,
            merchant=self._merchant,
            preauthorise=attempt.order.preauthorise,
        )
        if evidence.decision == "approved-offline":
            return self.attempts.approve_offline(attempt, request, modelled_ms=modelled_ms)
        if hold_for_pin:
            return self.waiting.hold(attempt, request, place="counter", modelled_ms=modelled_ms)
        return self.attempts.complete(attempt, request, modelled_ms=modelled_ms)

    def cancel(self, order_id: str) -> Order:
        """Close an order that nobody has paid, and the wait for a PIN that may hold it.

        ShopError(order-not-open) where its bank is being asked or has answered, (too-soon) where
        a phone has not had its 15 s yet.
        """
        wait = self.waiting.of_order(self._orders.get(order_id).id)
        if wait is not None:
            if wait.place == "phone":
                self.presented.check_revocable(wait.payment_id)
            try:
                self.waiting.cancel(wait.payment_id, with_order=True)
            except ShopError as error:
                if error.kind != "not-waiting":
                    raise
            else:
                return self._orders.get(order_id)
        self.waiting.expire_due()  # a wait that has run out holds no order
        return self._orders.cancel(order_id)

    def sweep(self) -> int:
        """Expire what has run out and repeat what was not answered; the terminal calls it."""
        self._orders.expire_due()
        self.waiting.expire_due()
        self.presented.sweep()
        return self.repeats.all_due()

    @staticmethod
    def code_payer(name: str, pin: str | None) -> Payer:
        """Who pays by code under that name; ShopError(unknown-payer, or pin for an odd one)."""
        who = find_payer(name)
        if Mode.QR not in who.modes:
            raise ShopError("unknown-payer", f"payer: {name} pays by tap only", "payer")
        if pin is not None and not PIN.fullmatch(pin):
            raise ShopError("pin", "pin: expected six digits", "pin")
        return who


def _seen(
    order_id: str, seen_at: datetime | None, *, emulated: bool
) -> Callable[[Connection, str], None] | None:
    """Keeps the moment of the card in the transaction that claims the order: no write more."""
    if seen_at is None:
        return None
    return lambda connection, payment_id: add_event(
        connection, seen_at, CARD_SEEN, order_id, payment=payment_id, emulated=emulated
    )
