"""Everything behind the switch, put together once: store, keys, rules, accounts, entries."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial

from checkout.clearing.authorisation.account_holder import AccountHolders
from checkout.clearing.authorisation.context import MessageContext, RequestContext
from checkout.clearing.authorisation.issuer_availability import IssuerAvailability
from checkout.clearing.authorisation.routing import Routing
from checkout.clearing.clock import SettableClock
from checkout.clearing.hsm.decoded_proof import DecodedProof
from checkout.clearing.hsm.keystore import KEY_CHECK, KeyStore
from checkout.clearing.issuing.account_store import AccountStore
from checkout.clearing.issuing.world import World
from checkout.clearing.ledger.ledger import Leg, Status, transfers_of
from checkout.clearing.messages import AuthorizationRequest
from checkout.clearing.scheme.business_date import settlement_date
from checkout.clearing.scheme.rules import House
from checkout.clearing.store.rows import EntryRow, ResolutionRow
from checkout.clearing.store.store import Store
from checkout.clearing.tokens.vault import Vault
from checkout.database import date_of, day_number, micros

_NEVER_US = 1 << 62


class Backend:
    """The parts that answer messages, and the entries that they make in the store.

    `in_flight` counts the answers that an injected fault holds back.
    """

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
        self.in_flight = 0
        self.keys = keys
        self.world = world
        self.participants = world.participants
        self.random_bytes = random_bytes
        self.accounts = AccountStore(
            store,
            world.accounts,
            world.participants,
            pepper=partial(keys.secret, "pin-pepper"),
            random_bytes=random_bytes,
        )
        self.vault = Vault(store, world, secret=partial(keys.secret, "account-reference"))
        self.routing = Routing(world.participants, self.vault, self.accounts, keys)
        self.account_holders = AccountHolders(world, self.accounts, self.vault, keys)
        self.availability = IssuerAvailability(store)
        self._moment = (datetime.min, date.min, 0)  # with its settlement date and microseconds
        self._closed: date | None = None
        self._next_expiry_us: int | None = None  # of the hold that runs out first; None: look it up

    def open_books(self, now: datetime) -> None:
        """Enter the opening balances and payment tokens that a fresh database lacks.

        Raises KeyStoreError where the database was made with other keys.
        """
        check_value = self.keys.check(self.store.number(KEY_CHECK))
        if self.store.number(KEY_CHECK) is None:
            self.store.put_number(KEY_CHECK, check_value)
        for participant in self.participants.signing_on():
            self.keys.zone_key(participant.id)  # made now: the participant signs on with it
        self.accounts.open_accounts(now)
        self.vault.provision_demo(now)
        self.store.commit()

    def context(self, now: datetime) -> MessageContext:
        """Number a message that is no request."""
        business_date = self.business_date(now)
        return MessageContext(
            seq=self.store.next_seq(), now=now, at_us=self._moment[2], business_date=business_date
        )

    def request_context(
        self,
        request: AuthorizationRequest,
        now: datetime,
        *,
        pin_key: bytes | None = None,
        proof: DecodedProof | None = None,
    ) -> RequestContext:
        """Number a request, or the reversal of one."""
        business_date = self.business_date(now)
        return RequestContext(
            seq=self.store.next_seq(),
            now=now,
            at_us=self._moment[2],
            business_date=business_date,
            request=request,
            pin_key=pin_key,
            proof=proof,
        )

    def business_date(self, now: datetime) -> date:
        """The date that `now` belongs to; the day after the last closed date where that is later.

        Many messages are answered with the same `now`, so its date is worked out once.
        """
        if now is not self._moment[0]:
            self._moment = (now, settlement_date(now), micros(now))
        business_date = self._moment[1]
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

    def expire_holds(self, now: datetime) -> None:
        """End the holds that have run out by `now`, whether a day was closed or not."""
        business_date = self.business_date(now)
        at_us = self._moment[2]
        if self._next_expiry_us is not None and at_us < self._next_expiry_us:
            return
        self.store.commit()
        turn = (at_us, day_number(business_date), self.store.next_seq())
        self.store.resolve_many(
            "e.expires_us IS NOT NULL AND e.expires_us <= ?", (at_us,), Status.EXPIRED, turn
        )
        self._next_expiry_us = self.store.first_expiry_us() or _NEVER_US

    def forget(self) -> None:
        """Drop what is in memory after a batch that could not be written."""
        self._next_expiry_us = None
        self.store.roll_back()
        self.accounts.forget()
        self.vault.forget()

    def enter(
        self,
        context: RequestContext,
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
        """Enter a request's legs as a pending entry; its id is the message's number.

        An entry without legs, such as a void's, is posted at once: it has nothing to wait for.
        """
        request = context.request
        acquirer = self.participants.by_institution[request.acquirer]
        entry = EntryRow(
            id=context.seq,
            kind=kind or request.transaction_type.value,
            house=house.value,
            status=Status.PENDING if legs else Status.POSTED,
            business_date=day_number(context.business_date),
            at_us=context.at_us,
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
        if expires_us is not None and self._next_expiry_us is not None:
            self._next_expiry_us = min(self._next_expiry_us, expires_us)
        return entry

    def resolve(self, context: MessageContext, entry: EntryRow, status: Status) -> None:
        """End a pending entry, because of this message."""
        self.store.resolve(
            entry,
            ResolutionRow(
                entry=entry.id,
                status=status,
                at_us=context.at_us,
                business_date=day_number(context.business_date),
                cause=context.seq,
            ),
        )
