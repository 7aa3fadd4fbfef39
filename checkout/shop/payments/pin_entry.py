"""Payments that hold their order while their payer types a PIN, at the counter or on a phone.

Everything but the PIN is known by then: the request is stored in the database, encrypted, so that
any process can go on with it. That process takes it by compare-and-set, so the bank is asked once.
The PIN itself is never stored: it becomes an ISO 9564 block in the call that brings it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, insert, select, update

from checkout.acceptance.contract import Numbers
from checkout.clearing.client.client import NotSent, SwitchClient
from checkout.clearing.messages import AuthorizationRequest
from checkout.database import instant, micros
from checkout.encryption import Seal
from checkout.errors import ShopError
from checkout.shop import tables
from checkout.shop.orders.events import add_event
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import OrderChange, change_order
from checkout.shop.payments.authorisation import Attempt, Authorisation
from checkout.shop.payments.payments import Payment, PaymentRecords, Source
from checkout.shop.payments.stored_requests import open_request, seal_request
from checkout.trace import Trace, steps_to_json

Place = Literal["counter", "phone"]

#: How long a payer may take over the PIN.
PIN_WITHIN_S = 60.0

CANCELLED = "17"
NOT_IN_TIME = "P1"

#: Every demo account's PIN has six digits.
PIN = re.compile(r"[0-9]{6}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A payment that waits for its PIN: the payer types it at `place` before `until`."""

    payment_id: str
    order_id: str
    place: Place
    held_at: datetime
    until: datetime

    def left_s(self, now: datetime) -> float:
        """Seconds until the wait ends."""
        return max((self.until - now).total_seconds(), 0.0)


class PinEntry:
    """Holds attempts, goes on with them or ends them; safe for many threads and processes."""

    def __init__(
        self,
        payments: PaymentRecords,
        orders: Orders,
        authorisation: Authorisation,
        *,
        clearing: Callable[[], SwitchClient],
        seal: Seal,
        abandoned_after_s: float,
    ) -> None:
        self._payments = payments
        self._orders = orders
        self._authorisation = authorisation
        self._clearing = clearing
        self._seal = seal
        self._abandoned_after = timedelta(seconds=abandoned_after_s)

    def hold(
        self,
        attempt: Attempt,
        request: AuthorizationRequest,
        *,
        place: Place,
        within_s: float = PIN_WITHIN_S,
        modelled_ms: float = 0.0,
    ) -> Payment:
        """Let a claimed attempt wait for its PIN; the payment stays pending, its order claimed.

        It waits no longer than its order lives.
        """
        now = self._payments.clock()
        until = min(now + timedelta(seconds=within_s), attempt.order.expires_at)
        row = {
            "payment_id": attempt.payment_id,
            "order_id": attempt.order.id,
            "place": place,
            "sealed_request": seal_request(self._seal, request),
            "began_at": micros(now - timedelta(milliseconds=attempt.trace.now_ms())),
            "held_at": micros(now),
            "until": micros(until),
            "taken_at": None,
        }
        payments = tables.payments
        with self._payments.engine.begin() as connection:
            connection.execute(
                update(payments)
                .where(payments.c.id == attempt.payment_id)
                .values(
                    steps=steps_to_json(attempt.trace.steps()),
                    modelled_us=round(modelled_ms * 1000),
                )
            )
            connection.execute(insert(tables.waiting), row)
            add_event(
                connection,
                now,
                "order-waiting",
                attempt.order.id,
                mode=attempt.source.mode,
                payment=attempt.payment_id,
                place=place,
                until=until.isoformat(timespec="milliseconds"),
            )
        return self._payments.get(attempt.payment_id)

    def get(self, payment_id: str) -> Wait | None:
        """The wait of a payment; None where it waits for no PIN, or no longer."""
        row = self._row(payment_id)
        return None if row is None else _wait(row)

    def of_order(self, order_id: str) -> Wait | None:
        """The wait that holds an order, or None."""
        table = tables.waiting
        with self._payments.engine.connect() as connection:
            row = connection.execute(
                select(table).where(table.c.order_id == order_id, table.c.taken_at.is_(None))
            ).first()
        return None if row is None or not self._lasts(row) else _wait(row)

    def at(self, place: Place) -> Wait | None:
        """The newest wait at that place, or None."""
        table = tables.waiting
        with self._payments.engine.connect() as connection:
            row = connection.execute(
                select(table)
                .where(
                    table.c.place == place,
                    table.c.taken_at.is_(None),
                    table.c.until > micros(self._payments.clock()),
                )
                .order_by(table.c.held_at.desc())
            ).first()
        return None if row is None else _wait(row)

    def enter_pin(self, payment_id: str, pin: str) -> Payment:
        """Ask the bank with this PIN; a wrong PIN comes back as a decline (55).

        ShopError(pin) where it is not six digits, (not-waiting) when another was faster or the
        time has run out, (clearing-unavailable) without a line to the switch: the wait goes on.
        """
        if not PIN.fullmatch(pin):
            raise ShopError("pin", "pin: expected six digits", "pin")
        row = self._row(payment_id)
        if row is None:
            raise _not_waiting()
        request = open_request(self._seal, row.sealed_request)
        try:
            block = self._clearing().encrypt_pin(pin, request.account)
        except NotSent as error:
            raise ShopError("clearing-unavailable", f"clearing: {error}") from None
        with self._payments.engine.begin() as connection:
            taken = self._take(connection, payment_id)
        if not taken:
            raise _not_waiting()
        attempt, modelled_ms = self._resume(row, request, "types the PIN")
        sent_at = Numbers.at(self._payments.clock(), request.stan).transmitted_at
        with_pin = replace(request, pin_block=block, no_pin=False, transmitted_at=sent_at)
        payment = self._authorisation.complete(attempt, with_pin, modelled_ms=modelled_ms)
        self._delete(payment_id)
        return payment

    def cancel(self, payment_id: str, *, with_order: bool = False) -> Payment:
        """End the wait: the payment is declined, the bank not asked, the order open again.

        With `with_order` the order is cancelled instead. ShopError(not-waiting).
        """
        row = self._row(payment_id)
        if row is None or not self._end(row, CANCELLED, with_order=with_order):
            raise _not_waiting()
        return self._payments.get(payment_id)

    def expire_due(self) -> int:
        """End the waits whose time has run out; returns how many."""
        table = tables.waiting
        now = self._payments.clock()
        with self._payments.engine.connect() as connection:
            due = connection.execute(
                select(table).where(table.c.taken_at.is_(None), table.c.until <= micros(now))
            ).all()
            abandoned = connection.execute(
                select(table.c.payment_id).where(
                    table.c.taken_at < micros(now - self._abandoned_after)
                )
            ).all()
        for row in abandoned:
            self._delete(row.payment_id)
        return sum(self._end(row, NOT_IN_TIME) for row in due)

    # -- parts ----------------------------------------------------------------------------------

    def _row(self, payment_id: str) -> Row[Any] | None:
        table = tables.waiting
        with self._payments.engine.connect() as connection:
            row = connection.execute(
                select(table).where(table.c.payment_id == payment_id, table.c.taken_at.is_(None))
            ).first()
        return None if row is None or not self._lasts(row) else row

    def _lasts(self, row: Row[Any]) -> bool:
        return bool(row.until > micros(self._payments.clock()))

    def _take(self, connection: Connection, payment_id: str, *, lasting: bool = True) -> bool:
        table = tables.waiting
        now = micros(self._payments.clock())
        taking = update(table).where(table.c.payment_id == payment_id, table.c.taken_at.is_(None))
        if lasting:
            taking = taking.where(table.c.until > now)
        return bool(connection.execute(taking.values(taken_at=now)).rowcount)

    def _end(self, row: Row[Any], code: str, *, with_order: bool = False) -> bool:
        request = open_request(self._seal, row.sealed_request)
        attempt, modelled_ms = self._resume(row, request, "types no PIN")
        with self._payments.engine.begin() as connection:
            # One transaction: after a crash the payment either waits or is declined.
            if not self._take(connection, row.payment_id, lasting=False):
                return False
            self._authorisation.decline(connection, attempt, code)
            if with_order:
                now = self._payments.clock()
                change_order(connection, row.order_id, OrderChange.CANCEL, now)
        self._payments.finish(row.payment_id, attempt.trace, modelled_ms)
        self._delete(row.payment_id)
        return True

    def _resume(
        self, row: Row[Any], request: AuthorizationRequest, what: str
    ) -> tuple[Attempt, float]:
        """The attempt as it was held, with a step for the wait; and its modelled milliseconds."""
        payment = self._payments.get(row.payment_id)
        now = self._payments.clock()
        began_s_ago = max((now - instant(row.began_at)).total_seconds(), 0.0)
        trace = Trace(began_s_ago=began_s_ago, steps=payment.steps)
        waited_ms = (now - instant(row.held_at)).total_seconds() * 1000
        trace.record("payer", row.place, what, took_ms=max(waited_ms, 0.0), nature="waited")
        source = Source(
            mode=payment.mode,
            scheme=payment.scheme,
            account=request.account,
            payer=payment.payer,
            emulated=payment.emulated,
            shown=payment.pan,
        )
        numbers = Numbers(stan=request.stan, rrn=request.rrn, transmitted_at=request.transmitted_at)
        attempt = Attempt(
            payment_id=payment.id,
            order=self._orders.get(payment.order_id),
            source=source,
            numbers=numbers,
            trace=trace,
        )
        return attempt, payment.modelled_ms

    def _delete(self, payment_id: str) -> None:
        table = tables.waiting
        with self._payments.engine.begin() as connection:
            connection.execute(delete(table).where(table.c.payment_id == payment_id))


def _wait(row: Row[Any]) -> Wait:
    return Wait(
        payment_id=row.payment_id,
        order_id=row.order_id,
        place=row.place,
        held_at=instant(row.held_at),
        until=instant(row.until),
    )


def _not_waiting() -> ShopError:
    return ShopError("not-waiting", "payment: it waits for no PIN, or no longer", "payment")
