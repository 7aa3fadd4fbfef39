"""The two database engines behind the clearing tables, reduced to what the hot path needs.

Statements are written once in SQLite's form with question marks; PostgreSQL gets them translated.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from checkout.database import DatabaseError, is_postgresql, open_sqlite

Row = tuple[Any, ...]
Statement = tuple[str, Sequence[Row]]


class Engine(Protocol):
    """One connection; not for several threads at once."""

    def query(self, sql: str, parameters: Row = ()) -> list[Row]:
        """All rows of one SELECT."""

    def write(self, statements: Iterable[Statement]) -> None:
        """Run each statement for each of its rows, all in one durable transaction."""

    def define(self, statements: Iterable[str]) -> None:
        """Create tables and indexes where they are missing."""

    def close(self) -> None:
        """Give the connection back."""


def open_clearing_engine(url: str) -> Engine:
    """The engine that `url` names; DatabaseError where it can't be used."""
    if is_postgresql(url):
        from checkout.clearing.postgresql import PostgresqlEngine

        return PostgresqlEngine(url)
    return SqliteEngine(url)


class SqliteEngine:
    """SQLite in WAL mode with full synchronisation; the commit returns when the bytes are safe."""

    def __init__(self, url: str) -> None:
        self._connection = open_sqlite(url)
        # Pages are written over and over: copying the log back less often copies far less.
        self._connection.execute("PRAGMA wal_autocheckpoint = 8000")

    def query(self, sql: str, parameters: Row = ()) -> list[Row]:
        """All rows of one SELECT."""
        return self._connection.execute(sql, parameters).fetchall()

    def write(self, statements: Iterable[Statement]) -> None:
        """Run each statement for each of its rows, all in one durable transaction."""
        run = self._connection.execute
        try:
            run("BEGIN IMMEDIATE")
            try:
                for sql, rows in statements:
                    self._connection.executemany(sql, rows)
                run("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    run("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise DatabaseError(f"database: {error}") from None

    def define(self, statements: Iterable[str]) -> None:
        """Create tables and indexes where they are missing."""
        self.write([(sql, [()]) for sql in statements])

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()
