"""What the switch has decided in one turn, until it is durable and the answers may leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Client(Protocol):
    """Who sent messages of a turn."""

    owed: int  # turns that hold a message of this client, decided and not yet answered

    def __hash__(self) -> int: ...


ClientT = TypeVar("ClientT", bound=Client)
#: When the answer is due (monotonic seconds), a number that keeps the order, client and answer.
HeldBack = tuple[float, int, ClientT, bytes]


@dataclass(slots=True)
class Turn(Generic[ClientT]):
    """A turn's answers by client in their order, those that a fault delays, and its messages."""

    answers: list[tuple[ClientT, tuple[bytes, ...]]] = field(default_factory=list)
    held_back: list[HeldBack[ClientT]] = field(default_factory=list)
    messages: dict[ClientT, list[bytes]] = field(default_factory=dict)

    def messages_from(self, client: ClientT) -> list[bytes]:
        """The list that takes this client's messages; from now on the client is owed answers."""
        if client not in self.messages:
            self.messages[client] = []
            client.owed += 1
        return self.messages[client]
