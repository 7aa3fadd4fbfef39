"""The sales that were run, as they stand in the books of the clearing backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from checkout.clearing.ledger.ledger import Status
from checkout.clearing.ledger.postings import split_of
from checkout.clearing.scheme.rules import House
from checkout.clearing.store.engine import Engine
from checkout.clearing.store.opening import open_clearing_engine
from checkout.clearing.store.rows import (
    SELECT_ENTRY,
    SELECT_TRANSFER,
    EntryRow,
    entry_row,
    transfer_row,
)

_SALES = ("purchase", "offline-advice", "completion", "completion-advice")


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedSale:
    """One sale as it stands in the books; `in_force` if pending or posted, not if voided."""

    rrn: str
    house: str
    amount_minor: int
    payer: str  # masked
    in_force: bool
    shares_minor: Mapping[str, int]


class Books:
    """Reads the clearing tables; the switch alone writes them."""

    def __init__(self, database_url: str) -> None:
        self._engine: Engine = open_clearing_engine(database_url)

    def sales(self) -> dict[str, list[BookedSale]]:
        """Every sale in the books by its retrieval reference number (DE37)."""
        found: dict[str, list[BookedSale]] = {}
        for row in self._engine.query(SELECT_ENTRY + "1 = 1 ORDER BY id"):
            entry = entry_row(row)
            if entry.kind in _SALES:
                found.setdefault(entry.rrn, []).append(self._booked(entry))
        return found

    def of(self, rrn: str) -> list[BookedSale]:
        """The sales that carry one retrieval reference number."""
        rows = self._engine.query(SELECT_ENTRY + "rrn = ? ORDER BY id", (rrn,))
        entries = [entry_row(row) for row in rows]
        return [self._booked(entry) for entry in entries if entry.kind in _SALES]

    def reason(self, rrn: str) -> str:
        """The switch's own reason for its response to the message of that number."""
        rows = self._engine.query(
            "SELECT reason FROM clearing_messages WHERE rrn = ? ORDER BY seq DESC LIMIT 1", (rrn,)
        )
        return str(rows[0][0]) if rows else ""

    def close(self) -> None:
        """Close the connection."""
        self._engine.close()

    def _booked(self, entry: EntryRow) -> BookedSale:
        resolved = self._engine.query(
            "SELECT status FROM clearing_resolutions WHERE entry = ?", (entry.id,)
        )
        status = Status(resolved[0][0]) if resolved else entry.status
        rows = self._engine.query(SELECT_TRANSFER + "t.entry = ? ORDER BY t.id", (entry.id,))
        transfers = [transfer_row(row) for row in rows]
        split = split_of(entry.amount_minor, House(entry.house), transfers)
        return BookedSale(
            rrn=entry.rrn,
            house=entry.house,
            amount_minor=entry.amount_minor,
            payer=entry.payer,
            in_force=status in (Status.PENDING, Status.POSTED),
            shares_minor=split.shares(),
        )
