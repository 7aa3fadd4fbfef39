"""PostgreSQL behind the clearing tables, when one machine is not enough (extra `postgres`).

In a batch, plain inserts go in by COPY and everything else statement by statement, all in one
transaction with synchronous commit.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from checkout.clearing.store.engine import Row, Statement
from checkout.database import DatabaseError, postgresql_password, without_password

_PLAIN_INSERT = re.compile(r"INSERT INTO (\w+) VALUES \([?, ]+\)")


class PostgresqlEngine:
    """One connection; SQL is written for SQLite and translated here."""

    def __init__(self, url: str) -> None:
        try:
            psycopg: Any = importlib.import_module("psycopg")
        except ImportError:
            raise DatabaseError(
                "database: PostgreSQL needs the extra: pip install 'checkout[postgres]'"
            ) from None
        self._errors: type[Exception] = psycopg.Error
        try:
            plain = "postgresql://" + url.split("://", 1)[1]
            self._connection: Any = psycopg.connect(
                plain, autocommit=True, **postgresql_password(url)
            )
        except psycopg.Error as error:
            reason = without_password(str(error), url)
            raise DatabaseError(f"database: PostgreSQL is out of reach: {reason}") from None

    def query(self, sql: str, parameters: Row = (), *, flushed: bool = True) -> list[Row]:
        """All rows of one SELECT; nothing is ever handed over here."""
        del flushed
        try:
            rows: list[Row] = self._connection.execute(_translated(sql), parameters).fetchall()
        except self._errors as error:
            raise DatabaseError(f"database: {' '.join(str(error).split())}") from None
        return rows

    def write(self, statements: Iterable[Statement]) -> None:
        """Run each statement for each of its rows, all in one durable transaction."""
        try:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                for sql, rows in statements:
                    self._run(cursor, sql, rows)
        except self._errors as error:
            raise DatabaseError(f"database: {' '.join(str(error).split())}") from None

    def define(self, statements: Iterable[str]) -> None:
        """Create tables and indexes where they are missing."""
        typed = (
            re.sub(r"\bBLOB\b", "BYTEA", re.sub(r"\bINTEGER\b", "BIGINT", sql))
            for sql in statements
        )
        self.write([(sql, [()]) for sql in typed])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _run(self, cursor: Any, sql: str, rows: Sequence[Row]) -> None:
        plain = _PLAIN_INSERT.fullmatch(sql)
        if plain is None:
            cursor.executemany(_translated(sql), rows)
            return
        with cursor.copy(f"COPY {plain[1]} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def _translated(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")
