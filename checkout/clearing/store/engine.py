"""What the store needs of a database engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

Row = tuple[Any, ...]


Statement = tuple[str, Sequence[Row]]


class Engine(Protocol):
    """One connection; not for several threads at once."""

    def query(self, sql: str, parameters: Row = (), *, settled: bool = True) -> list[Row]:
        """All rows of one SELECT; not `settled` for rows that nothing under way can change."""

    def write(self, statements: Iterable[Statement]) -> None:
        """Run each statement for each of its rows, all in one durable transaction."""

    def define(self, statements: Iterable[str]) -> None:
        """Create tables and indexes where they are missing."""

    def close(self) -> None:
        """Give the connection back."""
