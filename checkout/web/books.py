"""The clearing backend's tables as the back office reads them; nothing here writes."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError as TableMissing

from checkout.clearing.dump import describe
from checkout.money import mask_account
from checkout.records import instant

_ACCOUNT_NUMBER = re.compile(r"[0-9]{13,19}", re.ASCII)
_COLUMNS = (
    "seq, at_us, took_us, peer, message_type, kind, account, amount_minor, currency, "
    "response_code, reason, approval_code, rrn, stan, terminal, merchant"
)
_RECENT = text(
    f"SELECT {_COLUMNS} FROM clearing_messages ORDER BY seq DESC LIMIT :most"  # noqa: S608
)
_SEARCH = text(
    f"SELECT {_COLUMNS} FROM clearing_messages "  # noqa: S608 - the columns are our own
    "WHERE rrn = :exact OR response_code = :exact OR approval_code = :exact "
    "OR kind LIKE :part OR account LIKE :part OR reason LIKE :part "
    "ORDER BY seq DESC LIMIT :most"
)
_ONE = text(
    f"SELECT {_COLUMNS}, request, response FROM clearing_messages WHERE seq = :seq"  # noqa: S608
)
_TRANSFERS = text(
    "SELECT d.name AS debit, c.name AS credit, t.amount_minor, t.purpose "
    "FROM clearing_transfers t JOIN clearing_accounts d ON d.id = t.debit "
    "JOIN clearing_accounts c ON c.id = t.credit WHERE t.entry = :entry ORDER BY t.id"
)
_STATUS = text(
    "SELECT COALESCE(r.status, e.status) FROM clearing_entries e "
    "LEFT JOIN clearing_resolutions r ON r.entry = e.id WHERE e.id = :entry"
)
# Each transfer counts on both its sides; the sum over all accounts of a currency is zero.
_BALANCES = text(
    "SELECT a.name, s.status, SUM(s.change) AS change FROM ("
    "  SELECT t.credit AS account, COALESCE(r.status, e.status) AS status, t.amount_minor AS change"
    "  FROM clearing_transfers t JOIN clearing_entries e ON e.id = t.entry"
    "  LEFT JOIN clearing_resolutions r ON r.entry = e.id"
    "  UNION ALL"
    "  SELECT t.debit, COALESCE(r.status, e.status), -t.amount_minor"
    "  FROM clearing_transfers t JOIN clearing_entries e ON e.id = t.entry"
    "  LEFT JOIN clearing_resolutions r ON r.entry = e.id"
    ") s JOIN clearing_accounts a ON a.id = s.account GROUP BY a.name, s.status"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One question to the switch with its answer; `account` is masked."""

    seq: int
    at: datetime
    took_ms: float
    peer: str
    message_type: str
    kind: str
    account: str
    amount_minor: int
    currency: str
    response_code: str
    reason: str
    approval_code: str | None
    rrn: str
    stan: int
    terminal: str
    merchant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One transfer of a payment; account numbers in the names are masked."""

    debit: str
    credit: str
    amount_minor: int
    currency: str
    purpose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLine:
    """One account of the trial balance, credits less debits in minor units."""

    name: str
    currency: str
    posted_minor: int
    pending_minor: int


def messages(engine: Engine, *, wanted: str = "", most: int = 60) -> list[Message]:
    """The latest messages, or those in which `wanted` occurs; empty before the switch ever ran."""
    query = _RECENT.bindparams(most=most)
    if wanted:
        query = _SEARCH.bindparams(exact=wanted, part=f"%{wanted}%", most=most)
    return [_message(row) for row in _rows(engine, query)]


def message(engine: Engine, seq: int) -> tuple[Message, dict[str, Any], dict[str, Any]] | None:
    """One message with question and answer decoded field by field."""
    rows = _rows(engine, _ONE.bindparams(seq=seq))
    if not rows:
        return None
    row = rows[0]
    answer = describe(bytes(row.response)) if row.response else {}
    return _message(row), describe(bytes(row.request)), answer


def flows(engine: Engine, seq: int) -> tuple[str | None, list[Flow]]:
    """What a message moved: the state of its entry, and each transfer."""
    status = _rows(engine, _STATUS.bindparams(entry=seq))
    found = _rows(engine, _TRANSFERS.bindparams(entry=seq))
    return (str(status[0][0]) if status else None), [
        Flow(
            debit=masked(row.debit),
            credit=masked(row.credit),
            amount_minor=row.amount_minor,
            currency=row.debit[-3:],
            purpose=row.purpose,
        )
        for row in found
    ]


def trial_balance(engine: Engine) -> list[AccountLine]:
    """Every account with something in it, by currency and name; each currency sums to zero."""
    posted: dict[str, int] = defaultdict(int)
    pending: dict[str, int] = defaultdict(int)
    for row in _rows(engine, _BALANCES):
        if row.status == "posted":
            posted[row.name] += int(row.change)
        elif row.status == "pending":
            pending[row.name] += int(row.change)
    names = sorted(posted.keys() | pending.keys(), key=lambda name: (name[-3:], name))
    return [
        AccountLine(
            name=masked(name),
            currency=name[-3:],
            posted_minor=posted[name],
            pending_minor=pending[name],
        )
        for name in names
    ]


def masked(name: str) -> str:
    """A ledger account's name without the card number in it."""
    return _ACCOUNT_NUMBER.sub(lambda number: mask_account(number[0]), name)


def _rows(engine: Engine, query: Any) -> list[Any]:
    try:
        with engine.connect() as connection:
            return list(connection.execute(query).all())
    except TableMissing:
        return []


def _message(row: Any) -> Message:
    return Message(
        seq=row.seq,
        at=instant(row.at_us),
        took_ms=row.took_us / 1000,
        peer=row.peer,
        message_type=row.message_type,
        kind=row.kind,
        account=row.account,
        amount_minor=row.amount_minor,
        currency=row.currency,
        response_code=row.response_code,
        reason=row.reason,
        approval_code=row.approval_code,
        rrn=row.rrn,
        stan=row.stan,
        terminal=row.terminal,
        merchant=row.merchant,
    )
