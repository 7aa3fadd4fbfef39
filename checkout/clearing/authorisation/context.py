"""What the rooms of the switch share: store, books, keys, rules, and the outcome of a message."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from checkout.clearing.authorisation.account_holder import Issuers
from checkout.clearing.clock import SettableClock
from checkout.clearing.hsm.decoded_proof import DecodedProof
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.issuing.account_store import AccountStore
from checkout.clearing.issuing.world import World
from checkout.clearing.ledger.ledger import Leg, Status, transfers_of
from checkout.clearing.messages import AuthorizationRequest, AuthorizationResponse
from checkout.clearing.scheme.business_date import settlement_date
from checkout.clearing.scheme.rules import House
from checkout.clearing.store.rows import EntryRow, ResolutionRow
from checkout.clearing.store.store import Store
from checkout.clearing.tokens.vault import Vault
from checkout.database import date_of, day_number, micros
from checkout.values import quick

#: A pre-authorisation holds the payer's money for this long.
HOLD_DAYS = 30
HOLD_US = HOLD_DAYS * 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An answer and why: `reason` is for the log, never for the wire."""

    response: AuthorizationResponse
    reason: str = ""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message being answered: its number, the moment and its business date, the PIN key.

    `at_us` is the moment in microseconds since the epoch; `proof` what its chip proves,
    where that has been verified already.
    """

    seq: int
    now: datetime
    at_us: int
    business_date: date
    pin_key: bytes | None = field(default=None, repr=False)
    proof: DecodedProof | None = field(default=None, repr=False)

    @property
    def approval_code(self) -> str:
        """Six digits that no other message of the last million has."""
        return f"{self.seq % 1_000_000:06d}"


class Backend:
    """Everything behind the switch, put together once."""

    def __init__(
        self,
        store: Store,
        keys: KeyStore,
        world: World,
        *,
        clock: SettableClock | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.store = store
        self.home = keys.path.parent.parent
        self.clock = clock or SettableClock()
        self.in_flight = 0  # answers that wait to be sent
        self._dated = (datetime.min, date.min, 0)
        self._closed: date | None = None
        self.keys = keys
        self.world = world
        self.participants = world.participants
        self.random_bytes = random_bytes
        self.accounts = AccountStore(
            store,
            world.accounts,
            world.participants,
            pepper=lambda: keys.secret("pin-pepper"),
            random_bytes=random_bytes,
        )
        self.vault = Vault(store, world, secret=lambda: keys.secret("account-reference"))
        self.issuers = Issuers(
            accounts=self.accounts,
            keys=keys,
            participants=world.participants,
            rules=world.rules,
            rates=world.rates,
            use_limited_key=lambda number, serial: self.vault.use_key(number, serial, self.clock()),
        )

    def open_books(self, now: datetime) -> None:
        """Opening balances and payment tokens of a fresh database."""
        for one in self.participants.signing_on():
            self.keys.zone_key(one.id)  # there for whoever wants to sign on
        self.accounts.open_accounts(now)
        self.vault.provision_demo(now)
        self.store.commit()

    def turn(
        self, now: datetime, pin_key: bytes | None = None, proof: DecodedProof | None = None
    ) -> Turn:
        """Number the next message, with its business date."""
        business_date = self.business_date(now)
        return Turn(
            seq=self.store.next_seq(),
            now=now,
            at_us=self._dated[2],
            business_date=business_date,
            pin_key=pin_key,
            proof=proof,
        )

    def business_date(self, now: datetime) -> date:
        """The date of what comes now: by the clock, the next one where that is closed already."""
        if now is not self._dated[0]:  # one moment holds for all that is decided in it
            self._dated = (now, settlement_date(now), micros(now))
        business_date = self._dated[1]
        closed = self.closed_through()
        if closed is not None and business_date <= closed:
            business_date = closed + timedelta(days=1)
        return business_date

    def closed_through(self) -> date | None:
        """The last business date that was closed; None before the first."""
        number = self.store.number("closed-through")
        if number is None:
            return None
        if self._closed is None or day_number(self._closed) != number:
            self._closed = date_of(number)
        return self._closed

    def forget(self) -> None:
        """Drop what is in memory after a batch that could not be written."""
        self.store.roll_back()
        self.accounts.forget()
        self.vault.forget()

    def book(
        self,
        turn: Turn,
        request: AuthorizationRequest,
        legs: tuple[Leg, ...],
        *,
        payer: str,
        holder: str,
        billing_minor: int,
        billing_currency: str,
        house: House = House.FOUR_PARTY,
        kind: str | None = None,
        original: int | None = None,
        expires_us: int | None = None,
        amount_minor: int | None = None,
    ) -> EntryRow:
        """Enter what `request` comes to as a pending entry; its id is the message's number.

        Without legs, such as for a void, there is nothing to wait for.
        """
        acquirer = self.participants.by_institution[request.acquirer]
        entry = EntryRow(
            id=turn.seq,
            kind=kind or request.transaction_type.value,
            house=house.value,
            status=Status.PENDING if legs else Status.POSTED,
            business_date=day_number(turn.business_date),
            at_us=turn.at_us,
            expires_us=expires_us,
            original=original,
            payer=payer,
            amount_minor=request.amount_minor if amount_minor is None else amount_minor,
            currency=request.currency,
            billing_minor=billing_minor,
            billing_currency=billing_currency,
            acquirer=acquirer.id,
            holder=holder,
            merchant=request.merchant_id,
            mcc=request.mcc,
            rrn=request.rrn,
            initiation=request.initiation.value,
        )
        self.store.enter(entry, transfers_of(entry.id, legs))
        return entry

    def resolve(self, turn: Turn, entry: EntryRow, status: Status) -> None:
        """End a pending entry, because of the message of this turn."""
        self.store.resolve(
            entry,
            ResolutionRow(
                entry=entry.id,
                status=status,
                at_us=turn.at_us,
                business_date=day_number(turn.business_date),
                cause=turn.seq,
            ),
        )


def approve(request: AuthorizationRequest, turn: Turn) -> Outcome:
    """An approval with its code and its business date."""
    return Outcome(
        response=AuthorizationResponse(
            response_code="00",
            stan=request.stan,
            rrn=request.rrn,
            approval_code=turn.approval_code,
            settlement_date=turn.business_date,
        )
    )


def refuse(request: AuthorizationRequest, code: str, reason: str) -> Outcome:
    """A decline."""
    return Outcome(
        response=AuthorizationResponse(response_code=code, stan=request.stan, rrn=request.rrn),
        reason=reason,
    )


def message_key(transmitted_at: datetime, stan: int, acquirer: str, terminal: str) -> str:
    """What makes a request the same one: DE7, DE11, DE32 and DE41."""
    institution = acquirer.lstrip("0") or "0"
    return f"{_second(transmitted_at)}{stan:06d}|{institution}|{terminal}"


@lru_cache(maxsize=64)
def _second(at: datetime) -> str:
    """Year to second in fourteen digits of UTC; many messages carry the same one."""
    at = at.astimezone(UTC)
    return f"{at.year:04d}{at:%m%d%H%M%S}"
