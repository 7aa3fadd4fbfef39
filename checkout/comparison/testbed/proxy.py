"""A proxy in the line between shop and switch that can lose, delay, change or cut off messages.

It reads only the frame (two bytes of length) and the message type at its head.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from checkout.sockets import receive_exactly

Direction = Literal["request", "response"]
Address = tuple[str, int]

#: Called when the message has come: True passes it on, False loses it.
Action = Callable[[], bool]
#: Returns the message as it is passed on.
Alter = Callable[[bytes], bytes]


@dataclass(slots=True)
class _Rule:
    direction: Direction
    message_type: str
    action: Action
    alter: Alter | None


class Proxy:
    """Listens on a free loopback port and connects on to the switch; safe to close twice."""

    def __init__(self, switch: Callable[[], Address | None]) -> None:
        self.switch = switch
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._open: set[socket.socket] = set()
        self.blocked = False
        self.passed: Counter[tuple[Direction, str]] = Counter()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def address(self) -> Address:
        """Where the shop connects to."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def on_next(
        self,
        direction: Direction,
        message_type: str,
        action: Action,
        *,
        alter: Alter | None = None,
    ) -> None:
        """Call `action` on the next message of that direction and type; `alter` may change it."""
        with self._lock:
            self._rules.append(_Rule(direction, message_type, action, alter))

    def drop_rules(self) -> None:
        """Drop the rules for messages that have not come."""
        with self._lock:
            self._rules.clear()

    def block(self) -> None:
        """Cut every connection and let none through until `unblock`."""
        self.blocked = True
        self.cut()

    def unblock(self) -> None:
        """Let connections through."""
        self.blocked = False

    def cut(self) -> None:
        """End the open connections."""
        with self._lock:
            ending, self._open = self._open, set()
        for end in ending:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening and cut everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.block()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            address = None if self.blocked else self.switch()
            try:
                if address is None:
                    raise OSError("shut")
                far = socket.create_connection(address, timeout=2.0)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            for source, target, direction in ((near, far, "request"), (far, near, "response")):
                threading.Thread(
                    target=self._pump, args=(source, target, direction), daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, direction: Direction) -> None:
        with contextlib.suppress(OSError):
            while True:
                head = receive_exactly(source, 2)
                body = receive_exactly(source, int.from_bytes(head))
                passed = self._let_through(direction, body)
                if passed is not None:
                    target.sendall(len(passed).to_bytes(2) + passed)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _let_through(self, direction: Direction, body: bytes) -> bytes | None:
        message_type = body[:4].decode("ascii", "replace")
        with self._lock:
            found = next(
                (
                    rule
                    for rule in self._rules
                    if (rule.direction, rule.message_type) == (direction, message_type)
                ),
                None,
            )
            if found is not None:
                self._rules.remove(found)
        if found is not None and not found.action():
            return None
        with self._lock:
            self.passed[(direction, message_type)] += 1
        return body if found is None or found.alter is None else found.alter(body)
