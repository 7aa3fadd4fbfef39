"""Orders whose payment is disputed: the shop follows the dispute in the clearing backend."""

from __future__ import annotations

from sqlalchemy import Engine, case, select, update
from sqlalchemy.exc import DatabaseError

from checkout.clearing.queries import ClearingReader, SaleDispute
from checkout.clearing.settlement.disputes import DisputeState
from checkout.shop import tables
from checkout.shop.orders.events import add_event
from checkout.shop.orders.states import Clock, OrderState

#: While the money is with the payer the order is disputed; finally so where the payer wins.
_LOST = (DisputeState.CHARGED_BACK, DisputeState.FINAL_FOR_PAYER)
_SOLD = (OrderState.PAID, OrderState.PARTIALLY_REFUNDED)


class DisputedOrders:
    """Marks orders as disputed, and as paid again, whoever moved the dispute."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._known: tuple[SaleDispute, ...] = ()

    def sweep(self) -> int:
        """Bring the orders up to where their disputes stand; returns how many changed."""
        try:
            found = ClearingReader(self._engine).disputes()
        except DatabaseError:  # no switch has run on this database yet
            return 0
        if found == self._known:
            return 0
        changed = sum(self._follow(one) for one in found)
        self._known = found
        return changed

    def _follow(self, dispute: SaleDispute) -> bool:
        """Mark the order of one dispute; False where it is marked already or is another shop's."""
        orders, payments = tables.orders, tables.payments
        lost = dispute.state in _LOST
        after = case(
            (orders.c.refunded_minor > 0, OrderState.PARTIALLY_REFUNDED), else_=OrderState.PAID
        )
        with self._engine.begin() as connection:
            order_id = connection.execute(
                select(payments.c.order_id).where(
                    payments.c.rrn == dispute.rrn, payments.c.kind.in_(("sale", "capture"))
                )
            ).scalar()
            if order_id is None:
                return False
            moved = connection.execute(
                update(orders)
                .where(
                    orders.c.id == order_id,
                    orders.c.state.in_(_SOLD if lost else (OrderState.DISPUTED,)),
                )
                .values(state=OrderState.DISPUTED if lost else after)
            ).rowcount
            if moved:
                add_event(
                    connection,
                    self._clock(),
                    "order-disputed" if lost else "order-paid",
                    order_id,
                    dispute=dispute.state.value,
                    amount_minor=dispute.amount_minor,
                )
        return bool(moved)
