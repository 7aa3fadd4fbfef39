"""Makes a message of each committed event of the shop, exactly once, also across crashes.

The event is committed with the sale itself. Its message, and a delivery to every endpoint that
wants it, are committed in one transaction too. So after a kill the event has either both or
neither, and the next round finds those that have neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, Engine, exists, func, insert, select, update

from checkout.database import micros
from checkout.errors import ShopError
from checkout.shop import tables as records
from checkout.shop.orders.events import Event, event_of
from checkout.shop.orders.orders import Orders, new_id
from checkout.shop.orders.states import Clock
from checkout.shop.payments.payments import Payment, PaymentRecords
from checkout.shop.webhooks import tables
from checkout.shop.webhooks.deliveries import PENDING
from checkout.shop.webhooks.endpoints import Endpoint, Endpoints
from checkout.shop.webhooks.events import KINDS, EventType, event_type, message_body

#: Seconds for which events are looked for again: PostgreSQL numbers rows before they commit, so a
#: lower number may appear after a higher one.
_LATE_COMMIT_S = 60.0

#: Seconds for which an event waits for its payment's steps and approval code.
_PAYMENT_WITHIN_S = 5.0

_EVENTS_A_ROUND = 200
_MARK_EVERY = 1000
_MARK = "webhooks"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    event: Event
    type: EventType
    body: bytes
    endpoints: tuple[str, ...]


class Outbox:
    """Fills the outbox; safe for several processes, though one is enough."""

    def __init__(self, engine: Engine, endpoints: Endpoints, *, clock: Clock) -> None:
        self._engine = engine
        self._endpoints = endpoints
        self._clock = clock
        self._orders = Orders(engine, clock=clock)
        self._payments = PaymentRecords(engine, clock)

    def fill(self) -> int:
        """Make the messages that are missing; returns how many were made."""
        enabled = [each for each in self._endpoints.all() if each.disabled_at is None]
        if not enabled:
            return 0
        mark = self._mark()
        after = max(mark, min(each.since_n for each in enabled))
        made = 0
        while events := self._unsent(after):
            messages = [self._message(event, enabled) for event in events]
            made += self._store([each for each in messages if each is not None])
            after = events[-1].n
        self._move_mark(mark)
        return made

    def _unsent(self, after: int) -> list[Event]:
        table, messages = records.events, tables.messages
        wanted = (
            select(table)
            .where(
                table.c.n > after,
                table.c.kind.in_(KINDS),
                table.c.order_id.is_not(None),
                ~exists().where(messages.c.event_n == table.c.n),
            )
            .order_by(table.c.n)
            .limit(_EVENTS_A_ROUND)
        )
        with self._engine.connect() as connection:
            return [event_of(row) for row in connection.execute(wanted)]

    def _message(self, event: Event, enabled: list[Endpoint]) -> _Message | None:
        """The message of an event; None where nobody wants it, or its payment is not whole yet."""
        payment = self._payment(event)
        young = event.at > self._clock() - timedelta(seconds=_PAYMENT_WITHIN_S)
        if payment is not None and payment.finished_at is None and young:
            return None
        type_ = event_type(event, payment)
        to = tuple(each.id for each in enabled if each.since_n < event.n and type_ in each.wanted)
        if not to:
            return None
        order = self._orders.get(event.order_id or "")
        return _Message(
            event=event,
            type=type_,
            body=message_body(type_, event.at, order, payment),
            endpoints=to,
        )

    def _payment(self, event: Event) -> Payment | None:
        payment_id = event.payload.get("payment")
        try:
            return None if payment_id is None else self._payments.get(payment_id)
        except ShopError:
            return None

    def _store(self, messages: list[_Message]) -> int:
        if not messages:
            return 0
        with self._engine.begin() as connection:
            # Writing first takes the lock, so that what is looked at next cannot go stale.
            self._touch_mark(connection)
            stored = set(
                connection.execute(
                    select(tables.messages.c.event_n).where(
                        tables.messages.c.event_n.in_([each.event.n for each in messages])
                    )
                ).scalars()
            )
            existing = set(connection.execute(select(tables.endpoints.c.id)).scalars())
            fresh = [each for each in messages if each.event.n not in stored]
            for each in fresh:
                self._insert(connection, each, existing)
        return len(fresh)

    def _insert(self, connection: Connection, message: _Message, existing: set[str]) -> None:
        message_id, now = new_id("evt"), micros(self._clock())
        connection.execute(
            insert(tables.messages),
            {
                "id": message_id,
                "event_n": message.event.n,
                "type": message.type,
                "order_id": message.event.order_id,
                "at": micros(message.event.at),
                "body": message.body,
            },
        )
        for endpoint_id in message.endpoints:
            if endpoint_id not in existing:
                continue  # it was removed meanwhile
            connection.execute(
                insert(tables.deliveries),
                {
                    "id": new_id("whd"),
                    "message_id": message_id,
                    "endpoint_id": endpoint_id,
                    "state": PENDING,
                    "tries": 0,
                    "next_at": now,
                    "created_at": now,
                },
            )

    def _mark(self) -> int:
        """The number up to which nothing is missing any more."""
        table = records.numbers
        with self._engine.connect() as connection:
            return (
                connection.execute(select(table.c.value).where(table.c.name == _MARK)).scalar() or 0
            )

    def _touch_mark(self, connection: Connection) -> None:
        table = records.numbers
        mine = table.c.name == _MARK
        if not connection.execute(update(table).where(mine).values(value=table.c.value)).rowcount:
            connection.execute(insert(table), {"name": _MARK, "value": 0})

    def _move_mark(self, mark: int) -> None:
        """Raise the mark to the events that are old enough, once in a thousand."""
        table = records.events
        young = micros(self._clock() - timedelta(seconds=_LATE_COMMIT_S))
        with self._engine.connect() as connection:
            # Read first: what is committed between the two reads is left for the next round.
            newest = connection.execute(select(func.max(table.c.n))).scalar() or 0
            first_young = connection.execute(
                select(func.min(table.c.n)).where(
                    table.c.n > mark, table.c.n <= newest, table.c.at > young
                )
            ).scalar()
        done = newest if first_young is None else first_young - 1
        if done < mark + _MARK_EVERY:
            return
        with self._engine.begin() as connection:
            self._touch_mark(connection)
            connection.execute(
                update(records.numbers)
                .where(records.numbers.c.name == _MARK, records.numbers.c.value < done)
                .values(value=done)
            )
