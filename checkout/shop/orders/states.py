"""The states of an order and the transitions between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from checkout.money import Money

Clock = Callable[[], datetime]


class OrderState(StrEnum):
    """Where an order stands."""

    OPEN = "open"
    AUTHORIZING = "authorizing"
    PAID = "paid"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    PAID_LATE = "paid-late"
    PREAUTHORISED = "preauthorised"
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially-refunded"
    DISPUTED = "disputed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the payer owes; amounts are minor units of `currency`, times aware UTC."""

    id: str
    reference: str
    amount_minor: int
    currency: str
    state: OrderState
    preauthorise: bool
    created_at: datetime
    expires_at: datetime
    code: str
    code_expires_at: datetime
    payment_id: str | None = None
    captured_minor: int = 0
    refunded_minor: int = 0
    static_code: str | None = None

    @property
    def amount(self) -> Money:
        """Amount and currency together."""
        return Money(amount_minor=self.amount_minor, currency=self.currency)

    def as_json(self) -> dict[str, Any]:
        """The order as command and API show it, without the picture links."""
        return {
            "id": self.id,
            "reference": self.reference,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "state": str(self.state),
            "created_at": self.created_at.isoformat(timespec="milliseconds"),
            "expires_at": self.expires_at.isoformat(timespec="milliseconds"),
            "code_expires_at": self.code_expires_at.isoformat(timespec="milliseconds"),
            "payment_id": self.payment_id,
            "captured_minor": self.captured_minor,
            "refunded_minor": self.refunded_minor,
        }
