"""One attempt to pay an order: claim the order, ask the clearing backend, record the answer.

`begin` claims the order by compare-and-set before anyone is asked for money; `complete` asks and
records. An attempt that ends without an answer is reversed by `reversals`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update

from checkout.acceptance.contract import Numbers
from checkout.clearing.client.client import NoAnswer, NotSent, SwitchClient
from checkout.clearing.messages import (
    RESPONSE_TEXTS,
    AuthorizationRequest,
    AuthorizationResponse,
)
from checkout.database import micros
from checkout.encryption import Seal
from checkout.errors import ShopError
from checkout.shop import tables
from checkout.shop.orders.events import add_event
from checkout.shop.orders.orders import Orders, free_code
from checkout.shop.orders.states import Order, OrderChange, OrderState, change_order
from checkout.shop.payments.payments import (
    TERMINAL_TEXTS,
    Payment,
    PaymentRecords,
    PaymentState,
    Source,
    forget_request,
    recording_outcome,
    set_state,
)
from checkout.shop.payments.reversals import Reversals, record_exchange
from checkout.shop.payments.stored_requests import seal_request
from checkout.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A payment that has claimed its order, and the numbers that its message will carry."""

    payment_id: str
    order: Order
    source: Source
    numbers: Numbers
    trace: Trace
    code: str | None = None


class Authorisation:
    """Begins and completes sales."""

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

    def begin(
        self,
        order_id: str,
        source: Source,
        *,
        trace: Trace,
        code: str | None = None,
        also: Callable[[Connection, str], None] | None = None,
    ) -> Attempt:
        """Claim the open order for a new payment; the ShopError names what was faster.

        `also` writes what belongs to the payment (its id is given) in the same transaction.
        """
        order = self._orders.get(order_id)
        numbers = self._payments.numbers()
        row = self._payments.new_row(order, "sale", source, numbers, order.amount_minor)
        if not self._orders.claim(order_id, row, code=code, also=also):
            raise self._not_claimed(order_id, code)
        return Attempt(
            payment_id=row["id"],
            order=order,
            source=source,
            numbers=numbers,
            trace=trace,
            code=code,
        )

    def encrypt_pin(
        self, attempt: Attempt, pin: str | None, *, modelled_ms: float = 0.0
    ) -> bytes | None:
        """The PIN as DE52 for this attempt's account; None without a PIN.

        ShopError(clearing-unavailable) where there is no line to the switch: the order is open
        again.
        """
        try:
            return (
                None if pin is None else self._clearing().encrypt_pin(pin, attempt.source.account)
            )
        except NotSent as error:
            raise self._not_sent(attempt, error, modelled_ms) from None

    def complete(
        self, attempt: Attempt, request: AuthorizationRequest, *, modelled_ms: float = 0.0
    ) -> Payment:
        """Ask the clearing backend and record the answer; a decline comes back as a value.

        ShopError(clearing-unavailable) when nothing could be sent: the order is open again;
        (outcome-unknown) when the answer could not be stored: the sweep reverses the attempt.
        """
        self._store_request(attempt, request)
        try:
            exchange = self._clearing().authorize(request, timeout_s=self._timeout_s)
        except NotSent as error:
            raise self._not_sent(attempt, error, modelled_ms) from None
        except NoAnswer as error:
            with recording_outcome():
                return self._record_no_answer(attempt, str(error), modelled_ms)
        record_exchange(attempt.trace, request.transaction_type, exchange)
        response = exchange.response
        with recording_outcome():
            if response.approved:
                return self._record_approval(attempt, request, response, modelled_ms)
            self.give_back(attempt, response.response_code, response, modelled_ms=modelled_ms)
            return self._payments.get(attempt.payment_id)

    def approve_offline(
        self, attempt: Attempt, advice: AuthorizationRequest, *, modelled_ms: float = 0.0
    ) -> Payment:
        """Record what the card itself approved (TC), and advise the issuer until it answers."""
        self._store_request(attempt, advice)
        response = AuthorizationResponse(response_code="Y1", stan=advice.stan, rrn=advice.rrn)
        return self._record_approval(attempt, advice, response, modelled_ms, offline=True)

    def declined_by_card(
        self, order_id: str, source: Source, *, trace: Trace, modelled_ms: float
    ) -> Payment:
        """Record a tap that the card or the terminal ended; the order stays open for another."""
        order = self._orders.get(order_id)
        numbers = self._payments.numbers()
        row = self._payments.new_row(order, "sale", source, numbers, order.amount_minor)
        row |= {"state": PaymentState.DECLINED, "response_code": "Z1"}
        with self._payments.engine.begin() as connection:
            connection.execute(insert(tables.payments), row)
            self._emit_declined(connection, row["id"], order_id, source, "Z1")
        self._payments.finish(row["id"], trace, modelled_ms)
        return self._payments.get(row["id"])

    def give_back(
        self,
        attempt: Attempt,
        response_code: str,
        response: AuthorizationResponse | None = None,
        *,
        modelled_ms: float = 0.0,
    ) -> None:
        """Record a decline and open the order, and its code, for another try."""
        self._payments.finish(attempt.payment_id, attempt.trace, modelled_ms, response)
        with self._payments.engine.begin() as connection:
            self.decline(connection, attempt, response_code)

    def decline(self, connection: Connection, attempt: Attempt, response_code: str) -> None:
        """As `give_back`, in the caller's transaction; the caller stores time and steps."""
        payment_id, order_id = attempt.payment_id, attempt.order.id
        set_state(connection, payment_id, PaymentState.DECLINED, response_code)
        now = self._payments.clock()
        change_order(connection, order_id, OrderChange.RELEASE, now, payment_id=payment_id)
        free_code(connection, payment_id)
        self._emit_declined(connection, payment_id, order_id, attempt.source, response_code)

    # -- parts ----------------------------------------------------------------------------------

    def _store_request(self, attempt: Attempt, request: AuthorizationRequest) -> None:
        """Store what is about to be sent, unless the sweep has given the attempt up meanwhile."""
        table = tables.payments
        with self._payments.engine.begin() as connection:
            alive = connection.execute(
                update(table)
                .where(table.c.id == attempt.payment_id, table.c.state == PaymentState.PENDING)
                .values(sealed_request=seal_request(self._seal, request))
            ).rowcount
        if not alive:
            raise ShopError("order-not-open", "order: this attempt took too long", "order")

    def _not_claimed(self, order_id: str, code: str | None) -> ShopError:
        order = self._orders.get(order_id)
        if order.state is OrderState.OPEN and code is not None:
            status = self._orders.resolve_code(code).status
            return ShopError(f"{status}-code", f"code: it is {status}", "code")
        kind = {
            OrderState.EXPIRED: "expired-order",
            OrderState.CANCELLED: "cancelled-order",
            OrderState.AUTHORIZING: "order-busy",
        }.get(order.state, "already-paid" if order.payment_id else "order-not-open")
        return ShopError(kind, f"order: it is {order.state}, not open", "order")

    def _not_sent(self, attempt: Attempt, error: NotSent, modelled_ms: float) -> ShopError:
        self.give_back(attempt, "91", modelled_ms=modelled_ms)
        return ShopError("clearing-unavailable", f"clearing: {error}")

    def _record_approval(
        self,
        attempt: Attempt,
        request: AuthorizationRequest,
        response: AuthorizationResponse,
        modelled_ms: float,
        *,
        offline: bool = False,
    ) -> Payment:
        # Stored first, so that whoever sees the order paid finds the whole payment.
        self._payments.finish(attempt.payment_id, attempt.trace, modelled_ms, response)
        now, code = self._payments.clock(), response.response_code
        late = attempt.order.expires_at <= now
        details = _details(attempt.payment_id, attempt.source, code) | {
            "total_ms": round(attempt.trace.now_ms() + modelled_ms, 1),
            "preauthorised": attempt.order.preauthorise,
        }
        with self._payments.engine.begin() as connection:
            due = micros(now) if offline else None  # the issuer has not been advised yet
            taken = self._approve_pending(connection, attempt.payment_id, code, due)
            taken = taken and _approve_order(connection, attempt, request, now, late, details)
            if late or not taken:
                # The order has run out, or the sweep gave this attempt up: the money goes back.
                unknown = PaymentState.UNKNOWN
                set_state(connection, attempt.payment_id, unknown, code, due=micros(now))
            if taken and late and offline:
                forget_request(connection, attempt.payment_id)  # nobody was asked for money
            if not taken:
                add_event(connection, now, "order-unknown", attempt.order.id, **details)
        if late or offline or not taken:
            self._reversals.repeat(attempt.payment_id, attempt.trace)
        return self._payments.get(attempt.payment_id)

    def _approve_pending(
        self, connection: Connection, payment_id: str, response_code: str, due: int | None
    ) -> bool:
        """Mark the pending payment as approved; False where the sweep has given it up."""
        table = tables.payments
        approving = (
            update(table)
            .where(table.c.id == payment_id, table.c.state == PaymentState.PENDING)
            .values(state=PaymentState.APPROVED, response_code=response_code, reversal_due_at=due)
        )
        return bool(connection.execute(approving).rowcount)

    def _record_no_answer(self, attempt: Attempt, why: str, modelled_ms: float) -> Payment:
        attempt.trace.record("shop", "switch", f"no answer: {why}")
        self._payments.finish(attempt.payment_id, attempt.trace, modelled_ms)
        now = self._payments.clock()
        with self._payments.engine.begin() as connection:
            unknown = PaymentState.UNKNOWN
            set_state(connection, attempt.payment_id, unknown, None, due=micros(now))
            details = _details(attempt.payment_id, attempt.source, None)
            add_event(connection, now, "order-unknown", attempt.order.id, **details)
        self._reversals.repeat(attempt.payment_id, attempt.trace)
        return self._payments.get(attempt.payment_id)

    def _emit_declined(
        self,
        connection: Connection,
        payment_id: str,
        order_id: str,
        source: Source,
        response_code: str,
    ) -> None:
        details = _details(payment_id, source, response_code)
        add_event(connection, self._payments.clock(), "order-declined", order_id, **details)


def _approve_order(
    connection: Connection,
    attempt: Attempt,
    request: AuthorizationRequest,
    now: datetime,
    late: bool,
    details: dict[str, Any],
) -> bool:
    if late:
        what = OrderChange.PAY_LATE
    elif attempt.order.preauthorise:
        what = OrderChange.PREAUTHORISE
    else:
        what = OrderChange.PAY
    return change_order(
        connection,
        attempt.order.id,
        what,
        now,
        payment_id=attempt.payment_id,
        amount_minor=request.amount_minor,
        details=details,
    )


def _details(payment_id: str, source: Source, response_code: str | None) -> dict[str, Any]:
    """What the event of a sale's outcome tells of its payment."""
    code = response_code or ""
    return {
        "mode": source.mode,
        "scheme": source.scheme,
        "emulated": source.emulated,
        "payment": payment_id,
        "response_code": response_code,
        "text": RESPONSE_TEXTS.get(code) or TERMINAL_TEXTS.get(code, ""),
    }
