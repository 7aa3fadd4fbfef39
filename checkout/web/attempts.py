"""How often one address may do something before it has to wait, in this process."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable


class Attempts:
    """Failures by address within a sliding window; counts in this process only.

    `limit` failures within `window_s` seconds make the address wait until the oldest of them has
    left the window. At most `addresses` are remembered; the one longest untouched goes first.
    """

    def __init__(
        self,
        *,
        limit: int,
        window_s: float,
        addresses: int = 4096,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._window_s = window_s
        self._addresses = addresses
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str | None) -> float:
        """Seconds that `address` has to wait before the next try; 0 when it may try now."""
        now = self._monotonic()
        with self._lock:
            failures = self._recent(network_of(address), now)
            if len(failures) < self._limit:
                return 0.0
            return max(failures[0] + self._window_s - now, 0.0)

    def failed(self, address: str | None) -> None:
        """Count one failure of `address`."""
        now = self._monotonic()
        name = network_of(address)
        with self._lock:
            failures = self._recent(name, now)
            failures.append(now)
            self._failures[name] = failures
            self._failures.move_to_end(name)
            while len(self._failures) > self._addresses:
                self._failures.popitem(last=False)

    def _recent(self, name: str, now: float) -> deque[float]:
        failures = self._failures.get(name, deque())
        while failures and failures[0] <= now - self._window_s:
            failures.popleft()
        return failures


def network_of(address: str | None) -> str:
    """The address that shares one count: an IPv4 address, or the /64 that one IPv6 host owns."""
    if address is None:
        return "unknown"
    try:
        parsed = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
