"""How long and how much of a sale may be refunded."""

from __future__ import annotations

from datetime import date, timedelta

from checkout.clearing.issuing.decision import Decision

#: Days from the sale within which refunds and chargebacks are accepted; demo terms.
REFUND_DAYS = 365


def refund_decision(
    *,
    paid_minor: int,
    refunded_minor: int,
    disputed_minor: int,
    refund_minor: int,
    sold_on: date,
    on: date,
) -> Decision:
    """Whether a refund fits what is left of a payment; amounts in its currency's minor units.

    A disputed amount can't be refunded as well: the payer would get it twice.
    """
    if refund_minor <= 0:
        return Decision(response_code="13", reason="amount-not-positive")
    if on < sold_on or on > sold_on + timedelta(days=REFUND_DAYS):
        return Decision(response_code="57", reason="refund-too-late")
    if refund_minor > paid_minor - refunded_minor - disputed_minor:
        return Decision(response_code="61", reason="over-refundable")
    return Decision(response_code="00")
