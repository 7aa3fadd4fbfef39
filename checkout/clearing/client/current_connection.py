"""The one connection that takes new questions, renewed as one switch follows another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

from checkout.clearing.client.connection import (
    NotSent,
    SwitchConnection,
    SwitchGone,
    connect,
)
from checkout.clearing.switch.discovery import Address

#: How long signing on may take, and the pause before the next switch is looked for.
_SIGN_ON_S = 5.0
_RETRY_S = 0.02


class CurrentConnection:
    """Safe for many threads.

    A connection whose switch has signed off is kept open beside it until its answers have come.
    `address` is where a switch listens now; None where there is none.
    """

    def __init__(
        self,
        address: Callable[[], Address | None],
        institution: str,
        zone_key: Callable[[], bytes],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._address = address
        self._institution = institution
        self._zone_key = zone_key
        self._clock = clock
        self._lock = threading.Lock()
        self._current: SwitchConnection | None = None
        self._signed_off: list[SwitchConnection] = []
        self._closed = False

    def get(self, timeout_s: float) -> SwitchConnection:
        """The connection for new questions, signed on; NotSent where there is no switch."""
        with self._lock:
            if self._current is not None and not self._current.accepts_questions:
                self._retire(self._current)
            if self._current is None:
                self._current = self._open(time.monotonic() + timeout_s)
            return self._current

    def drop(self, connection: SwitchConnection) -> None:
        """Close a connection that failed, if it is broken."""
        if not connection.is_broken:
            return
        with self._lock:
            if connection is self._current or connection in self._signed_off:
                self._retire(connection)
        connection.close()

    def close(self) -> None:
        """Hang up for good; safe to call twice."""
        self._closed = True  # before the lock: a thread that is connecting holds it, and gives up
        with self._lock:
            connections = [*self._signed_off, *([self._current] if self._current else [])]
            self._current, self._signed_off = None, []
        for connection in connections:
            connection.close()

    def _retire(self, connection: SwitchConnection) -> None:
        """With the lock held: close what is broken, keep what still owes answers."""
        retired = {id(each): each for each in (*self._signed_off, connection)}.values()
        for each in retired:
            if each.is_broken:
                each.close()
        self._signed_off = [each for each in retired if not each.is_broken]
        if self._current is connection:
            self._current = None

    def _open(self, deadline: float) -> SwitchConnection:
        """Sign on, at the next switch where the one that was found is just ending."""
        while not self._closed:
            address = self._address()
            if address is None:
                raise NotSent("no switch is running")
            left_s = max(deadline - time.monotonic(), 0.5)
            try:
                return connect(
                    address,
                    self._institution,
                    self._zone_key,
                    clock=self._clock,
                    timeout_s=min(left_s, _SIGN_ON_S),
                )
            except SwitchGone:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_RETRY_S)
        raise NotSent("the client is closed")
