"""Payments whose message was not answered: what is repeated for them, and what its answer means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, exists, or_, select, update

from checkout.clearing.client.client import Exchange, SwitchClient
from checkout.clearing.messages import RESPONSE_TEXTS, AuthorizationRequest, TransactionType
from checkout.database import micros
from checkout.encryption import Seal
from checkout.shop import tables
from checkout.shop.orders.events import add_event
from checkout.shop.orders.states import OrderChange, change_order
from checkout.shop.payments.payments import (
    PaymentRecords,
    PaymentState,
    end_once,
)
from checkout.shop.payments.repeats import ADVICES, Repeats, Unanswered
from checkout.shop.payments.stored_requests import open_request
from checkout.trace import Trace, steps_to_json


class Reversals:
    """Reverses, or advises again, what a crash, silence or a late answer left behind."""

    def __init__(
        self,
        payments: PaymentRecords,
        *,
        clearing: Callable[[], SwitchClient],
        seal: Seal,
        timeout_s: float,
        retry_s: float,
    ) -> None:
        self._payments = payments
        self._repeats = Repeats(
            UnansweredPayments(payments, seal),
            clearing=clearing,
            clock=payments.clock,
            timeout_s=timeout_s,
            retry_s=retry_s,
        )

    def repeat_due(self) -> int:
        """Repeat everything that is due; returns how many payments were settled now."""
        return self._repeats.repeat_due()

    def repeat(self, payment_id: str, trace: Trace) -> bool:
        """Repeat one that is due, and record its steps; True once it is settled."""

        def record(request: AuthorizationRequest, exchange: Exchange) -> None:
            what = request.transaction_type
            record_exchange(trace, what, exchange, reversal=what not in ADVICES)
            self._payments.update(payment_id, steps=steps_to_json(trace.steps()))

        return self._repeats.repeat(payment_id, record)


class UnansweredPayments:
    """The payments table as `Repeats` asks for it."""

    def __init__(self, payments: PaymentRecords, seal: Seal) -> None:
        self._payments = payments
        self._seal = seal

    def give_up(self, begun_before: datetime, due: datetime) -> None:
        """Make pending payments due that no process has in hand, nor a payer who types a PIN."""
        table, waiting = tables.payments, tables.waiting
        in_hand = exists().where(
            waiting.c.payment_id == table.c.id,
            or_(waiting.c.taken_at.is_(None), waiting.c.taken_at >= micros(begun_before)),
        )
        with self._payments.engine.begin() as connection:
            connection.execute(
                update(table)
                .where(
                    table.c.state == PaymentState.PENDING,
                    table.c.started_at < micros(begun_before),
                    ~in_hand,
                )
                .values(state=PaymentState.UNKNOWN, reversal_due_at=micros(due))
            )

    def due(self, now: datetime) -> list[str]:
        """The payments that are due."""
        table = tables.payments
        with self._payments.engine.connect() as connection:
            due = select(table.c.id).where(table.c.reversal_due_at <= micros(now))
            return list(connection.execute(due).scalars())

    def claim(self, id: str, now: datetime, until: datetime) -> Unanswered | None:
        """Take a due payment until then, so that two processes do not send at once."""
        table = tables.payments
        with self._payments.engine.begin() as connection:
            row = connection.execute(
                update(table)
                .where(table.c.id == id, table.c.reversal_due_at <= micros(now))
                .values(
                    reversal_due_at=micros(until), reversal_attempts=table.c.reversal_attempts + 1
                )
                .returning(table.c.sealed_request)
            ).first()
        if row is None:
            return None
        if row.sealed_request is None:  # the order was claimed, but nothing was ever sent
            return Unanswered(id=id, request=None)
        return Unanswered(id=id, request=open_request(self._seal, row.sealed_request))

    def postpone(self, id: str, due: datetime) -> None:
        """Have it repeated at `due`, unless its answer has come."""
        table = tables.payments
        with self._payments.engine.begin() as connection:
            connection.execute(
                update(table)
                .where(table.c.id == id, table.c.reversal_due_at.is_not(None))
                .values(reversal_due_at=micros(due))
            )

    def settle(self, unanswered: Unanswered, *, stands: bool) -> None:
        """Record how the payment ended, and bring its order up to that."""
        row = self._payments.row(unanswered.id)
        assert row is not None  # payments are never deleted
        if row.kind == "sale" and row.state == PaymentState.APPROVED:
            # An offline approval: the shop is paid either way, and the issuer now knows of it.
            self._payments.update(row.id, reversal_due_at=None)
            return
        state = PaymentState.APPROVED if stands else PaymentState.REVERSED
        code = row.response_code or ("00" if stands else None)
        now = self._payments.clock()
        details = {"mode": row.mode, "payment": row.id}
        with self._payments.engine.begin() as connection:
            if not end_once(connection, row.id, state, code):
                return  # another process has received the answer and recorded all of this
            if row.kind == "sale":
                what = OrderChange.PAY if stands else OrderChange.RELEASE
                change_order(
                    connection,
                    row.order_id,
                    what,
                    now,
                    payment_id=row.id,
                    amount_minor=row.amount_minor,
                    details=details,
                )
            else:
                end_follow_up(
                    connection,
                    row.order_id,
                    row.id,
                    row.kind,
                    row.amount_minor,
                    now,
                    approved=stands,
                )
            add_event(connection, now, f"payment-{state}", row.order_id, **details)


_FOLLOW_UP_CHANGES = {
    ("refund", True): OrderChange.REFUND,
    ("refund", False): OrderChange.DECLINE_REFUND,
    ("capture", True): OrderChange.CAPTURE,
    ("capture", False): OrderChange.DECLINE_CAPTURE,
}


def end_follow_up(
    connection: Connection,
    order_id: str,
    payment_id: str,
    kind: str,
    amount_minor: int,
    now: datetime,
    *,
    approved: bool,
) -> None:
    """Record on the order how its refund or capture ended, in the caller's transaction."""
    change_order(
        connection,
        order_id,
        _FOLLOW_UP_CHANGES[kind, approved],
        now,
        amount_minor=amount_minor,
        details={"amount_minor": amount_minor, "payment": payment_id},
    )


def record_exchange(
    trace: Trace, what: TransactionType, exchange: Exchange, *, reversal: bool = False
) -> None:
    """Add the shop's message to the switch, and its answer, to a payment's steps."""
    code = exchange.response.response_code
    trace.record(
        "shop",
        "switch",
        f"{'reversal of ' if reversal else ''}{what}: {code} "
        f"{RESPONSE_TEXTS.get(code, '')}".strip(),
        sent=exchange.bytes_sent,
        received=exchange.bytes_received,
        took_ms=exchange.took_ms,
        detail={"request": exchange.request_dump, "response": exchange.response_dump},
        certain="shop" if exchange.response.approved and not reversal else None,
    )
