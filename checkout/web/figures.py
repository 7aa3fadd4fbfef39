"""Figures of this shop's own sales, as the comparison and the order's page show them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from checkout.comparison.live import Stretches, live_numbers, spread, sticker_ms, stretches
from checkout.comparison.report.standards import reference_tables
from checkout.shop.payments.payments import Payment, PaymentState

if TYPE_CHECKING:
    from checkout.shop.shop import Shop

_PAYMENTS_COMPARED = 1000


def comparison(shop: Shop) -> dict[str, Any]:
    """Figures of this shop's own sales, by mode, real and emulated never mixed.

    Times are milliseconds; `modelled_ms` is what a model added, `waited_ms` what people took;
    `software_ms` is the rest. `live` is from the code on the screen to the money, by the clock;
    `stickers` from a printed code's page on the phone.
    """
    sales = [each for each in shop.payments.recent(_PAYMENTS_COMPARED) if each.kind == "sale"]
    groups: dict[tuple[str, bool], list[Payment]] = defaultdict(list)
    for payment in sales:
        groups[str(payment.mode), payment.emulated].append(payment)
    timed, stickers = _timed(shop, sales)
    return {
        "payments": len(sales),
        "stickers": [
            {
                "emulated": emulated,
                "sales": len(taken_ms),
                "opened_to_paid_ms": spread(taken_ms),
            }
            for emulated, taken_ms in sorted(stickers.items())
        ],
        "groups": [
            {
                "mode": mode,
                "emulated": emulated,
                **_figures(payments),
                "live": live_numbers([timed[each.id] for each in payments if each.id in timed]),
            }
            for (mode, emulated), payments in sorted(groups.items())
        ],
        "reference": [table.as_json() for table in reference_tables()],
    }


def where_time_went(shop: Shop, payment: Payment) -> Stretches | None:
    """The stretches of one paid sale; None where its moments were not recorded."""
    if payment.state is not PaymentState.APPROVED:
        return None
    return stretches(payment, shop.milestones.of_order(payment.order_id))


def _timed(
    shop: Shop, sales: Sequence[Payment]
) -> tuple[dict[str, Stretches], dict[bool, list[float]]]:
    """Stretches by payment, and those by printed code in milliseconds, real and emulated apart."""
    paid = [each for each in sales if each.state is PaymentState.APPROVED]
    moments = shop.milestones.of_orders(each.order_id for each in paid)
    found = {each.id: stretches(each, moments.get(each.order_id, ())) for each in paid}
    stickers: dict[bool, list[float]] = defaultdict(list)
    for each in paid:
        took_ms = sticker_ms(each, moments.get(each.order_id, ()))
        if took_ms is not None:
            stickers[each.emulated].append(took_ms)
    timed = {payment_id: timed for payment_id, timed in found.items() if timed is not None}
    return timed, stickers


def _figures(payments: list[Payment]) -> dict[str, Any]:
    done = [each for each in payments if each.finished_at is not None]
    paid = [each for each in done if each.state is PaymentState.APPROVED]
    declined = Counter(
        each.response_code or "none" for each in done if each.state is PaymentState.DECLINED
    )
    return {
        "payments": len(payments),
        "paid": len(paid),
        "declined_by_response_code": dict(sorted(declined.items())),
        "unknown": sum(each.state is PaymentState.UNKNOWN for each in payments),
        "reversed": sum(each.state is PaymentState.REVERSED for each in payments),
        "software_ms": spread(
            [max(each.total_ms - each.modelled_ms - waited_ms(each), 0.0) for each in paid]
        ),
        "waited_ms": spread([waited_ms(each) for each in paid]),
        "modelled_ms": spread([each.modelled_ms for each in paid]),
        "total_ms": spread([each.total_ms for each in paid]),
        "messages": spread([float(len(each.steps)) for each in paid]),
        "bytes": spread([float(_bytes(each)) for each in paid]),
    }


def waited_ms(payment: Payment) -> float:
    """Milliseconds in which the software waited for a person."""
    return sum((step.took_ms for step in payment.steps if step.nature == "waited"), 0.0)


def _bytes(payment: Payment) -> int:
    return sum(step.bytes for step in payment.steps)
