"""What the pages read from the other rooms, in the form in which they show it."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from statistics import median
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DatabaseError

from checkout.acceptance.qr.codes import static_payload
from checkout.comparison.reference import reference_tables
from checkout.payments import Payment, PaymentState
from checkout.web import codes

if TYPE_CHECKING:
    from checkout.shop import Shop

_PAYMENTS_COMPARED = 1000


def static_codes(shop: Shop) -> list[dict[str, Any]]:
    """The stickers that this shop has printed, each with what its symbol may hold."""
    config = shop.config
    return [
        {
            **each.as_json(),
            "link": codes.link_to(config, each.code),
            "emv": static_payload(
                merchant=config.merchant,
                code=each.code,
                currency=each.currency,
                key=shop.code_key,
                amount=each.amount,
                label=each.label,
            ),
        }
        for each in shop.static_codes.all()
    ]


def settlement(shop: Shop, day: date) -> dict[str, Any] | None:
    """The closed day's net positions and statements, None while it is open."""
    try:
        return shop.books.settlement(day)
    except DatabaseError:  # the switch, which makes the tables, has not run on this database yet
        return None


def comparison(shop: Shop) -> dict[str, Any]:
    """Figures of this shop's own sales, by mode, real and emulated never mixed.

    Times are milliseconds; `modelled_ms` is what a model added, `waited_ms` what people took;
    `software_ms` is the rest.
    """
    sales = [each for each in shop.payments.recent(_PAYMENTS_COMPARED) if each.kind == "sale"]
    groups: dict[tuple[str, bool], list[Payment]] = defaultdict(list)
    for payment in sales:
        groups[str(payment.mode), payment.emulated].append(payment)
    return {
        "payments": len(sales),
        "groups": [
            {"mode": mode, "emulated": emulated, **_figures(payments)}
            for (mode, emulated), payments in sorted(groups.items())
        ],
        "reference": [table.as_json() for table in reference_tables()],
    }


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
        "software_ms": _spread(
            [max(each.total_ms - each.modelled_ms - waited_ms(each), 0.0) for each in paid]
        ),
        "waited_ms": _spread([waited_ms(each) for each in paid]),
        "modelled_ms": _spread([each.modelled_ms for each in paid]),
        "total_ms": _spread([each.total_ms for each in paid]),
        "messages": _spread([float(len(each.steps)) for each in paid]),
        "bytes": _spread([float(_bytes(each)) for each in paid]),
    }


def waited_ms(payment: Payment) -> float:
    """Milliseconds in which the software waited for a person."""
    return float(sum(s["took_ms"] for s in payment.steps if s.get("nature") == "waited"))


def _bytes(payment: Payment) -> int:
    return sum(step["bytes_sent"] + step["bytes_received"] for step in payment.steps)


def _spread(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    ninetieth = ordered[min(len(ordered) - 1, round(0.9 * (len(ordered) - 1)))]
    return {
        "median": round(median(ordered), 3),
        "p90": round(ninetieth, 3),
        "max": round(ordered[-1], 3),
    }
