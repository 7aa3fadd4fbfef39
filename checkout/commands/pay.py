"""`checkout pay`: one whole sale without a browser: order, code or tap, clearing, receipt."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.exc import SQLAlchemyError

from checkout.commands.common import console, print_json
from checkout.config import Config
from checkout.demo.payers import DEFAULT_PAYER, DEMO_PIN, DemoPayers, payer as find_payer
from checkout.errors import ShopError
from checkout.money import Money
from checkout.shop.orders.states import Order
from checkout.shop.payments.payers import Payer
from checkout.shop.payments.payments import Payment, PaymentState
from checkout.shop.shop import Shop

_PAID, _DECLINED, _UNKNOWN = 0, 3, 4

#: How long an unanswered payment may take to be reversed before the command says "unknown".
_REVERSED_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line gives to `checkout pay`."""

    mode: Literal["qr", "nfc"]
    amount: str
    currency: str
    payer: str | None
    pin: str | None
    reader: str | None
    database: str
    json: bool


def run(options: Options) -> int:
    """Sell for the amount and print what happened."""
    amount = Money.parse(options.amount, options.currency)
    who = find_payer(options.payer or DEFAULT_PAYER)
    config = Config(database=options.database)
    shop = Shop.open(config, payers=DemoPayers(), own_switch=True)
    try:
        shop.clearing()  # where no switch can start, nobody is charged and no order is made
        order = shop.orders.create(amount_minor=amount.amount_minor, currency=amount.currency)
        try:
            payment = _pay(shop, config, options, order, who)
        except BaseException:
            _withdraw(shop, order)
            raise
        if payment.state is PaymentState.UNKNOWN:
            payment = _await_reversal(shop, payment)
        order = shop.orders.get(order.id)
        if order.payment_id is None:
            # No counter waits for a second try.
            order = shop.orders.cancel(order.id)
    finally:
        shop.close()
    if options.json:
        print_json(_as_json(order, payment))
    else:
        _show(order, payment)
    return {
        PaymentState.APPROVED: _PAID,
        PaymentState.DECLINED: _DECLINED,
        PaymentState.REVERSED: _DECLINED,
    }.get(payment.state, _UNKNOWN)


def _withdraw(shop: Shop, order: Order) -> None:
    """Cancel an order that nobody will pay now, so that no reader or phone finds it open."""
    # Where a payment holds it, or the database fails, there is nothing more to do here.
    with contextlib.suppress(ShopError, SQLAlchemyError):
        shop.orders.cancel(order.id)


def _pay(shop: Shop, config: Config, options: Options, order: Order, who: Payer) -> Payment:
    pin = options.pin or DEMO_PIN
    if options.mode == "qr":
        from checkout.commands.pay_qr import pay_order_by_code

        return pay_order_by_code(shop, order, who, pin)
    from checkout.commands.pay_nfc import pay_order_by_tap

    path = options.reader or ("emulated" if options.payer else "auto")
    return pay_order_by_tap(shop, config, order, who, pin, path)


def _await_reversal(shop: Shop, payment: Payment) -> Payment:
    deadline = time.monotonic() + _REVERSED_WITHIN_S
    while payment.state is PaymentState.UNKNOWN and time.monotonic() < deadline:
        shop.sweep()
        payment = shop.payments.get(payment.id)
        time.sleep(0.2)
    return payment


def _as_json(order: Order, payment: Payment) -> dict[str, Any]:
    return {
        "order": {
            "id": order.id,
            "reference": order.reference,
            "amount_minor": order.amount_minor,
            "currency": order.currency,
            "state": str(order.state),
        },
        "payment": payment.as_json(),
        "timing_ms": payment.timing_json(),
        "steps": [step.as_json() for step in payment.steps],
    }


def _show(order: Order, payment: Payment) -> None:
    from rich.table import Table

    out = console()
    way = {"qr": "code", "nfc": "tap"}[payment.mode]
    device = "phone" if str(payment.mode) == "qr" else "card and air"
    emulated = f", emulated {device}" if payment.emulated else ""
    out.print(f"{order.amount}  {payment.as_json()['state']} by {way} ({payment.scheme}{emulated})")
    out.print(f"{payment.pan}  {payment.response_text}  approval {payment.approval_code or '-'}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (
        ("#", "right"),
        ("at ms", "right"),
        ("from", "left"),
        ("to", "left"),
        ("what", "left"),
        ("sent", "right"),
        ("received", "right"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for step in payment.steps:
        table.add_row(
            str(step.n),
            f"{step.at_ms:.1f}",
            step.source,
            step.target,
            step.what,
            str(step.bytes_sent),
            str(step.bytes_received),
        )
    out.print(table)
    modelled = f", of it {payment.modelled_ms:.0f} ms modelled" if payment.modelled_ms else ""
    out.print(f"{payment.total_ms:.0f} ms{modelled}")
