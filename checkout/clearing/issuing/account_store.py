"""The state of every payer's account: balance, status, PIN tries, card counters, usage."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime

from checkout.clearing.hsm.pin import PIN_TRIES, PinVerdict, check_pin, pin_verification
from checkout.clearing.issuing.accounts import (
    Account,
    AccountState,
    AccountStatus,
    DemoWorld,
    enrolled_account,
)
from checkout.clearing.issuing.decision import Usage
from checkout.clearing.ledger.ledger import Status, transfers_of
from checkout.clearing.ledger.postings import opening_legs, payer_account
from checkout.clearing.messages import Initiation
from checkout.clearing.scheme.business_date import settlement_date
from checkout.clearing.scheme.participants import CardKind, Participants
from checkout.clearing.scheme.rules import AccountClass
from checkout.clearing.store import schema
from checkout.clearing.store.rows import EntryRow
from checkout.clearing.store.store import Store
from checkout.database import day_number, micros

_MAX_DAYS = 100_000
_CODES = (Initiation.DYNAMIC_CODE, Initiation.PAYER_CODE)


class AccountStore:
    """All accounts of the world; their state is in memory, in the store's batch and in the tables.

    `pepper` is called when a PIN is checked.
    """

    def __init__(
        self,
        store: Store,
        world: DemoWorld,
        participants: Participants,
        *,
        pepper: Callable[[], bytes],
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._world = world
        self._participants = participants
        self._pepper = pepper
        self._random_bytes = random_bytes
        self.forget()

    def forget(self) -> None:
        """Drop all that is in memory, after a batch that could not be written."""
        self._states: dict[str, AccountState] = {}
        self._pins: dict[str, bytes | None] = {}
        self._counters: dict[str, int | None] = {}
        self._days: dict[tuple[str, int], list[int]] = {}
        self._years: dict[tuple[str, int], int] = {}
        self._enrolled: dict[str, Account] | None = None  # read on first use

    def open_accounts(self, now: datetime) -> None:
        """Enter the opening balance of every account that has none yet."""
        known = {row[0] for row in self._store.query("SELECT account FROM clearing_holders")}
        for account in self._world.accounts.values():
            if account.account not in known:
                self._open(account, now)

    def account(self, number: str) -> Account | None:
        """The terms of an account; None for a number without one."""
        account = self._world.accounts.get(number)
        if account is not None:
            return account
        if self._enrolled is None:
            self._enrolled = self._read_enrolled()
        return self._enrolled.get(number)

    def admit(self, account: Account, last_four: str, now: datetime) -> None:
        """Add the account of an enrolled card with its opening balance, unless it exists."""
        if self.account(account.account) is not None or self._enrolled is None:
            return
        self._enrolled[account.account] = account
        graded = account.account_class
        row = (
            account.account,
            last_four,
            "" if graded is None else graded.value,
            account.balance_minor,
            micros(now),
        )
        self._store.put(schema.PUT_ENROLLED, account.account, row)
        self._open(account, now)

    def state(self, number: str) -> AccountState | None:
        """The account with its present balance; None for a number without one."""
        state = self._states.get(number)
        if state is None:
            account = self.account(number)
            if account is None:
                return None
            state = self._states[number] = self._read(account)
        balance = self._store.balance(payer_account(number, state.account.currency))
        return AccountState(
            account=state.account,
            balance_minor=balance.credits_posted - balance.debits_posted,
            held_minor=balance.debits_pending,
            status=state.status,
            pin_tries_left=state.pin_tries_left,
            last_atc=state.last_atc,
            spent_minor=state.spent_minor,
        )

    def usage(self, number: str, on: date) -> Usage:
        """What the account has paid on a business date, and in that year so far."""
        day = day_number(on)
        spent, static, dynamic, count = self._day(number, day)
        return Usage(
            day_minor=spent,
            year_minor=self._years[number, day // 10000],
            static_code_day_minor=static,
            dynamic_code_day_minor=dynamic,
            day_count=count,
        )

    def spend(self, number: str, on: date, amount_minor: int, initiation: Initiation) -> None:
        """Add a payment to the totals of day, year and account; below zero, take one back."""
        day = day_number(on)
        totals = self._day(number, day)
        totals[0] = max(totals[0] + amount_minor, 0)
        if initiation is Initiation.STATIC_CODE:
            totals[1] = max(totals[1] + amount_minor, 0)
        elif initiation in _CODES:
            totals[2] = max(totals[2] + amount_minor, 0)
        totals[3] = max(totals[3] + (1 if amount_minor > 0 else -1), 0)
        year = (number, day // 10000)
        self._years[year] = max(self._years[year] + amount_minor, 0)
        self._store.put(schema.PUT_USAGE, f"{number}/{day}", (number, day, *totals))
        self._add_to_lifetime(number, amount_minor)

    def last_counter(self, card: str) -> int | None:
        """The last ATC that was accepted of a card, which is named by its number and PSN."""
        if card not in self._counters:
            read = "SELECT atc FROM clearing_counters WHERE card = ?"
            rows = self._store.query(read, (card,), flushed=False)  # memory has all under way
            self._counters[card] = rows[0][0] if rows else None
        return self._counters[card]

    def record_counter(self, card: str, atc: int) -> None:
        """Record the ATC of a valid cryptogram."""
        self._counters[card] = atc
        self._store.put(schema.PUT_COUNTER, card, (card, atc))

    def verify_pin(self, number: str, pin: str) -> PinVerdict:
        """Check a PIN and count the try; the account must exist."""
        state = self.state(number)
        assert state is not None
        stored = self._pins.get(number)
        if stored is None:
            stored = pin_verification(
                state.account.pin, number, salt=self._random_bytes(16), pepper=self._pepper()
            )
        verdict = check_pin(
            pin, number, stored, pepper=self._pepper(), tries_left=state.pin_tries_left
        )
        if self._pins.get(number) is None or verdict.tries_left != state.pin_tries_left:
            self._pins[number] = stored
            self._store_state(number, replace(state, pin_tries_left=verdict.tries_left))
        return verdict

    def set_status(self, number: str, status: AccountStatus) -> None:
        """Block or free an account; the account must exist."""
        state = self.state(number)
        assert state is not None
        self._store_state(number, replace(state, status=status))

    # -- parts ----------------------------------------------------------------------------------

    def _open(self, account: Account, now: datetime) -> None:
        number = self._store.next_seq()
        on = day_number(settlement_date(now))
        holder = self._participants.holder_of(account.account)
        holder_id = "" if holder is None else holder.id
        entry = EntryRow(
            id=number,
            kind="opening",
            house="",
            status=Status.POSTED,
            business_date=on,
            at_us=micros(now),
            payer=account.masked,
            amount_minor=account.balance_minor,
            currency=account.currency,
            billing_minor=account.balance_minor,
            billing_currency=account.currency,
            holder=holder_id,
        )
        legs = opening_legs(
            account.account,
            account.currency,
            account.balance_minor,
            holder=holder_id,
            is_stored=account.kind is CardKind.WALLET,
        )
        self._store.enter(entry, transfers_of(number, legs))
        self._store_state(
            account.account,
            AccountState(
                account=account,
                balance_minor=account.balance_minor,
                status=account.status,
                pin_tries_left=PIN_TRIES,
            ),
        )

    def _read(self, account: Account) -> AccountState:
        rows = self._store.query(
            "SELECT status, pin_kept, pin_tries_left, spent_minor FROM clearing_holders "
            "WHERE account = ?",
            (account.account,),
            flushed=False,  # memory has every account under way
        )
        if not rows:
            return AccountState(account=account, balance_minor=0, status=account.status)
        status, pin_kept, tries_left, spent = rows[0]
        self._pins[account.account] = None if pin_kept is None else bytes(pin_kept)
        return AccountState(
            account=account,
            balance_minor=0,
            status=AccountStatus(status),
            pin_tries_left=tries_left,
            spent_minor=spent,
        )

    def _store_state(self, number: str, state: AccountState) -> None:
        self._states[number] = state
        row = (
            number,
            state.status,
            self._pins.get(number),
            state.pin_tries_left,
            state.spent_minor,
        )
        self._store.put(schema.PUT_HOLDER, number, row)

    def _add_to_lifetime(self, number: str, amount_minor: int) -> None:
        """Only one class of wallet accounts has a lifetime limit, so others are not counted."""
        account = self.account(number)
        if account is None or account.kind is not CardKind.WALLET:
            return
        state = self.state(number)
        assert state is not None
        spent = max(state.spent_minor + amount_minor, 0)
        self._store_state(number, replace(state, spent_minor=spent))

    def _read_enrolled(self) -> dict[str, Account]:
        rows = self._store.query(
            "SELECT account, last_four, account_class, balance_minor FROM clearing_enrolled"
        )
        return {
            number: enrolled_account(number, four, AccountClass(graded), balance)
            for number, four, graded, balance in rows
        }

    def _day(self, number: str, day: int) -> list[int]:
        """Totals of one day, to be changed: spent, by static codes, by dynamic codes, payments."""
        totals = self._days.get((number, day))
        if totals is None:
            if len(self._days) >= _MAX_DAYS and self._store.is_clean:
                self._days.clear()  # all of it is in the tables
                self._years.clear()
            totals = self._days[number, day] = self._read_day(number, day)
        return totals

    def _read_day(self, number: str, day: int) -> list[int]:
        year = day // 10000
        rows = self._store.query(
            "SELECT day, day_minor, static_minor, dynamic_minor, day_count FROM clearing_usage "
            "WHERE account = ? AND day BETWEEN ? AND ?",
            (number, year * 10000, year * 10000 + 9999),
            flushed=False,  # memory has every day under way; `_day` forgets only what is written
        )
        if (number, year) not in self._years:
            self._years[number, year] = sum(row[1] for row in rows)
        return next((list(row[1:]) for row in rows if row[0] == day), [0, 0, 0, 0])
