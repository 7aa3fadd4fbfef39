"""Payments as they are recorded: the value, its row, and the numbers its message carries."""

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
    """Where one attempt stands."""

    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"
    UNKNOWN = "unknown"  # no answer yet: a reversal or an advice is being repeated
    REVERSED = "reversed"


#: DE39 values that only a terminal gives (EMV Book 4, Annex A6 authorisation response codes; 17 is
#: ISO 8583's customer cancellation, P1 is ours). None of them is ever sent.
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
        """Whether a real card was tapped: of those no more than the last four digits are kept."""
        return self.mode is Mode.NFC and self.pan.startswith("*")

    @property
    def response_text(self) -> str:
        """What the response code means, in words."""
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
    """Where the money of an attempt comes from, as it is recorded."""

    mode: Mode
    scheme: str
    account: str  # whole; recorded masked
    payer: str | None
    emulated: bool
    shown: str | None = None  # how the account is shown; masked by the usual rule where None


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
        """Keep the attempt's time and its steps; nothing hangs on it where that cannot be."""
        values: dict[str, Any] = {
            "finished_at": micros(self.clock()),
            "total_us": round((trace.now_ms() + modelled_ms) * 1000),
            "modelled_us": round(modelled_ms * 1000),
            "steps": steps_to_json(trace.steps()),
        }
        if response is not None and response.approval_code:
            values["approval_code"] = response.approval_code
        self._tell(payment_id, values)

    def retell(self, payment_id: str, steps: Sequence[Step], *, modelled_ms: float) -> None:
        """Keep a fuller story, told by the other side as well; times span all of its steps."""
        measured = max((step.end_ms for step in steps if step.nature == "measured"), default=0.0)
        values = {
            "steps": steps_to_json(steps),
            "total_us": round((measured + modelled_ms) * 1000),
            "modelled_us": round(modelled_ms * 1000),
        }
        self._tell(payment_id, values)

    def keep_steps(self, payment_id: str, steps: Sequence[Step]) -> None:
        """Keep a story that went on after its outcome; the payment's times stay."""
        self._tell(payment_id, {"steps": steps_to_json(steps)})

    def _tell(self, payment_id: str, values: dict[str, Any]) -> None:
        """Keep a payment's story: the money has been seen to, so a full disk costs the story."""
        try:
            self.update(payment_id, **values)
        except SQLAlchemyError:
            _log.warning("the story of payment %s could not be kept", payment_id)

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
def written_down(*, then: str = "what was charged is taken back") -> Iterator[None]:
    """What follows a message to the bank: where it cannot be kept, its outcome is not known.

    ShopError(outcome-unknown); the sweep finds the attempt, as after a crash, and does what `then`
    says.
    """
    try:
        yield
    except SQLAlchemyError as error:
        _log.error("the bank's answer could not be kept: %s", one_line(error))
        message = f"database: the bank's answer could not be kept; {then}"
        raise ShopError("outcome-unknown", message) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A refund or capture whose outcome has come."""

    payment_id: str
    order_id: str
    kind: str
    amount_minor: int


def end_once(
    connection: Connection,
    payment_id: str,
    state: PaymentState,
    response_code: str | None,
    *,
    due: int | None = None,
) -> bool:
    """Set the state of an attempt that has not ended yet; False where another was faster.

    Whoever gets True does what follows from it, in the same transaction.
    """
    table = tables.payments
    unended = table.c.state.in_((PaymentState.PENDING, PaymentState.UNKNOWN))
    return bool(
        connection.execute(
            update(table)
            .where(table.c.id == payment_id, unended)
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


def unsay(connection: Connection, payment_id: str) -> None:
    """Forget the message of an attempt that was never sent, in the caller's transaction."""
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
