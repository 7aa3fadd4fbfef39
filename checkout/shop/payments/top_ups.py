"""Top-ups of a wallet's balance: what the operator's own server does for its payers.

It speaks to the clearing backend as the operator, not as the shop's acquirer. A top-up without an
answer is reversed, and `repeats` sends that reversal until it is answered, after a restart too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
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
from checkout.encryption import Seal
from checkout.errors import ShopError
from checkout.money import Money
from checkout.shop import tables
from checkout.shop.orders.orders import new_id
from checkout.shop.orders.states import Clock
from checkout.shop.payments.payers import Payer, Payers
from checkout.shop.payments.repeats import Repeats, Unanswered
from checkout.shop.payments.stored_requests import open_request, seal_request

#: Minor units that a top-up must stay below: DE4 carries twelve digits, and nobody has as much.
LARGEST_MINOR = 10**11
_MCC = "6540"  # stored value, loaded outside a bank


class TopUpState(StrEnum):
    """The state of a top-up."""

    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"
    UNKNOWN = "unknown"  # no answer yet: its reversal is being repeated
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    """One top-up as the operator's server records it."""

    id: str
    payer: str
    amount: Money
    state: TopUpState
    response_code: str | None
    started_at: datetime

    @property
    def response_text(self) -> str:
        """The meaning of the response code in words."""
        return RESPONSE_TEXTS.get(self.response_code or "", "no answer")


_T = tables.top_ups


class TopUps:
    """Makes top-ups and sees them through; safe for many threads and processes."""

    def __init__(
        self,
        engine: Engine,
        *,
        operator: Callable[[], SwitchClient],
        payers: Payers,
        numbers: Callable[[], Numbers],
        seal: Seal,
        clock: Clock,
        timeout_s: float,
        retry_s: float,
    ) -> None:
        self._operator = operator
        self._payers = payers
        self._numbers = numbers
        self._timeout_s = timeout_s
        self._clock = clock
        self._records = TopUpRecords(engine, seal, clock)
        self._repeats = Repeats(
            self._records, clearing=operator, clock=clock, timeout_s=timeout_s, retry_s=retry_s
        )

    def top_up(self, payer: str, amount: Money, pin: str) -> TopUp:
        """Bring money from the payer's bank account into its wallet; a decline is in the result.

        ShopError(unknown-payer, amount, clearing-unavailable): nothing was asked for.
        """
        if not 0 < amount.amount_minor < LARGEST_MINOR:
            raise ShopError("amount", "amount: more than a top-up can be", "amount")
        paying = self._payers.named(payer)
        try:
            client = self._operator()
            pin_block = client.encrypt_pin(pin, paying.account)
        except NotSent as error:
            raise ShopError("clearing-unavailable", f"clearing: {error}") from None
        request = _request(paying, amount, self._numbers(), pin_block)
        top_up_id = self._records.insert(payer, amount, request)
        try:
            response = client.authorize(request, timeout_s=self._timeout_s).response
        except NotSent as error:
            self._records.end(top_up_id, TopUpState.DECLINED, "91")
            raise ShopError("clearing-unavailable", f"clearing: {error}") from None
        except NoAnswer:
            self._records.end(top_up_id, TopUpState.UNKNOWN, None, due=self._clock())
            self._repeats.repeat(top_up_id)
        else:
            state = TopUpState.APPROVED if response.approved else TopUpState.DECLINED
            self._records.end(top_up_id, state, response.response_code)
        return self._records.get(top_up_id)

    def recent(self, payer: str, count: int) -> tuple[TopUp, ...]:
        """A payer's newest top-ups first, without the declined ones: they moved nothing."""
        return self._records.recent(payer, count)

    def sweep(self) -> int:
        """Repeat the reversals that are due, a dead process's too; how many were settled."""
        return self._repeats.repeat_due()


class TopUpRecords:
    """The top-ups table, and the part of it that `Repeats` asks for."""

    def __init__(self, engine: Engine, seal: Seal, clock: Clock) -> None:
        self._engine = engine
        self._seal = seal
        self._clock = clock

    def insert(self, payer: str, amount: Money, request: AuthorizationRequest) -> str:
        """Record a top-up that is about to be asked for; returns its id."""
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
            connection.execute(insert(_T), row)
        return str(row["id"])

    def end(
        self, top_up_id: str, state: TopUpState, code: str | None, *, due: datetime | None = None
    ) -> None:
        """Record state and response code, and when the reversal is due."""
        due_at = None if due is None else micros(due)
        with self._engine.begin() as connection:
            connection.execute(
                update(_T)
                .where(_T.c.id == top_up_id)
                .values(state=state, response_code=code, due_at=due_at)
            )

    def get(self, top_up_id: str) -> TopUp:
        """One top-up."""
        with self._engine.connect() as connection:
            return _top_up(connection.execute(select(_T).where(_T.c.id == top_up_id)).one())

    def recent(self, payer: str, count: int) -> tuple[TopUp, ...]:
        """A payer's newest top-ups first, without the declined ones."""
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(_T)
                .where(_T.c.payer == payer, _T.c.state != TopUpState.DECLINED)
                .order_by(_T.c.started_at.desc())
                .limit(count)
            )
            return tuple(_top_up(row) for row in rows)

    # -- the contract of `repeats.UnansweredStore` ----------------------------------------------

    def give_up(self, begun_before: datetime, due: datetime) -> None:
        """Make due what is still pending from before: its process has died."""
        with self._engine.begin() as connection:
            connection.execute(
                update(_T)
                .where(_T.c.state == TopUpState.PENDING, _T.c.started_at < micros(begun_before))
                .values(state=TopUpState.UNKNOWN, due_at=micros(due))
            )

    def due(self, now: datetime) -> list[str]:
        """The top-ups whose reversal is due."""
        with self._engine.connect() as connection:
            due = select(_T.c.id).where(_T.c.due_at <= micros(now))
            return list(connection.execute(due).scalars())

    def claim(self, id: str, now: datetime, until: datetime) -> Unanswered | None:
        """Take a due reversal until then; None where another process was faster."""
        with self._engine.begin() as connection:
            sealed = connection.execute(
                update(_T)
                .where(_T.c.id == id, _T.c.due_at <= micros(now))
                .values(due_at=micros(until))
                .returning(_T.c.sealed_request)
            ).scalar()
        return (
            None if sealed is None else Unanswered(id=id, request=open_request(self._seal, sealed))
        )

    def postpone(self, id: str, due: datetime) -> None:
        """Have it reversed again at `due`, unless its answer has come."""
        with self._engine.begin() as connection:
            connection.execute(
                update(_T).where(_T.c.id == id, _T.c.due_at.is_not(None)).values(due_at=micros(due))
            )

    def settle(self, unanswered: Unanswered, *, stands: bool) -> None:
        """Record that the top-up was reversed, or stands: what it brought is spent."""
        if stands:
            self.end(unanswered.id, TopUpState.APPROVED, "00")
        else:
            self.end(unanswered.id, TopUpState.REVERSED, None)


def _request(
    payer: Payer, amount: Money, numbers: Numbers, pin_block: bytes
) -> AuthorizationRequest:
    operator = demo_participants().with_role(Role.WALLET_OPERATOR)[0]
    return AuthorizationRequest(
        transaction_type=TransactionType.TOP_UP,
        account=payer.account,
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
        pin_block=pin_block,
    )


def _top_up(row: Row[Any]) -> TopUp:
    return TopUp(
        id=row.id,
        payer=row.payer,
        amount=Money(amount_minor=row.amount_minor, currency=row.currency),
        state=TopUpState(row.state),
        response_code=row.response_code,
        started_at=instant(row.started_at),
    )
