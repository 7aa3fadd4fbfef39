"""What is sent to merchants' systems: the event types, and the body of each message."""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Any

from checkout.shop.orders.events import Event
from checkout.shop.orders.states import Order
from checkout.shop.payments.payments import Payment


class EventType(StrEnum):
    """Full-stop delimited, as Standard Webhooks advises ("Event types")."""

    ORDER_PAID = "order.paid"
    ORDER_PREAUTHORISED = "order.preauthorised"
    ORDER_CAPTURED = "order.captured"
    ORDER_REFUNDED = "order.refunded"
    ORDER_EXPIRED = "order.expired"
    ORDER_CANCELLED = "order.cancelled"
    ORDER_DISPUTED = "order.disputed"  # charged back: the money is with the payer
    ORDER_DISPUTE_WON = "order.dispute_won"  # the money is back with the shop
    ORDER_PAID_LATE = "order.paid_late"  # approved after the order had run out: the money goes back
    PAYMENT_DECLINED = "payment.declined"
    PAYMENT_UNKNOWN = "payment.unknown"  # no answer came: a reversal is under way
    PAYMENT_REVERSED = "payment.reversed"


_OF_KIND = {
    "order-paid": EventType.ORDER_PAID,
    "order-refunded": EventType.ORDER_REFUNDED,
    "order-expired": EventType.ORDER_EXPIRED,
    "order-cancelled": EventType.ORDER_CANCELLED,
    "order-disputed": EventType.ORDER_DISPUTED,
    "order-paid-late": EventType.ORDER_PAID_LATE,
    "order-declined": EventType.PAYMENT_DECLINED,
    "order-unknown": EventType.PAYMENT_UNKNOWN,
    "payment-reversed": EventType.PAYMENT_REVERSED,
}

#: The kinds of the shop's events for which webhooks are sent.
KINDS = frozenset(_OF_KIND)


def event_type(event: Event, payment: Payment | None) -> EventType:
    """The type of an event; KeyError where its kind is none of `KINDS`.

    An `order-paid` event follows a sale, a pre-authorisation, a completion and a won dispute: its
    payload and its payment decide which type it is.
    """
    found = _OF_KIND[event.kind]
    if found is EventType.ORDER_PAID:
        if "dispute" in event.payload:
            return EventType.ORDER_DISPUTE_WON
        if payment is not None and payment.kind == "capture":
            return EventType.ORDER_CAPTURED
        if event.payload.get("preauthorised"):
            return EventType.ORDER_PREAUTHORISED
    return found


def wanted_events(names: list[str] | None) -> frozenset[EventType]:
    """The event types in an endpoint's list; all of them where it has no list."""
    return frozenset(EventType if names is None else (EventType(name) for name in names))


def message_body(type_: EventType, at: datetime, order: Order, payment: Payment | None) -> bytes:
    """The bytes that are signed and sent: `type`, `timestamp` of the event, `data`.

    `data` holds the order as the API shows it (without codes to scan, which live 60 s) and the
    payment that the event is about, its card number masked.
    """
    body = {
        "type": str(type_),
        "timestamp": at.isoformat(timespec="milliseconds"),
        "data": {
            "order": {**order.as_json(), "preauthorise": order.preauthorise, "qr": None},
            "payment": None if payment is None else payment_summary(payment),
        },
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def payment_summary(payment: Payment) -> dict[str, Any]:
    """A payment as the API shows it, without its steps and times."""
    return {
        **payment.as_json(),
        "kind": payment.kind,
        "order_id": payment.order_id,
        "amount_minor": payment.amount_minor,
        "emulated": payment.emulated,
    }
