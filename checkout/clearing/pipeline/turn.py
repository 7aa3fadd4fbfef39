"""What a turn of the switch has decided, until it is durable and may be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from checkout.clearing.switch.connection import Connection

#: When it is due, a number that keeps the order, and to whom what is said.
HeldBack = tuple[float, int, Connection, bytes]


@dataclass(slots=True)
class Decided:
    """Answers by connection in their order, those that a fault holds back, and what was asked."""

    answers: list[tuple[Connection, tuple[bytes, ...]]] = field(default_factory=list)
    held_back: list[HeldBack] = field(default_factory=list)
    taken: dict[Connection, list[bytes]] = field(default_factory=dict)

    def taken_from(self, connection: Connection) -> list[bytes]:
        """The messages of one connection, to be filled as they are taken: it is owed answers."""
        if connection not in self.taken:
            self.taken[connection] = []
            connection.owed += 1
        return self.taken[connection]
