"""The rows of the clearing tables: named tuples in the order of their columns."""

from __future__ import annotations

from typing import NamedTuple

from checkout.clearing.ledger.ledger import Status, Transfer, currency_of_account
from checkout.clearing.store.engine import Row


class MessageRow(NamedTuple):
    """One request and its response as the log stores them."""

    seq: int
    at_us: int
    took_us: int
    peer: str
    message_type: str
    kind: str
    key: str | None
    account: str  # masked
    amount_minor: int
    currency: str
    response_code: str
    reason: str
    approval_code: str | None
    rrn: str
    stan: int
    terminal: str
    merchant: str
    request: bytes  # card numbers masked, PIN block blanked
    response: bytes | None


class EntryRow(NamedTuple):
    """One business event in the books; amounts in minor units, dates yyyymmdd.

    What an entry outside a sale doesn't have stays empty.
    """

    id: int
    kind: str
    house: str
    status: Status
    business_date: int
    at_us: int
    expires_us: int | None = None
    original: int | None = None
    payer: str = ""
    amount_minor: int = 0
    currency: str = ""
    billing_minor: int = 0
    billing_currency: str = ""
    acquirer: str = ""
    holder: str = ""
    merchant: str = ""
    mcc: str = ""
    rrn: str = ""
    initiation: str = ""


class ResolutionRow(NamedTuple):
    """How a pending entry ended, and which message caused it."""

    entry: int
    status: Status
    at_us: int
    business_date: int
    cause: int


SELECT_MESSAGE = (
    "SELECT seq, at_us, took_us, peer, message_type, kind, message_key, account, amount_minor, "
    "currency, response_code, reason, approval_code, rrn, stan, terminal, merchant, request, "
    "response FROM clearing_messages WHERE "
)
SELECT_ENTRY = (
    "SELECT id, kind, house, status, business_date, at_us, expires_us, original, payer, "
    "amount_minor, currency, billing_minor, billing_currency, acquirer, holder, merchant, mcc, "
    "rrn, initiation FROM clearing_entries WHERE "
)
SELECT_TRANSFER = (
    "SELECT t.id, t.entry, d.name, c.name, t.amount_minor, t.purpose "
    "FROM clearing_transfers t JOIN clearing_accounts d ON d.id = t.debit "
    "JOIN clearing_accounts c ON c.id = t.credit WHERE "
)


def message_row(row: Row) -> MessageRow:
    """A row of SELECT_MESSAGE."""
    return MessageRow(*row)


def entry_row(row: Row) -> EntryRow:
    """A row of SELECT_ENTRY."""
    entry = EntryRow(*row)
    return entry._replace(status=Status(entry.status))


def transfer_row(row: Row) -> Transfer:
    """A row of SELECT_TRANSFER."""
    number, entry, debit, credit, amount_minor, purpose = row
    return Transfer(
        id=number,
        entry=entry,
        debit=debit,
        credit=credit,
        amount_minor=amount_minor,
        currency=currency_of_account(debit),
        purpose=purpose,
    )
