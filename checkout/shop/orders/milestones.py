"""Moments of a sale that are kept once, as events of its order: what live numbers are made of.

`order-shown` is the code on a screen, `code-opened` a phone that opened it, `code-scanned` a
phone's own code read at the counter, `card-seen` a card in the reader's field, `order-paid` the
end, and `result-shown` the payer who is told so. None of them may ever hold a sale up.
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
_REMEMBERED = 10_000
_AT_ONCE = 400
_log = logging.getLogger("checkout.moments")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One of them; `payload` says of which payment, or whether an emulated device it was."""

    order_id: str
    kind: str
    at: datetime
    payload: dict[str, Any]


class Moments:
    """Keeps and reads them; safe for many threads and processes."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock
        self._known: set[tuple[str, str, str]] = set()

    def once(self, kind: str, order_id: str, *, at: datetime | None = None, **payload: Any) -> bool:
        """Keep a moment unless the very same is kept already; True where it was new.

        A database that takes no writes costs the number, never the page that asked.
        """
        said = json.dumps(payload, separators=(",", ":"))
        key = kind, order_id, said
        if key in self._known:
            return False
        table = tables.events
        same = exists().where(
            table.c.order_id == order_id, table.c.kind == kind, table.c.payload == said
        )
        row = select(
            literal(order_id, String),
            literal(kind, String),
            literal(micros(at or self._clock()), BigInteger),
            literal(said, Text),
        ).where(~same)
        try:
            with self._engine.begin() as connection:
                adding = insert(table).from_select(["order_id", "kind", "at", "payload"], row)
                new = bool(connection.execute(adding).rowcount)
        except SQLAlchemyError:
            _log.warning("the moment %s of order %s could not be kept", kind, order_id)
            return False
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known.add(key)
        return new

    def of_order(self, order_id: str) -> list[Moment]:
        """The moments of one order, by time."""
        return self.of_orders([order_id]).get(order_id, [])

    def of_orders(self, order_ids: Iterable[str]) -> dict[str, list[Moment]]:
        """The moments of each order that has any, by time."""
        wanted = list(dict.fromkeys(order_ids))
        found: dict[str, list[Moment]] = defaultdict(list)
        with self._engine.connect() as connection:
            for start in range(0, len(wanted), _AT_ONCE):
                for row in connection.execute(_of(wanted[start : start + _AT_ONCE])):
                    found[row.order_id].append(
                        Moment(
                            order_id=row.order_id,
                            kind=row.kind,
                            at=instant(row.at),
                            payload=json.loads(row.payload),
                        )
                    )
        return found


def _of(order_ids: Sequence[str]) -> Any:
    table = tables.events
    return (
        select(table)
        .where(table.c.order_id.in_(order_ids), table.c.kind.in_(_KINDS))
        .order_by(table.c.at, table.c.n)
    )
