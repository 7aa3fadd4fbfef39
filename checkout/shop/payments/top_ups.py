"""Top-ups of a wallet's balance: what the operator's own server does for its payers.

It speaks to the clearing backend as the operator, not as the shop's acquirer. What is not answered
is reversed, and that is repeated until it is answered, whatever this process lives to see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, Row, insert, select, update

from checkout.acceptance.contract import Numbers
from checkout.clearing.client.client import NoAnswer, NotSent, SwitchClient
from checkout.clearing.messages import (
    RESPONSE_TEXTS,
    AuthorizationRequest,
    EntryMode,
    Initiation,
    TransactionType,
)
from checkout.clearing.scheme.participants import Role, demo_participants
from checkout.database import instant, micros
from checkout.demo.payers import payer as find_payer
from checkout.encryption import Seal
from checkout.errors import ShopError
from checkout.money import Money
from checkout.shop import tables
from checkout.shop.orders.orders import new_id
from checkout.shop.orders.states import Clock
from checkout.shop.payments.stored_requests import open_request, seal_request

#: No message carries as much (DE4), and nobody has it.
LARGEST_MINOR = 10**11
_MCC = "6540"  # stored value, loaded outside a bank
_UNDONE = ("00", "25")  # it was taken back, or had never come
_STANDS = "12"  # it can't be taken back any more: what it brought is spent


class TopUpState(StrEnum):
    """Where a top-up stands."""

    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"
    UNKNOWN = "unknown"  # no answer yet: its reversal is being repeated
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    """One top-up as the operator's server keeps it."""

    id: str
    payer: str
    amount: Money
    state: TopUpState
    response_code: str | None
    started_at: datetime

    @property
    def response_text(self) -> str:
        """What the answer means, in words."""
        return RESPONSE_TEXTS.get(self.response_code or "", "no answer")


class TopUps:
    """Makes top-ups and sees them through."""

    def __init__(
        self,
        engine: Engine,
        *,
        operator: Callable[[], SwitchClient],
        numbers: Callable[[], Numbers],
        seal: Seal,
        clock: Clock,
        timeout_s: float,
        retry_s: float,
    ) -> None:
        self._engine = engine
        self._operator = operator
        self._numbers = numbers
        self._seal = seal
        self._clock = clock
        self._timeout_s = timeout_s
        self._retry_s = retry_s

    def top_up(self, payer: str, amount: Money, pin: str) -> TopUp:
        """Bring money from the payer's bank account into its wallet; a decline is in the result.

        ShopError(unknown-payer, amount, clearing-unavailable): nothing was asked for.
        """
        if not 0 < amount.amount_minor < LARGEST_MINOR:
            raise ShopError("amount", "amount: more than a top-up can be", "amount")
        try:
            client = self._operator()
            request = self._request(client, payer, amount, pin)
        except NotSent as error:
            raise ShopError("clearing-unavailable", f"clearing: {error}") from None
        kept = self._begin(payer, amount, request)
        try:
            answer = client.authorize(request, timeout_s=self._timeout_s).response
        except NotSent as error:
            self._end(kept, TopUpState.DECLINED, "91")
            raise ShopError("clearing-unavailable", f"clearing: {error}") from None
        except NoAnswer:
            self._end(kept, TopUpState.UNKNOWN, None, due_at=micros(self._clock()))
            self._undo(kept)
            return self._get(kept)
        state = TopUpState.APPROVED if answer.approved else TopUpState.DECLINED
        self._end(kept, state, answer.response_code)
        return self._get(kept)

    def recent(self, payer: str, count: int) -> tuple[TopUp, ...]:
        """A payer's newest top-ups first; those that were declined moved nothing and are left."""
        table = tables.top_ups
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(table)
                .where(table.c.payer == payer, table.c.state != TopUpState.DECLINED)
                .order_by(table.c.started_at.desc())
                .limit(count)
            )
            return tuple(_top_up(row) for row in rows)

    def sweep(self) -> int:
        """Repeat the reversals that are due, a dead process's too; how many were settled."""
        now, table = self._clock(), tables.top_ups
        given_up = micros(now - timedelta(seconds=self._timeout_s + 5))
        with self._engine.begin() as connection:
            connection.execute(
                update(table)
                .where(table.c.state == TopUpState.PENDING, table.c.started_at < given_up)
                .values(state=TopUpState.UNKNOWN, due_at=micros(now))
            )
        with self._engine.connect() as connection:
            due = connection.execute(select(table.c.id).where(table.c.due_at <= micros(now)))
            return sum(self._undo(one) for one in due.scalars().all())

    # -- parts ----------------------------------------------------------------------------------

    def _request(
        self, client: SwitchClient, payer: str, amount: Money, pin: str
    ) -> AuthorizationRequest:
        who, numbers = find_payer(payer), self._numbers()
        operator = demo_participants().with_role(Role.WALLET_OPERATOR)[0]
        return AuthorizationRequest(
            transaction_type=TransactionType.TOP_UP,
            account=who.account,
            amount_minor=amount.amount_minor,
            currency=amount.currency,
            stan=numbers.stan,
            rrn=numbers.rrn,
            transmitted_at=numbers.transmitted_at,
            entry_mode=EntryMode.ECOMMERCE,
            initiation=Initiation.ONLINE,
            acquirer=operator.institution,
            forwarder=operator.institution,
            terminal_id="WALLET01",
            merchant_id="LANE-WALLET",
            merchant_name=operator.name,
            mcc=_MCC,
            country=operator.country,
            pin_block=client.encrypt_pin(pin, who.account),
        )

    def _begin(self, payer: str, amount: Money, request: AuthorizationRequest) -> str:
        row: dict[str, Any] = {
            "id": new_id("top"),
            "payer": payer,
            "amount_minor": amount.amount_minor,
            "currency": amount.currency,
            "state": TopUpState.PENDING,
            "rrn": request.rrn,
            "started_at": micros(self._clock()),
            "sealed_request": seal_request(self._seal, request),
        }
        with self._engine.begin() as connection:
            connection.execute(insert(tables.top_ups), row)
        return str(row["id"])

    def _end(
        self, kept: str, state: TopUpState, code: str | None, *, due_at: int | None = None
    ) -> None:
        table = tables.top_ups
        with self._engine.begin() as connection:
            connection.execute(
                update(table)
                .where(table.c.id == kept)
                .values(state=state, response_code=code, due_at=due_at)
            )

    def _undo(self, kept: str) -> bool:
        """Reverse one that was not answered; True once the reversal is answered."""
        now, table = self._clock(), tables.top_ups
        with self._engine.begin() as connection:
            taken = connection.execute(
                update(table)
                .where(table.c.id == kept, table.c.due_at <= micros(now))
                .values(due_at=micros(now + timedelta(seconds=self._timeout_s + self._retry_s)))
            ).rowcount
            row = connection.execute(select(table).where(table.c.id == kept)).one()
        if not taken:
            return False
        request = open_request(self._seal, row.sealed_request)
        try:
            answer = self._operator().reverse(request, timeout_s=self._timeout_s).response
        except (NotSent, NoAnswer):
            return False
        if answer.response_code in _UNDONE:
            self._end(kept, TopUpState.REVERSED, None)
        elif answer.response_code == _STANDS:
            self._end(kept, TopUpState.APPROVED, "00")
        else:
            return False
        return True

    def _get(self, kept: str) -> TopUp:
        table = tables.top_ups
        with self._engine.connect() as connection:
            return _top_up(connection.execute(select(table).where(table.c.id == kept)).one())


def _top_up(row: Row[Any]) -> TopUp:
    return TopUp(
        id=row.id,
        payer=row.payer,
        amount=Money(amount_minor=row.amount_minor, currency=row.currency),
        state=TopUpState(row.state),
        response_code=row.response_code,
        started_at=instant(row.started_at),
    )
