"""The connection that a client has to its switch, and the next one where a switch hands over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

from checkout.clearing.client.connection import Elsewhere, Line, NotSent, open_line
from checkout.clearing.switch.discovery import Address

#: How long signing on may take, and the pause before the next switch is looked for.
_SIGN_ON_S = 5.0
_AGAIN_S = 0.02


class Lines:
    """One line at a time that takes questions; safe for many threads.

    A line whose switch has signed off is kept beside it until its answers have come.
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
        self._line: Line | None = None
        self._leaving: list[Line] = []
        self._closed = False

    def current(self, timeout_s: float) -> Line:
        """The line for new questions, signed on; NotSent where there is no switch."""
        with self._lock:
            if self._line is not None and not self._line.takes_more:
                self._retire(self._line)
            if self._line is None:
                self._line = self._open(time.monotonic() + timeout_s)
            return self._line

    def drop(self, line: Line) -> None:
        """Let go of a line on which something went wrong, if it is broken."""
        if not line.is_broken:
            return
        with self._lock:
            if line is self._line or line in self._leaving:
                self._retire(line)
        line.close()

    def close(self) -> None:
        """Hang up for good; safe to call twice."""
        self._closed = True  # whoever is opening one holds the lock, and gives up
        with self._lock:
            lines = [*self._leaving, *([self._line] if self._line else [])]
            self._line, self._leaving = None, []
        for line in lines:
            line.close()

    def _retire(self, line: Line) -> None:
        """Under the lock: a line that is broken goes now, one that owes answers goes later."""
        leaving = {id(one): one for one in (*self._leaving, line)}.values()
        for one in leaving:
            if one.is_broken:
                one.close()
        self._leaving = [one for one in leaving if not one.is_broken]
        if self._line is line:
            self._line = None

    def _open(self, deadline: float) -> Line:
        """Sign on, at the next switch where the one that was found is just going."""
        while not self._closed:
            address = self._address()
            if address is None:
                raise NotSent("no switch is running")
            left_s = max(deadline - time.monotonic(), 0.5)
            try:
                return open_line(
                    address,
                    self._institution,
                    self._zone_key,
                    clock=self._clock,
                    timeout_s=min(left_s, _SIGN_ON_S),
                )
            except Elsewhere:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_AGAIN_S)
        raise NotSent("the client is closed")
