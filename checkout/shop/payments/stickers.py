"""The shop's printed codes: each names the shop and a place in it; the payer types the amount.

A sticker hangs where anybody can photograph or replace it, so nothing printed on it is trusted: its
code is looked up here, the payer sees the shop's own name, and a lost sticker can be revoked.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from checkout.acceptance.qr.link import CODE_BYTES, LinkError, new_code, normalise_code
from checkout.database import instant, micros
from checkout.errors import ShopError
from checkout.money import AmountError, Money, exponent
from checkout.shop import tables
from checkout.shop.orders.milestones import CODE_OPENED, Milestones
from checkout.shop.orders.orders import Orders
from checkout.shop.orders.states import Clock
from checkout.shop.payments.pay_by_code import CodePayments
from checkout.shop.payments.payments import Payment
from checkout.trace import Trace

_TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticCode:
    """One sticker: `number` and `label` are for people, `code` is what its symbol leads to.

    `amount_minor` is None where the payer types the amount.
    """

    code: str
    number: int
    label: str
    currency: str
    amount_minor: int | None
    created_at: datetime
    revoked: bool

    @property
    def amount(self) -> Money | None:
        """The fixed amount of the sticker, None where the payer types it."""
        if self.amount_minor is None:
            return None
        return Money(amount_minor=self.amount_minor, currency=self.currency)

    @property
    def printed(self) -> str:
        """The small line on the sticker that distinguishes it from the shop's others."""
        fixed = "" if self.amount is None else f" · {self.amount}"
        return f"No. {self.number} {self.label}{fixed}"

    def as_json(self) -> dict[str, Any]:
        """The sticker as the API shows it, without its links."""
        return {
            "code": self.code,
            "number": self.number,
            "label": self.label,
            "currency": self.currency,
            "amount_minor": self.amount_minor,
            "created_at": self.created_at.isoformat(timespec="milliseconds"),
            "revoked": self.revoked,
        }


class StaticCodes:
    """The stickers of one shop, and the payments at them."""

    def __init__(
        self, engine: Engine, orders: Orders, code_payments: CodePayments, milestones: Milestones
    ) -> None:
        self._engine = engine
        self._orders = orders
        self._code_payments = code_payments
        self._milestones = milestones
        self._clock: Clock = orders.clock

    def create(
        self, label: str, currency: str = "CNY", *, amount_minor: int | None = None
    ) -> StaticCode:
        """A new sticker with the next number; ShopError(label, currency or amount)."""
        shown = " ".join(label.split())
        if not (1 <= len(shown) <= 25 and shown.isprintable()):
            raise ShopError("label", "label: expected 1 to 25 printable characters", "label")
        try:
            exponent(currency)
        except AmountError as error:
            raise ShopError("currency", str(error), "currency") from None
        if amount_minor is not None:
            self._orders.check_amount(amount_minor, currency)
        table = tables.static_codes
        for _ in range(_TRIES):
            code = new_code(secrets.token_bytes(CODE_BYTES))
            row = {
                "code": code,
                "label": shown,
                "currency": currency,
                "amount_minor": amount_minor,
                "created_at": micros(self._clock()),
                "revoked_at": None,
            }
            try:
                with self._engine.begin() as connection:
                    last = connection.execute(select(func.max(table.c.number))).scalar() or 0
                    connection.execute(insert(table), row | {"number": last + 1})
            except IntegrityError:
                continue  # another process took that number
            return self.get(code)
        raise ShopError("database", "database: no number for a new sticker was free")

    def all(self) -> tuple[StaticCode, ...]:
        """Every sticker, revoked ones too, by number."""
        table = tables.static_codes
        with self._engine.connect() as connection:
            return tuple(
                _static_code(row)
                for row in connection.execute(select(table).order_by(table.c.number))
            )

    def find(self, code: str) -> StaticCode | None:
        """The sticker with that code, upper or lower case; None where this shop has none."""
        try:
            plain = normalise_code(code)
        except LinkError:
            return None
        table = tables.static_codes
        with self._engine.connect() as connection:
            row = connection.execute(select(table).where(table.c.code == plain)).first()
        return None if row is None else _static_code(row)

    def get(self, code: str) -> StaticCode:
        """The sticker with that code; ShopError(unknown-code)."""
        found = self.find(code)
        if found is None:
            raise ShopError("unknown-code", "code: this shop has no such code", "code")
        return found

    def revoke(self, code: str) -> StaticCode:
        """Take a sticker out of use for good; ShopError(unknown-code)."""
        found = self.get(code)
        table = tables.static_codes
        with self._engine.begin() as connection:
            connection.execute(
                update(table)
                .where(table.c.code == found.code, table.c.revoked_at.is_(None))
                .values(revoked_at=micros(self._clock()))
            )
        return self.get(code)

    def pay(
        self,
        code: str,
        *,
        payer: str,
        amount_minor: int | None = None,
        pin: str | None = None,
        emulated: bool = True,
        opened_at: datetime | None = None,
        trace: Trace | None = None,
    ) -> Payment:
        """Open an order for what the payer typed at a sticker, and pay it at once.

        `opened_at` is when the payer's phone opened the sticker's page: a milestone of the order.
        A decline comes back as a value, and its order is closed. ShopError(unknown-code,
        revoked-code, amount, unknown-payer, pin or clearing-unavailable) says why nothing was
        tried.
        """
        sticker = self.get(code)
        if sticker.revoked:
            raise ShopError("revoked-code", "code: the shop has taken it out of use", "code")
        if sticker.amount_minor is not None:
            if amount_minor not in (None, sticker.amount_minor):
                raise ShopError("amount", f"amount: this code is for {sticker.amount}", "amount")
            amount_minor = sticker.amount_minor
        if amount_minor is None:
            raise ShopError("amount", "amount: expected an amount, such as 12.80", "amount")
        paying = self._code_payments.payer(payer, pin)
        order = self._orders.create(
            amount_minor=amount_minor,
            currency=sticker.currency,
            reference=sticker.label,
            static_code=sticker.code,
        )
        if opened_at is not None:
            details = {"code": sticker.code[:4], "emulated": emulated, "sticker": True}
            self._milestones.record(CODE_OPENED, order.id, at=opened_at, **details)
        return self._code_payments.pay_order(
            order.id, paying, pin=pin, kind="static", emulated=emulated, trace=trace
        )


def _static_code(row: Row[Any]) -> StaticCode:
    return StaticCode(
        code=row.code,
        number=row.number,
        label=row.label,
        currency=row.currency,
        amount_minor=row.amount_minor,
        created_at=instant(row.created_at),
        revoked=row.revoked_at is not None,
    )
