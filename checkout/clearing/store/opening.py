"""Chooses the engine of the clearing tables by the database's URL."""

from __future__ import annotations

from checkout.clearing.store.engine import Engine
from checkout.clearing.store.sqlite import SqliteEngine
from checkout.clearing.store.write_behind import WriteBehindEngine
from checkout.database import is_postgresql


def open_clearing_engine(url: str) -> Engine:
    """The engine that `url` names; DatabaseError where it can't be used."""
    if is_postgresql(url):
        from checkout.clearing.store.postgresql import PostgresqlEngine

        return PostgresqlEngine(url)
    return SqliteEngine(url)


def open_switch_engine(url: str, *, held: tuple[int, ...] = ()) -> Engine:
    """The engine for a switch. On SQLite, another process writes the rows of a large turn.

    That process keeps the descriptors `held` open. DatabaseError as for `open_clearing_engine`.
    """
    return open_clearing_engine(url) if is_postgresql(url) else WriteBehindEngine(url, held=held)
