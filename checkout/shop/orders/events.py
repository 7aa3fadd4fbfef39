"""The shop's events: their table, and one feed in each process that hands out new ones.

SQLite notifies nobody; `PRAGMA data_version` changes when another connection has committed and
costs microseconds, so one thread per process reads it often. PostgreSQL is queried for new rows.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, or_, select
from sqlalchemy.exc import SQLAlchemyError

from checkout.database import instant, micros
from checkout.shop import tables

_POLL_S = 0.02
_LATE_COMMIT_S = 5.0
_CLOSED = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One row of the event table; `n` grows with each event, and a reader resumes from it."""

    n: int
    order_id: str | None
    kind: str
    at: datetime
    payload: dict[str, Any]


class Subscription:
    """The events of one order, or of all; iterate over it, and close it in the end."""

    def __init__(
        self, feed: Feed, order_id: str | None, heartbeat_s: float, *, after: int | None = None
    ) -> None:
        self._feed = feed
        self._order_id = order_id
        self._heartbeat_s = heartbeat_s
        self._after = after
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[Event | None]:
        """Events as they come; None after `heartbeat_s` of silence; ends when closed.

        First come all that are stored after event number `after`, where one was given.
        """
        replayed: set[int] = set()
        after = self._after
        while after is not None and (events := self._feed.stored(self._order_id, after)):
            yield from events
            replayed.update(event.n for event in events)
            after = events[-1].n
        while True:
            try:
                item = self._queue.get(timeout=self._heartbeat_s)
            except queue.Empty:
                yield None
                continue
            if item is _CLOSED:
                return
            if item.n not in replayed:
                yield item

    def offer(self, event: Event) -> None:
        """Queue a new event if it belongs here; the feed calls it."""
        if self._order_id in (None, event.order_id) or event.order_id is None:
            self._queue.put(event)

    def close(self) -> None:
        """End the iteration, from any thread."""
        self._feed.unsubscribe(self)
        self._queue.put(_CLOSED)


class Feed:
    """Watches the event table, once per process, and hands each event to the subscriptions."""

    def __init__(self, engine: Engine, *, heartbeat_s: float = 10.0) -> None:
        self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        self._heartbeat_s = heartbeat_s
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription] = set()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._last = 0
        self._late: dict[int, float] = {}

    def subscribe(self, order_id: str | None = None, *, after: int | None = None) -> Subscription:
        """New events of an order (or all) from now on, or from event number `after` on.

        Events that concern no order (the reader's state) reach every subscription.
        """
        subscription = Subscription(self, order_id, self._heartbeat_s, after=after)
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._last = self._newest()
                self._thread = threading.Thread(target=self._watch, name="events", daemon=True)
                self._thread.start()
            self._subscriptions.add(subscription)
        return subscription

    def stored(self, order_id: str | None, after: int) -> list[Event]:
        """The next stored events that a subscription to this order (or all) has missed."""
        with self._engine.connect() as connection:
            return read_events(connection, after=after, order_id=order_id)

    def unsubscribe(self, subscription: Subscription) -> None:
        """Hand no more events to this subscription."""
        with self._lock:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End every subscription and the watching thread."""
        self._stop.set()
        with self._lock:
            subscriptions = list(self._subscriptions)
            thread = self._thread
        for subscription in subscriptions:
            subscription.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(2)

    def _newest(self) -> int:
        with self._engine.connect() as connection:
            return connection.execute(select(func.max(tables.events.c.n))).scalar() or 0

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                with self._engine.connect() as connection:
                    self._follow(connection)
            except SQLAlchemyError:
                self._stop.wait(0.2)  # the database is away or busy: the rows are read later

    def _follow(self, connection: Connection) -> None:
        version: Any = None
        while not self._stop.is_set():
            if self._sqlite:
                seen = connection.exec_driver_sql("PRAGMA data_version").scalar()
                connection.rollback()
                if seen == version:
                    time.sleep(_POLL_S)
                    continue
                version = seen
            while self._hand_out(connection):
                pass
            connection.rollback()
            if not self._sqlite:
                time.sleep(_POLL_S * 2)

    def _hand_out(self, connection: Connection) -> bool:
        events = read_events(connection, after=self._last)
        if not self._sqlite:
            events = self._unseen(events)
        for event in events:
            if self._sqlite:
                self._last = event.n
            with self._lock:
                subscriptions = list(self._subscriptions)
            for subscription in subscriptions:
                subscription.offer(event)
        return bool(events)

    def _unseen(self, events: list[Event]) -> list[Event]:
        """Leave out the events that were handed out before, on PostgreSQL.

        It numbers rows before they commit, so a lower number may appear after a higher one: the
        numbers of the last seconds are remembered one by one, and read again.
        """
        now = time.monotonic()
        fresh = [event for event in events if event.n not in self._late]
        self._late |= {event.n: now for event in fresh}
        for n in sorted(self._late):
            if now - self._late[n] < _LATE_COMMIT_S:
                break
            self._last = n
            del self._late[n]
        return fresh


def read_events(
    connection: Connection, *, after: int, order_id: str | None = None, limit: int = 1000
) -> list[Event]:
    """The first `limit` events numbered above `after`, oldest first.

    With an `order_id` only its events, and those that concern no order.
    """
    events = tables.events
    wanted = select(events).where(events.c.n > after).order_by(events.c.n).limit(limit)
    if order_id is not None:
        wanted = wanted.where(or_(events.c.order_id == order_id, events.c.order_id.is_(None)))
    return [event_of(row) for row in connection.execute(wanted).all()]


def event_of(row: Row[Any]) -> Event:
    """A row of the event table as a value."""
    return Event(
        n=row.n,
        order_id=row.order_id,
        kind=row.kind,
        at=instant(row.at),
        payload=json.loads(row.payload),
    )


def add_event(
    connection: Connection, now: datetime, kind: str, order_id: str | None, **payload: Any
) -> None:
    """Append an event in the caller's transaction, so that it appears with the change itself."""
    connection.execute(
        insert(tables.events),
        {
            "order_id": order_id,
            "kind": kind,
            "at": micros(now),
            "payload": json.dumps(payload, separators=(",", ":")),
        },
    )
