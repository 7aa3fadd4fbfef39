"""How an emulated phone gets its keys from the token service, and new ones when they run low.

Keys travel as TR-31 blocks under the token service's zone key, which the demo's phones share. It
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


class OperationClient(Protocol):
    """The part of a SwitchClient that reaches the token service."""

    def operate(
        self, name: str, arguments: dict[str, Any] | None = None, *, timeout_s: float = 60.0
    ) -> dict[str, Any]:
        """Have the switch do an operation; see SwitchClient."""


#: Yields a client of the token service for as long as a phone needs one.
TokenService = Callable[[], AbstractContextManager[OperationClient]]


class NotProvisioned(CardFileError):
    """The token service gave a phone no keys to pay with; the message says why."""


def shared_service(client: Callable[[], OperationClient]) -> TokenService:
    """The token service by a client that someone else opened, and closes."""

    @contextmanager
    def line() -> Iterator[OperationClient]:
        yield client()

    return line


def own_service(home: Path, database_url: str) -> TokenService:
    """The token service by a client of its own, closed after use.

    The client joins the running switch of this database, or starts one in this process meanwhile.
    """

    @contextmanager
    def line() -> Iterator[OperationClient]:
        client = open_client(home, database_url)
        try:
            yield client
        finally:
            client.close()

    return line


def provision(profile: CardProfile, home: Path, service: TokenService) -> Path:
    """Make a phone with keys from the token service, or replenish them; returns its state file.

    A phone that has enough keys asks for none. One that is refused new keys, or can't reach the
    service, goes on with those that it has left. Raises NotProvisioned where it has none yet.
    """
    stock = stock_of(profile, home)
    if stock.made and not stock.low:
        return card_path(profile.name, home)
    assert profile.phone is not None
    try:
        with service() as client:
            if not profile.phone.limited_use_keys:
                return personalise(profile, card_key=_element_key(profile, home, client), home=home)
            keys = _fetched_keys(profile, home, client, after=stock.last_serial)
    except (OperationFailed, NotSent, NoAnswer) as error:
        if stock.made:
            return card_path(profile.name, home)
        raise NotProvisioned(f"{profile.name}: not provisioned, {error}") from None
    return personalise(profile, card_key=None, keys=keys, home=home)


def _fetched_keys(
    profile: CardProfile, home: Path, client: OperationClient, *, after: int
) -> list[LimitedUseKey]:
    """As many limited-use keys as the phone holds, with serials above `after`."""
    assert profile.phone is not None
    transport = KeyStore(home).zone_key(_ZONE)
    wanted = {"payment_token": profile.pan, "kind": "limited-use"}
    keys: list[LimitedUseKey] = []
    while len(keys) < profile.phone.limited_use_keys:
        answer = client.operate("token-keys", wanted | {"after": after}, timeout_s=_ANSWER_WITHIN_S)
        now = time.time()
        for given in answer["keys"]:
            life_s = (given["expires_us"] - answer["issued_us"]) // 1_000_000
            key = unwrap_key(transport, given["key_block"], KeyUsage.CRYPTOGRAM_MASTER)
            keys.append(
                LimitedUseKey(
                    serial=given["serial"],
                    key=key,
                    expires_at=int(now + life_s),
                    uses=given["uses"],
                )
            )
        after = keys[-1].serial
    return keys


def _element_key(profile: CardProfile, home: Path, client: OperationClient) -> bytes:
    """The payment token's card key, as the trusted service manager loads it."""
    wanted = {"payment_token": profile.pan, "aid": profile.aid}
    answer = client.operate("personalise-token", wanted, timeout_s=_ANSWER_WITHIN_S)
    transport = KeyStore(home).zone_key(_ZONE)
    key = unwrap_key(transport, answer["key_block"], KeyUsage.CRYPTOGRAM_MASTER)
    check_value = tdes.encrypt(key, bytes(8))[:3].hex().upper()
    if answer["tags"]["5A"].rstrip("F") != profile.pan:
        raise NotProvisioned(f"{profile.name}: personalised with another payment token")
    if not hmac.compare_digest(check_value, answer["key_check_value"]):
        raise NotProvisioned(f"{profile.name}: the key's check value differs")
    return key
