"""PINs as messages carry them (ISO 9564 format 0) and as the issuer stores them: a salted hash."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from psec import pinblock

from checkout.clearing.hsm import tdes

PIN_TRIES = 3
_ROUNDS = 1 << 10
_SALT_BYTES = 16


class PinBlockError(ValueError):
    """A PIN block (DE52) without a PIN under this key and account; the message names no PIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinVerdict:
    """`response_code` is 00, 55 (wrong) or 75 (no tries left); `tries_left` is to be stored."""

    response_code: str
    tries_left: int

    @property
    def verified(self) -> bool:
        """Whether the PIN was right and tries were left."""
        return self.response_code == "00"


def encrypt_pin_block(pin: str, account: str, pin_key: bytes) -> bytes:
    """8-byte DE52: the PIN (4 to 12 digits) bound to the account, under a 16-byte PIN key.

    ISO 9564-1, format 0. PinBlockError for a PIN or account number that doesn't fit.
    """
    try:
        block = pinblock.encode_pinblock_iso_0(pin, account)
    except ValueError:
        raise PinBlockError("PIN: expected 4 to 12 digits and an account of 13 or more") from None
    return tdes.encrypt(pin_key, block)


def decrypt_pin_block(block: bytes, account: str, pin_key: bytes) -> str:
    """The PIN in DE52; PinBlockError where it was encrypted under another key or account."""
    if len(block) != 8:
        raise PinBlockError(f"DE52: expected 8 bytes, got {len(block)}")
    try:
        return pinblock.decode_pinblock_iso_0(tdes.decrypt(pin_key, block), account)
    except ValueError:
        raise PinBlockError("DE52: no PIN block of format 0 for this account") from None


def pin_verification(pin: str, account: str, *, salt: bytes, pepper: bytes) -> bytes:
    """What an issuer stores of a PIN: the 16-byte salt and a 32-byte slow hash.

    `pepper` is a secret of the installation outside the database. Without it nobody can try the few
    possible PINs against a copy of the database.
    """
    if len(salt) != _SALT_BYTES:
        raise ValueError(f"salt: expected {_SALT_BYTES} bytes, got {len(salt)}")
    keyed = hmac.digest(pepper, f"{account}:{pin}".encode(), "sha256")
    return salt + hashlib.pbkdf2_hmac("sha256", keyed, salt, _ROUNDS)


def check_pin(
    pin: str, account: str, stored: bytes, *, pepper: bytes, tries_left: int
) -> PinVerdict:
    """Compare a PIN with what `pin_verification` gave; three wrong ones in a row block the PIN."""
    if tries_left <= 0:
        return PinVerdict(response_code="75", tries_left=0)
    computed = pin_verification(pin, account, salt=stored[:_SALT_BYTES], pepper=pepper)
    if hmac.compare_digest(computed, stored):
        return PinVerdict(response_code="00", tries_left=PIN_TRIES)
    left = tries_left - 1
    return PinVerdict(response_code="55" if left else "75", tries_left=left)
