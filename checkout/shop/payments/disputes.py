"""Orders whose payment is disputed: the shop follows the dispute in the clearing backend."""

from __future__ import annotations

from sqlalchemy import Engine, select
from sqlalchemy.exc import DatabaseError

from checkout.clearing.queries import ClearingReader, SaleDispute
from checkout.clearing.settlement.disputes import DisputeState
from checkout.shop import tables
from checkout.shop.orders.states import Clock, OrderChange, change_order

#: While the payer has the money the order is disputed; for good where the payer wins.
_LOST = (DisputeState.CHARGED_BACK, DisputeState.FINAL_FOR_PAYER)


class DisputedOrders:
    """Marks orders as disputed, and as paid again, whoever moved the dispute."""

    def __init__(self, engine: Engine, books: ClearingReader, clock: Clock) -> None:
        self._engine = engine
        self._books = books
        self._clock = clock
        self._seen: tuple[SaleDispute, ...] = ()

    def sweep(self) -> int:
        """Bring the orders up to the state of their disputes; returns how many changed."""
        try:
            booked = self._books.disputes()
        except DatabaseError:  # no switch has run on this database yet
            return 0
        if booked == self._seen:
            return 0
        changed = sum(self._follow(dispute) for dispute in booked)
        self._seen = booked
        return changed

    def _follow(self, dispute: SaleDispute) -> bool:
        """Mark the order of one dispute; False where it is marked already or is another shop's."""
        payments = tables.payments
        lost = dispute.state in _LOST
        with self._engine.begin() as connection:
            order_id = connection.execute(
                select(payments.c.order_id).where(
                    payments.c.rrn == dispute.rrn, payments.c.kind.in_(("sale", "capture"))
                )
            ).scalar()
            return order_id is not None and change_order(
                connection,
                order_id,
                OrderChange.CHARGE_BACK if lost else OrderChange.WIN_DISPUTE,
                self._clock(),
                details={"dispute": dispute.state.value, "amount_minor": dispute.amount_minor},
            )
