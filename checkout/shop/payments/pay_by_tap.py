"""A payment by tap: the order is claimed, and the bank of the card that was read is asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from checkout.acceptance.contract import Mode
from checkout.acceptance.nfc.authorization import Evidence, authorization
from checkout.clearing.messages import AuthorizationRequest
from checkout.config import Merchant
from checkout.shop.orders.events import add_event
from checkout.shop.orders.milestones import CARD_SEEN
from checkout.shop.payments.authorisation import Attempt, Authorisation
from checkout.shop.payments.payments import Payment, Source
from checkout.shop.payments.pin_entry import PinEntry
from checkout.trace import Trace


class TapPayments:
    """Takes payments by card and phone at the reader; safe to call from any thread."""

    def __init__(
        self, authorisation: Authorisation, pin_entry: PinEntry, *, merchant: Merchant
    ) -> None:
        self._authorisation = authorisation
        self._pin_entry = pin_entry
        self._merchant = merchant

    def pay(
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

        `seen_at` is when the card came into the reader's field; it is recorded with the claim.
        With `hold_for_pin` the bank is not asked yet: the payment waits for the PIN from the
        counter's pad (`pin_entry`). A real card is never asked for its PIN.
        """
        trace = Trace() if trace is None else trace
        if evidence.real:  # nobody's real PIN belongs here
            pin, hold_for_pin = None, False
        source = _source(evidence, payer, emulated=emulated)
        authorisation = self._authorisation
        if evidence.decision == "declined":
            return authorisation.declined_by_card(
                order_id, source, trace=trace, modelled_ms=modelled_ms
            )
        also = _record_seen(order_id, seen_at, emulated=emulated)
        attempt = authorisation.begin(order_id, source, trace=trace, also=also)
        pin_block = authorisation.encrypt_pin(attempt, pin, modelled_ms=modelled_ms)
        request = self._request(attempt, evidence, pin_block)
        if evidence.decision == "approved-offline":
            return authorisation.approve_offline(attempt, request, modelled_ms=modelled_ms)
        if hold_for_pin:
            return self._pin_entry.hold(attempt, request, place="counter", modelled_ms=modelled_ms)
        return authorisation.complete(attempt, request, modelled_ms=modelled_ms)

    def _request(
        self, attempt: Attempt, evidence: Evidence, pin_block: bytes | None
    ) -> AuthorizationRequest:
        return authorization(
            evidence,
            account=attempt.source.account,
            pin_block=pin_block,
            amount_minor=attempt.order.amount_minor,
            currency=attempt.order.currency,
            numbers=attempt.numbers,
            merchant=self._merchant,
            preauthorise=attempt.order.preauthorise,
        )


def _source(evidence: Evidence, payer: str | None, *, emulated: bool) -> Source:
    return Source(
        mode=Mode.NFC,
        scheme=evidence.scheme,
        account=evidence.pan or "",
        payer=payer,
        emulated=emulated,
        shown=evidence.shown,
    )


def _record_seen(
    order_id: str, seen_at: datetime | None, *, emulated: bool
) -> Callable[[Connection, str], None] | None:
    """Records when the card was seen, in the transaction that claims the order: no extra write."""
    if seen_at is None:
        return None
    return lambda connection, payment_id: add_event(
        connection, seen_at, CARD_SEEN, order_id, payment=payment_id, emulated=emulated
    )
