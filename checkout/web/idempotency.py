"""Responses stored under a key that the client chose, so that a repeated request is done once.

A key is claimed by inserting its row before the work starts. The row survives a crash; a repeat
then learns that the outcome has to be looked up. The response is stored in the row and sent again
as it was.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import Response
from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from checkout.database import micros
from checkout.encryption import Seal
from checkout.shop.tables import create_tables
from checkout.web.problems import Problem

KEY_LENGTH = 255
STORED_FOR = timedelta(days=7)
_LEASE = timedelta(seconds=60)
_SWEEP_EVERY = 1000
_SWEEP_INTERVAL = timedelta(hours=1)
_HEADERS = ("Content-Type", "Location")
_log = logging.getLogger("checkout.web")
_SEALED = "sealed"  # among the stored headers: the body is encrypted

metadata = MetaData()
answers = Table(
    "web_answers",
    metadata,
    Column("scope", String(32), primary_key=True),
    Column("key", String(KEY_LENGTH), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer),  # none while the request is being worked on
    Column("headers", Text),
    Column("body", LargeBinary),
    Column("created_at", BigInteger, nullable=False, index=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """A stored response: status, the headers that matter, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def response(self) -> Response:
        """The response as it is sent again."""
        response = Response(self.body, self.status, self.headers)
        response.headers["Idempotency-Replayed"] = "true"
        return response


class StoredResponses:
    """One response for each key of a scope ("api", "payer")."""

    def __init__(
        self,
        engine: Engine,
        *,
        seal: Seal | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._seal = seal
        self._clock = clock
        self._calls = itertools.count(1)
        create_tables(engine, metadata)
        self.delete_old()

    def once(
        self,
        scope: str,
        key: str,
        fingerprint: str,
        work: Callable[[], Response],
        *,
        patience_s: float = 0.0,
        secret: bool = False,
        refusals_stored: Collection[int] | None = None,
    ) -> Response:
        """Do `work` for a key that is new, else return its stored response.

        While another request with the key is at work this waits up to `patience_s`. Failures of
        the server (5xx) and refusals of access (401, 429) are not stored: they may be tried again;
        504 is stored, since its outcome is unknown. With `refusals_stored` no other refusal (4xx)
        is stored than of those statuses. With `secret` the body is stored encrypted.
        Problem(key-reused, request-under-way, request-interrupted).
        """
        if next(self._calls) % _SWEEP_EVERY == 0 or self._clock() > self._sweep_at:
            self.delete_old()
        if not self._claim(scope, key, fingerprint):
            return self._earlier(scope, key, fingerprint, patience_s).response()
        # A fault leaves the key claimed: whether money moved before it has to be looked up.
        response = work()
        try:
            if _is_repeatable(response.status_code, refusals_stored):
                self._release(scope, key)
            else:
                self._store(scope, key, response, secret=secret)
        except SQLAlchemyError:
            # The work is done and answered; a repeat of the request gets a Problem that says so.
            _log.warning("the response to a request could not be stored")
        return response

    def find(self, scope: str, key: str) -> StoredResponse | None:
        """The stored response of a key, None where there is none yet."""
        with self._engine.connect() as connection:
            row = connection.execute(
                select(answers).where(answers.c.scope == scope, answers.c.key == key)
            ).first()
        if row is None or row.status is None:
            return None
        headers, body = json.loads(row.headers), bytes(row.body)
        if headers.pop(_SEALED, None) and self._seal is not None:
            body = self._seal.open(body)
        return StoredResponse(status=row.status, headers=headers, body=body)

    def delete_old(self) -> int:
        """Delete responses older than a week; returns how many."""
        self._sweep_at = self._clock() + _SWEEP_INTERVAL
        limit = micros(self._clock() - STORED_FOR)
        with self._engine.begin() as connection:
            return connection.execute(delete(answers).where(answers.c.created_at < limit)).rowcount

    def _claim(self, scope: str, key: str, fingerprint: str) -> bool:
        row = {
            "scope": scope,
            "key": key,
            "fingerprint": fingerprint,
            "created_at": micros(self._clock()),
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(answers), row)
        except IntegrityError:
            return False
        return True

    def _earlier(self, scope: str, key: str, fingerprint: str, patience_s: float) -> StoredResponse:
        until = time.monotonic() + patience_s
        while True:
            with self._engine.connect() as connection:
                row = connection.execute(
                    select(answers.c.fingerprint, answers.c.created_at).where(
                        answers.c.scope == scope, answers.c.key == key
                    )
                ).first()
            if row is not None and row.fingerprint != fingerprint:
                detail = "Idempotency-Key: it was used with another request; choose a new one."
                raise Problem(kind="key-reused", detail=detail, field="Idempotency-Key")
            found = self.find(scope, key)
            if found is not None:
                return found
            if row is not None and row.created_at < micros(self._clock() - _LEASE):
                detail = "Read the order to learn what came of it, then use a new key."
                raise Problem(kind="request-interrupted", detail=detail)
            if time.monotonic() >= until:
                detail = "The first request with this key has not been answered yet."
                raise Problem(kind="request-under-way", detail=detail, retry_after_s=1)
            time.sleep(0.05)

    def _store(self, scope: str, key: str, response: Response, *, secret: bool) -> None:
        headers = {name: response.headers[name] for name in _HEADERS if name in response.headers}
        body = response.get_data()
        if secret and self._seal is not None:
            body = self._seal.close(body)
            headers[_SEALED] = "yes"
        with self._engine.begin() as connection:
            connection.execute(
                update(answers)
                .where(answers.c.scope == scope, answers.c.key == key)
                .values(
                    status=response.status_code,
                    headers=json.dumps(headers),
                    body=body,
                )
            )

    def _release(self, scope: str, key: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                delete(answers).where(answers.c.scope == scope, answers.c.key == key)
            )


def _is_repeatable(status: int, refusals_stored: Collection[int] | None) -> bool:
    if 400 <= status < 500 and refusals_stored is not None:
        return status not in refusals_stored
    return status in (401, 429) or (status >= 500 and status != 504)


def fingerprint(*parts: bytes | str) -> str:
    """SHA-256 over the parts of a request that make it the same request."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode() if isinstance(part, str) else part
        digest.update(len(encoded).to_bytes(8) + encoded)
    return digest.hexdigest()
