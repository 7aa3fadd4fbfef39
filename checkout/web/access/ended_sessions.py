"""The sessions that their operators ended by signing out, for every worker on one database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Column, Engine, MetaData, String, Table, delete, insert, select
from sqlalchemy.exc import IntegrityError

from checkout.database import micros
from checkout.shop.tables import create_tables

#: How long a session lasts, in seconds; as long its end has to be known.
SESSION_S = 12 * 3600

metadata = MetaData()
_ended = Table(
    "web_ended_sessions",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("ended_at", BigInteger, nullable=False, index=True),
)


class EndedSessions:
    """Names of sessions that count no more."""

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock
        create_tables(engine, metadata)

    def add(self, name: str) -> None:
        """End a session; those that have run out by themselves are forgotten."""
        now = self._clock()
        run_out = micros(now - timedelta(seconds=SESSION_S))
        try:
            with self._engine.begin() as connection:
                connection.execute(delete(_ended).where(_ended.c.ended_at < run_out))
                connection.execute(insert(_ended), {"name": name, "ended_at": micros(now)})
        except IntegrityError:
            return  # it was ended before

    def has(self, name: str) -> bool:
        """Whether a session was ended."""
        with self._engine.connect() as connection:
            found = connection.execute(select(_ended.c.name).where(_ended.c.name == name))
            return found.first() is not None
