"""Emulated phones and the token service: how they come by their keys, and by new ones.

Keys travel as TR-31 blocks under the token service's zone key, which the demo's phones share: it
stands for the secure channel between a phone and its wallet's server or service manager.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from checkout.clearing.client.client import NoAnswer, NotSent, OperationFailed
from checkout.clearing.client.open_client import open_client
from checkout.clearing.hsm import tdes
from checkout.clearing.hsm.keystore import KeyStore, KeyUsage, unwrap_key
from devices.nfc.emulated import (
    CardFileError,
    CardProfile,
    LimitedUseKey,
    card_path,
    personalise,
    stock_of,
)

_ZONE = "token-service"
_ANSWER_WITHIN_S = 10.0


class Operates(Protocol):
    """The part of a SwitchClient that reaches the token service."""

    def operate(
        self, name: str, arguments: dict[str, Any] | None = None, *, timeout_s: float = 60.0
    ) -> dict[str, Any]:
        """Have the switch do an operation; see SwitchClient."""


#: Gives a line to the token service for as long as a phone needs it.
TokenService = Callable[[], AbstractContextManager[Operates]]


class NotProvisioned(CardFileError):
    """The token service gave a phone nothing to pay with; the message says why."""


def borrowed(client: Callable[[], Operates]) -> TokenService:
    """The token service by the line of someone who keeps one open; it stays open."""

    @contextmanager
    def line() -> Iterator[Operates]:
        yield client()

    return line


def opened(home: Path, database_url: str) -> TokenService:
    """The token service by a line of its own, closed after use.

    It joins the running switch of this database, or starts one in this process for that long.
    """

    @contextmanager
    def line() -> Iterator[Operates]:
        client = open_client(home, database_url)
        try:
            yield client
        finally:
            client.close()

    return line


def provision(profile: CardProfile, home: Path, service: TokenService) -> Path:
    """Make a phone with what the token service gives it, or replenish it; its state file.

    Nobody is asked while the phone has what it needs. One that is refused new keys, or can't reach
    the service, goes on with those that it has left. Raises NotProvisioned where it has none yet.
    """
    stock = stock_of(profile, home)
    if stock.made and not stock.low:
        return card_path(profile.name, home)
    assert profile.phone is not None
    try:
        with service() as desk:
            if not profile.phone.limited_use_keys:
                return personalise(profile, card_key=_element_key(profile, home, desk), home=home)
            keys = _fetched_keys(profile, home, desk, after=stock.last_serial)
    except (OperationFailed, NotSent, NoAnswer) as error:
        if stock.made:
            return card_path(profile.name, home)
        raise NotProvisioned(f"{profile.name}: not provisioned, {error}") from None
    return personalise(profile, card_key=None, keys=keys, home=home)


def _fetched_keys(
    profile: CardProfile, home: Path, desk: Operates, *, after: int
) -> list[LimitedUseKey]:
    """As many limited-use keys as the phone keeps, with serials above `after`."""
    assert profile.phone is not None
    transport = KeyStore(home).zone_key(_ZONE)
    wanted = {"payment_token": profile.pan, "kind": "limited-use"}
    keys: list[LimitedUseKey] = []
    while len(keys) < profile.phone.limited_use_keys:
        told = desk.operate("token-keys", wanted | {"after": after}, timeout_s=_ANSWER_WITHIN_S)
        now = time.time()
        for one in told["keys"]:
            life_s = (one["expires_us"] - told["issued_us"]) // 1_000_000
            key = unwrap_key(transport, one["key_block"], KeyUsage.CRYPTOGRAM_MASTER)
            keys.append(
                LimitedUseKey(
                    serial=one["serial"], key=key, expires_at=int(now + life_s), uses=one["uses"]
                )
            )
        after = keys[-1].serial
    return keys


def _element_key(profile: CardProfile, home: Path, desk: Operates) -> bytes:
    """The payment token's card key, as the trusted service manager loads it."""
    wanted = {"payment_token": profile.pan, "aid": profile.aid}
    told = desk.operate("personalise-token", wanted, timeout_s=_ANSWER_WITHIN_S)
    transport = KeyStore(home).zone_key(_ZONE)
    key = unwrap_key(transport, told["key_block"], KeyUsage.CRYPTOGRAM_MASTER)
    check_value = tdes.encrypt(key, bytes(8))[:3].hex().upper()
    if told["tags"]["5A"].rstrip("F") != profile.pan:
        raise NotProvisioned(f"{profile.name}: personalised with another payment token")
    if not hmac.compare_digest(check_value, told["key_check_value"]):
        raise NotProvisioned(f"{profile.name}: the key's check value differs")
    return key
