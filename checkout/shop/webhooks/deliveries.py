"""Deliveries: one message for one endpoint, tried until it is delivered or given up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, insert, select, update

from checkout.database import instant, micros
from checkout.errors import ShopError
from checkout.shop.orders.states import Clock
from checkout.shop.webhooks import tables
from checkout.shop.webhooks.http import Outcome

PENDING = "pending"
DELIVERED = "delivered"
GIVEN_UP = "given-up"
STOPPED = "stopped"  # its endpoint answered 410 (gone)

#: Pauses between tries, in seconds, each up to a fifth longer at random: about a day in all, then
#: the delivery is given up.
SCHEDULE_S = (5, 30, 120, 600, 3600, 3 * 3600, 8 * 3600, 12 * 3600)
_JITTER = 0.2

#: A receiver's Retry-After counts up to here, in seconds.
_LONGEST_PAUSE_S = 24 * 3600

_GONE = 410
_D, _M, _E, _A = tables.deliveries, tables.messages, tables.endpoints, tables.attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try; `status` is None where no HTTP answer came.

    `answer` is the beginning of the answer's body, called ``said`` in the API and the table.
    """

    at: datetime
    took_ms: float
    status: int | None
    reason: str
    answer: str

    def as_json(self) -> dict[str, Any]:
        """The attempt as the API shows it."""
        return {
            "at": self.at.isoformat(timespec="milliseconds"),
            "took_ms": round(self.took_ms, 3),
            "status": self.status,
            "reason": self.reason,
            "said": self.answer,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The state of a delivery; `next_at` is when it is tried next, None where it is not."""

    id: str
    event_id: str
    type: str
    order_id: str
    endpoint_id: str
    url: str
    state: str
    created_at: datetime
    next_at: datetime | None
    attempts: tuple[Attempt, ...]

    def as_json(self) -> dict[str, Any]:
        """The delivery as the API shows it."""
        return {
            "id": self.id,
            "event_id": self.event_id,
            "type": self.type,
            "order_id": self.order_id,
            "endpoint_id": self.endpoint_id,
            "state": self.state,
            "created_at": self.created_at.isoformat(timespec="milliseconds"),
            "next_at": None
            if self.next_at is None
            else self.next_at.isoformat(timespec="milliseconds"),
            "attempts": [each.as_json() for each in self.attempts],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A delivery that one worker has claimed and is about to try."""

    id: str
    endpoint_id: str
    url: str
    event_id: str
    body: bytes
    tries: int
    lost_at: int  # when it is due again unless the result of this try is recorded


class Deliveries:
    """Reads, claims and records deliveries; safe for many threads and processes."""

    def __init__(self, engine: Engine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def of_endpoint(self, endpoint_id: str, limit: int = 50) -> tuple[Delivery, ...]:
        """The newest first."""
        return self._read(_WHOLE.where(_D.c.endpoint_id == endpoint_id), limit)

    def recent(self, limit: int = 50) -> tuple[Delivery, ...]:
        """The newest, of all endpoints."""
        return self._read(_WHOLE, limit)

    def get(self, delivery_id: str) -> Delivery:
        """One delivery; ShopError(unknown-delivery)."""
        found = self._read(_WHOLE.where(_D.c.id == delivery_id), 1)
        if not found:
            message = f"delivery: no delivery has the id {delivery_id[:40]!r}"
            raise ShopError("unknown-delivery", message, "delivery")
        return found[0]

    def send_again(self, delivery_id: str) -> Delivery:
        """Make it due now, delivered or not, under the same event id.

        ShopError(unknown-delivery, or endpoint-disabled where its endpoint is gone).
        """
        self.get(delivery_id)
        enabled = select(_E.c.id).where(_E.c.disabled_at.is_(None))
        with self._engine.begin() as connection:
            moved = connection.execute(
                update(_D)
                .where(_D.c.id == delivery_id, _D.c.endpoint_id.in_(enabled))
                .values(state=PENDING, tries=0, next_at=micros(self._clock()))
            ).rowcount
        if not moved:
            raise ShopError(
                "endpoint-disabled",
                "endpoint: it answered that it is gone (410); remove it and add another",
            )
        return self.get(delivery_id)

    def due_endpoints(self) -> list[str]:
        """The endpoints for which something is due."""
        wanted = (
            select(_D.c.endpoint_id)
            .where(_D.c.state == PENDING, _D.c.next_at <= micros(self._clock()))
            .distinct()
        )
        with self._engine.connect() as connection:
            return list(connection.execute(wanted).scalars())

    def claim(self, endpoint_id: str, *, within_s: float) -> ClaimedDelivery | None:
        """Claim the delivery that has been due longest; no other worker gets it for `within_s`."""
        now = self._clock()
        due = _DUE.where(
            _D.c.endpoint_id == endpoint_id, _D.c.state == PENDING, _D.c.next_at <= micros(now)
        )
        lost_at = micros(now + timedelta(seconds=within_s))
        with self._engine.connect() as connection:
            row = connection.execute(due).first()
        if row is None:
            return None
        with self._engine.begin() as connection:
            mine = connection.execute(
                update(_D)
                .where(_D.c.id == row.id, _D.c.state == PENDING, _D.c.next_at == row.next_at)
                .values(next_at=lost_at)
            ).rowcount
        if not mine:
            return None
        return ClaimedDelivery(
            id=row.id,
            endpoint_id=endpoint_id,
            url=row.url,
            event_id=row.message_id,
            body=bytes(row.body),
            tries=row.tries,
            lost_at=lost_at,
        )

    def record(
        self, claimed: ClaimedDelivery, outcome: Outcome, *, at: datetime, chance: float
    ) -> None:
        """Record how a try ended and when the next one is due; `chance` is 0 to 1, at random."""
        state, pause_s = verdict(outcome, claimed.tries, chance)
        next_at = None
        if pause_s is not None:
            next_at = micros(self._clock() + timedelta(seconds=pause_s))
        with self._engine.begin() as connection:
            # Where it was made due again meanwhile (`send_again`), that stands.
            connection.execute(
                update(_D)
                .where(_D.c.id == claimed.id, _D.c.next_at == claimed.lost_at)
                .values(state=state, tries=_D.c.tries + 1, next_at=next_at)
            )
            exists = connection.execute(select(_D.c.id).where(_D.c.id == claimed.id)).first()
            if exists is not None:  # its endpoint may have been removed meanwhile
                self._insert_attempt(connection, claimed.id, outcome, at)
            if state == STOPPED:
                self._disable(connection, claimed.endpoint_id, outcome)

    def _insert_attempt(
        self, connection: Connection, delivery_id: str, outcome: Outcome, at: datetime
    ) -> None:
        row = {
            "delivery_id": delivery_id,
            "at": micros(at),
            "took_us": round(outcome.took_ms * 1000),
            "status": outcome.status,
            "reason": outcome.reason[:200],
            "said": outcome.answer[: tables.ANSWER_LENGTH],
        }
        connection.execute(insert(_A), row)

    def _disable(self, connection: Connection, endpoint_id: str, outcome: Outcome) -> None:
        connection.execute(
            update(_E)
            .where(_E.c.id == endpoint_id, _E.c.disabled_at.is_(None))
            .values(disabled_at=micros(self._clock()), disabled_why=f"it said {outcome.reason}")
        )
        connection.execute(
            update(_D)
            .where(_D.c.endpoint_id == endpoint_id, _D.c.state == PENDING)
            .values(state=STOPPED, next_at=None)
        )

    def _read(self, wanted: Select[Any], limit: int) -> tuple[Delivery, ...]:
        newest = wanted.order_by(_D.c.created_at.desc(), _M.c.event_n.desc()).limit(limit)
        with self._engine.connect() as connection:
            rows = connection.execute(newest).all()
            attempts = connection.execute(
                select(_A).where(_A.c.delivery_id.in_([row.id for row in rows])).order_by(_A.c.n)
            ).all()
        of_delivery = defaultdict(list)
        for attempt in attempts:
            of_delivery[attempt.delivery_id].append(_attempt(attempt))
        return tuple(_delivery(row, of_delivery[row.id]) for row in rows)


def verdict(outcome: Outcome, tries: int, chance: float) -> tuple[str, float | None]:
    """The state after a try that followed `tries` others, and the seconds until the next."""
    if outcome.taken:
        return DELIVERED, None
    if outcome.status == _GONE:
        return STOPPED, None
    if tries >= len(SCHEDULE_S):
        return GIVEN_UP, None
    pause_s = SCHEDULE_S[tries] * (1 + _JITTER * chance)
    asked_s = min(outcome.retry_after_s or 0.0, _LONGEST_PAUSE_S)
    return PENDING, max(pause_s, asked_s)


_WHOLE = select(_D, _M.c.type, _M.c.order_id, _M.c.event_n, _E.c.url).where(
    _M.c.id == _D.c.message_id, _E.c.id == _D.c.endpoint_id
)

_DUE = (
    select(_D, _M.c.body, _E.c.url)
    .where(_M.c.id == _D.c.message_id, _E.c.id == _D.c.endpoint_id)
    .order_by(_D.c.next_at, _M.c.event_n)
    .limit(1)
)


def _delivery(row: Row[Any], attempts: Sequence[Attempt]) -> Delivery:
    return Delivery(
        id=row.id,
        event_id=row.message_id,
        type=row.type,
        order_id=row.order_id,
        endpoint_id=row.endpoint_id,
        url=row.url,
        state=row.state,
        created_at=instant(row.created_at),
        next_at=None if row.next_at is None else instant(row.next_at),
        attempts=tuple(attempts),
    )


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(
        at=instant(row.at),
        took_ms=row.took_us / 1000,
        status=row.status,
        reason=row.reason,
        answer=row.said,
    )
