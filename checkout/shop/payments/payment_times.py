"""When the shop and when the payer knew that the money had changed hands, read from the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from checkout.shop.orders.milestones import PAID, RESULT_SHOWN
from checkout.shop.payments.pay_by_code import Payment, PaymentState

if TYPE_CHECKING:
    from checkout.shop.shop import Shop

_BY_CARD = "Y1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certain:
    """Milliseconds from the payment's first step; None where that side does not know."""

    shop_ms: float | None = None
    payer_ms: float | None = None


def certain(payment: Payment) -> Certain:
    """Of an approved payment; of any other nobody has got money.

    The shop knows with the switch's approval, or with the card's own (its TC, when it approved
    offline). The payer knows when the phone had the result's page, or the terminal showed it.
    """
    if payment.state is not PaymentState.APPROVED:
        return Certain()
    if payment.response_code == _BY_CARD:
        asked = [step for step in payment.steps if _route(step) == ("terminal", "card")]
    else:
        asked = [step for step in payment.steps if step.get("certain") == "shop"] or [
            step for step in payment.steps if _route(step) == ("shop", "switch")
        ]
    told = [step for step in payment.steps if step.get("certain") == "payer"]
    return Certain(
        shop_ms=_end_ms(asked[-1]) if asked else None,
        payer_ms=_end_ms(told[-1]) if told else None,
    )


def tell_payer_knows(
    shop: Shop,
    payment: Payment,
    *,
    source: str,
    target: str,
    what: str,
    asked_at: datetime,
    sent: int = 0,
    received: int = 0,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add the step by which the payer learned of an approved payment, once.

    The story's clock has stopped by then; the wall clock of the order's events takes over.
    """
    knows = certain(payment)
    if knows.shop_ms is None or knows.payer_ms is not None:
        return
    paid_at = next(
        (
            moment.at
            for moment in shop.moments.of_order(payment.order_id)
            if moment.kind == PAID and moment.payload.get("payment") == payment.id
        ),
        None,
    )
    if paid_at is None or not shop.moments.once(RESULT_SHOWN, payment.order_id, payment=payment.id):
        return
    later_ms = max((asked_at - paid_at).total_seconds(), 0.0) * 1000
    took_ms = (shop.orders.clock() - asked_at).total_seconds() * 1000
    step: dict[str, Any] = {
        "n": len(payment.steps) + 1,
        "at_ms": round(knows.shop_ms + later_ms, 3),
        "from": source,
        "to": target,
        "what": what,
        "bytes_sent": sent,
        "bytes_received": received,
        "took_ms": round(max(took_ms, 0.0), 3),
        "nature": "measured",
        "certain": "payer",
    }
    if detail:
        step["detail"] = dict(detail)
    shop.payments.records.keep_steps(payment.id, [*payment.steps, step])


def _route(step: Mapping[str, Any]) -> tuple[str, str]:
    return step["from"], step["to"]


def _end_ms(step: Mapping[str, Any]) -> float:
    return float(step["at_ms"] + step.get("took_ms", 0.0))
