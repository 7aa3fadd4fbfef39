"""Double entry: accounts, immutable transfers in linked entries, and how an entry ends. No I/O.

An entry is one business event with its transfers. All of them are pending together, and a single
resolution posts, voids or expires them together. Nothing is ever changed or deleted: another entry,
the other way round, corrects a wrong one. The caller chooses the ids, so that a second write of the
same entry fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

LEGS_PER_ENTRY = 16


class LedgerError(Exception):
    """A write that would break the books: a fault of the program, never a decline."""


class Status(StrEnum):
    """How far an entry has come; the last three are final."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class Leg(NamedTuple):
    """One transfer yet to be numbered: `amount_minor` of `currency` from `debit` to `credit`.

    A tuple, as transfers are, for speed: every payment has six or seven.
    """

    debit: str
    credit: str
    amount_minor: int
    currency: str
    purpose: str


class Transfer(NamedTuple):
    """An immutable transfer; both accounts are in `currency`, and the amount is above zero."""

    id: int
    entry: int
    debit: str
    credit: str
    amount_minor: int
    currency: str
    purpose: str


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of one account in minor units; a payer owns credits less debits."""

    debits_pending: int = 0
    credits_pending: int = 0
    debits_posted: int = 0
    credits_posted: int = 0

    @property
    def posted(self) -> int:
        """Credits less debits of what is posted."""
        return self.credits_posted - self.debits_posted

    @property
    def available(self) -> int:
        """What may be spent: posted less held; pending credits don't count yet."""
        return self.credits_posted - self.debits_posted - self.debits_pending

    def debited(self, pending_minor: int, posted_minor: int) -> Balance:
        """With debits added, or removed below zero; LedgerError for a pending total below zero."""
        pending = self.debits_pending + pending_minor
        if pending < 0:
            raise LedgerError(f"pending debits below zero: {self} and {pending_minor}")
        return Balance(
            debits_pending=pending,
            credits_pending=self.credits_pending,
            debits_posted=self.debits_posted + posted_minor,
            credits_posted=self.credits_posted,
        )

    def credited(self, pending_minor: int, posted_minor: int) -> Balance:
        """With credits added, or removed below zero; LedgerError for a pending total below zero."""
        pending = self.credits_pending + pending_minor
        if pending < 0:
            raise LedgerError(f"pending credits below zero: {self} and {pending_minor}")
        return Balance(
            debits_pending=self.debits_pending,
            credits_pending=pending,
            debits_posted=self.debits_posted,
            credits_posted=self.credits_posted + posted_minor,
        )

    def plus(self, other: Balance) -> Balance:
        """Both balances added; LedgerError for a pending total below zero."""
        added = Balance(
            debits_pending=self.debits_pending + other.debits_pending,
            credits_pending=self.credits_pending + other.credits_pending,
            debits_posted=self.debits_posted + other.debits_posted,
            credits_posted=self.credits_posted + other.credits_posted,
        )
        if added.debits_pending < 0 or added.credits_pending < 0:
            raise LedgerError(f"pending total below zero: {added}")
        return added


ZERO = Balance()


def transfers_of(entry: int, legs: Iterable[Leg]) -> tuple[Transfer, ...]:
    """Number the legs of an entry, without those of zero; LedgerError for a wrong leg."""
    numbered: list[Transfer] = []
    number = entry * LEGS_PER_ENTRY
    for leg in legs:
        debit, credit, amount_minor, currency, purpose = leg
        if not amount_minor:
            continue
        if amount_minor < 0 or debit == credit or not debit[-3:] == credit[-3:] == currency:
            raise _leg_error(leg)
        numbered.append(Transfer(number, entry, debit, credit, amount_minor, currency, purpose))
        number += 1
    if len(numbered) > LEGS_PER_ENTRY:
        raise LedgerError(f"entry {entry}: more than {LEGS_PER_ENTRY} transfers")
    return tuple(numbered)


def _leg_error(leg: Leg) -> LedgerError:
    if leg.amount_minor < 0:
        return LedgerError(f"{leg.purpose}: expected an amount above zero: {leg.amount_minor}")
    if leg.debit == leg.credit:
        return LedgerError(f"{leg.purpose}: both sides are {leg.debit}")
    return LedgerError(f"{leg.purpose}: accounts of two currencies, not {leg.currency}")


def reversed_legs(transfers: Iterable[Transfer], purpose: str) -> tuple[Leg, ...]:
    """The same transfers the other way round, to undo a posted entry."""
    return tuple(
        Leg(
            debit=transfer.credit,
            credit=transfer.debit,
            amount_minor=transfer.amount_minor,
            currency=transfer.currency,
            purpose=f"{purpose} {transfer.purpose}",
        )
        for transfer in transfers
    )


def currency_of_account(name: str) -> str:
    """An account's name ends in its currency: ``payer/9999011000000010/CNY``."""
    return name[-3:]


def step(before: Status | None, after: Status) -> tuple[int, int]:
    """The change of the pending and of the posted total from one status to another: +1, 0 or -1.

    `before` is None for a new entry. LedgerError for a step that an entry can't take: it never
    leaves a final status.
    """
    if before not in (None, Status.PENDING) or after is before:
        raise LedgerError(f"an entry that is {before} can't become {after}")
    if before is None and after not in (Status.PENDING, Status.POSTED):
        raise LedgerError(f"a new entry can't be {after}")
    pending = (after is Status.PENDING) - (before is Status.PENDING)
    return pending, int(after is Status.POSTED)


def changes(
    transfers: Iterable[Transfer], before: Status | None, after: Status
) -> dict[str, Balance]:
    """The change of each account's balance from one status to another; LedgerError as `step`."""
    pending, posted = step(before, after)
    moved: dict[str, Balance] = {}
    for transfer in transfers:
        moved[transfer.debit] = _added(
            moved.get(transfer.debit, ZERO),
            debits_pending=pending * transfer.amount_minor,
            debits_posted=posted * transfer.amount_minor,
        )
        moved[transfer.credit] = _added(
            moved.get(transfer.credit, ZERO),
            credits_pending=pending * transfer.amount_minor,
            credits_posted=posted * transfer.amount_minor,
        )
    return moved


def _added(
    balance: Balance,
    *,
    debits_pending: int = 0,
    credits_pending: int = 0,
    debits_posted: int = 0,
    credits_posted: int = 0,
) -> Balance:
    return Balance(
        debits_pending=balance.debits_pending + debits_pending,
        credits_pending=balance.credits_pending + credits_pending,
        debits_posted=balance.debits_posted + debits_posted,
        credits_posted=balance.credits_posted + credits_posted,
    )


def check_trial_balance(balances: Mapping[str, Balance]) -> dict[str, Balance]:
    """Totals per currency over all accounts; LedgerError unless debits equal credits in each."""
    totals: dict[str, Balance] = {}
    for name, balance in balances.items():
        currency = currency_of_account(name)
        totals[currency] = _added(
            totals.get(currency, ZERO),
            debits_pending=balance.debits_pending,
            credits_pending=balance.credits_pending,
            debits_posted=balance.debits_posted,
            credits_posted=balance.credits_posted,
        )
    for currency, total in totals.items():
        if total.debits_posted != total.credits_posted:
            raise LedgerError(f"{currency}: posted debits and credits differ: {total}")
        if total.debits_pending != total.credits_pending:
            raise LedgerError(f"{currency}: pending debits and credits differ: {total}")
    return totals
