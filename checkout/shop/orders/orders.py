"""Orders and their states; one order is payable by both modes and the first to arrive takes it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, and_, bindparam, insert, select, update

from checkout.acceptance.qr.link import CODE_BYTES, LinkError, new_code, normalise_code
from checkout.database import instant, micros
from checkout.errors import ShopError
from checkout.money import AmountError, Money, exponent
from checkout.shop import tables
from checkout.shop.orders.events import add_event
from checkout.shop.orders.states import Clock, Order, OrderState

_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLookup:
    """What a scanned code stands for now."""

    order: Order
    code: str  # as it was made
    status: Literal["live", "expired", "used"]


def new_id(prefix: str) -> str:
    """A fresh identifier such as ``ord_7k3m...`` with 80 random bits."""
    return f"{prefix}_{''.join(secrets.choice(_ID_ALPHABET) for _ in range(16))}"


class Orders:
    """Keeps orders; every change of state is one compare-and-set in the database."""

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
        """ShopError(amount or currency) where no order could be for that much."""
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
        """The order as it stands now; ShopError(unknown-order)."""
        with self.engine.connect() as connection:
            return self._read(connection, order_id)

    def _read(self, connection: Connection, order_id: str) -> Order:
        found = connection.execute(_ORDER_WITH_CODE, {"order_id": order_id}).first()
        if found is None:
            raise ShopError("unknown-order", f"order: no order has the id {order_id!r}", "order")
        order = _order(found)
        # Expiry is a matter of the clock; the sweep only writes down what already holds.
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
        """Give an open order a fresh code; the last one stays valid until it runs out."""
        now = self.clock()
        with self.engine.begin() as connection:
            # Writing first takes the write lock, so that what was checked cannot go stale.
            if not self._touch(connection, order_id):
                state = self._read(connection, order_id).state
                raise ShopError("order-not-open", f"order: it is {state}, not open", "order")
            self._issue_code(connection, order_id, now)
            add_event(connection, now, "code-renewed", order_id)
        return self.get(order_id)

    def _touch(self, connection: Connection, order_id: str) -> bool:
        table = tables.orders
        return bool(
            connection.execute(
                update(table)
                .where(
                    table.c.id == order_id,
                    table.c.state == OrderState.OPEN,
                    table.c.expires_at > micros(self.clock()),
                )
                .values(reference=table.c.reference)
            ).rowcount
        )

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
        if not self.move(order_id, {OrderState.OPEN}, OrderState.CANCELLED, "order-cancelled"):
            state = self.get(order_id).state
            raise ShopError("order-not-open", f"order: it is {state}, not open", "order")
        return self.get(order_id)

    def move(
        self, order_id: str, before: set[OrderState], after: OrderState, kind: str, **changes: Any
    ) -> bool:
        """Compare-and-set the state and tell of it; False when another was faster."""
        with self.engine.begin() as connection:
            return self._move(connection, order_id, before, after, kind, **changes)

    def cancel_in(self, connection: Connection, order_id: str) -> bool:
        """Close an open order in the caller's transaction; False when it is not open."""
        return self._move(
            connection, order_id, {OrderState.OPEN}, OrderState.CANCELLED, "order-cancelled"
        )

    def _move(
        self,
        connection: Connection,
        order_id: str,
        before: set[OrderState],
        after: OrderState,
        kind: str,
        **changes: Any,
    ) -> bool:
        table = tables.orders
        moved = connection.execute(
            update(table)
            .where(table.c.id == order_id, table.c.state.in_(before))
            .values(state=after, **changes)
        ).rowcount
        if moved:
            add_event(connection, self.clock(), kind, order_id)
        return bool(moved)

    def expire_due(self) -> int:
        """Write down which open orders have run out; returns how many."""
        table = tables.orders
        now = micros(self.clock())
        with self.engine.connect() as connection:
            due = connection.execute(
                select(table.c.id).where(
                    table.c.state == OrderState.OPEN, table.c.expires_at <= now
                )
            ).scalars()
            due_ids = due.all()
        return sum(
            self.move(order_id, {OrderState.OPEN}, OrderState.EXPIRED, "order-expired")
            for order_id in due_ids
        )

    def claim(
        self,
        order_id: str,
        payment_row: dict[str, Any],
        *,
        code: str | None,
        also: Callable[[Connection, str], None] | None = None,
    ) -> bool:
        """Take the order from open to authorizing for one payment, and keep that payment.

        All of it in one transaction, with whatever `also` writes about the payment: after it a
        crash leaves an order that names who holds it. Returns False when another payment, a
        cancellation or the clock was faster.
        """
        now = micros(self.clock())
        table = tables.orders
        with self.engine.begin() as connection:
            taken = connection.execute(
                update(table)
                .where(
                    and_(
                        table.c.id == order_id,
                        table.c.state == OrderState.OPEN,
                        table.c.expires_at > now,
                    )
                )
                .values(state=OrderState.AUTHORIZING, payment_id=payment_row["id"])
            ).rowcount
            if not taken:
                return False
            if code is not None:
                marked = connection.execute(
                    update(tables.codes)
                    .where(
                        tables.codes.c.code == code,
                        tables.codes.c.expires_at > now,
                        tables.codes.c.used_by.is_(None),
                    )
                    .values(used_by=payment_row["id"])
                ).rowcount
                if not marked:
                    connection.rollback()
                    return False
            connection.execute(insert(tables.payments), payment_row)
            if also is not None:
                also(connection, payment_row["id"])
            add_event(
                connection,
                self.clock(),
                "order-authorizing",
                order_id,
                mode=payment_row["mode"],
                payment=payment_row["id"],
            )
        return True


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
