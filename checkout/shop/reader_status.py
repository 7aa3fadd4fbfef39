"""The reader's state, and the emulated cards requested of it, as rows that all processes share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, insert, select, update

from checkout.database import instant, micros
from checkout.errors import ShopError
from checkout.shop import tables
from checkout.shop.orders.events import add_event
from checkout.shop.orders.states import Clock

#: A report older than this is no longer believed: the terminal process may be gone.
_STATUS_STALE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStatus:
    """What the reader is doing, in one word and one sentence."""

    name: str
    state: str  # none, idle, ready, reading, retry, see-phone, pin, paid, declined, fault ...
    message: str
    emulated: bool
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """As events and API show it."""
        return {
            "name": self.name,
            "state": self.state,
            "message": self.message,
            "emulated": self.emulated,
        }


class CounterReader:
    """The counter's reader: the terminal reports its state here and takes requests for cards."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def status(self) -> ReaderStatus:
        """The last report; state ``none`` where none has come for 5 s."""
        with self._engine.connect() as connection:
            row = connection.execute(select(tables.reader_status)).first()
        now = self._clock()
        if row is None or (now - instant(row.at)).total_seconds() > _STATUS_STALE_S:
            return ReaderStatus(
                name="", state="none", message="no reader is running", emulated=False, at=now
            )
        return ReaderStatus(
            name=row.name,
            state=row.state,
            message=row.message,
            emulated=bool(row.emulated),
            at=instant(row.at),
        )

    def report(self, name: str, state: str, message: str, *, emulated: bool) -> None:
        """Store the reader's state, and emit an event where it changed; the terminal calls it."""
        now = self._clock()
        values = {"name": name, "state": state, "message": message, "emulated": emulated}
        table = tables.reader_status
        with self._engine.begin() as connection:
            connection.execute(update(table).where(table.c.id == 1).values(at=micros(now)))
            before = connection.execute(select(table)).one()
            same = all(getattr(before, key) == value for key, value in values.items())
            if not same:
                connection.execute(update(table).where(table.c.id == 1).values(**values))
                add_event(connection, now, "reader-state", None, **values)

    def request_card(self, card: str) -> None:
        """Ask the terminal to lay an emulated card on its reader; ShopError(not-emulated)."""
        status = self.status()
        if not status.emulated:
            raise ShopError("not-emulated", "reader: it is real, or none is running; tap a card")
        with self._engine.begin() as connection:
            connection.execute(
                insert(tables.reader_requests),
                {"card": card, "at": micros(self._clock()), "taken": False},
            )

    def next_card(self) -> str | None:
        """The emulated card requested first, or None; the terminal calls it and lays that card."""
        table = tables.reader_requests
        with self._engine.connect() as connection:
            row = connection.execute(
                select(table).where(table.c.taken.is_(False)).order_by(table.c.n).limit(1)
            ).first()
        if row is None:
            return None
        with self._engine.begin() as connection:
            connection.execute(update(table).where(table.c.n == row.n).values(taken=True))
        return str(row.card)
