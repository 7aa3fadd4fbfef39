"""The emulated phone's exchanges as steps of a payment, on one clock with the shop's steps."""

from __future__ import annotations

from checkout.acceptance.qr.link import short_path
from checkout.shop.payments.payments import Payment
from checkout.trace import CertainParty, Step, numbered
from devices.phone import Exchange, PhoneResult


def scan_steps(seen: PhoneResult, payment: Payment, picture_bytes: int) -> tuple[Step, ...]:
    """The steps of a sale by the shop's code: the picture, the phone's exchanges, the shop's steps.

    `picture_bytes` is the size of the picture of the code.
    """
    picture = Step(
        n=0,
        at_ms=0.0,
        source="counter",
        target="phone",
        what="picture of the code",
        bytes_sent=picture_bytes,
    )
    steps = [picture]
    last = seen.exchanges[-1] if seen.outcome == "paid" else None
    for exchange in seen.exchanges:
        if exchange.modelled:
            source, target = "payer", "phone"
        else:
            source, target = "phone", "shop" if exchange.bytes_sent else "phone"
        certain: CertainParty | None = "payer" if exchange is last else None
        steps.append(exchange_step(exchange, source, target, certain=certain))
        if exchange.method == "POST":
            # The shop's clock began within this request; its steps lie inside it.
            slack_ms = max(0.0, exchange.took_ms - (payment.total_ms - payment.modelled_ms)) / 2
            begin_ms = exchange.at_ms + slack_ms
            steps += [step.changed(at_ms=begin_ms + step.at_ms) for step in payment.steps]
    return numbered(steps)


def exchange_step(
    exchange: Exchange, source: str, target: str, *, certain: CertainParty | None = None
) -> Step:
    """One exchange as a step, not numbered yet; codes and seals in its path are cut short."""
    detail = {}
    if exchange.method:
        request = f"{exchange.method} {short_path(exchange.path)}"
        detail = {"request": request, "status": exchange.status}
    return Step(
        n=0,
        at_ms=exchange.at_ms,
        source=source,
        target=target,
        what=exchange.what,
        bytes_sent=exchange.bytes_sent,
        bytes_received=exchange.bytes_received,
        took_ms=exchange.took_ms,
        nature="modelled" if exchange.modelled else "measured",
        detail=detail,
        certain=certain,
    )
