"""What follows a sale: refunds, and the completion (capture) of a pre-authorisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Row, insert

from checkout.acceptance.contract import Mode
from checkout.clearing.client.client import NoAnswer, NotSent, SwitchClient
from checkout.clearing.messages import AuthorizationRequest, AuthorizationResponse, TransactionType
from checkout.database import micros
from checkout.encryption import Seal
from checkout.errors import ShopError
from checkout.shop import tables
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import Order, OrderChange, OrderState, change_order
from checkout.shop.payments.payments import (
    Payment,
    PaymentRecords,
    PaymentState,
    Source,
    end_once,
    recording_outcome,
)
from checkout.shop.payments.reversals import Reversals, end_follow_up, record_exchange
from checkout.shop.payments.stored_requests import follow_up, open_request, seal_request
from checkout.trace import Trace

_REFUNDABLE = (OrderState.PAID, OrderState.PARTIALLY_REFUNDED)

_REFUSED = {"refund": "not-refundable", "capture": "not-capturable"}
_BEGIN = {"refund": OrderChange.BEGIN_REFUND, "capture": OrderChange.BEGIN_CAPTURE}
_TRANSACTIONS = {"refund": TransactionType.REFUND, "capture": TransactionType.COMPLETION}

#: A completion may exceed its pre-authorisation by this much: hotels and tips.
_COMPLETION_PERCENT = 115


class Refunds:
    """Refunds and captures; each reserves its amount on the order first, then asks the backend."""

    def __init__(
        self,
        payments: PaymentRecords,
        orders: Orders,
        reversals: Reversals,
        *,
        clearing: Callable[[], SwitchClient],
        seal: Seal,
        timeout_s: float,
    ) -> None:
        self._payments = payments
        self._orders = orders
        self._reversals = reversals
        self._clearing = clearing
        self._seal = seal
        self._timeout_s = timeout_s

    def refund(self, order_id: str, amount_minor: int | None = None) -> Payment:
        """Give back all or part of a paid order; ShopError(not-refundable or amount)."""
        order = self._orders.get(order_id)
        left = order.captured_minor - order.refunded_minor
        if order.state not in _REFUNDABLE or left <= 0:
            raise ShopError("not-refundable", f"order: it is {order.state}, not refundable")
        return self._carry_out(order, "refund", _amount(amount_minor, left, left))

    def capture(self, order_id: str, amount_minor: int | None = None) -> Payment:
        """Complete a preauthorised order, to at most 115 % of it.

        ShopError(not-capturable or amount).
        """
        order = self._orders.get(order_id)
        if order.state is not OrderState.PREAUTHORISED:
            raise ShopError("not-capturable", f"order: it is {order.state}, not preauthorised")
        limit = order.amount_minor * _COMPLETION_PERCENT // 100
        return self._carry_out(order, "capture", _amount(amount_minor, order.amount_minor, limit))

    # -- parts ----------------------------------------------------------------------------------

    def _carry_out(self, order: Order, kind: str, amount_minor: int) -> Payment:
        row, request = self._begin(order, kind, amount_minor)
        trace = Trace()
        try:
            exchange = self._clearing().authorize(request, timeout_s=self._timeout_s)
        except NotSent as error:
            self._end(row, PaymentState.DECLINED, "91", trace)
            raise ShopError("clearing-unavailable", f"clearing: {error}") from None
        except NoAnswer:
            self._leave_unknown(row["id"], trace)
            return self._payments.get(row["id"])
        record_exchange(trace, request.transaction_type, exchange)
        response = exchange.response
        state = PaymentState.APPROVED if response.approved else PaymentState.DECLINED
        with recording_outcome(then="a refund is sent again, a capture taken back"):
            self._end(row, state, response.response_code, trace, response)
        return self._payments.get(row["id"])

    def _begin(
        self, order: Order, kind: str, amount_minor: int
    ) -> tuple[dict[str, Any], AuthorizationRequest]:
        """Reserve the amount on the order, and insert the payment with its request."""
        first, original = self._original(order)
        numbers = self._payments.numbers()
        what = _TRANSACTIONS[kind]
        request = follow_up(original, what, amount_minor, numbers, first.approval_code)
        source = Source(
            mode=Mode(first.mode),
            scheme=first.scheme,
            account=request.account,
            payer=first.payer,
            emulated=bool(first.emulated),
        )
        row = self._payments.new_row(order, kind, source, numbers, amount_minor)
        row["sealed_request"] = seal_request(self._seal, request)
        now = self._payments.clock()
        # One transaction: a crash afterwards leaves a row that the sweep takes up.
        with self._payments.engine.begin() as connection:
            change = _BEGIN[kind]
            if not change_order(connection, order.id, change, now, amount_minor=amount_minor):
                raise ShopError(_REFUSED[kind], f"order: another {kind} is under way")
            connection.execute(insert(tables.payments), row)
        return row, request

    def _leave_unknown(self, payment_id: str, trace: Trace) -> None:
        """No answer came: repeat a refund, reverse a capture, until that is answered."""
        self._payments.finish(payment_id, trace, 0.0)
        due = micros(self._payments.clock())
        with self._payments.engine.begin() as connection:
            end_once(connection, payment_id, PaymentState.UNKNOWN, None, due=due)
        self._reversals.repeat(payment_id, trace)

    def _end(
        self,
        row: dict[str, Any],
        state: PaymentState,
        response_code: str,
        trace: Trace,
        response: AuthorizationResponse | None = None,
    ) -> None:
        # Stored first, so that whoever sees the order changed finds the whole payment.
        self._payments.finish(row["id"], trace, 0.0, response)
        now = self._payments.clock()
        with self._payments.engine.begin() as connection:
            # Where the sweep ended it first, the sweep has changed the order as well.
            if end_once(connection, row["id"], state, response_code):
                end_follow_up(
                    connection,
                    row["order_id"],
                    row["id"],
                    row["kind"],
                    row["amount_minor"],
                    now,
                    approved=state is PaymentState.APPROVED,
                )

    def _original(self, order: Order) -> tuple[Row[Any], AuthorizationRequest]:
        row = self._payments.row(order.payment_id)
        if row is None or row.sealed_request is None:
            raise ShopError("not-refundable", "order: its payment is not on record")
        return row, open_request(self._seal, row.sealed_request)


def _amount(amount_minor: int | None, default: int, limit: int) -> int:
    amount = default if amount_minor is None else amount_minor
    if isinstance(amount, bool) or not isinstance(amount, int) or not 0 < amount <= limit:
        raise ShopError("amount", f"amount_minor: expected 1 to {limit}", "amount_minor")
    return amount
