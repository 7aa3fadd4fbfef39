"""The states of an order, and every transition between them as one table.

Nothing else in the shop writes the state of an order. A transition is one UPDATE whose WHERE names
the states before (compare-and-set), in the caller's transaction and together with its event. So of
two that arrive at once one changes the order, and the other is refused and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select, update

from checkout.database import micros
from checkout.money import Money
from checkout.shop import tables
from checkout.shop.orders.events import add_event

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


class OrderChange(StrEnum):
    """What can happen to an order; each is a group of rows in `TRANSITIONS`."""

    RENEW_CODE = "renew code"
    CANCEL = "cancel"
    EXPIRE = "expire"
    CLAIM = "claim"  # a payment begins and takes the order for itself
    RELEASE = "release"  # that payment was declined or reversed
    PAY = "pay"  # that payment was approved
    PREAUTHORISE = "preauthorise"  # that payment was approved, and holds the money only
    PAY_LATE = "pay late"  # that payment was approved when the order had run out
    BEGIN_CAPTURE = "begin capture"
    CAPTURE = "capture"
    DECLINE_CAPTURE = "decline capture"
    BEGIN_REFUND = "begin refund"
    REFUND = "refund"
    DECLINE_REFUND = "decline refund"
    CHARGE_BACK = "charge back"
    WIN_DISPUTE = "win dispute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a caller brings to a transition: its instant, payment and amount in minor units."""

    now: datetime
    payment_id: str | None
    amount_minor: int


Condition = Callable[[Change], ColumnElement[bool]]
Value = Callable[[Change], Any]


@dataclass(frozen=True, slots=True)
class Row:
    """An order in one of the states `before` goes to `after` where `when` holds.

    Of several rows for one state the first whose `when` holds counts.
    """

    before: tuple[OrderState, ...]
    after: OrderState
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """What one change does: `sets` names the columns that change with the state.

    `emits` is the kind of the event, None where the payment's own event says what happened.
    """

    rows: tuple[Row, ...]
    sets: Mapping[str, Value] = field(default_factory=dict)
    emits: str | None = None


_ORDERS, _PAYMENTS = tables.orders, tables.payments


def not_expired(change: Change) -> ColumnElement[bool]:
    """The order's time has not run out."""
    return _ORDERS.c.expires_at > micros(change.now)


def expired(change: Change) -> ColumnElement[bool]:
    """The order's time has run out."""
    return _ORDERS.c.expires_at <= micros(change.now)


def held(change: Change) -> ColumnElement[bool]:
    """The order is claimed by this payment."""
    return _ORDERS.c.payment_id == change.payment_id


def held_by_sticker(change: Change) -> ColumnElement[bool]:
    """As `held`, and a payer opened the order at a printed code: another try opens another."""
    return and_(held(change), _ORDERS.c.static_code.is_not(None))


def enough_left(change: Change) -> ColumnElement[bool]:
    """Refunds, those under way too, leave at least this amount."""
    return _ORDERS.c.captured_minor - _ORDERS.c.refunded_minor >= change.amount_minor


def all_refunded(_change: Change) -> ColumnElement[bool]:
    """The approved refunds have given everything back; others may be under way."""
    return _approved_refunds() >= _ORDERS.c.captured_minor


def some_refunded(_change: Change) -> ColumnElement[bool]:
    """At least one refund was approved."""
    return _approved_refunds() > 0


def refund_begun(_change: Change) -> ColumnElement[bool]:
    """Something was refunded before the dispute."""
    return _ORDERS.c.refunded_minor > 0


def _approved_refunds() -> ColumnElement[int]:
    return (
        select(func.coalesce(func.sum(_PAYMENTS.c.amount_minor), 0))
        .where(
            _PAYMENTS.c.order_id == _ORDERS.c.id,
            _PAYMENTS.c.kind == "refund",
            _PAYMENTS.c.state == "approved",
        )
        .correlate(_ORDERS)
        .scalar_subquery()
    )


def _this_payment(change: Change) -> Any:
    return change.payment_id


def _nobody(_change: Change) -> Any:
    return None


def _amount(change: Change) -> Any:
    return change.amount_minor


def _refunded_and_amount(change: Change) -> Any:
    return _ORDERS.c.refunded_minor + change.amount_minor


def _refunded_less_amount(change: Change) -> Any:
    return _ORDERS.c.refunded_minor - change.amount_minor


_S, _C = OrderState, OrderChange
_SOLD = (_S.PAID, _S.PARTIALLY_REFUNDED)
_OPEN, _CLAIMED, _PREAUTHORISED = (_S.OPEN,), (_S.AUTHORIZING,), (_S.PREAUTHORISED,)

#: The state that the approved refunds give; a disputed order stays so until it is decided.
_BY_REFUNDS = (
    Row((*_SOLD, _S.REFUNDED), _S.REFUNDED, all_refunded),
    Row((*_SOLD, _S.REFUNDED), _S.PARTIALLY_REFUNDED, some_refunded),
    Row((*_SOLD, _S.REFUNDED), _S.PAID),
    Row((_S.DISPUTED,), _S.DISPUTED),
)

TRANSITIONS: Mapping[OrderChange, Transition] = {
    _C.RENEW_CODE: Transition((Row(_OPEN, _S.OPEN, not_expired),), emits="code-renewed"),
    _C.CANCEL: Transition((Row(_OPEN, _S.CANCELLED),), emits="order-cancelled"),
    _C.EXPIRE: Transition((Row(_OPEN, _S.EXPIRED, expired),), emits="order-expired"),
    _C.CLAIM: Transition(
        (Row(_OPEN, _S.AUTHORIZING, not_expired),),
        sets={"payment_id": _this_payment},
        emits="order-authorizing",
    ),
    _C.RELEASE: Transition(
        (Row(_CLAIMED, _S.CANCELLED, held_by_sticker), Row(_CLAIMED, _S.OPEN, held)),
        sets={"payment_id": _nobody},
    ),
    _C.PAY: Transition(
        (Row(_CLAIMED, _S.PAID, held),), sets={"captured_minor": _amount}, emits="order-paid"
    ),
    _C.PREAUTHORISE: Transition((Row(_CLAIMED, _S.PREAUTHORISED, held),), emits="order-paid"),
    _C.PAY_LATE: Transition((Row(_CLAIMED, _S.PAID_LATE, held),), emits="order-paid-late"),
    _C.BEGIN_CAPTURE: Transition((Row(_PREAUTHORISED, _S.AUTHORIZING),)),
    _C.CAPTURE: Transition(
        (Row(_CLAIMED, _S.PAID),), sets={"captured_minor": _amount}, emits="order-paid"
    ),
    _C.DECLINE_CAPTURE: Transition((Row(_CLAIMED, _S.PREAUTHORISED),), emits="order-declined"),
    _C.BEGIN_REFUND: Transition(
        (
            Row((_S.PAID,), _S.PAID, enough_left),
            Row((_S.PARTIALLY_REFUNDED,), _S.PARTIALLY_REFUNDED, enough_left),
        ),
        sets={"refunded_minor": _refunded_and_amount},
    ),
    _C.REFUND: Transition(_BY_REFUNDS, emits="order-refunded"),
    _C.DECLINE_REFUND: Transition(_BY_REFUNDS, sets={"refunded_minor": _refunded_less_amount}),
    _C.CHARGE_BACK: Transition((Row(_SOLD, _S.DISPUTED),), emits="order-disputed"),
    _C.WIN_DISPUTE: Transition(
        (
            Row((_S.DISPUTED,), _S.PARTIALLY_REFUNDED, refund_begun),
            Row((_S.DISPUTED,), _S.PAID),
        ),
        emits="order-paid",
    ),
}


def change_order(
    connection: Connection,
    order_id: str,
    what: OrderChange,
    now: datetime,
    *,
    payment_id: str | None = None,
    amount_minor: int = 0,
    details: Mapping[str, Any] | None = None,
) -> bool:
    """Make one transition in the caller's transaction, and emit its event with `details`.

    `payment_id` and `amount_minor` (minor units) are for the rows that use them. Returns False
    where the order was in another state, or a condition did not hold; nothing has changed then.
    """
    transition = TRANSITIONS[what]
    change = Change(now=now, payment_id=payment_id, amount_minor=amount_minor)
    tests = [(_test(row, change), row.after) for row in transition.rows]
    columns = {name: value(change) for name, value in transition.sets.items()}
    changed = connection.execute(
        update(_ORDERS)
        .where(_ORDERS.c.id == order_id, or_(*(test for test, _ in tests)))
        .values(state=tests[0][1] if len(tests) == 1 else case(*tests), **columns)
    ).rowcount
    if changed and transition.emits is not None:
        add_event(connection, now, transition.emits, order_id, **(details or {}))
    return bool(changed)


def _test(row: Row, change: Change) -> ColumnElement[bool]:
    in_state = _ORDERS.c.state.in_(row.before)
    return in_state if row.when is None else and_(in_state, row.when(change))
