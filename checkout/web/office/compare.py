"""Two payments side by side: every message on one time axis, each opens to its content."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template, request

from checkout.acceptance.nfc.decoded_steps import decoded
from checkout.comparison.report.sequence_diagram import draw_in_rows, parties_of, side_of
from checkout.comparison.report.standards import reference_tables
from checkout.errors import ShopError
from checkout.shop.payments.payment_times import Certain, certain
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.trace import Step
from checkout.web import figures
from checkout.web.context import current_shop

blueprint = Blueprint("compare", __name__)

_LISTED = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One payment as the page shows it; `bytes` went both ways together."""

    payment: Payment
    steps: tuple[Step, ...]
    parties: list[str]
    bytes: int
    certain: Certain


@blueprint.get("/compare")
def show() -> str:
    """The two payments chosen, or the latest by code and the latest by tap."""
    shop = current_shop()
    payments = [each for each in shop.payments.recent(_LISTED) if each.kind == "sale"]
    left, right = _chosen(payments)
    for each in (left, right):
        if each is not None and each.id not in {known.id for known in payments}:
            payments.append(each)
    sides = [side_of(each, key) for key, each in (("left", left), ("right", right)) if each]
    comparison = figures.comparison(shop)
    return render_template(
        "office/compare.html",
        payments=payments,
        currencies={
            order_id: shop.orders.get(order_id).currency
            for order_id in {each.order_id for each in payments}
        },
        left=_shown(left),
        right=_shown(right),
        diagram=draw_in_rows(sides),
        groups=comparison["groups"],
        stickers=comparison["stickers"],
        count=comparison["payments"],
        reference=reference_tables(),
    )


def _chosen(payments: list[Payment]) -> tuple[Payment | None, Payment | None]:
    left = _named("left")
    right = _named("right")
    if left is None:
        wanted = "qr" if right is None or str(right.mode) == "nfc" else "nfc"
        left = _latest(payments, wanted, apart_from=right)
    if right is None:
        wanted = "nfc" if left is not None and str(left.mode) == "qr" else "qr"
        right = _latest(payments, wanted, apart_from=left)
    return (left, right) if left is not None else (right, None)


def _named(side: str) -> Payment | None:
    payment_id = request.args.get(side)
    if not payment_id:
        return None
    try:
        return current_shop().payments.get(payment_id[:64])
    except ShopError:
        return None


def _latest(payments: list[Payment], mode: str, *, apart_from: Payment | None) -> Payment | None:
    def rank(payment: Payment) -> tuple[bool, bool]:
        return str(payment.mode) == mode, payment.state is PaymentState.APPROVED

    others = [each for each in payments if apart_from is None or each.id != apart_from.id]
    return max(others, key=rank, default=None)


def _shown(payment: Payment | None) -> Shown | None:
    if payment is None:
        return None
    return Shown(
        payment=payment,
        steps=decoded(payment.steps),
        certain=certain(payment),
        parties=parties_of(payment.steps),
        bytes=sum(step.bytes for step in payment.steps),
    )
