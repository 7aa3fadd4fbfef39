"""Encrypts requests that the shop may have to send again and that nobody may read."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from cryptography.fernet import Fernet

from checkout.private_files import create_private, private_folder


def secret_file(path: Path, fresh: bytes) -> bytes:
    """The secret in the file `path` (mode 0600 in a 0700 folder); the first call writes `fresh`.

    Several processes may call it at once: all get the secret of the first.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    private_folder(path.parent)
    create_private(path, fresh)
    return path.read_bytes()


class KeyLost(Exception):
    """A key is missing, or is not the one that stored data needs; the message names the remedy."""


def shop_key_file(home: Path) -> Path:
    """The file of the key under which this home's Seal encrypts."""
    return home / "keys" / "shop.key"


class Seal:
    """Authenticated encryption under a key of this installation (`keys/shop.key`)."""

    def __init__(self, home: Path) -> None:
        """Open the key, or make it where it is missing. KeyLost for a file that holds no key."""
        path = shop_key_file(home)
        secret = secret_file(path, Fernet.generate_key())
        try:
            self._fernet = Fernet(secret)
        except ValueError:
            raise KeyLost(
                f"{path}: this file holds no key; restore it, or start the demo afresh: remove it "
                "and run `checkout reset`"
            ) from None
        self._hash_key = hashlib.sha256(b"fingerprint" + secret).digest()
        self._derive_key = hashlib.sha256(b"derive" + secret).digest()

    def close(self, plain: bytes) -> bytes:
        """Encrypt."""
        return self._fernet.encrypt(plain)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt; cryptography.fernet.InvalidToken for altered bytes, or those of another home."""
        return self._fernet.decrypt(sealed)

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for one `purpose`, which is the same for ever in this home."""
        return hmac.digest(self._derive_key, purpose.encode(), "sha256")

    def check_value(self) -> int:
        """A number of 62 bits by which the key is known again, and which does not reveal it."""
        return int.from_bytes(self.derive("check value")[:8], "big") >> 2

    def fingerprint(self, text: str) -> int:
        """A keyed hash as an integer, which only this home can compute."""
        return int.from_bytes(hmac.digest(self._hash_key, text.encode(), "sha256"), "big")
