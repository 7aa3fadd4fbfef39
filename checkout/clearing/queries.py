"""What other rooms may read of the clearing tables; only the switch writes them.

Every call reads on a connection of its own. Card numbers come out masked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Engine, inspect, text

from checkout.clearing.hsm.keystore import KEY_CHECK
from checkout.clearing.iso8583.dump import describe
from checkout.clearing.ledger.ledger import LEGS_PER_ENTRY, Balance, Status, check_trial_balance
from checkout.clearing.settlement.disputes import DisputeReason, DisputeState, dispute_from_json
from checkout.database import date_of, day_number, instant
from checkout.money import mask_account


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One transfer and how far it has come; account names with masked numbers."""

    entry: int
    kind: str
    status: Status
    debit: str
    credit: str
    amount_minor: int
    currency: str
    purpose: str
    business_date: date


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedMessage:
    """One request and its response in the switch's log."""

    seq: int
    at: datetime
    peer: str
    message_type: str
    kind: str
    account: str
    amount_minor: int
    currency: str
    response_code: str
    reason: str
    rrn: str
    stan: int
    terminal: str
    merchant: str
    request: bytes
    response: bytes | None

    def dump(self) -> dict[str, Any]:
        """Request and response, field by field."""
        answer = describe(self.response) if self.response else None
        return {"request": describe(self.request), "response": answer}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerAccount:
    """One ledger account with its totals; the number in its name masked."""

    name: str
    balance: Balance


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One business event: a sale, a hold, a refund, a void, a settlement."""

    id: int
    kind: str
    house: str
    status: Status
    at: datetime
    business_date: date
    original: int | None
    payer: str
    amount_minor: int
    currency: str
    acquirer: str
    holder: str
    merchant: str
    rrn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleDispute:
    """The dispute over a sale; `entry` is the sale's, the amount in minor units of `currency`."""

    entry: int
    rrn: str
    state: DisputeState
    amount_minor: int
    currency: str
    reason: DisputeReason
    answer_by: date | None  # None once it is final


class ClearingReader:
    """Reads through a SQLAlchemy engine on the clearing database; safe for many threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def postings(self, rrn: str) -> tuple[Posting, ...]:
        """All transfers of the entries that carry this RRN (DE37), in the order of booking."""
        sql = _POSTINGS + "WHERE e.rrn = :rrn ORDER BY t.id"
        return tuple(_posting(row) for row in self._rows(sql, rrn=rrn))

    def postings_of_entry(self, entry: int) -> tuple[Posting, ...]:
        """The transfers of one entry."""
        sql = _POSTINGS + "WHERE t.id BETWEEN :first AND :last ORDER BY t.id"
        first = entry * LEGS_PER_ENTRY
        found = self._rows(sql, first=first, last=first + LEGS_PER_ENTRY - 1)
        return tuple(_posting(row) for row in found)

    def messages(
        self, *, limit: int = 100, after: int = 0, rrn: str | None = None, search: str = ""
    ) -> tuple[LoggedMessage, ...]:
        """The newest messages first: those `after` a seq, of an RRN, with a text in any column."""
        sql = _MESSAGES + "WHERE seq > :after "
        parameters: dict[str, Any] = {"after": after, "limit": limit}
        if rrn is not None:
            sql += "AND rrn = :rrn "
            parameters["rrn"] = rrn
        if search:
            sql += (
                "AND (rrn LIKE :like OR account LIKE :like OR kind LIKE :like OR peer LIKE :like "
                "OR response_code = :search OR merchant LIKE :like OR message_type = :search) "
            )
            parameters |= {"search": search, "like": f"%{search}%"}
        rows = self._rows(sql + "ORDER BY seq DESC LIMIT :limit", **parameters)
        return tuple(_message(row) for row in rows)

    def message(self, seq: int) -> LoggedMessage | None:
        """One message of the log, None where there is none of that number."""
        found = self._rows(_MESSAGES + "WHERE seq = :seq", seq=seq)
        return _message(found[0]) if found else None

    def entries(self, *, limit: int = 100, rrn: str | None = None) -> tuple[LedgerEntry, ...]:
        """The newest business events first."""
        condition = "" if rrn is None else "WHERE e.rrn = :rrn "
        sql = _ENTRIES + condition + "ORDER BY e.id DESC LIMIT :limit"
        parameters: dict[str, Any] = {"limit": limit} | ({} if rrn is None else {"rrn": rrn})
        return tuple(_entry(row) for row in self._rows(sql, **parameters))

    def accounts(self, prefix: str = "") -> tuple[LedgerAccount, ...]:
        """Every ledger account whose name begins so, with its totals, sorted by name."""
        found = balances(lambda sql: self._rows(sql))
        return tuple(
            LedgerAccount(name=masked_name(name), balance=balance)
            for name, balance in sorted(found.items())
            if name.startswith(prefix)
        )

    def available(self, account: str, currency: str) -> int:
        """What one payer's account may spend without its credit line, in minor units."""
        found = self._rows(
            "SELECT credits_posted - debits_posted - debits_pending FROM clearing_balances b "
            "JOIN clearing_accounts a ON a.id = b.account WHERE a.name = :name",
            name=f"payer/{account}/{currency}",
        )
        return int(found[0][0]) if found else 0

    def trial_balance(self) -> dict[str, Balance]:
        """Totals by currency; LedgerError where debits and credits differ."""
        return check_trial_balance(balances(lambda sql: self._rows(sql)))

    def settlement(self, on: date) -> dict[str, Any] | None:
        """The report of a closed business date; None where it is still open."""
        found = self._rows(
            "SELECT report FROM clearing_settlements WHERE business_date = :day",
            day=day_number(on),
        )
        report: dict[str, Any] | None = json.loads(found[0][0]) if found else None
        return report

    def cut_overs(self) -> dict[str, date]:
        """Which date each participant that has signed on has cut over to."""
        found = self._rows("SELECT name, amount FROM clearing_numbers WHERE name LIKE 'cut-over/%'")
        return {name.partition("/")[2]: date_of(day) for name, day in found}

    def key_check(self) -> int | None:
        """The check value of the keys that this database was made with; None for a new one."""
        if not inspect(self._engine).has_table("clearing_numbers"):
            return None  # no switch has run on it yet
        found = self._rows("SELECT amount FROM clearing_numbers WHERE name = :name", name=KEY_CHECK)
        return int(found[0][0]) if found else None

    def payment_tokens(self) -> tuple[dict[str, Any], ...]:
        """Every payment token with its state and domain; both numbers masked."""
        found = self._rows("SELECT details FROM clearing_tokens ORDER BY number")
        shown = []
        for (details,) in found:
            token = json.loads(details)
            token["payment_token"] = mask_account(token.pop("number"))
            shown.append(token | {"account": mask_account(token["account"])})
        return tuple(shown)

    def disputes(self) -> tuple[SaleDispute, ...]:
        """Every dispute, that over the newest sale first."""
        return tuple(_dispute(row) for row in self._rows(_DISPUTES))

    def is_enrolled(self, account: str) -> bool:
        """Whether that surrogate of a real card has a demo account."""
        sql = "SELECT count(*) FROM clearing_enrolled WHERE account = :account"
        return bool(self._rows(sql, account=account)[0][0])

    def _rows(self, sql: str, **parameters: Any) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(text(sql), parameters).all())


def balances(query: Callable[[str], list[Any]]) -> dict[str, Balance]:
    """Totals of every account, aggregated from the transfers; `query` runs one SELECT."""
    totals: dict[str, list[int]] = {}
    for status, debit, credit, amount in query(_TOTALS):
        at = {Status.PENDING: 0, Status.POSTED: 2}.get(Status(status))
        if at is None:
            continue
        totals.setdefault(debit, [0, 0, 0, 0])[at] += amount
        totals.setdefault(credit, [0, 0, 0, 0])[at + 1] += amount
    return {
        name: Balance(
            debits_pending=row[0],
            credits_pending=row[1],
            debits_posted=row[2],
            credits_posted=row[3],
        )
        for name, row in totals.items()
    }


def masked_name(name: str) -> str:
    """An account's name with the payer's number masked."""
    first, _, rest = name.partition("/")
    number, slash, last = rest.partition("/")
    return f"{first}/{mask_account(number)}{slash}{last}" if first == "payer" else name


_STATUS = "coalesce(r.status, e.status)"
_TOTALS = (
    f"SELECT {_STATUS}, d.name, c.name, sum(t.amount_minor) "  # noqa: S608 - no outside text
    "FROM clearing_transfers t JOIN clearing_entries e ON e.id = t.entry "
    "LEFT JOIN clearing_resolutions r ON r.entry = t.entry "
    "JOIN clearing_accounts d ON d.id = t.debit JOIN clearing_accounts c ON c.id = t.credit "
    f"GROUP BY {_STATUS}, d.name, c.name"
)
_POSTINGS = (
    f"SELECT t.entry, e.kind, {_STATUS}, d.name, c.name, t.amount_minor, t.purpose, "  # noqa: S608
    "e.business_date FROM clearing_transfers t JOIN clearing_entries e ON e.id = t.entry "
    "LEFT JOIN clearing_resolutions r ON r.entry = t.entry "
    "JOIN clearing_accounts d ON d.id = t.debit JOIN clearing_accounts c ON c.id = t.credit "
)
_ENTRIES = (
    f"SELECT e.id, e.kind, e.house, {_STATUS}, e.at_us, e.business_date, e.original, "  # noqa: S608
    "e.payer, e.amount_minor, e.currency, e.acquirer, e.holder, e.merchant, e.rrn "
    "FROM clearing_entries e LEFT JOIN clearing_resolutions r ON r.entry = e.id "
)
_DISPUTES = (
    "SELECT d.entry, e.rrn, e.currency, d.details FROM clearing_disputes d "
    "JOIN clearing_entries e ON e.id = d.entry ORDER BY d.entry DESC"
)
_MESSAGES = (
    "SELECT seq, at_us, peer, message_type, kind, account, amount_minor, currency, "
    "response_code, reason, rrn, stan, terminal, merchant, request, response "
    "FROM clearing_messages "
)


def _posting(row: Any) -> Posting:
    entry, kind, status, debit, credit, amount_minor, purpose, day = row
    return Posting(
        entry=entry,
        kind=kind,
        status=Status(status),
        debit=masked_name(debit),
        credit=masked_name(credit),
        amount_minor=amount_minor,
        currency=debit[-3:],
        purpose=purpose,
        business_date=date_of(day),
    )


def _message(row: Any) -> LoggedMessage:
    seq, at_us, *rest, request, response = row
    names = LoggedMessage.__slots__[2:-2]
    return LoggedMessage(
        seq=seq,
        at=instant(at_us),
        **dict(zip(names, rest, strict=True)),
        request=bytes(request),
        response=None if response is None else bytes(response),
    )


def _entry(row: Any) -> LedgerEntry:
    number, kind, house, status, at_us, day, original, payer, *rest = row
    amount_minor, currency, acquirer, holder, merchant, rrn = rest
    return LedgerEntry(
        id=number,
        kind=kind,
        house=house,
        status=Status(status),
        at=instant(at_us),
        business_date=date_of(day),
        original=original,
        payer=mask_account(payer),
        amount_minor=amount_minor,
        currency=currency,
        acquirer=acquirer,
        holder=holder,
        merchant=merchant,
        rrn=rrn,
    )


def _dispute(row: Any) -> SaleDispute:
    entry, rrn, currency, details = row
    dispute = dispute_from_json(json.loads(details))
    return SaleDispute(
        entry=entry,
        rrn=rrn,
        state=dispute.state,
        amount_minor=dispute.amount_minor,
        currency=currency,
        reason=dispute.reason,
        answer_by=dispute.answer_by,
    )
