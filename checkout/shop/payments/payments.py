"""Payments as they are recorded: the value, its row, and the numbers of its message."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Row, select, update
from sqlalchemy.exc import SQLAlchemyError

from checkout.acceptance.contract import Mode, Numbers
from checkout.clearing.messages import RESPONSE_TEXTS, AuthorizationResponse
from checkout.database import instant, micros, one_line
from checkout.errors import ShopError
from checkout.money import mask_account
from checkout.shop import tables
from checkout.shop.orders.orders import new_id
from checkout.shop.orders.states import Order
from checkout.trace import Step, Trace, steps_from_json, steps_to_json

_log = logging.getLogger("checkout.payments")


class PaymentState(StrEnum):
    """The state of one attempt."""

    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"
    UNKNOWN = "unknown"  # no answer yet: a reversal or an advice is being repeated
    REVERSED = "reversed"


#: DE39 values that only a terminal gives (EMV Book 4, Annex A6 authorisation response codes; 17 is
#: ISO 8583's customer cancellation, P1 is this shop's own). None of them is ever sent.
TERMINAL_TEXTS = {
    "Y1": "approved by the card offline",
    "Z1": "declined by the card offline",
    "17": "cancelled before the PIN was typed",
    "P1": "no PIN was typed in time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One attempt as it is recorded; `pan` is masked, times are milliseconds."""

    id: str
    order_id: str
    kind: str  # sale, refund, capture
    mode: Mode
    scheme: str
    state: PaymentState
    payer: str | None
    amount_minor: int
    response_code: str | None
    approval_code: str | None
    rrn: str
    pan: str
    emulated: bool
    started_at: datetime
    finished_at: datetime | None
    total_ms: float
    modelled_ms: float
    steps: tuple[Step, ...]

    @property
    def real_card(self) -> bool:
        """Whether a real card was tapped: only the last four digits of one are recorded."""
        return self.mode is Mode.NFC and self.pan.startswith("*")

    @property
    def response_text(self) -> str:
        """The meaning of the response code in words."""
        code = self.response_code or ""
        if code == "14" and self.real_card:
            return "a real card that is not enrolled: nothing was charged"
        return RESPONSE_TEXTS.get(code) or TERMINAL_TEXTS.get(code) or f"response {code}"

    def as_json(self) -> dict[str, Any]:
        """The `payment` object of command and API, without steps and times."""
        return {
            "id": self.id,
            "mode": str(self.mode),
            "scheme": self.scheme,
            "state": _shown_state(self),
            "response_code": self.response_code,
            "approval_code": self.approval_code,
            "rrn": self.rrn,
            "pan": self.pan,
        }

    def timing_json(self) -> dict[str, float]:
        """The `timing_ms` object of command and API."""
        return {"total": round(self.total_ms, 3), "modelled": round(self.modelled_ms, 3)}


def _shown_state(payment: Payment) -> str:
    if payment.state is PaymentState.APPROVED and payment.kind == "sale":
        return "paid"
    return str(payment.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The account that pays in an attempt."""

    mode: Mode
    scheme: str
    account: str  # whole; recorded masked
    payer: str | None
    emulated: bool
    shown: str | None = None  # the account as it may be shown; None: masked by the usual rule


class PaymentRecords:
    """The payments table; each method is one statement or one transaction."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self.engine = engine
        self.clock = clock

    def numbers(self) -> Numbers:
        """Allocate the next system trace audit number (DE11) and what goes with it."""
        table = tables.numbers
        with self.engine.begin() as connection:
            raised = connection.execute(
                update(table)
                .where(table.c.name == "stan")
                .values(value=table.c.value % 999_999 + 1)
                .returning(table.c.value)
            ).scalar()
        if raised is None:
            raise ShopError("database", "database: the shop's number row is missing")
        return Numbers.at(self.clock(), int(raised))

    def new_row(
        self, order: Order, kind: str, source: Source, numbers: Numbers, amount_minor: int
    ) -> dict[str, Any]:
        """The row of an attempt that is about to begin."""
        return {
            "id": new_id("pay"),
            "order_id": order.id,
            "kind": kind,
            "mode": source.mode,
            "scheme": source.scheme,
            "state": PaymentState.PENDING,
            "payer": source.payer,
            "amount_minor": amount_minor,
            "response_code": None,
            "approval_code": None,
            "rrn": numbers.rrn,
            "pan": mask_account(source.account) if source.shown is None else source.shown,
            "emulated": source.emulated,
            "started_at": micros(self.clock()),
            "finished_at": None,
            "total_us": None,
            "modelled_us": 0,
            "steps": "[]",
            "sealed_request": None,
            "reversal_attempts": 0,
            "reversal_due_at": None,
        }

    def update(self, payment_id: str, **values: Any) -> None:
        """Change columns of one attempt."""
        table = tables.payments
        with self.engine.begin() as connection:
            connection.execute(update(table).where(table.c.id == payment_id).values(**values))

    def finish(
        self,
        payment_id: str,
        trace: Trace,
        modelled_ms: float,
        response: AuthorizationResponse | None = None,
    ) -> None:
        """Store the attempt's time, steps and approval code; a failed write is only logged."""
        values: dict[str, Any] = {
            "finished_at": micros(self.clock()),
            "total_us": round((trace.now_ms() + modelled_ms) * 1000),
            "modelled_us": round(modelled_ms * 1000),
            "steps": steps_to_json(trace.steps()),
        }
        if response is not None and response.approval_code:
            values["approval_code"] = response.approval_code
        self._update_or_log(payment_id, values)

    def replace_steps(self, payment_id: str, steps: Sequence[Step], *, modelled_ms: float) -> None:
        """Store steps that the payer's side has completed; the times then span all of them."""
        measured = max((step.end_ms for step in steps if step.nature == "measured"), default=0.0)
        values = {
            "steps": steps_to_json(steps),
            "total_us": round((measured + modelled_ms) * 1000),
            "modelled_us": round(modelled_ms * 1000),
        }
        self._update_or_log(payment_id, values)

    def store_steps(self, payment_id: str, steps: Sequence[Step]) -> None:
        """Store steps that came after the outcome; the payment's times stay."""
        self._update_or_log(payment_id, {"steps": steps_to_json(steps)})

    def _update_or_log(self, payment_id: str, values: dict[str, Any]) -> None:
        """Write steps and times: the money does not depend on them, so a full disk loses them."""
        try:
            self.update(payment_id, **values)
        except SQLAlchemyError:
            _log.warning("the steps of payment %s could not be stored", payment_id)

    def row(self, payment_id: str | None) -> Row[Any] | None:
        """One attempt's row, or None."""
        table = tables.payments
        with self.engine.connect() as connection:
            return connection.execute(select(table).where(table.c.id == payment_id)).first()

    def get(self, payment_id: str) -> Payment:
        """One payment; ShopError(unknown-payment)."""
        row = self.row(payment_id)
        if row is None:
            message = f"payment: no payment has the id {payment_id!r}"
            raise ShopError("unknown-payment", message, "payment")
        return _payment(row)

    def of_order(self, order_id: str) -> tuple[Payment, ...]:
        """All attempts on an order, oldest first."""
        table = tables.payments
        wanted = select(table).where(table.c.order_id == order_id).order_by(table.c.started_at)
        with self.engine.connect() as connection:
            return tuple(_payment(row) for row in connection.execute(wanted))

    def recent(self, limit: int = 20) -> tuple[Payment, ...]:
        """The newest attempts first."""
        table = tables.payments
        wanted = select(table).order_by(table.c.started_at.desc()).limit(limit)
        with self.engine.connect() as connection:
            return tuple(_payment(row) for row in connection.execute(wanted))


@contextmanager
def recording_outcome(*, then: str = "what was charged is taken back") -> Iterator[None]:
    """Record what the bank answered; ShopError(outcome-unknown) where the database fails.

    The sweep finds the attempt, as after a crash, and does what `then` says.
    """
    try:
        yield
    except SQLAlchemyError as error:
        _log.error("the bank's answer could not be stored: %s", one_line(error))
        message = f"database: the bank's answer could not be kept; {then}"
        raise ShopError("outcome-unknown", message) from error


def end_once(
    connection: Connection,
    payment_id: str,
    state: PaymentState,
    response_code: str | None,
    *,
    due: int | None = None,
) -> bool:
    """Set the state of an attempt that has not ended yet; False where another was faster.

    A caller that gets True does what follows from it, in the same transaction.
    """
    table = tables.payments
    not_ended = table.c.state.in_((PaymentState.PENDING, PaymentState.UNKNOWN))
    return bool(
        connection.execute(
            update(table)
            .where(table.c.id == payment_id, not_ended)
            .values(state=state, response_code=response_code, reversal_due_at=due)
        ).rowcount
    )


def set_state(
    connection: Connection,
    payment_id: str,
    state: PaymentState,
    response_code: str | None,
    *,
    due: int | None = None,
) -> None:
    """Set state, response code and when a repeat is due, in the caller's transaction."""
    table = tables.payments
    connection.execute(
        update(table)
        .where(table.c.id == payment_id)
        .values(state=state, response_code=response_code, reversal_due_at=due)
    )


def forget_request(connection: Connection, payment_id: str) -> None:
    """Delete the request of an attempt that was never sent, in the caller's transaction."""
    table = tables.payments
    forget = update(table).where(table.c.id == payment_id).values(sealed_request=None)
    connection.execute(forget)


def _payment(row: Row[Any]) -> Payment:
    return Payment(
        id=row.id,
        order_id=row.order_id,
        kind=row.kind,
        mode=Mode(row.mode),
        scheme=row.scheme,
        state=PaymentState(row.state),
        payer=row.payer,
        amount_minor=row.amount_minor,
        response_code=row.response_code,
        approval_code=row.approval_code,
        rrn=row.rrn,
        pan=row.pan,
        emulated=bool(row.emulated),
        started_at=instant(row.started_at),
        finished_at=None if row.finished_at is None else instant(row.finished_at),
        total_ms=(row.total_us or 0) / 1000,
        modelled_ms=row.modelled_us / 1000,
        steps=steps_from_json(row.steps),
    )
