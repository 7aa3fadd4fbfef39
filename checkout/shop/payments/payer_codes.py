"""What a payer shows and the counter scans: a code good for a minute, once, for one payment.

A small amount goes through at once. A larger one waits for the PIN on the payer's phone
(USERPAYING): the order stays claimed, the shop asks in the documented rhythm and revokes in the
end. All of it lies in tables, so that any process takes it up after a crash. The provider of the
phone's app ("wallet" in the steps) is simulated in this shop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from checkout.acceptance.contract import Mode
from checkout.acceptance.qr.payer_code import PayerCode, PayerCodeRefused, PayerCodes
from checkout.clearing.messages import AuthorizationRequest
from checkout.database import instant, micros
from checkout.demo.payers import Payer, payer as find_payer
from checkout.errors import ShopError
from checkout.shop import tables
from checkout.shop.orders.events import add_event
from checkout.shop.orders.milestones import CODE_SCANNED
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import Order
from checkout.shop.payments.authorisation import Attempt, Attempts
from checkout.shop.payments.payments import Payment, PaymentRecords, PaymentState, Source
from checkout.shop.payments.pin_entry import NOT_IN_TIME, Wait, Waiting
from checkout.shop.payments.query_schedule import Rhythm, next_due, steps
from checkout.trace import Step as PaymentStep, Trace, steps_to_json

#: The currency of the amount up to which no PIN is asked; codes in others always wait for it.
_NO_PIN_CURRENCY = "CNY"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPaying:
    """A payment that waits for the PIN on its payer's phone.

    The shop asks next at `query_at`, may revoke from `revocable_at` on, and does at `until`.
    """

    payment: Payment
    order: Order
    payer: Payer
    query_at: datetime
    revocable_at: datetime
    until: datetime

    def as_json(self) -> dict[str, Any]:
        """What the API tells beside the pending payment."""
        return {
            "query_at": self.query_at.isoformat(timespec="milliseconds"),
            "revocable_at": self.revocable_at.isoformat(timespec="milliseconds"),
            "until": self.until.isoformat(timespec="milliseconds"),
        }


class Presented:
    """Both ends of a payer's code: the phone that shows it, the counter that scans it.

    `request_of` turns a claimed attempt into the question to the bank; `complete` asks it.
    """

    def __init__(
        self,
        kept: PaymentRecords,
        orders: Orders,
        attempts: Attempts,
        waiting: Waiting,
        *,
        codes: PayerCodes,
        request_of: Callable[[Attempt, Payer], AuthorizationRequest],
        refund: Callable[[str], Payment],
        no_pin_minor: int,
        rhythm: Rhythm,
    ) -> None:
        self._kept = kept
        self._orders = orders
        self._attempts = attempts
        self._waiting = waiting
        self._codes = codes
        self._request_of = request_of
        self._refund = refund
        self._no_pin_minor = no_pin_minor
        self._rhythm = rhythm
        self._rows = PresentedRecords(kept.engine)
        self._clock = orders.clock

    # -- the counter ----------------------------------------------------------------------------

    def present(
        self, order_id: str, text: str, *, emulated: bool = False, trace: Trace | None = None
    ) -> Payment | UserPaying:
        """Pay the order by what the counter scanned from a phone, as digits or EMV payload.

        `emulated` where an emulated counter scanned it: no real phone showed that code.

        The same text for the same order again tells how that stands. ShopError(payer-code,
        expired-payer-code or used-payer-code) for the text, else as for any payment.
        """
        order = self._orders.get(order_id)
        now = self._clock()
        try:
            found = self._codes.find(text, now)
        except PayerCodeRefused as refused:
            kind = "expired-payer-code" if refused.kind == "expired" else "payer-code"
            raise ShopError(kind, f"text: {refused}", "text") from None
        before = self._rows.of_digits(found.digits)
        if before is not None:
            return self._again(before, order_id)
        story = Trace() if trace is None else trace
        story.record("phone", "counter", "payment code, scanned", sent=len(text.encode()))
        who = find_payer(found.account)
        source = Source(
            mode=Mode.QR,
            scheme=who.scheme,
            account=who.account,
            payer=who.name,
            emulated=emulated,
        )
        attempt = self._claim(order, source, found.digits, now, story)
        request = self._request_of(attempt, who)
        if self.needs_pin(order):
            story.record("shop", "wallet", "pay by this code: USERPAYING, the phone asks its payer")
            within_s = self._rhythm.wait_at_most_s
            self._waiting.hold(attempt, request, place="phone", within_s=within_s)
            return self._standing(attempt.payment_id)
        try:
            return self._attempts.complete(attempt, request)
        except ShopError as error:
            if error.kind != "outcome-unknown":
                self._rows.forget(found.digits)  # nothing left this machine: the code is good yet
            raise

    def needs_pin(self, order: Order) -> bool:
        """Whether an order of that amount waits for the PIN on the phone."""
        return order.currency != _NO_PIN_CURRENCY or order.amount_minor > self._no_pin_minor

    def of_order(self, order_id: str) -> UserPaying | None:
        """What the order waits for, None where it waits for no phone."""
        wait = self._waiting.of_order(order_id)
        return None if wait is None else self.user_paying(wait.payment_id)

    def user_paying(self, payment_id: str) -> UserPaying | None:
        """The payment's wait for its phone, None where there is none, or no longer."""
        wait, row = self._waiting.get(payment_id), self._rows.of_payment(payment_id)
        return None if wait is None or row is None else self._user_paying(wait, row)

    def revoke(self, order_id: str) -> Payment:
        """Give up on the phone: end the wait, or refund what had been paid meanwhile.

        ShopError(too-soon) before the documented 15 s, (order-busy) while the bank is being
        asked, (not-presented) where no phone's code was scanned.
        """
        payment_id = self._orders.get(order_id).payment_id
        row = None if payment_id is None else self._rows.of_payment(payment_id)
        if row is None:
            raise ShopError("not-presented", "order: it is not being paid by a phone's code")
        self.check_revocable(row.payment_id)
        try:
            self._waiting.cancel(row.payment_id)
        except ShopError as error:
            if error.kind != "not-waiting":
                raise
            return self._undo(order_id, row.payment_id)
        self._tell_step(row.payment_id, "revoke")
        return self._kept.get(row.payment_id)

    def check_revocable(self, payment_id: str) -> None:
        """ShopError(too-soon) where the phone that is to pay has not had its time yet."""
        row = self._rows.of_payment(payment_id)
        sooner = self._rhythm.revoke_no_sooner_s
        if row and self._clock() < instant(row.created_at) + timedelta(seconds=sooner):
            raise ShopError("too-soon", f"order: a wait is revoked no sooner than {sooner:g} s")

    def sweep(self) -> int:
        """Ask for what waits, in the rhythm; returns how many waits have come to an end."""
        now = self._clock()
        return sum(self._follow(row, now) for row in self._rows.due(micros(now)))

    # -- the phone ------------------------------------------------------------------------------

    def show(self, payer: str) -> PayerCode:
        """The code that the payer's phone shows in this minute; ShopError(unknown-payer)."""
        try:
            return self._codes.show(payer, self._clock())
        except KeyError:
            raise ShopError("unknown-payer", f"payer: {payer!r} pays by no code") from None

    def latest_of(self, payer: str, since: datetime) -> Payment | None:
        """The newest payment by a code of `payer` that was scanned at `since` or later."""
        row = self._rows.newest(payer, micros(since))
        return None if row is None else self._kept.get(row.payment_id)

    def confirm(self, payment_id: str, pin: str) -> Payment:
        """The payer has typed the PIN: ask the bank. A decline comes back as a value.

        ShopError(pin) for an odd one, (not-waiting) when it was revoked, refused or confirmed.
        """
        return self._waiting.enter_pin(payment_id, pin)

    def refuse(self, payment_id: str) -> Payment:
        """The payer does not want to pay; the order is open again. ShopError(not-waiting)."""
        return self._waiting.cancel(payment_id)

    # -- parts ----------------------------------------------------------------------------------

    def _claim(
        self, order: Order, source: Source, digits: str, now: datetime, story: Trace
    ) -> Attempt:
        due = next_due(now, queries_made=0, now=now, rhythm=self._rhythm).at
        row = {
            "digits": digits,
            "payer": source.payer,
            "created_at": micros(now),
            "queries": 0,
            "due_at": micros(due) if self.needs_pin(order) else None,
        }
        try:
            return self._attempts.begin(
                order.id,
                source,
                trace=story,
                also=lambda connection, payment_id: self._scanned(
                    connection, row | {"payment_id": payment_id}, order, now
                ),
            )
        except IntegrityError:  # another till was faster with the same code
            raise _used() from None

    def _scanned(
        self, connection: Connection, row: dict[str, Any], order: Order, now: datetime
    ) -> None:
        self._rows.insert(connection, row)
        add_event(connection, now, CODE_SCANNED, order.id, payment=row["payment_id"])

    def _again(self, row: Row[Any], order_id: str) -> Payment | UserPaying:
        if self._kept.get(row.payment_id).order_id != order_id:
            raise _used()
        return self._standing(row.payment_id)

    def _standing(self, payment_id: str) -> Payment | UserPaying:
        return self.user_paying(payment_id) or self._kept.get(payment_id)

    def _user_paying(self, wait: Wait, row: Row[Any]) -> UserPaying:
        created = instant(row.created_at)
        return UserPaying(
            payment=self._kept.get(wait.payment_id),
            order=self._orders.get(wait.order_id),
            payer=find_payer(row.payer),
            query_at=wait.until if row.due_at is None else instant(row.due_at),
            revocable_at=created + timedelta(seconds=self._rhythm.revoke_no_sooner_s),
            until=wait.until,
        )

    def _undo(self, order_id: str, payment_id: str) -> Payment:
        payment = self._kept.get(payment_id)
        if payment.state is PaymentState.PENDING:
            raise ShopError("order-busy", "order: the PIN has come, the bank is being asked")
        return self._refund(order_id) if payment.state is PaymentState.APPROVED else payment

    def _follow(self, row: Row[Any], now: datetime) -> bool:
        """Take the step that is due; True where the wait turned out to have ended."""
        if self._waiting.get(row.payment_id) is None:
            ended = self._rows.asked(row, row.queries, None)
            if ended and self._kept.get(row.payment_id).response_code == NOT_IN_TIME:
                self._tell_step(row.payment_id, "query: USERPAYING still; revoke")
            return ended
        created = instant(row.created_at)
        waited_s = (now - created).total_seconds()
        asked = sum(at_s <= waited_s for at_s, _ in steps(self._rhythm))
        following = next_due(created, queries_made=asked, now=now, rhythm=self._rhythm)
        if self._rows.asked(row, asked, micros(following.at)):
            self._tell_step(row.payment_id, "query: USERPAYING")
        return False

    def _tell_step(self, payment_id: str, what: str) -> None:
        payment = self._kept.get(payment_id)
        step = PaymentStep(
            n=len(payment.steps) + 1,
            at_ms=(self._clock() - payment.started_at).total_seconds() * 1000,
            source="shop",
            target="wallet",
            what=what,
        )
        self._kept.update(payment_id, steps=steps_to_json([*payment.steps, step]))


def _used() -> ShopError:
    return ShopError("used-payer-code", "text: the payment code was used; show a new one", "text")


_T = tables.presented


class PresentedRecords:
    """Which codes were used for what; instants are microseconds since the epoch."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def insert(self, connection: Connection, row: dict[str, Any]) -> None:
        """Keep a code as used, in the caller's transaction; IntegrityError where it was."""
        connection.execute(insert(_T), row)

    def forget(self, digits: str) -> None:
        """Make a code good again that paid nothing."""
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
        """What is to be asked for."""
        with self._engine.connect() as connection:
            return list(connection.execute(select(_T).where(_T.c.due_at <= now)).all())

    def asked(self, row: Row[Any], queries: int, due_at: int | None) -> bool:
        """Take one query for oneself; False where another process was faster."""
        with self._engine.begin() as connection:
            return bool(
                connection.execute(
                    update(_T)
                    .where(_T.c.digits == row.digits, _T.c.due_at == row.due_at)
                    .values(queries=queries, due_at=due_at)
                ).rowcount
            )
