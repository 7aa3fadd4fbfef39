"""From a profile to a personalised card: its keys, and the file that holds all of it."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devices.nfc.emulated import cryptograms
from devices.nfc.emulated.application import Chip
from devices.nfc.emulated.authority import Authority, ensure_authority
from devices.nfc.emulated.card_files import build_image
from devices.nfc.emulated.image import CardImage
from devices.nfc.emulated.memory import LimitedUseKey, Memory, memory_from
from devices.nfc.emulated.profile import CardProfile
from devices.nfc.emulated.storage import (
    FileLock,
    locked,
    private_folder,
    read_json,
    write_json,
)
from devices.nfc.emulated.unionpay import UnionPayApplication
from devices.nfc.emulated.visa import VisaApplication

FORMAT = 1
_FEW_USES = 2


def card_path(name: str, home: Path) -> Path:
    """Where the state of the card with this name lives."""
    return home / "cards" / f"{name}.json"


def personalise(
    profile: CardProfile,
    *,
    card_key: bytes,
    home: Path,
    keys: Sequence[LimitedUseKey] | None = None,
    now: float | None = None,
) -> Path:
    """Make the card of a profile under this installation's CA, once; return its state file.

    `card_key` is the card's 16-byte cryptogram key as the issuer derived it. A phone without a
    secure element is given limited-use `keys` instead of it, or a batch derived from it, and again
    when it has run low and is not on a reader. A card that is there already otherwise stays as it
    is; where profile or keys have changed since, it is made again and goes on counting transactions
    from where it was. Raises ValueError for a key of another length, OSError where the home can't
    be written.
    """
    if len(card_key) != 16:
        raise ValueError(f"card_key: expected 16 bytes, got {len(card_key)}")
    authority = ensure_authority(home)
    path = card_path(profile.name, home)
    digest = _digest(profile, card_key, authority)
    started = time.time() if now is None else now
    if path.exists() and (content := read_json(path)).get("digest") == digest:
        if _runs_low(profile, content, started):
            _top_up(path, profile, keys, card_key, started)
        return path
    private_folder(path.parent)
    with locked(lock_path(path)):
        before = read_json(path) if path.exists() else {}
        if before.get("digest") == digest:
            return path
        image = build_image(profile, card_key, authority)
        memory = Memory()
        if profile.phone and profile.phone.limited_use_keys:
            known = memory_from(before["memory"]).last_serial if before else 0
            batch = keys if keys else derived_keys(profile, card_key, started, after=known)
            memory.take_keys(batch, started)
        if before:
            memory.atc = memory_from(before["memory"]).atc
        if profile.trouble.replay == "recorded":
            _record_transaction(profile, image, memory)
        _write(path, digest, profile, image, memory)
    return path


def install(profile: CardProfile, image: CardImage, *, home: Path) -> Path:
    """Write a card with files and keys made elsewhere, such as a published test card's.

    Whatever card of that name is there is replaced. Raises OSError like personalise.
    """
    path = card_path(profile.name, home)
    private_folder(path.parent)
    with locked(lock_path(path)):
        _write(path, secrets.token_hex(16), profile, image, Memory())
    return path


def lock_path(path: Path) -> Path:
    """The lock that guards a card's state file."""
    return path.with_suffix(".lock")


def derived_keys(
    profile: CardProfile, card_key: bytes, now: float, *, after: int
) -> list[LimitedUseKey]:
    """A batch of keys as a token service hands them to a phone, serial numbers after `after`."""
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


def _runs_low(profile: CardProfile, content: dict[str, Any], now: float) -> bool:
    if profile.phone is None or not profile.phone.limited_use_keys:
        return False
    return memory_from(content["memory"]).uses_left(now) <= _FEW_USES


def _top_up(
    path: Path,
    profile: CardProfile,
    keys: Sequence[LimitedUseKey] | None,
    card_key: bytes,
    now: float,
) -> None:
    """Hand an idle phone its next batch, as a wallet fetches it in the background."""
    lock = FileLock(lock_path(path))
    if not lock.acquire(0.0):
        return
    try:
        content = read_json(path)
        memory = memory_from(content["memory"])
        if memory.uses_left(now) <= _FEW_USES:
            batch = keys or derived_keys(profile, card_key, now, after=memory.last_serial)
            memory.take_keys(batch, now)
            write_json(path, content | {"memory": memory.as_json()})
    finally:
        lock.release()


def _record_transaction(profile: CardProfile, image: CardImage, memory: Memory) -> None:
    """Let the card pay once, long ago and elsewhere; it will repeat that answer for ever."""
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


def _write(path: Path, digest: str, profile: CardProfile, image: CardImage, memory: Memory) -> None:
    content = {
        "format": FORMAT,
        "digest": digest,
        "profile": profile.as_table(),
        "image": image.as_json(),
        "memory": memory.as_json(),
    }
    write_json(path, content)


def _digest(profile: CardProfile, card_key: bytes, authority: Authority) -> str:
    public = [key.as_json() for key in authority.public_keys]
    made_of: list[Any] = [FORMAT, profile.as_table(), hashlib.sha256(card_key).hexdigest(), public]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
