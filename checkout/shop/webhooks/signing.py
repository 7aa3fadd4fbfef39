"""Signs and verifies webhooks (Standard Webhooks 1.0.0, "Signature scheme" and "Webhook headers").

The signature is HMAC-SHA256 over ``id.timestamp.body``, with the body's raw bytes, under a secret
that sender and receiver share. The module needs nothing but the standard library.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets as randomness
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"

#: Seconds by which a delivery's timestamp may be off, either way.
TOLERANCE_S = 300

#: Seconds for which a receiver remembers event ids: longer than the sender goes on trying.
KEEP_IDS_S = 7 * 24 * 3600.0

_PREFIX = "whsec_"
_FEWEST_BYTES, _MOST_BYTES = 24, 64
_EVENT_ID = re.compile(r"[!-\-/-~]{1,255}", re.ASCII)  # visible and without the full stop
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)

Check = Literal["headers", "timestamp", "signature"]


class SecretError(ValueError):
    """A secret that is not ``whsec_`` and base64 of 24 to 64 bytes; the secret is not repeated."""


class WebhookRefused(Exception):
    """A delivery that failed a check, which `check` names."""

    def __init__(self, check: Check, message: str) -> None:
        super().__init__(message)
        self.check = check


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a valid signature proves: the event's id, and when this attempt was signed (UTC)."""

    event_id: str
    signed_at: datetime


def new_secret() -> str:
    """A fresh secret of 32 random bytes, in the form that the receiver is given."""
    return _PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()


def sign(
    body: bytes, *, event_id: str, at: datetime, secrets: str | Sequence[str]
) -> dict[str, str]:
    """The three headers of one attempt to deliver `body`, signed under each of `secrets`.

    `at` is the aware time of the attempt; the id is the same at every attempt. SecretError, or
    ValueError for an id with a full stop or an invisible character.
    """
    if _EVENT_ID.fullmatch(event_id) is None:
        raise ValueError("event id: expected 1 to 255 visible ASCII characters, no full stop")
    timestamp = str(int(at.timestamp()))
    signatures = [_signature(key, event_id, timestamp, body) for key in _keys(secrets)]
    return {ID: event_id, TIMESTAMP: timestamp, SIGNATURE: " ".join(signatures)}


def verify(
    body: bytes,
    headers: Mapping[str, str],
    *,
    secrets: str | Sequence[str],
    now: datetime,
    tolerance_s: float = TOLERANCE_S,
) -> Verified:
    """Check a delivery's raw bytes and headers; WebhookRefused says in one line what is wrong.

    One signature in the header that fits one of `secrets` is enough; versions other than ``v1``
    are ignored. Header names may be in upper or lower case.
    """
    given = {name.lower(): text for name, text in headers.items()}
    for name in (ID, TIMESTAMP, SIGNATURE):
        if not given.get(name):
            raise WebhookRefused("headers", f"{name}: the header is missing")
    event_id, timestamp = given[ID], given[TIMESTAMP]
    if _EVENT_ID.fullmatch(event_id) is None:
        raise WebhookRefused("headers", f"{ID}: expected visible ASCII without a full stop")
    if _SECONDS.fullmatch(timestamp) is None:
        raise WebhookRefused("headers", f"{TIMESTAMP}: expected whole seconds since the epoch")
    _check_age(int(timestamp), now, tolerance_s)
    expected = [_signature(key, event_id, timestamp, body) for key in _keys(secrets)]
    signed = [each for each in given[SIGNATURE].split(" ") if each.startswith("v1,")]
    if not signed:
        raise WebhookRefused("signature", f"{SIGNATURE}: no signature of version v1 in it")
    fits = [
        hmac.compare_digest(ours.encode(), _raw(theirs)) for ours in expected for theirs in signed
    ]
    if not any(fits):
        raise WebhookRefused("signature", f"{SIGNATURE}: it does not fit id, timestamp and body")
    return Verified(event_id=event_id, signed_at=datetime.fromtimestamp(int(timestamp), UTC))


class TakenIds:
    """The ids of events that were acted on, so that an event that comes twice is acted on once.

    They are held in memory, for one process, while it runs. A receiver with a database stores the
    id there, in the transaction that acts on the event. `keep_s` must be at least twice the
    tolerance of `verify`, and longer than the sender goes on trying. Safe for many threads.
    """

    def __init__(self, *, keep_s: float = KEEP_IDS_S, most: int = 1_000_000) -> None:
        self.keep_s = keep_s
        self._most = most
        self._until: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, event_id: str, now: datetime) -> bool:
        """Record the id; True where it was new. Beyond `most` ids the oldest are dropped."""
        at = now.timestamp()
        with self._lock:
            if self._until.get(event_id, at) > at:
                return False
            self._until[event_id] = at + self.keep_s
            self._until.move_to_end(event_id)
            while self._until and (
                len(self._until) > self._most or next(iter(self._until.values())) <= at
            ):
                self._until.popitem(last=False)
            return True

    def give_back(self, event_id: str) -> None:
        """Forget the id, since acting on its event failed: the event counts as new next time."""
        with self._lock:
            self._until.pop(event_id, None)


def _check_age(timestamp: int, now: datetime, tolerance_s: float) -> None:
    age_s = now.timestamp() - timestamp
    if abs(age_s) <= tolerance_s:
        return
    side = "old" if age_s > 0 else "far ahead"
    raise WebhookRefused(
        "timestamp",
        f"{TIMESTAMP}: {abs(age_s):.0f} s {side}, at most {tolerance_s:.0f} s are taken",
    )


def _signature(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _keys(secrets: str | Sequence[str]) -> list[bytes]:
    keys = [_key(each) for each in ([secrets] if isinstance(secrets, str) else secrets)]
    if not keys:
        raise SecretError("secret: expected at least one")
    return keys


def _key(secret: str) -> bytes:
    wanted = f"secret: expected {_PREFIX} and base64 of {_FEWEST_BYTES} to {_MOST_BYTES} bytes"
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise SecretError(wanted) from None
    if not secret.startswith(_PREFIX) or not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        raise SecretError(wanted)
    return key


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
