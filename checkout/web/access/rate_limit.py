"""The failures of guessing, counted once for all web workers, in the shop's database."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import datetime, timedelta

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
from checkout.web.attempts import network_of

_SWEPT_EVERY = 200

metadata = MetaData()
tries = Table(
    "web_tries",
    metadata,
    Column("scope", String(16), primary_key=True),  # what is guessed at
    Column("network", String(64), primary_key=True),
    Column("failed_at", Text, nullable=False),  # JSON list of microseconds since the epoch
    Column("last_at", BigInteger, nullable=False, index=True),
)


class SharedAttempts:
    """As `Attempts`, for every process on the database: more workers give no more tries.

    Whoever has not failed lately costs one look by key; only a try that is counted writes.
    """

    def __init__(
        self,
        engine: Engine,
        scope: str,
        *,
        limit: int,
        window_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._scope = scope
        self._limit = limit
        self._window = round(window_s * 1_000_000)
        self._clock = clock
        self._writes = itertools.count(1)
        create_tables(engine, metadata)

    def wait_s(self, address: str | None) -> float:
        """Seconds that `address` has to wait before the next try; 0 when it may try now."""
        with self._engine.connect() as connection:
            return self._wait_s(self._recent(connection, network_of(address)))

    def take(self, address: str | None) -> float:
        """Count a try as failed before it is looked at, where one is left; else as `wait_s`.

        So many tries at once are no more than as many in a row. `succeeded` forgives it.
        """
        wait_s = self.wait_s(address)
        return wait_s if wait_s > 0 else self._count(network_of(address), always=False)

    def failed(self, address: str | None) -> None:
        """Count one failure of `address`."""
        self._count(network_of(address), always=True)

    def succeeded(self, address: str | None) -> None:
        """Forget the failures of `address`."""
        with self._engine.begin() as connection:
            connection.execute(delete(tries).where(*self._of(network_of(address))))

    def _count(self, network: str, *, always: bool) -> float:
        if next(self._writes) % _SWEPT_EVERY == 0:
            self._forget_old()
        now = micros(self._clock())
        for _ in range(3):
            try:
                with self._engine.begin() as connection:
                    return self._count_in(connection, network, now, always=always)
            except IntegrityError:
                continue  # another worker has just made the row: count in it
        return self._window / 1_000_000

    def _count_in(self, connection: Connection, network: str, now: int, *, always: bool) -> float:
        # Writing first takes the row, or the whole SQLite file, before it is read.
        held = connection.execute(
            update(tries).where(*self._of(network)).values(last_at=now)
        ).rowcount
        if not held:
            row = {"scope": self._scope, "network": network, "last_at": now}
            connection.execute(insert(tries), row | {"failed_at": json.dumps([now])})
            return 0.0
        failures = self._recent(connection, network)
        wait_s = self._wait_s(failures)
        if wait_s > 0 and not always:
            return wait_s
        kept = json.dumps([*failures, now][-self._limit :])
        connection.execute(update(tries).where(*self._of(network)).values(failed_at=kept))
        return 0.0

    def _recent(self, connection: Connection, network: str) -> list[int]:
        kept = connection.execute(
            select(tries.c.failed_at).where(*self._of(network))
        ).scalar_one_or_none()
        if kept is None:
            return []
        since = micros(self._clock()) - self._window
        return [at for at in json.loads(kept) if at > since]

    def _wait_s(self, failures: list[int]) -> float:
        if len(failures) < self._limit:
            return 0.0
        left = failures[-self._limit] + self._window - micros(self._clock())
        # A clock that was put back makes nobody wait longer than the window.
        return min(max(left, 0), self._window) / 1_000_000

    def _of(self, network: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return tries.c.scope == self._scope, tries.c.network == network

    def _forget_old(self) -> None:
        old = micros(self._clock() - timedelta(microseconds=self._window))
        with self._engine.begin() as connection:
            connection.execute(
                delete(tries).where(tries.c.scope == self._scope, tries.c.last_at < old)
            )
