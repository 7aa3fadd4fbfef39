"""What everyone else may read of the disputes: which sale, how much of it, where it stands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Engine, text

from checkout.clearing.settlement.disputes import DisputeReason, DisputeState


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedDispute:
    """One dispute; `entry` is the sale's, the amount is in minor units of `currency`."""

    entry: int
    rrn: str
    state: DisputeState
    amount_minor: int
    currency: str
    reason: DisputeReason
    answer_by: date | None  # None once it is final


def disputes(engine: Engine) -> tuple[BookedDispute, ...]:
    """Every dispute, the newest sale first; the tables must be there (DatabaseError else)."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT d.entry, e.rrn, e.currency, d.details FROM clearing_disputes d "
                "JOIN clearing_entries e ON e.id = d.entry ORDER BY d.entry DESC"
            )
        ).all()
    return tuple(_dispute(*row) for row in rows)


def _dispute(entry: int, rrn: str, currency: str, details: str) -> BookedDispute:
    held = json.loads(details)
    due = held["answer_by"]
    return BookedDispute(
        entry=entry,
        rrn=rrn,
        state=DisputeState(held["state"]),
        amount_minor=held["amount_minor"],
        currency=currency,
        reason=DisputeReason(held["reason"]),
        answer_by=None if due is None else date.fromisoformat(due),
    )
