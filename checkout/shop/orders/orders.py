"""Orders and their codes; both modes may pay an order, and the first payment to arrive takes it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, bindparam, insert, select, update

from checkout.acceptance.qr.link import CODE_BYTES, LinkError, new_code, normalise_code
from checkout.database import instant, micros
from checkout.errors import ShopError
from checkout.money import AmountError, Money, exponent
from checkout.shop import tables
from checkout.shop.orders.events import add_event
from checkout.shop.orders.states import Clock, Order, OrderChange, OrderState, change_order

_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLookup:
    """The order that a scanned code leads to, and whether the code is still good."""

    order: Order
    code: str  # in the spelling in which it was issued
    status: Literal["live", "expired", "used"]


def new_id(prefix: str) -> str:
    """A fresh identifier such as ``ord_7k3m...`` with 80 random bits."""
    return f"{prefix}_{''.join(secrets.choice(_ID_ALPHABET) for _ in range(16))}"


class Orders:
    """The orders table; every change of state is one transition of `states`."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock = lambda: datetime.now(UTC),
        order_ttl_s: int = 900,
        code_ttl_s: int = 60,
        order_limit_minor: int = 5_000_000,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self._order_ttl = timedelta(seconds=order_ttl_s)
        self._code_ttl = timedelta(seconds=code_ttl_s)
        self._limit_minor = order_limit_minor

    def create(
        self,
        *,
        amount_minor: int,
        currency: str = "CNY",
        reference: str | None = None,
        preauthorise: bool = False,
        static_code: str | None = None,
    ) -> Order:
        """Open an order with its first code; ShopError(amount, currency or reference)."""
        self.check_amount(amount_minor, currency)
        order_id = new_id("ord")
        shown = reference if reference is not None else order_id[4:12]
        if not (1 <= len(shown) <= 64 and shown.isprintable()):
            raise ShopError("reference", "reference: expected 1 to 64 printable characters")
        now = self.clock()
        row = {
            "id": order_id,
            "reference": shown,
            "amount_minor": amount_minor,
            "currency": currency,
            "state": OrderState.OPEN,
            "preauthorise": preauthorise,
            "static_code": static_code,
            "created_at": micros(now),
            "expires_at": micros(now + self._order_ttl),
            "payment_id": None,
            "captured_minor": 0,
            "refunded_minor": 0,
        }
        with self.engine.begin() as connection:
            connection.execute(insert(tables.orders), row)
            self._issue_code(connection, order_id, now)
            add_event(connection, now, "order-created", order_id, amount_minor=amount_minor)
        return self.get(order_id)

    def check_amount(self, amount_minor: int, currency: str) -> None:
        """Refuse what no order can be for; ShopError(amount or currency)."""
        try:
            exponent(currency)
        except AmountError as error:
            raise ShopError("currency", str(error), "currency") from None
        if isinstance(amount_minor, bool) or not isinstance(amount_minor, int):
            raise ShopError("amount", "amount_minor: expected a whole number", "amount_minor")
        if amount_minor <= 0:
            raise ShopError("amount", "amount_minor: expected more than zero", "amount_minor")
        if amount_minor > self._limit_minor:
            limit = Money(amount_minor=self._limit_minor, currency=currency)
            raise ShopError("amount", f"amount: over the order limit of {limit}", "amount_minor")

    def _issue_code(self, connection: Connection, order_id: str, now: datetime) -> str:
        code = new_code(secrets.token_bytes(CODE_BYTES))
        connection.execute(
            insert(tables.codes),
            {
                "code": code,
                "order_id": order_id,
                "created_at": micros(now),
                "expires_at": micros(now + self._code_ttl),
                "used_by": None,
            },
        )
        return code

    def get(self, order_id: str) -> Order:
        """The order with its present state; ShopError(unknown-order)."""
        with self.engine.connect() as connection:
            return self._read(connection, order_id)

    def _read(self, connection: Connection, order_id: str) -> Order:
        found = connection.execute(_ORDER_WITH_CODE, {"order_id": order_id}).first()
        if found is None:
            raise ShopError("unknown-order", f"order: no order has the id {order_id!r}", "order")
        order = _order(found)
        # The clock decides when an order expires; the sweep only records it.
        if order.state is OrderState.OPEN and order.expires_at <= self.clock():
            order = replace(order, state=OrderState.EXPIRED)
        return order

    def recent(self, limit: int = 20) -> tuple[Order, ...]:
        """The newest orders first."""
        with self.engine.connect() as connection:
            ids = connection.execute(
                select(tables.orders.c.id).order_by(tables.orders.c.created_at.desc()).limit(limit)
            ).scalars()
            return tuple(self._read(connection, order_id) for order_id in ids.all())

    def payable(self) -> Order | None:
        """The newest open order: the one whose amount a reader shows."""
        table = tables.orders
        with self.engine.connect() as connection:
            order_id = connection.execute(
                select(table.c.id)
                .where(
                    table.c.state == OrderState.OPEN,
                    table.c.expires_at > micros(self.clock()),
                    table.c.static_code.is_(None),
                )
                .order_by(table.c.created_at.desc())
                .limit(1)
            ).scalar()
            return None if order_id is None else self._read(connection, order_id)

    def renew_code(self, order_id: str) -> Order:
        """Give an open order a fresh code; the last one stays valid until it runs out.

        ShopError(order-not-open).
        """
        now = self.clock()
        with self.engine.begin() as connection:
            # Writing first takes the write lock, so that what was checked cannot go stale.
            if not change_order(connection, order_id, OrderChange.RENEW_CODE, now):
                raise _not_open(self._read(connection, order_id))
            self._issue_code(connection, order_id, now)
        return self.get(order_id)

    def resolve_code(self, code: str) -> CodeLookup:
        """The order behind a scanned code, upper or lower case; ShopError(unknown-code)."""
        try:
            plain = normalise_code(code)
        except LinkError:
            raise ShopError("unknown-code", "code: this shop has no such code", "code") from None
        with self.engine.connect() as connection:
            found = connection.execute(
                select(tables.codes).where(tables.codes.c.code == plain)
            ).first()
            if found is None:
                raise ShopError("unknown-code", "code: this shop has no such code", "code")
            order = self._read(connection, found.order_id)
        if order.state not in (OrderState.OPEN, OrderState.EXPIRED):
            return CodeLookup(order=order, code=plain, status="used")
        if order.state is OrderState.EXPIRED or found.expires_at <= micros(self.clock()):
            return CodeLookup(order=order, code=plain, status="expired")
        return CodeLookup(order=order, code=plain, status="live")

    def cancel(self, order_id: str) -> Order:
        """Close an open order; ShopError(order-not-open) when a payment was faster."""
        self.get(order_id)
        with self.engine.begin() as connection:
            cancelled = change_order(connection, order_id, OrderChange.CANCEL, self.clock())
        order = self.get(order_id)
        if not cancelled:
            raise _not_open(order)
        return order

    def expire_due(self) -> int:
        """Mark the open orders whose time has run out; returns how many."""
        table, now = tables.orders, self.clock()
        with self.engine.connect() as connection:
            due = connection.execute(
                select(table.c.id).where(
                    table.c.state == OrderState.OPEN, table.c.expires_at <= micros(now)
                )
            ).scalars()
            due_ids = due.all()
        return sum(self._expire(order_id, now) for order_id in due_ids)

    def _expire(self, order_id: str, now: datetime) -> bool:
        with self.engine.begin() as connection:
            return change_order(connection, order_id, OrderChange.EXPIRE, now)

    def claim(
        self,
        order_id: str,
        payment_row: dict[str, Any],
        *,
        code: str | None,
        also: Callable[[Connection, str], None] | None = None,
    ) -> bool:
        """Take the open order for one payment, and insert that payment's row.

        It is one transaction, with whatever `also` writes about the payment (its id is given): a
        crash afterwards leaves an order that names the payment that holds it. Returns False when
        another payment, a cancellation or the clock was faster.
        """
        now, payment_id = self.clock(), payment_row["id"]
        with self.engine.begin() as connection:
            claimed = change_order(
                connection,
                order_id,
                OrderChange.CLAIM,
                now,
                payment_id=payment_id,
                details={"mode": payment_row["mode"], "payment": payment_id},
            )
            if not claimed or not (code is None or _use_code(connection, code, payment_id, now)):
                connection.rollback()
                return False
            connection.execute(insert(tables.payments), payment_row)
            if also is not None:
                also(connection, payment_id)
        return True


def _use_code(connection: Connection, code: str, payment_id: str, now: datetime) -> bool:
    """Mark a live code as used by a payment; False where it has expired or was used."""
    codes = tables.codes
    marking = (
        update(codes)
        .where(codes.c.code == code, codes.c.expires_at > micros(now), codes.c.used_by.is_(None))
        .values(used_by=payment_id)
    )
    return bool(connection.execute(marking).rowcount)


def free_code(connection: Connection, payment_id: str) -> None:
    """Make the code that a payment used good again, in the caller's transaction."""
    codes = tables.codes
    freeing = update(codes).where(codes.c.used_by == payment_id).values(used_by=None)
    connection.execute(freeing)


def _not_open(order: Order) -> ShopError:
    return ShopError("order-not-open", f"order: it is {order.state}, not open", "order")


_LATEST_CODE = (
    select(tables.codes.c.code)
    .where(tables.codes.c.order_id == tables.orders.c.id)
    .order_by(tables.codes.c.created_at.desc())
    .limit(1)
    .correlate(tables.orders)
    .scalar_subquery()
)
_ORDER_WITH_CODE = select(
    tables.orders, tables.codes.c.code, tables.codes.c.expires_at.label("code_expires_at")
).where(
    tables.orders.c.id == bindparam("order_id"),
    tables.codes.c.order_id == tables.orders.c.id,
    tables.codes.c.code == _LATEST_CODE,
)


def _order(row: Row[Any]) -> Order:
    return Order(
        id=row.id,
        reference=row.reference,
        amount_minor=row.amount_minor,
        currency=row.currency,
        state=OrderState(row.state),
        preauthorise=bool(row.preauthorise),
        created_at=instant(row.created_at),
        expires_at=instant(row.expires_at),
        code=row.code,
        code_expires_at=instant(row.code_expires_at),
        payment_id=row.payment_id,
        captured_minor=row.captured_minor,
        refunded_minor=row.refunded_minor,
        static_code=row.static_code,
    )
