"""What follows a sale: refunds, and the completion of a pre-authorisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row, Update, case, func, insert, select, update

from checkout.acceptance.contract import Mode
from checkout.clearing.client.client import NoAnswer, NotSent, SwitchClient
from checkout.clearing.messages import AuthorizationRequest, AuthorizationResponse, TransactionType
from checkout.database import micros
from checkout.encryption import Seal
from checkout.errors import ShopError
from checkout.shop import tables
from checkout.shop.orders.events import add_event
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payments import (
    Ended,
    Payment,
    PaymentRecords,
    PaymentState,
    Source,
    end_once,
    written_down,
)
from checkout.shop.payments.reversals import record_exchange
from checkout.shop.payments.stored_requests import follow_up, open_request, seal_request
from checkout.trace import Trace

_REFUNDABLE = (OrderState.PAID, OrderState.PARTIALLY_REFUNDED)

_REFUSED = {"refund": "not-refundable", "capture": "not-capturable"}

#: A completion may exceed its pre-authorisation by this much: hotels and tips.
_COMPLETION_PERCENT = 115


class AfterSale:
    """Refunds and captures; each reserves on the order first, then speaks to the backend."""

    def __init__(
        self,
        kept: PaymentRecords,
        orders: Orders,
        *,
        clearing: Callable[[], SwitchClient],
        seal: Seal,
        timeout_s: float,
        repeat: Callable[[str, Trace], bool],
    ) -> None:
        self._kept = kept
        self._orders = orders
        self._clearing = clearing
        self._seal = seal
        self._timeout_s = timeout_s
        self._repeat = repeat

    def refund(self, order_id: str, amount_minor: int | None = None) -> Payment:
        """Give back all or part of a paid order; ShopError(not-refundable or amount)."""
        order = self._orders.get(order_id)
        left = order.captured_minor - order.refunded_minor
        if order.state not in _REFUNDABLE or left <= 0:
            raise ShopError("not-refundable", f"order: it is {order.state}, not refundable")
        wanted = _wanted(amount_minor, left, left)
        table = tables.orders
        reserve = (
            update(table)
            .where(
                table.c.id == order_id,
                table.c.refunded_minor == order.refunded_minor,
                table.c.state.in_(_REFUNDABLE),
            )
            .values(refunded_minor=table.c.refunded_minor + wanted)
        )
        return self._send(order, "refund", TransactionType.REFUND, wanted, reserve)

    def capture(self, order_id: str, amount_minor: int | None = None) -> Payment:
        """Complete a preauthorised order, to at most 115 % of it; ShopError otherwise."""
        order = self._orders.get(order_id)
        if order.state is not OrderState.PREAUTHORISED:
            raise ShopError("not-capturable", f"order: it is {order.state}, not preauthorised")
        limit = order.amount_minor * _COMPLETION_PERCENT // 100
        wanted = _wanted(amount_minor, order.amount_minor, limit)
        table = tables.orders
        reserve = (
            update(table)
            .where(table.c.id == order_id, table.c.state == OrderState.PREAUTHORISED)
            .values(state=OrderState.AUTHORIZING)
        )
        return self._send(order, "capture", TransactionType.COMPLETION, wanted, reserve)

    def settled(self, connection: Connection, ended: Ended, *, kept: bool) -> None:
        """Write down on the order how a refund or capture ended, in the caller's transaction."""
        if ended.kind == "refund":
            self._refunded(connection, ended, kept)
        else:
            self._captured(connection, ended, kept)

    def _refunded(self, connection: Connection, ended: Ended, kept: bool) -> None:
        table, payments = tables.orders, tables.payments
        of_order = update(table).where(table.c.id == ended.order_id)
        if not kept:
            back = table.c.refunded_minor - ended.amount_minor
            connection.execute(of_order.values(refunded_minor=back))
        # Other refunds may be under way: only those that were approved tell the order's state.
        given_back = (
            select(func.coalesce(func.sum(payments.c.amount_minor), 0))
            .where(
                payments.c.order_id == ended.order_id,
                payments.c.kind == "refund",
                payments.c.state == PaymentState.APPROVED,
            )
            .scalar_subquery()
        )
        state = case(
            (given_back >= table.c.captured_minor, OrderState.REFUNDED),
            (given_back > 0, OrderState.PARTIALLY_REFUNDED),
            else_=OrderState.PAID,
        )
        refundable = table.c.state.in_((*_REFUNDABLE, OrderState.REFUNDED))
        connection.execute(of_order.where(refundable).values(state=state))
        if kept:
            self._tell(connection, "order-refunded", ended)

    def _captured(self, connection: Connection, ended: Ended, kept: bool) -> None:
        table = tables.orders
        after = OrderState.PAID if kept else OrderState.PREAUTHORISED
        changes = {"captured_minor": ended.amount_minor} if kept else {}
        moved = connection.execute(
            update(table)
            .where(table.c.id == ended.order_id, table.c.state == OrderState.AUTHORIZING)
            .values(state=after, **changes)
        ).rowcount
        if moved:
            self._tell(connection, "order-paid" if kept else "order-declined", ended)

    def _tell(self, connection: Connection, kind: str, ended: Ended) -> None:
        add_event(
            connection,
            self._kept.clock(),
            kind,
            ended.order_id,
            amount_minor=ended.amount_minor,
            payment=ended.payment_id,
        )

    def _send(
        self, order: Order, kind: str, what: TransactionType, amount: int, reserve: Update
    ) -> Payment:
        first, original = self._original(order)
        numbers = self._kept.numbers()
        request = follow_up(original, what, amount, numbers, first.approval_code)
        source = Source(
            mode=Mode(first.mode),
            scheme=first.scheme,
            account=request.account,
            payer=first.payer,
            emulated=bool(first.emulated),
        )
        row = self._kept.new_row(order, kind, source, numbers, amount)
        row["sealed_request"] = seal_request(self._seal, request)
        # Reserved and kept in one transaction: a crash leaves a row that the sweep takes up.
        with self._kept.engine.begin() as connection:
            if not connection.execute(reserve).rowcount:
                raise ShopError(_REFUSED[kind], f"order: another {kind} is under way")
            connection.execute(insert(tables.payments), row)
        trace = Trace()
        try:
            exchange = self._clearing().authorize(request, timeout_s=self._timeout_s)
        except NotSent as error:
            self._end(row, PaymentState.DECLINED, "91", trace)
            raise ShopError("clearing-unavailable", f"clearing: {error}") from None
        except NoAnswer:
            self._kept.finish(row["id"], trace, 0.0)
            now = micros(self._kept.clock())
            with self._kept.engine.begin() as connection:
                end_once(connection, row["id"], PaymentState.UNKNOWN, None, due=now)
            self._repeat(row["id"], trace)
            return self._kept.get(row["id"])
        record_exchange(trace, what, exchange)
        response = exchange.response
        state = PaymentState.APPROVED if response.approved else PaymentState.DECLINED
        then = "a refund is sent again, a capture taken back"
        with written_down(then=then):
            self._end(row, state, response.response_code, trace, response)
        return self._kept.get(row["id"])

    def _end(
        self,
        row: dict[str, Any],
        state: PaymentState,
        response_code: str,
        trace: Trace,
        response: AuthorizationResponse | None = None,
    ) -> None:
        ended = Ended(
            payment_id=row["id"],
            order_id=row["order_id"],
            kind=row["kind"],
            amount_minor=row["amount_minor"],
        )
        # Told first, so that whoever sees the order changed finds the whole payment.
        self._kept.finish(row["id"], trace, 0.0, response)
        with self._kept.engine.begin() as connection:
            # Where the sweep ended it first, it has told the order as well.
            if end_once(connection, row["id"], state, response_code):
                self.settled(connection, ended, kept=state is PaymentState.APPROVED)

    def _original(self, order: Order) -> tuple[Row[Any], AuthorizationRequest]:
        row = self._kept.row(order.payment_id)
        if row is None or row.sealed_request is None:
            raise ShopError("not-refundable", "order: its payment is not on record")
        return row, open_request(self._seal, row.sealed_request)


def _wanted(amount_minor: int | None, default: int, limit: int) -> int:
    wanted = default if amount_minor is None else amount_minor
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 0 < wanted <= limit:
        raise ShopError("amount", f"amount_minor: expected 1 to {limit}", "amount_minor")
    return wanted
