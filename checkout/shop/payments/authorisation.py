"""One attempt to pay an order: claim it, ask the clearing backend, record what came of it.

`begin` takes the order by compare-and-set before anyone is asked for money; `complete` asks and
records. Whatever ends without an answer is left to `reversals`, which reverses it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.payments import (
    TERMINAL_TEXTS,
    Payment,
    PaymentRecords,
    PaymentState,
    Source,
    set_state,
    unsay,
    written_down,
)
from checkout.shop.payments.reversals import Repeats, record_exchange, reopen
from checkout.shop.payments.stored_requests import seal_request
from checkout.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An order that this payment has claimed, and the numbers its message will carry."""

    payment_id: str
    order: Order
    source: Source
    numbers: Numbers
    trace: Trace
    code: str | None = None


class Attempts:
    """Begins and completes sales."""

    def __init__(
        self,
        kept: PaymentRecords,
        orders: Orders,
        repeats: Repeats,
        *,
        clearing: Callable[[], SwitchClient],
        seal: Seal,
        timeout_s: float,
    ) -> None:
        self._kept = kept
        self._orders = orders
        self._repeats = repeats
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
        """Take the open order for this payment, or say in a ShopError what was faster.

        `also` writes what belongs to the payment (its id is given) in the same transaction.
        """
        order = self._orders.get(order_id)
        numbers = self._kept.numbers()
        row = self._kept.new_row(order, "sale", source, numbers, order.amount_minor)
        if not self._orders.claim(order_id, row, code=code, also=also):
            raise self._not_taken(order_id, code)
        return Attempt(
            payment_id=row["id"],
            order=order,
            source=source,
            numbers=numbers,
            trace=trace,
            code=code,
        )

    def complete(
        self, attempt: Attempt, request: AuthorizationRequest, *, modelled_ms: float = 0.0
    ) -> Payment:
        """Ask the clearing backend and record the answer; a decline comes back as a value.

        ShopError(clearing-unavailable) when nothing could be sent: the order is open again;
        (outcome-unknown) when the answer could not be kept: it is taken back once it can.
        """
        self._seal_in(attempt, request)
        try:
            exchange = self._clearing().authorize(request, timeout_s=self._timeout_s)
        except NotSent as error:
            self.give_back(attempt, "91", modelled_ms=modelled_ms)
            raise ShopError("clearing-unavailable", f"clearing: {error}") from None
        except NoAnswer as error:
            with written_down():
                return self._unknown(attempt, str(error), modelled_ms)
        record_exchange(attempt.trace, request.transaction_type, exchange)
        with written_down():
            return self._answered(attempt, request, exchange.response, modelled_ms)

    def _answered(
        self,
        attempt: Attempt,
        request: AuthorizationRequest,
        response: AuthorizationResponse,
        modelled_ms: float,
    ) -> Payment:
        if not response.approved:
            self.give_back(attempt, response.response_code, response, modelled_ms=modelled_ms)
            return self._kept.get(attempt.payment_id)
        return self._keep(attempt, request, response, modelled_ms)

    def approve_offline(
        self, attempt: Attempt, advice: AuthorizationRequest, *, modelled_ms: float = 0.0
    ) -> Payment:
        """Keep what the card approved itself (TC) and tell the issuer, repeating until it hears."""
        self._seal_in(attempt, advice)
        response = AuthorizationResponse(response_code="Y1", stan=advice.stan, rrn=advice.rrn)
        return self._keep(attempt, advice, response, modelled_ms, offline=True)

    def _seal_in(self, attempt: Attempt, request: AuthorizationRequest) -> None:
        """Keep what is about to be sent, unless the attempt was given up as dead meanwhile."""
        table = tables.payments
        with self._kept.engine.begin() as connection:
            alive = connection.execute(
                update(table)
                .where(table.c.id == attempt.payment_id, table.c.state == PaymentState.PENDING)
                .values(sealed_request=seal_request(self._seal, request))
            ).rowcount
        if not alive:
            raise ShopError("order-not-open", "order: this attempt took too long", "order")

    def declined_by_card(
        self, order_id: str, source: Source, *, trace: Trace, modelled_ms: float
    ) -> Payment:
        """Record a tap that the card or the terminal ended; the order stays open for another."""
        order = self._orders.get(order_id)
        row = self._kept.new_row(order, "sale", source, self._kept.numbers(), order.amount_minor)
        row |= {"state": PaymentState.DECLINED, "response_code": "Z1"}
        with self._kept.engine.begin() as connection:
            connection.execute(insert(tables.payments), row)
            self._tell(connection, "order-declined", row["id"], order_id, source, "Z1")
        self._kept.finish(row["id"], trace, modelled_ms)
        return self._kept.get(row["id"])

    def give_back(
        self,
        attempt: Attempt,
        response_code: str,
        response: AuthorizationResponse | None = None,
        *,
        modelled_ms: float = 0.0,
    ) -> None:
        """Record a decline and open the order, and its code, for another try."""
        self._kept.finish(attempt.payment_id, attempt.trace, modelled_ms, response)
        with self._kept.engine.begin() as connection:
            self.decline(connection, attempt, response_code)

    def decline(self, connection: Connection, attempt: Attempt, response_code: str) -> None:
        """The same in the caller's transaction; its time and steps are the caller's to keep."""
        codes = tables.codes
        set_state(connection, attempt.payment_id, PaymentState.DECLINED, response_code)
        reopen(connection, attempt.order.id, attempt.payment_id)
        connection.execute(
            update(codes).where(codes.c.used_by == attempt.payment_id).values(used_by=None)
        )
        self._tell(
            connection,
            "order-declined",
            attempt.payment_id,
            attempt.order.id,
            attempt.source,
            response_code,
        )

    def _not_taken(self, order_id: str, code: str | None) -> ShopError:
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

    def _keep(
        self,
        attempt: Attempt,
        request: AuthorizationRequest,
        response: AuthorizationResponse,
        modelled_ms: float,
        *,
        offline: bool = False,
    ) -> Payment:
        # Told first, so that whoever sees the order paid finds the whole payment.
        self._kept.finish(attempt.payment_id, attempt.trace, modelled_ms, response)
        now = micros(self._kept.clock())
        late = attempt.order.expires_at <= self._kept.clock()
        held = attempt.order.preauthorise
        state = OrderState.PREAUTHORISED if held else OrderState.PAID
        with self._kept.engine.begin() as connection:
            code = response.response_code
            reached = OrderState.PAID_LATE if late else state
            captured = 0 if late or held else request.amount_minor
            due = now if offline else None  # its issuer has yet to hear of it
            mine = self._take_order(connection, attempt, code, reached, captured, due)
            kept = mine and not late
            if not kept:
                # The order has run out, or the sweep gave this attempt up: the money goes back.
                set_state(connection, attempt.payment_id, PaymentState.UNKNOWN, code, due=now)
            if mine and late and offline:
                unsay(connection, attempt.payment_id)  # nobody has been asked for money yet
            self._tell(
                connection,
                "order-paid" if kept else "order-paid-late" if late else "order-unknown",
                attempt.payment_id,
                attempt.order.id,
                attempt.source,
                code,
                total_ms=round(attempt.trace.now_ms() + modelled_ms, 1),
                preauthorised=held,
            )
        if not kept or offline:
            self._repeats.one(attempt.payment_id, attempt.trace)
        return self._kept.get(attempt.payment_id)

    def _take_order(
        self,
        connection: Connection,
        attempt: Attempt,
        response_code: str,
        state: OrderState,
        captured_minor: int,
        due: int | None,
    ) -> bool:
        """Make payment approved and order paid; False when the sweep has the payment."""
        payments, orders = tables.payments, tables.orders
        mine = connection.execute(
            update(payments)
            .where(payments.c.id == attempt.payment_id, payments.c.state == PaymentState.PENDING)
            .values(state=PaymentState.APPROVED, response_code=response_code, reversal_due_at=due)
        ).rowcount
        if not mine:
            return False
        return bool(
            connection.execute(
                update(orders)
                .where(
                    orders.c.id == attempt.order.id,
                    orders.c.state == OrderState.AUTHORIZING,
                    orders.c.payment_id == attempt.payment_id,
                )
                .values(state=state, captured_minor=captured_minor)
            ).rowcount
        )

    def _unknown(self, attempt: Attempt, why: str, modelled_ms: float) -> Payment:
        attempt.trace.record("shop", "switch", f"no answer: {why}")
        self._kept.finish(attempt.payment_id, attempt.trace, modelled_ms)
        with self._kept.engine.begin() as connection:
            due = micros(self._kept.clock())
            set_state(connection, attempt.payment_id, PaymentState.UNKNOWN, None, due=due)
            self._tell(
                connection,
                "order-unknown",
                attempt.payment_id,
                attempt.order.id,
                attempt.source,
                None,
            )
        self._repeats.one(attempt.payment_id, attempt.trace)
        return self._kept.get(attempt.payment_id)

    def _tell(
        self,
        connection: Connection,
        kind: str,
        payment_id: str,
        order_id: str,
        source: Source,
        response_code: str | None,
        **more: Any,
    ) -> None:
        code = response_code or ""
        add_event(
            connection,
            self._kept.clock(),
            kind,
            order_id,
            mode=source.mode,
            scheme=source.scheme,
            emulated=source.emulated,
            payment=payment_id,
            response_code=response_code,
            text=RESPONSE_TEXTS.get(code) or TERMINAL_TEXTS.get(code, ""),
            **more,
        )
