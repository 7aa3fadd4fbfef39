"""What must be said again until it is answered: reversals, and advices of what is already done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, exists, or_, select, update

from checkout.clearing.client.client import Exchange, NoAnswer, NotSent, SwitchClient
from checkout.clearing.messages import RESPONSE_TEXTS, TransactionType
from checkout.database import micros
from checkout.encryption import Seal
from checkout.shop import tables
from checkout.shop.orders.events import add_event
from checkout.shop.orders.states import OrderState
from checkout.shop.payments.payments import (
    Ended,
    PaymentRecords,
    PaymentState,
    end_once,
)
from checkout.shop.payments.stored_requests import open_request
from checkout.trace import Trace, steps_to_json

#: These tell of something that has happened; they are repeated as they are, never reversed.
_ADVICES = frozenset(
    {
        TransactionType.OFFLINE_ADVICE,
        TransactionType.REFUND,
        TransactionType.COMPLETION_ADVICE,
    }
)

#: The backend could not say: the same message goes again.
_ASK_AGAIN = frozenset({"68", "91", "96", "98", "A0"})

#: A reversal is over when it was done or there was nothing to undo; anything else is said again.
_UNDONE = frozenset({"00", "25"})

_LONGEST_RETRY_S = 60.0


class Repeats:
    """Takes up what a crash, a silence or a late answer left behind."""

    def __init__(
        self,
        kept: PaymentRecords,
        *,
        clearing: Callable[[], SwitchClient],
        seal: Seal,
        timeout_s: float,
        retry_s: float,
        settled: Callable[[Connection, Ended, bool], None],
    ) -> None:
        self._kept = kept
        self._clearing = clearing
        self._seal = seal
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._settled = settled

    def all_due(self) -> int:
        """Repeat everything that is due; returns how many were settled now.

        An attempt that is still pending long after its time-out belongs to a process that died,
        unless it waits for its payer's PIN.
        """
        now = self._kept.clock()
        table, waiting = tables.payments, tables.waiting
        given_up = micros(now - timedelta(seconds=self._timeout_s + 5))
        in_hand = exists().where(
            waiting.c.payment_id == table.c.id,
            or_(waiting.c.taken_at.is_(None), waiting.c.taken_at >= given_up),
        )
        with self._kept.engine.begin() as connection:
            connection.execute(
                update(table)
                .where(
                    table.c.state == PaymentState.PENDING,
                    table.c.started_at < given_up,
                    ~in_hand,
                )
                .values(state=PaymentState.UNKNOWN, reversal_due_at=micros(now))
            )
        with self._kept.engine.connect() as connection:
            due = connection.execute(
                select(table.c.id).where(table.c.reversal_due_at <= micros(now))
            ).scalars()
            due_ids = due.all()
        return sum(self.one(payment_id) for payment_id in due_ids)

    def one(self, payment_id: str, trace: Trace | None = None) -> bool:
        """Repeat one reversal or advice that is due; True once it has been answered."""
        row = self._take(payment_id)
        if row is None:
            return False
        if row.sealed_request is None:  # claimed, but nothing was ever sent
            self._settle(row, undone=True)
            return True
        request = open_request(self._seal, row.sealed_request)
        advice = request.transaction_type in _ADVICES
        try:
            client = self._clearing()
            if advice:
                exchange = client.authorize(request, timeout_s=self._timeout_s)
            else:
                exchange = client.reverse(request, reason="time-out", timeout_s=self._timeout_s)
        except (NotSent, NoAnswer):
            return self._later(row)
        if trace is not None:
            record_exchange(trace, request.transaction_type, exchange, reversal=not advice)
            self._kept.update(payment_id, steps=steps_to_json(trace.steps()))
        code = exchange.response.response_code
        if code in _ASK_AGAIN or (not advice and code not in _UNDONE):
            return self._later(row)
        self._settle(row, undone=not advice or not exchange.response.approved)
        return True

    def _take(self, payment_id: str) -> Row[Any] | None:
        """Claim a due repeat, so that two processes do not send it at once."""
        now = self._kept.clock()
        table = tables.payments
        with self._kept.engine.begin() as connection:
            taken = connection.execute(
                update(table)
                .where(table.c.id == payment_id, table.c.reversal_due_at <= micros(now))
                .values(
                    # Not due again before this try has had its time; then as often as it failed.
                    reversal_due_at=micros(now + timedelta(seconds=self._timeout_s)),
                    reversal_attempts=table.c.reversal_attempts + 1,
                )
            ).rowcount
            if not taken:
                return None
            return connection.execute(select(table).where(table.c.id == payment_id)).one()

    def _later(self, row: Row[Any]) -> bool:
        """Have it repeated after a pause that grows with each try; always False."""
        pause_s = min(self._retry_s * 2 ** min(row.reversal_attempts - 1, 10), _LONGEST_RETRY_S)
        due = micros(self._kept.clock() + timedelta(seconds=pause_s))
        table = tables.payments
        with self._kept.engine.begin() as connection:
            connection.execute(
                update(table)
                .where(table.c.id == row.id, table.c.reversal_due_at.is_not(None))
                .values(reversal_due_at=due)
            )
        return False

    def _settle(self, row: Row[Any], *, undone: bool) -> None:
        """Write down how a repeated message ended, and free what it held."""
        if row.kind == "sale" and row.state == PaymentState.APPROVED:
            # An offline approval: the shop has the goods' price either way, the issuer now knows.
            self._kept.update(row.id, reversal_due_at=None)
            return
        state = PaymentState.REVERSED if undone else PaymentState.APPROVED
        with self._kept.engine.begin() as connection:
            if not end_once(connection, row.id, state, row.response_code):
                return  # another process has heard the answer and written all of this down
            if row.kind != "sale":
                ended = Ended(
                    payment_id=row.id,
                    order_id=row.order_id,
                    kind=row.kind,
                    amount_minor=row.amount_minor,
                )
                self._settled(connection, ended, not undone)
            elif undone:
                reopen(connection, row.order_id, row.id)
            elif _pay(connection, row):
                self._tell(connection, "order-paid", row)
            self._tell(connection, f"payment-{state}", row)

    def _tell(self, connection: Connection, kind: str, row: Row[Any]) -> None:
        now = self._kept.clock()
        add_event(connection, now, kind, row.order_id, mode=row.mode, payment=row.id)


def reopen(connection: Connection, order_id: str, payment_id: str) -> None:
    """Let another payment have the order that this one held in vain.

    An order by sticker ends instead: its payer made it, and makes another to try again.
    """
    table = tables.orders
    open_again = case((table.c.static_code.is_(None), OrderState.OPEN), else_=OrderState.CANCELLED)
    connection.execute(
        update(table)
        .where(
            table.c.id == order_id,
            table.c.state == OrderState.AUTHORIZING,
            table.c.payment_id == payment_id,
        )
        .values(state=open_again, payment_id=None)
    )


def _pay(connection: Connection, row: Row[Any]) -> bool:
    """The card had approved it offline before its shop died: the order that it held is paid."""
    table = tables.orders
    paid = (
        update(table)
        .where(
            table.c.id == row.order_id,
            table.c.state == OrderState.AUTHORIZING,
            table.c.payment_id == row.id,
        )
        .values(state=OrderState.PAID, captured_minor=row.amount_minor)
    )
    return bool(connection.execute(paid).rowcount)


def record_exchange(
    trace: Trace, what: TransactionType, exchange: Exchange, *, reversal: bool = False
) -> None:
    """Add the shop's message to the switch, and its answer, to a payment's story."""
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
