"""How often one address may fail before it has to wait, counted in this process or for all workers.

The rule is the same wherever the failures are stored: `limit` failures within the window make the
address wait until the oldest of them has left the window.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from checkout.database import micros
from checkout.shop.tables import create_tables

_SWEEP_EVERY = 200

metadata = MetaData()
tries = Table(
    "web_tries",
    metadata,
    Column("scope", String(16), primary_key=True),  # what is guessed at
    Column("network", String(64), primary_key=True),
    Column("failed_at", Text, nullable=False),  # JSON list of microseconds since the epoch
    Column("last_at", BigInteger, nullable=False, index=True),
)


class FailureStore(Protocol):
    """Where the times of failures are stored, by network; microseconds since the epoch."""

    def read(self, network: str) -> list[int]:
        """The stored failures of `network`, oldest first."""

    def add(
        self, network: str, at: int, *, at_most: int, allowed: Callable[[Sequence[int]], bool]
    ) -> list[int]:
        """Add a failure, unless the stored ones are not `allowed`, as one atomic step.

        Returns the failures stored before. Only the latest `at_most` stay stored.
        """

    def remove(self, network: str) -> None:
        """Remove the failures of `network`."""

    def remove_before(self, at: int) -> None:
        """Remove every network whose latest failure is earlier than `at`."""


class RateLimit:
    """At most `limit` failures of one network within `window_s` seconds."""

    def __init__(
        self,
        store: FailureStore,
        *,
        limit: int,
        window_s: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._limit = limit
        self._window = round(window_s * 1_000_000)
        self._clock = clock
        self._writes = itertools.count(1)

    def wait_s(self, address: str | None) -> float:
        """Seconds that `address` has to wait before the next try; 0 when it may try now."""
        return self._wait_s(self._store.read(network_of(address)), micros(self._clock()))

    def take(self, address: str | None) -> float:
        """Count a try as failed before its outcome is known, if one is left; else as `wait_s`.

        So concurrent tries are no more than tries one after another. `succeeded` removes the count.
        """
        # A look without a lock first: who has to wait costs no write.
        return self.wait_s(address) or self._add(address, lambda wait_s: wait_s == 0)

    def failed(self, address: str | None) -> None:
        """Count one failure of `address`."""
        self._add(address, lambda wait_s: True)

    def succeeded(self, address: str | None) -> None:
        """Forget the failures of `address`."""
        self._store.remove(network_of(address))

    def _add(self, address: str | None, allowed: Callable[[float], bool]) -> float:
        now = micros(self._clock())
        if next(self._writes) % _SWEEP_EVERY == 0:
            self._store.remove_before(now - self._window)
        earlier = self._store.add(
            network_of(address),
            now,
            at_most=self._limit,
            allowed=lambda failures: allowed(self._wait_s(failures, now)),
        )
        return self._wait_s(earlier, now)

    def _wait_s(self, failures: Sequence[int], now: int) -> float:
        recent = [at for at in failures if at > now - self._window]
        if len(recent) < self._limit:
            return 0.0
        left = recent[-self._limit] + self._window - now
        # A clock that was put back makes nobody wait longer than the window.
        return min(max(left, 0), self._window) / 1_000_000


class FailuresInMemory:
    """The failures that this process counted, of at most `networks` networks.

    The network that failed least recently goes first.
    """

    def __init__(self, *, networks: int = 4096) -> None:
        self._networks = networks
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, list[int]] = OrderedDict()

    def read(self, network: str) -> list[int]:
        """As FailureStore."""
        with self._lock:
            return list(self._failures.get(network, ()))

    def add(
        self, network: str, at: int, *, at_most: int, allowed: Callable[[Sequence[int]], bool]
    ) -> list[int]:
        """As FailureStore."""
        with self._lock:
            earlier = self._failures.get(network, [])
            if allowed(earlier):
                self._failures[network] = [*earlier, at][-at_most:]
                self._failures.move_to_end(network)
                while len(self._failures) > self._networks:
                    self._failures.popitem(last=False)
            return earlier

    def remove(self, network: str) -> None:
        """As FailureStore."""
        with self._lock:
            self._failures.pop(network, None)

    def remove_before(self, at: int) -> None:
        """As FailureStore."""
        with self._lock:
            for network in [name for name, times in self._failures.items() if times[-1] < at]:
                del self._failures[network]


class FailuresInDatabase:
    """The failures that all processes on one database counted: more workers give no more tries.

    `scope` names what is guessed at. A network without recent failures costs one read by key;
    only a try that is counted writes.
    """

    def __init__(self, engine: Engine, scope: str) -> None:
        self._engine = engine
        self._scope = scope
        create_tables(engine, metadata)

    def read(self, network: str) -> list[int]:
        """As FailureStore."""
        with self._engine.connect() as connection:
            return self._read(connection, network)

    def add(
        self, network: str, at: int, *, at_most: int, allowed: Callable[[Sequence[int]], bool]
    ) -> list[int]:
        """As FailureStore."""
        for _ in range(3):
            try:
                with self._engine.begin() as connection:
                    return self._add(connection, network, at, at_most, allowed)
            except IntegrityError:
                continue  # another worker has just inserted the row: count in it
        return [at] * at_most  # so contended that the network may as well wait

    def remove(self, network: str) -> None:
        """As FailureStore."""
        with self._engine.begin() as connection:
            connection.execute(delete(tries).where(*self._row(network)))

    def remove_before(self, at: int) -> None:
        """As FailureStore."""
        with self._engine.begin() as connection:
            connection.execute(
                delete(tries).where(tries.c.scope == self._scope, tries.c.last_at < at)
            )

    def _add(
        self,
        connection: Connection,
        network: str,
        at: int,
        at_most: int,
        allowed: Callable[[Sequence[int]], bool],
    ) -> list[int]:
        # Writing first locks the row, or the whole SQLite file, before it is read.
        locked = connection.execute(update(tries).where(*self._row(network)).values(last_at=at))
        if not locked.rowcount:
            row = {"scope": self._scope, "network": network, "last_at": at}
            connection.execute(insert(tries), row | {"failed_at": json.dumps([at])})
            return []
        earlier = self._read(connection, network)
        if allowed(earlier):
            latest = json.dumps([*earlier, at][-at_most:])
            connection.execute(update(tries).where(*self._row(network)).values(failed_at=latest))
        return earlier

    def _read(self, connection: Connection, network: str) -> list[int]:
        stored = connection.execute(
            select(tries.c.failed_at).where(*self._row(network))
        ).scalar_one_or_none()
        return [] if stored is None else [int(at) for at in json.loads(stored)]

    def _row(self, network: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return tries.c.scope == self._scope, tries.c.network == network


def network_of(address: str | None) -> str:
    """What shares one count: an IPv4 address, or the /64 that one IPv6 host owns."""
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
