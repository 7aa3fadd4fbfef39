"""The close of a business date: post what is pending, net both houses, settle, report."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import MessageContext
from checkout.clearing.ledger.ledger import (
    LEGS_PER_ENTRY,
    LedgerError,
    Leg,
    Status,
    currency_of_account,
    transfers_of,
)
from checkout.clearing.ledger.postings import client_money, position
from checkout.clearing.scheme.business_date import settlement_date
from checkout.clearing.settlement import netting_engine
from checkout.clearing.settlement.files import settlement_folder, write_files
from checkout.clearing.settlement.netting import (
    DayClose,
    NetPosition,
    SettledPayment,
    close_day,
)
from checkout.clearing.settlement.posted_entries import Amounts, PostedDay
from checkout.clearing.store import schema
from checkout.clearing.store.rows import EntryRow
from checkout.database import day_number

#: From so many payments on, an engine nets them faster than Python, in spite of its start.
LARGE_DAY = 200_000


class EndOfDayError(ValueError):
    """A day that can't be closed; the message says why."""


class EndOfDay:
    """Closes business dates in order; a second close of a date returns the same report."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def close(self, on: date, context: MessageContext) -> dict[str, Any]:
        """Close a business date and return its report; EndOfDayError for one that can't be.

        Posts what is pending, expires holds that have run out, nets positions by house, participant
        and currency, and settles them. The client-money account of a wallet operator then covers
        the balances of its payers. Closing again changes nothing.
        """
        known = self._report_of(day_number(on))
        if known is not None:
            return known | {"closed_before": True}
        if on > settlement_date(context.now):
            raise EndOfDayError(f"{on.isoformat()} has not begun")
        closed = self._backend.closed_through()
        if closed is not None and on < closed:
            raise EndOfDayError(f"{on.isoformat()} was passed over: {closed.isoformat()} is closed")
        self._end_pending(day_number(on), context)
        return self._close(on, closed, context) | {"closed_before": False}

    def _end_pending(self, day: int, context: MessageContext) -> None:
        store, at = self._backend.store, (context.at_us, day, context.seq)
        store.resolve_many(
            "e.expires_us IS NOT NULL AND e.expires_us <= ?",
            (context.at_us,),
            Status.EXPIRED,
            at,
        )
        store.resolve_many(
            "e.expires_us IS NULL AND e.business_date <= ?", (day,), Status.POSTED, at
        )

    def _close(self, on: date, closed: date | None, context: MessageContext) -> dict[str, Any]:
        """Net and settle what was posted after the close of `closed`; returns the report."""
        store, day = self._backend.store, day_number(on)
        posted = PostedDay(self._backend, 0 if closed is None else day_number(closed), day)
        ended = posted.ended()
        netted = _net(posted.payments(), ended.get(Status.POSTED, 0))
        exchanged, stored = posted.exchanged(), posted.stored()
        _reconcile(netted.positions, exchanged, posted.positions())
        report = _report(on, ended, netted, stored)
        self._settle(context, day, netted.positions, exchanged, posted.payouts(), stored)
        store.put_number("closed-through", day)
        store.put(schema.ADD_SETTLEMENT, str(day), (day, context.at_us, json.dumps(report)))
        folder = settlement_folder(self._backend.home, on.isoformat())
        write_files(folder, report, posted.payments())
        return report

    def _report_of(self, day: int) -> dict[str, Any] | None:
        rows = self._backend.store.query(
            "SELECT report FROM clearing_settlements WHERE business_date = ?", (day,)
        )
        return json.loads(rows[0][0]) if rows else None

    def _settle(
        self,
        context: MessageContext,
        day: int,
        positions: Iterable[NetPosition],
        exchanged: Amounts,
        payouts: Amounts,
        stored: dict[tuple[str, str], int],
    ) -> None:
        """Square every position against the settlement bank, pay the merchants, and move client
        money to what payers have stored at wallet operators."""
        legs = [_squaring_leg(name, -amount, "exchange") for name, amount in exchanged.items()]
        for net_position in positions:
            name = position(net_position.participant, net_position.currency)
            legs.append(
                _squaring_leg(name, net_position.net_minor, f"settlement, {net_position.house}")
            )
        for name, amount in payouts.items():
            legs.append(_squaring_leg(name, -amount, "payout"))
        legs += [_client_money_leg(*key, amount) for key, amount in stored.items()]
        nonzero = [leg for leg in legs if leg.amount_minor]
        for at in range(0, len(nonzero), LEGS_PER_ENTRY):
            number = self._backend.store.next_seq()
            self._backend.store.enter(
                _entry(number, day, context),
                transfers_of(number, nonzero[at : at + LEGS_PER_ENTRY]),
            )


def _net(payments: Iterable[SettledPayment], count: int) -> DayClose:
    """Net a day of about `count` payments: a large one inside DuckDB where that is installed."""
    if count >= LARGE_DAY and netting_engine.is_installed():
        return netting_engine.close_day(netting_engine.rated_rows(payments))
    return close_day(payments)


def _squaring_leg(name: str, received_minor: int, purpose: str) -> Leg:
    """A leg that clears an account of what it is to receive (positive) or owes (negative)."""
    kind, rest = name.split("/", 1)
    against = {"position": "settlement", "merchant": "payout"}[kind] + "/" + rest
    if purpose == "exchange":
        against = f"exchange/network/{currency_of_account(name)}"
    debit, credit = (against, name) if received_minor >= 0 else (name, against)
    return Leg(
        debit=debit,
        credit=credit,
        amount_minor=abs(received_minor),
        currency=currency_of_account(name),
        purpose=purpose,
    )


def _client_money_leg(operator: str, currency: str, stored_minor: int) -> Leg:
    """A leg that changes an operator's client money by what its payers' balances changed by."""
    own, covered = f"settlement/{operator}/{currency}", client_money(operator, currency)
    debit, credit = (covered, own) if stored_minor >= 0 else (own, covered)
    return Leg(debit, credit, abs(stored_minor), currency, "client money")


def _reconcile(positions: Iterable[NetPosition], exchanged: Amounts, posted: Amounts) -> None:
    """LedgerError unless the netted payments agree with the ledger's position accounts."""
    netted = {name: -amount for name, amount in exchanged.items()}
    for net_position in positions:
        name = position(net_position.participant, net_position.currency)
        netted[name] = netted.get(name, 0) + net_position.net_minor
    nonzero = {name: amount for name, amount in netted.items() if amount}
    if nonzero != posted:
        differing = sorted(set(nonzero.items()) ^ set(posted.items()))
        raise LedgerError(f"netting and ledger differ: {differing[:4]}")


def _entry(number: int, day: int, context: MessageContext) -> EntryRow:
    return EntryRow(
        id=number,
        kind="settlement",
        house="",
        status=Status.POSTED,
        business_date=day,
        at_us=context.at_us,
    )


def _report(
    on: date,
    ended: dict[str, int],
    netted: DayClose,
    stored: dict[tuple[str, str], int],
) -> dict[str, Any]:
    """The close as JSON; positive net amounts are received."""
    return {
        "date": on.isoformat(),
        "posted": ended.get(Status.POSTED, 0),
        "expired": ended.get(Status.EXPIRED, 0),
        "positions": [
            {
                "house": net_position.house.value,
                "participant": net_position.participant,
                "currency": net_position.currency,
                "received_minor": net_position.received_minor,
                "owed_minor": net_position.owed_minor,
                "net_minor": net_position.net_minor,
                "count": net_position.count,
            }
            for net_position in netted.positions
        ],
        "merchants": [
            {
                "house": statement.house.value,
                "merchant": statement.merchant,
                "currency": statement.currency,
                "sales_count": statement.sales_count,
                "sales_minor": statement.sales_minor,
                "returns_count": statement.returns_count,
                "returns_minor": statement.returns_minor,
                "fees_minor": statement.fees_minor,
                "payout_minor": statement.payout_minor,
            }
            for statement in netted.statements
        ],
        "client_money": [
            {"operator": operator, "currency": currency, "moved_minor": amount}
            for (operator, currency), amount in sorted(stored.items())
            if amount
        ],
    }
