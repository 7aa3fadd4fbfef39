"""The table of scanned payment codes; each method is one statement."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from checkout.shop import tables

_T = tables.presented


class PresentedRecords:
    """Which codes were used for what; instants are microseconds since the epoch."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def insert(self, connection: Connection, row: dict[str, Any]) -> None:
        """Keep a code as used, in the caller's transaction; IntegrityError where it was."""
        connection.execute(insert(_T), row)

    def forget(self, digits: str) -> None:
        """Make a code good again that paid nothing."""
        with self._engine.begin() as connection:
            connection.execute(delete(_T).where(_T.c.digits == digits))

    def of_digits(self, digits: str) -> Row[Any] | None:
        """The use of a code, None while it was not used."""
        with self._engine.connect() as connection:
            return connection.execute(select(_T).where(_T.c.digits == digits)).first()

    def of_payment(self, payment_id: str) -> Row[Any] | None:
        """The code behind a payment, None where it was paid in another way."""
        with self._engine.connect() as connection:
            return connection.execute(select(_T).where(_T.c.payment_id == payment_id)).first()

    def newest(self, payer: str, since: int) -> Row[Any] | None:
        """The last code of `payer` that was scanned at `since` or later."""
        with self._engine.connect() as connection:
            return connection.execute(
                select(_T)
                .where(_T.c.payer == payer, _T.c.created_at >= since)
                .order_by(_T.c.created_at.desc())
                .limit(1)
            ).first()

    def due(self, now: int) -> list[Row[Any]]:
        """What is to be asked for."""
        with self._engine.connect() as connection:
            return list(connection.execute(select(_T).where(_T.c.due_at <= now)).all())

    def asked(self, row: Row[Any], queries: int, due_at: int | None) -> bool:
        """Take one query for oneself; False where another process was faster."""
        with self._engine.begin() as connection:
            return bool(
                connection.execute(
                    update(_T)
                    .where(_T.c.digits == row.digits, _T.c.due_at == row.due_at)
                    .values(queries=queries, due_at=due_at)
                ).rowcount
            )
