"""When the shop and when the payer knew that the money had changed hands, read from the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from checkout.shop.orders.milestones import PAID, RESULT_SHOWN, Milestones
from checkout.shop.payments.payments import Payment, PaymentRecords, PaymentState
from checkout.trace import Step

_BY_CARD = "Y1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certain:
    """When each side knew, in milliseconds from the payment's first step; None: not yet."""

    shop_ms: float | None = None
    payer_ms: float | None = None


def certain(payment: Payment) -> Certain:
    """When shop and payer knew that an approved payment had gone through; empty for any other.

    The shop knows with the switch's approval, or with the card's own (its TC, when it approved
    offline). The payer knows when the phone had the result's page, or the terminal showed it.
    """
    if payment.state is not PaymentState.APPROVED:
        return Certain()
    if payment.response_code == _BY_CARD:
        asked = _between(payment, "terminal", "card")
    else:
        marked = [step for step in payment.steps if step.certain == "shop"]
        asked = marked or _between(payment, "shop", "switch")
    shown = [step for step in payment.steps if step.certain == "payer"]
    return Certain(
        shop_ms=asked[-1].end_ms if asked else None,
        payer_ms=shown[-1].end_ms if shown else None,
    )


def record_payer_knows(
    payment: Payment,
    payments: PaymentRecords,
    milestones: Milestones,
    *,
    source: str,
    target: str,
    what: str,
    asked_at: datetime,
    sent: int = 0,
    received: int = 0,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add, once, the step by which the payer learned that the payment was approved.

    The trace's clock has stopped by then: the step's time is counted from the order's `order-paid`
    event, by the wall clock.
    """
    knows = certain(payment)
    if knows.shop_ms is None or knows.payer_ms is not None:
        return
    paid_at = _paid_at(payment, milestones)
    if paid_at is None or not milestones.record(RESULT_SHOWN, payment.order_id, payment=payment.id):
        return
    later_ms = max((asked_at - paid_at).total_seconds(), 0.0) * 1000
    took_ms = (payments.clock() - asked_at).total_seconds() * 1000
    step = Step(
        n=len(payment.steps) + 1,
        at_ms=knows.shop_ms + later_ms,
        source=source,
        target=target,
        what=what,
        bytes_sent=sent,
        bytes_received=received,
        took_ms=max(took_ms, 0.0),
        detail=dict(detail or {}),
        certain="payer",
    )
    payments.store_steps(payment.id, [*payment.steps, step])


def _paid_at(payment: Payment, milestones: Milestones) -> datetime | None:
    return next(
        (
            milestone.at
            for milestone in milestones.of_order(payment.order_id)
            if milestone.kind == PAID and milestone.payload.get("payment") == payment.id
        ),
        None,
    )


def _between(payment: Payment, source: str, target: str) -> list[Step]:
    return [step for step in payment.steps if (step.source, step.target) == (source, target)]
