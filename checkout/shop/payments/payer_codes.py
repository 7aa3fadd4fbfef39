"""Payment by a code that the payer shows: good for a minute, once, for one payment.

A small amount goes through at once. A larger one waits for the PIN on the payer's phone
(USERPAYING): the order stays claimed, the shop queries in the documented rhythm and revokes in the
end. All of it lies in tables, so that any process takes it up after a crash. The provider of the
phone's app ("wallet" in the steps) is simulated in this shop.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from checkout.acceptance.qr.payer_code import PayerCode, PayerCodeRefused, PayerCodes
from checkout.database import instant, micros
from checkout.errors import ShopError
from checkout.shop import tables
from checkout.shop.orders.events import add_event
from checkout.shop.orders.milestones import CODE_SCANNED
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import Order
from checkout.shop.payments.authorisation import Attempt, Authorisation
from checkout.shop.payments.pay_by_code import CodePayments, source_of
from checkout.shop.payments.payers import Payer, Payers
from checkout.shop.payments.payments import Payment, PaymentRecords, PaymentState, Source
from checkout.shop.payments.pin_entry import NOT_IN_TIME, PinEntry, Wait
from checkout.shop.payments.query_schedule import QuerySchedule, next_due, timed_actions
from checkout.shop.payments.refunds import Refunds
from checkout.trace import Step, Trace

#: The currency of the amount up to which no PIN is asked; codes in others always wait for it.
_NO_PIN_CURRENCY = "CNY"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPaying:
    """A payment that waits for the PIN on its payer's phone.

    The shop queries next at `query_at`, may revoke from `revocable_at` on, and revokes at `until`.
    """

    payment: Payment
    order: Order
    payer: Payer
    query_at: datetime
    revocable_at: datetime
    until: datetime

    def as_json(self) -> dict[str, Any]:
        """What the API adds to the pending payment."""
        return {
            "query_at": self.query_at.isoformat(timespec="milliseconds"),
            "revocable_at": self.revocable_at.isoformat(timespec="milliseconds"),
            "until": self.until.isoformat(timespec="milliseconds"),
        }


class PayerCodePayments:
    """Both ends of a payer's code: the phone that shows it, the counter that scans it."""

    def __init__(
        self,
        payments: PaymentRecords,
        orders: Orders,
        authorisation: Authorisation,
        pin_entry: PinEntry,
        code_payments: CodePayments,
        refunds: Refunds,
        *,
        codes: PayerCodes,
        payers: Payers,
        no_pin_minor: int,
        schedule: QuerySchedule,
    ) -> None:
        self._payments = payments
        self._orders = orders
        self._authorisation = authorisation
        self._pin_entry = pin_entry
        self._code_payments = code_payments
        self._refunds = refunds
        self._codes = codes
        self._payers = payers
        self._no_pin_minor = no_pin_minor
        self._schedule = schedule
        self._used = UsedPayerCodes(payments.engine)
        self._clock = orders.clock

    # -- the counter ----------------------------------------------------------------------------

    def present(
        self, order_id: str, text: str, *, emulated: bool = False, trace: Trace | None = None
    ) -> Payment | UserPaying:
        """Pay the order by what the counter scanned from a phone, as digits or EMV payload.

        `emulated` where an emulated counter scanned it: no real phone showed that code.

        The same text for the same order again returns how that payment stands. ShopError(payer-
        code, expired-payer-code or used-payer-code) for the text, else as for any payment.
        """
        order, now = self._orders.get(order_id), self._clock()
        try:
            found = self._codes.find(text, now)
        except PayerCodeRefused as refused:
            kind = "expired-payer-code" if refused.kind == "expired" else "payer-code"
            raise ShopError(kind, f"text: {refused}", "text") from None
        use = self._used.of_digits(found.digits)
        if use is not None:
            return self._presented_before(use, order_id)
        trace = Trace() if trace is None else trace
        trace.record("phone", "counter", "payment code, scanned", sent=len(text.encode()))
        payer = self._payers.named(found.account)
        source = source_of(payer, emulated=emulated)
        attempt = self._claim(order, source, found.digits, now, trace)
        request = self._code_payments.request(attempt, payer, "payer")
        if self.needs_pin(order):
            trace.record("shop", "wallet", "pay by this code: USERPAYING, the phone asks its payer")
            within_s = self._schedule.wait_at_most_s
            self._pin_entry.hold(attempt, request, place="phone", within_s=within_s)
            return self._present_state(attempt.payment_id)
        try:
            return self._authorisation.complete(attempt, request)
        except ShopError as error:
            if error.kind != "outcome-unknown":
                self._used.delete(found.digits)  # nothing left this machine: the code stays good
            raise

    def needs_pin(self, order: Order) -> bool:
        """Whether a payment of this order by a payer's code waits for the PIN on the phone."""
        return order.currency != _NO_PIN_CURRENCY or order.amount_minor > self._no_pin_minor

    def of_order(self, order_id: str) -> UserPaying | None:
        """The wait that holds the order, None where it waits for no phone."""
        wait = self._pin_entry.of_order(order_id)
        return None if wait is None else self.user_paying(wait.payment_id)

    def user_paying(self, payment_id: str) -> UserPaying | None:
        """The payment's wait for its phone, None where there is none, or no longer."""
        wait, row = self._pin_entry.get(payment_id), self._used.of_payment(payment_id)
        return None if wait is None or row is None else self._user_paying(wait, row)

    def revoke(self, order_id: str) -> Payment:
        """Give up on the phone: end the wait, or refund what was paid meanwhile.

        ShopError(too-soon) before the documented 15 s, (order-busy) while the bank is being
        asked, (not-presented) where no phone's code was scanned.
        """
        payment_id = self._orders.get(order_id).payment_id
        row = None if payment_id is None else self._used.of_payment(payment_id)
        if row is None:
            raise ShopError("not-presented", "order: it is not being paid by a phone's code")
        self.check_revocable(row.payment_id)
        try:
            self._pin_entry.cancel(row.payment_id)
        except ShopError as error:
            if error.kind != "not-waiting":
                raise
            return self._refund_if_paid(order_id, row.payment_id)
        self._add_step(row.payment_id, "revoke")
        return self._payments.get(row.payment_id)

    def check_revocable(self, payment_id: str) -> None:
        """ShopError(too-soon) where the payer's phone has not had its 15 s yet."""
        row = self._used.of_payment(payment_id)
        sooner = self._schedule.revoke_no_sooner_s
        if row and self._clock() < instant(row.created_at) + timedelta(seconds=sooner):
            raise ShopError("too-soon", f"order: a wait is revoked no sooner than {sooner:g} s")

    def sweep(self) -> int:
        """Query the waits that are due; returns how many of them have ended."""
        now = self._clock()
        return sum(self._follow(row, now) for row in self._used.due(micros(now)))

    # -- the phone ------------------------------------------------------------------------------

    def show(self, payer: str) -> PayerCode:
        """The code that the payer's phone shows in this minute; ShopError(unknown-payer)."""
        try:
            return self._codes.show(payer, self._clock())
        except KeyError:
            raise ShopError("unknown-payer", f"payer: {payer!r} pays by no code") from None

    def latest_of(self, payer: str, since: datetime) -> Payment | None:
        """The newest payment by a code of `payer` that was scanned at `since` or later."""
        row = self._used.newest(payer, micros(since))
        return None if row is None else self._payments.get(row.payment_id)

    # -- parts ----------------------------------------------------------------------------------

    def _claim(
        self, order: Order, source: Source, digits: str, now: datetime, trace: Trace
    ) -> Attempt:
        due = next_due(now, queries_made=0, now=now, schedule=self._schedule).at
        row = {
            "digits": digits,
            "payer": source.payer,
            "created_at": micros(now),
            "queries": 0,
            "due_at": micros(due) if self.needs_pin(order) else None,
        }
        try:
            return self._authorisation.begin(
                order.id,
                source,
                trace=trace,
                also=lambda connection, payment_id: self._record_scan(
                    connection, row | {"payment_id": payment_id}, order, now
                ),
            )
        except IntegrityError:  # another till was faster with the same code
            raise _used_before() from None

    def _record_scan(
        self, connection: Connection, row: dict[str, Any], order: Order, now: datetime
    ) -> None:
        self._used.insert(connection, row)
        add_event(connection, now, CODE_SCANNED, order.id, payment=row["payment_id"])

    def _presented_before(self, row: Row[Any], order_id: str) -> Payment | UserPaying:
        if self._payments.get(row.payment_id).order_id != order_id:
            raise _used_before()
        return self._present_state(row.payment_id)

    def _present_state(self, payment_id: str) -> Payment | UserPaying:
        return self.user_paying(payment_id) or self._payments.get(payment_id)

    def _user_paying(self, wait: Wait, row: Row[Any]) -> UserPaying:
        created = instant(row.created_at)
        return UserPaying(
            payment=self._payments.get(wait.payment_id),
            order=self._orders.get(wait.order_id),
            payer=self._payers.named(row.payer),
            query_at=wait.until if row.due_at is None else instant(row.due_at),
            revocable_at=created + timedelta(seconds=self._schedule.revoke_no_sooner_s),
            until=wait.until,
        )

    def _refund_if_paid(self, order_id: str, payment_id: str) -> Payment:
        payment = self._payments.get(payment_id)
        if payment.state is PaymentState.PENDING:
            raise ShopError("order-busy", "order: the PIN has come, the bank is being asked")
        return self._refunds.refund(order_id) if payment.state is PaymentState.APPROVED else payment

    def _follow(self, row: Row[Any], now: datetime) -> bool:
        """Make the query that is due; True where the wait turns out to have ended."""
        if self._pin_entry.get(row.payment_id) is None:
            ended = self._used.count_query(row, row.queries, None)
            if ended and self._payments.get(row.payment_id).response_code == NOT_IN_TIME:
                self._add_step(row.payment_id, "query: USERPAYING still; revoke")
            return ended
        created = instant(row.created_at)
        waited_s = (now - created).total_seconds()
        queries = sum(at_s <= waited_s for at_s, _ in timed_actions(self._schedule))
        following = next_due(created, queries_made=queries, now=now, schedule=self._schedule)
        if self._used.count_query(row, queries, micros(following.at)):
            self._add_step(row.payment_id, "query: USERPAYING")
        return False

    def _add_step(self, payment_id: str, what: str) -> None:
        payment = self._payments.get(payment_id)
        step = Step(
            n=len(payment.steps) + 1,
            at_ms=(self._clock() - payment.started_at).total_seconds() * 1000,
            source="shop",
            target="wallet",
            what=what,
        )
        self._payments.store_steps(payment_id, [*payment.steps, step])


def _used_before() -> ShopError:
    return ShopError("used-payer-code", "text: the payment code was used; show a new one", "text")


_T = tables.presented


class UsedPayerCodes:
    """The payer's codes that were used, and for which payment; instants in microseconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def insert(self, connection: Connection, row: dict[str, Any]) -> None:
        """Record a code as used, in the caller's transaction; IntegrityError if it was before."""
        connection.execute(insert(_T), row)

    def delete(self, digits: str) -> None:
        """Make a code that paid nothing good again."""
        with self._engine.begin() as connection:
            connection.execute(delete(_T).where(_T.c.digits == digits))

    def of_digits(self, digits: str) -> Row[Any] | None:
        """The use of a code, None while it was not used."""
        with self._engine.connect() as connection:
            return connection.execute(select(_T).where(_T.c.digits == digits)).first()

    def of_payment(self, payment_id: str) -> Row[Any] | None:
        """The code behind a payment, None where it was paid in another way."""
        with self._engine.connect() as connection:
            return connection.execute(select(_T).where(_T.c.payment_id == payment_id)).first()

    def newest(self, payer: str, since: int) -> Row[Any] | None:
        """The last code of `payer` that was scanned at `since` or later."""
        with self._engine.connect() as connection:
            return connection.execute(
                select(_T)
                .where(_T.c.payer == payer, _T.c.created_at >= since)
                .order_by(_T.c.created_at.desc())
                .limit(1)
            ).first()

    def due(self, now: int) -> list[Row[Any]]:
        """The uses whose next query is due."""
        with self._engine.connect() as connection:
            return list(connection.execute(select(_T).where(_T.c.due_at <= now)).all())

    def count_query(self, row: Row[Any], queries: int, due_at: int | None) -> bool:
        """Claim one query by compare-and-set; False where another process was faster."""
        with self._engine.begin() as connection:
            return bool(
                connection.execute(
                    update(_T)
                    .where(_T.c.digits == row.digits, _T.c.due_at == row.due_at)
                    .values(queries=queries, due_at=due_at)
                ).rowcount
            )
