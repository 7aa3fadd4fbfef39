"""Milestones of a sale, each recorded once as an event of its order: the source of live figures.

`order-shown` is the code on a screen, `code-opened` a phone that opened it, `code-scanned` a
phone's own code read at the counter, `card-seen` a card in the reader's field, `order-paid` the
approval, and `result-shown` the payer's sight of the result. None of them may ever delay a sale.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Engine, String, Text, exists, insert, literal, select
from sqlalchemy.exc import SQLAlchemyError

from checkout.database import instant, micros
from checkout.shop import tables

CREATED = "order-created"
SHOWN = "order-shown"
CODE_OPENED = "code-opened"
CODE_SCANNED = "code-scanned"
CARD_SEEN = "card-seen"
PAID = "order-paid"
RESULT_SHOWN = "result-shown"

_KINDS = (CREATED, SHOWN, CODE_OPENED, CODE_SCANNED, CARD_SEEN, PAID, RESULT_SHOWN)
_MOST_KNOWN = 10_000
_ORDERS_A_QUERY = 400
_log = logging.getLogger("checkout.milestones")


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """One milestone; `payload` names the payment, or whether the device was emulated."""

    order_id: str
    kind: str
    at: datetime
    payload: dict[str, Any]


class Milestones:
    """Records and reads milestones; safe for many threads and processes."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock
        self._known: set[tuple[str, str, str]] = set()

    def record(
        self, kind: str, order_id: str, *, at: datetime | None = None, **payload: Any
    ) -> bool:
        """Record a milestone unless the same one is recorded already; True where it was new.

        Where the database takes no writes the milestone is lost, and the caller goes on.
        """
        details = json.dumps(payload, separators=(",", ":"))
        key = kind, order_id, details
        if key in self._known:
            return False
        table = tables.events
        same = exists().where(
            table.c.order_id == order_id, table.c.kind == kind, table.c.payload == details
        )
        row = select(
            literal(order_id, String),
            literal(kind, String),
            literal(micros(at or self._clock()), BigInteger),
            literal(details, Text),
        ).where(~same)
        try:
            with self._engine.begin() as connection:
                adding = insert(table).from_select(["order_id", "kind", "at", "payload"], row)
                new = bool(connection.execute(adding).rowcount)
        except SQLAlchemyError:
            _log.warning("the milestone %s of order %s could not be stored", kind, order_id)
            return False
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(key)
        return new

    def of_order(self, order_id: str) -> list[Milestone]:
        """The milestones of one order, by time."""
        return self.of_orders([order_id]).get(order_id, [])

    def of_orders(self, order_ids: Iterable[str]) -> dict[str, list[Milestone]]:
        """The milestones of each order that has any, by time."""
        wanted = list(dict.fromkeys(order_ids))
        found: dict[str, list[Milestone]] = defaultdict(list)
        with self._engine.connect() as connection:
            for start in range(0, len(wanted), _ORDERS_A_QUERY):
                for row in connection.execute(
                    _milestones_of(wanted[start : start + _ORDERS_A_QUERY])
                ):
                    found[row.order_id].append(
                        Milestone(
                            order_id=row.order_id,
                            kind=row.kind,
                            at=instant(row.at),
                            payload=json.loads(row.payload),
                        )
                    )
        return found


def _milestones_of(order_ids: Sequence[str]) -> Any:
    table = tables.events
    return (
        select(table)
        .where(table.c.order_id.in_(order_ids), table.c.kind.in_(_KINDS))
        .order_by(table.c.at, table.c.n)
    )
