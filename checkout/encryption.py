"""Encrypts what the shop must be able to repeat to its acquirer and nobody should read."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from cryptography.fernet import Fernet

from checkout.private_files import create_private, private_folder


def secret_file(path: Path, make: bytes) -> bytes:
    """The secret kept at `path` (mode 0600 in a 0700 folder); `make` becomes it the first time.

    Safe when several processes start at once: whoever links its file first wins.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    private_folder(path.parent)
    create_private(path, make)
    return path.read_bytes()


class Seal:
    """Authenticated encryption under a key of this installation (`keys/shop.key`)."""

    def __init__(self, home: Path) -> None:
        secret = secret_file(home / "keys" / "shop.key", Fernet.generate_key())
        self._fernet = Fernet(secret)
        self._hash_key = hashlib.sha256(b"fingerprint" + secret).digest()
        self._derive_key = hashlib.sha256(b"derive" + secret).digest()

    def close(self, plain: bytes) -> bytes:
        """Encrypt."""
        return self._fernet.encrypt(plain)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt; cryptography.fernet.InvalidToken when it was altered or is another home's."""
        return self._fernet.decrypt(sealed)

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for one `purpose`: always the same in this home, told by no other."""
        return hmac.digest(self._derive_key, purpose.encode(), "sha256")

    def fingerprint(self, text: str) -> int:
        """A keyed hash as an integer: the same for the same text in this home, nowhere else."""
        return int.from_bytes(hmac.digest(self._hash_key, text.encode(), "sha256"), "big")
