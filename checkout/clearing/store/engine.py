"""What the store needs of a database engine; `sqlite.py` and `postgresql.py` are the two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

Row = tuple[Any, ...]

#: One SQL statement, written for SQLite with question marks, and the rows it is run for.
Statement = tuple[str, Sequence[Row]]


class Engine(Protocol):
    """One connection; not for several threads at once."""

    def query(self, sql: str, parameters: Row = (), *, flushed: bool = True) -> list[Row]:
        """All rows of one SELECT; `flushed` waits first until rows handed over are written."""

    def write(self, statements: Iterable[Statement]) -> None:
        """Run each statement for each of its rows, all in one durable transaction."""

    def define(self, statements: Iterable[str]) -> None:
        """Create tables and indexes where they are missing."""

    def close(self) -> None:
        """Close the connection."""
