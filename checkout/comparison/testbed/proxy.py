"""A gate in the line between shop and switch: passes messages on, loses, holds or cuts them.

It knows only the frames (two bytes of length) and the message type at their head; everything else
goes through as it came.
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

Direction = Literal["question", "answer"]
Address = tuple[str, int]

#: What to do with a message that was waited for: True passes it on, False loses it.
Action = Callable[[], bool]
#: How a message is changed before it is passed on.
Alter = Callable[[bytes], bytes]


@dataclass(slots=True)
class _Rule:
    direction: Direction
    message_type: str
    action: Action
    alter: Alter | None


class Gate:
    """Listens on a free loopback port and connects on to the switch; safe to close twice."""

    def __init__(self, switch: Callable[[], Address | None]) -> None:
        self.switch = switch
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._open: set[socket.socket] = set()
        self.is_shut = False
        self.passed: Counter[tuple[Direction, str]] = Counter()
        threading.Thread(target=self._accept, name="gate", daemon=True).start()

    @property
    def address(self) -> Address:
        """Where the shop connects to."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def once(
        self,
        direction: Direction,
        message_type: str,
        action: Action,
        *,
        alter: Alter | None = None,
    ) -> None:
        """Do this with the next message of that direction and type."""
        with self._lock:
            self._rules.append(_Rule(direction, message_type, action, alter))

    def forget(self) -> None:
        """Give up waiting for messages that never came."""
        with self._lock:
            self._rules.clear()

    def shut(self) -> None:
        """Cut every connection and let none through until `open_again`."""
        self.is_shut = True
        self.cut()

    def open_again(self) -> None:
        """Let connections through."""
        self.is_shut = False

    def cut(self) -> None:
        """End the connections there are."""
        with self._lock:
            ending, self._open = self._open, set()
        for one in ending:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening and cut everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.shut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            address = None if self.is_shut else self.switch()
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
            for source, target, direction in ((near, far, "question"), (far, near, "answer")):
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
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

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
