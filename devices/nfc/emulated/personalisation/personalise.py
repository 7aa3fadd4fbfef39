"""Personalises a card from its profile: makes its keys and writes its state file."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.nfc.emulated.card import cryptograms
from devices.nfc.emulated.card.application import Chip
from devices.nfc.emulated.card.image import CardImage
from devices.nfc.emulated.card.memory import LimitedUseKey, Memory, memory_from
from devices.nfc.emulated.card.unionpay import UnionPayApplication
from devices.nfc.emulated.card.visa import VisaApplication
from devices.nfc.emulated.personalisation.records import build_image
from devices.nfc.emulated.personalisation.test_ca import Authority, ensure_authority
from devices.nfc.emulated.profile import CardProfile
from devices.nfc.emulated.state_file import (
    FORMAT,
    CardLock,
    card_path,
    lock_path,
    locked,
    private_folder,
    read_json,
    write_json,
)

_FEW_USES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """Whether a card is personalised, and whether it needs limited-use keys.

    `made`: it is personalised by its present profile. `low`: it needs new limited-use keys; never
    true for a phone on a reader. `last_serial`: serial number of its newest key, 0 before any.
    """

    made: bool
    low: bool = False
    last_serial: int = 0


def personalise(
    profile: CardProfile,
    *,
    card_key: bytes | None,
    home: Path,
    keys: Sequence[LimitedUseKey] | None = None,
    now: float | None = None,
) -> Path:
    """Make the card of a profile under this installation's CA; return its state file.

    `card_key` is the card's 16-byte cryptogram key, derived by the issuer. A phone without a secure
    element gets limited-use `keys` instead (`card_key` is None then) or a batch derived from
    `card_key`; it gets more when it runs low and is not on a reader. An existing card stays as it
    is, unless profile or keys have changed: then it is made again and its ATC continues. Raises
    ValueError for a key of another length, OSError where the home can't be written.
    """
    if card_key is None and not (keys and _spends_keys(profile)):
        raise ValueError("card_key: expected 16 bytes, or limited-use keys for a phone")
    if card_key is not None and len(card_key) != 16:
        raise ValueError(f"card_key: expected 16 bytes, got {len(card_key)}")
    authority = ensure_authority(home)
    path = card_path(profile.name, home)
    made_of = {"digest": _digest(profile, authority), "key_digest": _key_digest(card_key)}
    started = time.time() if now is None else now
    if path.exists() and (content := read_json(path)).items() >= made_of.items():
        if _runs_low(profile, content, started):
            _top_up(path, profile, keys, card_key, started)
        return path
    private_folder(path.parent)
    with locked(lock_path(path)):
        before = read_json(path) if path.exists() else {}
        if before.items() >= made_of.items():
            return path
        image = build_image(profile, card_key or b"", authority)
        memory = Memory()
        if _spends_keys(profile):
            known = memory_from(before["memory"]).last_serial if before else 0
            memory.take_keys(_batch(profile, keys, card_key, started, after=known), started)
        if before:
            memory.atc = memory_from(before["memory"]).atc
        if profile.trouble.replay == "recorded":
            _record_transaction(profile, image, memory)
        _write(path, made_of, profile, image, memory)
    return path


def stock_of(profile: CardProfile, home: Path, *, now: float | None = None) -> Stock:
    """The stock of the card of a profile; makes no card and adds no keys."""
    path = card_path(profile.name, home)
    if not path.exists():
        return Stock(made=False)
    content = read_json(path)
    last_serial = memory_from(content["memory"]).last_serial
    if content.get("digest") != _digest(profile, ensure_authority(home)):
        return Stock(made=False, last_serial=last_serial)
    low = _runs_low(profile, content, time.time() if now is None else now)
    return Stock(made=True, low=low and _is_idle(path), last_serial=last_serial)


def install(profile: CardProfile, image: CardImage, *, home: Path) -> Path:
    """Write a card with files and keys from elsewhere, such as a published test card.

    It replaces any card of that name. Raises OSError like `personalise`.
    """
    path = card_path(profile.name, home)
    private_folder(path.parent)
    with locked(lock_path(path)):
        _write(path, {"digest": secrets.token_hex(16)}, profile, image, Memory())
    return path


def derived_keys(
    profile: CardProfile, card_key: bytes, now: float, *, after: int
) -> list[LimitedUseKey]:
    """A batch of limited-use keys for a phone, with serial numbers after `after`."""
    phone = profile.phone
    assert phone is not None
    expires_at = int(now) + phone.key_life_h * 3600
    return [
        LimitedUseKey(
            serial=serial,
            key=cryptograms.limited_use_key(card_key, serial),
            expires_at=expires_at,
            uses=phone.key_uses,
        )
        for serial in range(after + 1, after + 1 + phone.limited_use_keys)
    ]


def _spends_keys(profile: CardProfile) -> bool:
    return profile.phone is not None and profile.phone.limited_use_keys > 0


def _is_idle(path: Path) -> bool:
    lock = CardLock(lock_path(path))
    idle = lock.acquire(0.0)
    lock.release()
    return idle


def _batch(
    profile: CardProfile,
    keys: Sequence[LimitedUseKey] | None,
    card_key: bytes | None,
    now: float,
    *,
    after: int,
) -> Sequence[LimitedUseKey]:
    if keys:
        return keys
    assert card_key is not None
    return derived_keys(profile, card_key, now, after=after)


def _runs_low(profile: CardProfile, content: dict[str, Any], now: float) -> bool:
    if not _spends_keys(profile):
        return False
    return memory_from(content["memory"]).uses_left(now) <= _FEW_USES


def _top_up(
    path: Path,
    profile: CardProfile,
    keys: Sequence[LimitedUseKey] | None,
    card_key: bytes | None,
    now: float,
) -> None:
    """Give an idle phone its next batch, as a wallet fetches it in the background."""
    lock = CardLock(lock_path(path))
    if not lock.acquire(0.0):
        return
    try:
        content = read_json(path)
        memory = memory_from(content["memory"])
        if memory.uses_left(now) <= _FEW_USES:
            batch = _batch(profile, keys, card_key, now, after=memory.last_serial)
            memory.take_keys(batch, now)
            write_json(path, content | {"memory": memory.as_json()})
    finally:
        lock.release()


def _record_transaction(profile: CardProfile, image: CardImage, memory: Memory) -> None:
    """Let the card make one earlier transaction elsewhere, whose answer it will always repeat."""
    chip = Chip(
        profile=profile,
        image=image,
        memory=memory,
        commit=lambda: None,
        now=time.time,
        random_bytes=secrets.token_bytes,
    )
    application = VisaApplication if profile.scheme == "visa" else UnionPayApplication
    values = bytes.fromhex("2600000000000000010000000000000001560000000000015624060100")
    memory.recorded = application(chip).processing_options(values + secrets.token_bytes(4))


def _write(
    path: Path, made_of: dict[str, str], profile: CardProfile, image: CardImage, memory: Memory
) -> None:
    content = {
        "format": FORMAT,
        **made_of,
        "profile": profile.as_table(),
        "image": image.as_json(),
        "memory": memory.as_json(),
    }
    write_json(path, content)


def _digest(profile: CardProfile, authority: Authority) -> str:
    public = [key.as_json() for key in authority.public_keys]
    made_of: list[Any] = [FORMAT, profile.as_table(), public]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _key_digest(card_key: bytes | None) -> str:
    return "" if card_key is None else hashlib.sha256(card_key).hexdigest()
