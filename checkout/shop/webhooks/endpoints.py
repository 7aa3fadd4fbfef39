"""Endpoints: the URLs of merchants' systems, their secrets, and the events that each wants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.fernet import InvalidToken
from sqlalchemy import Engine, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from checkout.database import instant, micros
from checkout.encryption import Seal
from checkout.errors import ShopError
from checkout.shop import tables as records
from checkout.shop.orders.orders import new_id
from checkout.shop.orders.states import Clock
from checkout.shop.webhooks import tables
from checkout.shop.webhooks.addresses import target_of
from checkout.shop.webhooks.events import EventType, wanted_events
from checkout.shop.webhooks.signing import new_secret

#: Seconds for which the old secret signs as well after a new one was made.
OLD_SECRET_SIGNS_S = 24 * 3600

#: Each endpoint has a thread of its own, so that none waits for another.
MOST_ENDPOINTS = 50

_T = tables.endpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One receiver, without its secret; `events` is None where it wants all of them."""

    id: str
    url: str
    events: tuple[str, ...] | None
    created_at: datetime
    since_n: int
    old_secret_until: datetime | None
    disabled_at: datetime | None
    disabled_why: str | None

    @property
    def wanted(self) -> frozenset[EventType]:
        """The event types that are sent to it."""
        return wanted_events(None if self.events is None else list(self.events))

    def as_json(self) -> dict[str, Any]:
        """The endpoint as the API shows it."""
        return {
            "id": self.id,
            "url": self.url,
            "events": None if self.events is None else list(self.events),
            "state": "enabled" if self.disabled_at is None else "disabled",
            "disabled_reason": self.disabled_why,
            "created_at": _text(self.created_at),
            "old_secret_until": _text(self.old_secret_until),
        }


class Endpoints:
    """The endpoints table; every method is one transaction."""

    def __init__(self, engine: Engine, *, seal: Seal, clock: Clock) -> None:
        self._engine = engine
        self._seal = seal
        self._clock = clock

    def add(self, url: str, events: Sequence[str] | None = None) -> tuple[Endpoint, str]:
        """A new endpoint and its secret, which no other method returns.

        It receives the events from now on. ShopError(url, events, endpoint-exists or
        too-many-endpoints).
        """
        target_of(url)
        wanted = None if events is None else _event_types(events)
        secret = new_secret()
        row: dict[str, Any] = {
            "id": new_id("whe"),
            "url": url,
            "events": None if wanted is None else json.dumps(wanted),
            "sealed_secret": self._seal.close(secret.encode()),
            "created_at": micros(self._clock()),
        }
        newest = select(func.coalesce(func.max(records.events.c.n), 0)).scalar_subquery()
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(_T).values(**row, since_n=newest))
                if connection.execute(select(func.count()).select_from(_T)).scalar_one() > (
                    MOST_ENDPOINTS
                ):
                    raise ShopError("too-many-endpoints", f"url: {MOST_ENDPOINTS} are the most")
        except IntegrityError:
            raise ShopError("endpoint-exists", "url: there is an endpoint for it", "url") from None
        return self.get(row["id"]), secret

    def all(self) -> tuple[Endpoint, ...]:
        """Every endpoint, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(_T).order_by(_T.c.created_at, _T.c.id))
            return tuple(_endpoint(row) for row in rows)

    def get(self, endpoint_id: str) -> Endpoint:
        """One endpoint; ShopError(unknown-endpoint)."""
        return _endpoint(self._row(endpoint_id))

    def remove(self, endpoint_id: str) -> None:
        """Delete an endpoint and all its deliveries; ShopError(unknown-endpoint)."""
        with self._engine.begin() as connection:
            gone = connection.execute(delete(_T).where(_T.c.id == endpoint_id)).rowcount
        if not gone:
            raise _unknown(endpoint_id)

    def new_secret(self, endpoint_id: str) -> tuple[Endpoint, str]:
        """Make a new secret; the old one signs too for 24 h. ShopError(unknown-endpoint)."""
        secret = new_secret()
        until = self._clock() + timedelta(seconds=OLD_SECRET_SIGNS_S)
        with self._engine.begin() as connection:
            changed = connection.execute(
                update(_T)
                .where(_T.c.id == endpoint_id)
                .values(
                    sealed_old_secret=_T.c.sealed_secret,
                    old_secret_until=micros(until),
                    sealed_secret=self._seal.close(secret.encode()),
                )
            ).rowcount
        if not changed:
            raise _unknown(endpoint_id)
        return self.get(endpoint_id), secret

    def secrets(self, endpoint_id: str) -> list[str]:
        """The secrets that sign an attempt now, the present one first.

        ShopError(unknown-endpoint, or sealed by another installation's key).
        """
        row = self._row(endpoint_id)
        sealed = [row.sealed_secret]
        if row.old_secret_until is not None and row.old_secret_until > micros(self._clock()):
            sealed.append(row.sealed_old_secret)
        try:
            return [self._seal.open(bytes(each)).decode() for each in sealed]
        except InvalidToken:
            raise ShopError("sealed", "secret: not sealed by this installation's key") from None

    def _row(self, endpoint_id: str) -> Row[Any]:
        with self._engine.connect() as connection:
            row = connection.execute(select(_T).where(_T.c.id == endpoint_id)).first()
        if row is None:
            raise _unknown(endpoint_id)
        return row


def _event_types(names: Sequence[str]) -> list[str]:
    known = [str(each) for each in EventType]
    if not names:
        raise ShopError("events", "events: expected at least one, or none given at all", "events")
    for name in names:
        if name not in known:
            message = f"events: expected some of {', '.join(known)}, got {name[:40]!r}"
            raise ShopError("events", message, "events")
    return [name for name in known if name in names]


def _unknown(endpoint_id: str) -> ShopError:
    message = f"endpoint: no endpoint has the id {endpoint_id[:40]!r}"
    return ShopError("unknown-endpoint", message, "endpoint")


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(
        id=row.id,
        url=row.url,
        events=None if row.events is None else tuple(json.loads(row.events)),
        created_at=instant(row.created_at),
        since_n=row.since_n,
        old_secret_until=_instant(row.old_secret_until),
        disabled_at=_instant(row.disabled_at),
        disabled_why=row.disabled_why,
    )


def _instant(value: int | None) -> datetime | None:
    return None if value is None else instant(value)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds")
