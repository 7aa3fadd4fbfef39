"""The keys of one installation: issuers' master keys per range, and keys between participants.

The first use writes the file `keys/issuer-keys.json` (mode 0600, in a folder of mode 0700); several
processes may do so at once. No key is ever printed: `repr` shows the path alone.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from filelock import FileLock
from psec import tr31

from checkout.clearing.hsm import tdes
from checkout.clearing.hsm.card_keys import derive_card_key
from checkout.clearing.scheme.participants import demo_participants
from checkout.private_files import private_folder, replace_private

#: Under this name the clearing tables store the check value of their keys.
KEY_CHECK = "key-check"

_CACHED_CARD_KEYS = 1 << 16
_LOCK_POLL_S = 0.005


class KeyPurpose(StrEnum):
    """What an issuer master key is for; the value is its name in the file."""

    CRYPTOGRAM = "ac"  # ARQC and ARPC
    INTEGRITY = "smi"  # MAC of issuer scripts
    CONFIDENTIALITY = "smc"  # encryption within issuer scripts
    PIN_VERIFICATION = "pvk"


class KeyUsage(StrEnum):
    """Usage field of a TR-31 key block (ANSI X9.143, key usage)."""

    PIN_ENCRYPTION = "P0"
    MAC = "M3"  # ISO/IEC 9797-1, MAC algorithm 3
    CRYPTOGRAM_MASTER = "E0"
    INTEGRITY_MASTER = "E2"
    CONFIDENTIALITY_MASTER = "E1"
    PIN_VERIFICATION = "V2"


_USAGE = {
    KeyPurpose.CRYPTOGRAM: KeyUsage.CRYPTOGRAM_MASTER,
    KeyPurpose.INTEGRITY: KeyUsage.INTEGRITY_MASTER,
    KeyPurpose.CONFIDENTIALITY: KeyUsage.CONFIDENTIALITY_MASTER,
    KeyPurpose.PIN_VERIFICATION: KeyUsage.PIN_VERIFICATION,
}
_MODE_OF_USE = {KeyUsage.PIN_ENCRYPTION: "B", KeyUsage.MAC: "C", KeyUsage.PIN_VERIFICATION: "C"}
_DERIVES_KEYS = "X"


class KeyStoreError(Exception):
    """The key file can't be read, written or trusted, or has no such key."""


class KeyStore:
    """Keys of the installation at `home`; the first request for a key writes the file.

    `random_bytes(n)` gives key material.
    """

    def __init__(
        self,
        home: Path,
        *,
        ranges: Sequence[str] | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.path = home / "keys" / "issuer-keys.json"
        self._ranges = tuple(demo_participants().ranges if ranges is None else ranges)
        self._random_bytes = random_bytes
        self._keys: dict[str, dict[str, str]] | None = None
        self._card_keys: dict[tuple[str, str | None, KeyPurpose], bytes] = {}

    def __repr__(self) -> str:
        return f"KeyStore({str(self.path)!r})"

    def __reduce__(self) -> str:
        raise TypeError("a key store is not copied or pickled; open it again by its home")

    def master_key(self, prefix: str, purpose: KeyPurpose = KeyPurpose.CRYPTOGRAM) -> bytes:
        """16-byte issuer master key of an account range; KeyStoreError for an unknown range."""
        section = self._section(f"range {prefix}")
        if section is None:
            raise KeyStoreError(f"range: no issuer master key for {prefix!r}")
        return bytes.fromhex(section[purpose])

    def card_key(
        self,
        account: str,
        pan_sequence: str | None,
        purpose: KeyPurpose = KeyPurpose.CRYPTOGRAM,
    ) -> bytes:
        """16-byte key of one card, derived from its range's master key.

        `account` is the PAN or payment token, `pan_sequence` DE23 or tag 5F34 as digits.
        EMV Book 2, Annex A1.4.1 (option A). KeyStoreError for an unknown range.
        """
        card = (account, pan_sequence, purpose)
        key = self._card_keys.get(card)
        if key is None:
            master = self.master_key(self._range_of(account), purpose)
            key = derive_card_key(master, account, pan_sequence)
            if len(self._card_keys) >= _CACHED_CARD_KEYS:
                self._card_keys.clear()
            self._card_keys[card] = key
        return key

    def zone_key(self, participant: str) -> bytes:
        """32-byte AES key of the TR-31 blocks to a participant, generated on first use."""
        return self._random_secret(f"zone {participant}", "kbpk")

    def export_master_key(self, prefix: str, purpose: KeyPurpose, participant: str) -> str:
        """An issuer master key as a TR-31 block under the participant's zone key."""
        return wrap_key(
            self.zone_key(participant), self.master_key(prefix, purpose), _USAGE[purpose]
        )

    def secret(self, name: str) -> bytes:
        """32 random bytes stored under `name`, such as the pepper of stored PINs."""
        return self._random_secret(f"secret {name}", "bytes")

    def check(self, recorded: int | None) -> int:
        """The check value of these keys, a number of 62 bits that does not reveal them.

        `recorded` is that of the keys which a database was made with, None for a new database.
        Raises KeyStoreError where it differs.
        """
        missing = recorded is not None and not self.path.exists()
        if not missing:
            secret = self.secret("check-value")
            value = int.from_bytes(hmac.digest(secret, b"check value", "sha256")[:8], "big") >> 2
            if recorded in (None, value):
                return value
        what = "this file is missing" if missing else "these are not the keys of this database"
        raise KeyStoreError(
            f"{self.path}: {what}; stored PINs, payment tokens and participants' keys depend on "
            "them: restore the file, or start the demo afresh with `checkout reset`"
        )

    def _random_secret(self, section: str, entry: str) -> bytes:
        held = self._section(section)
        if held is None:
            held = self._add({section: {entry: self._random_bytes(32).hex()}})[section]
        return bytes.fromhex(held[entry])

    def _range_of(self, account: str) -> str:
        for length in (8, 6):
            if account[:length] in self._ranges:
                return account[:length]
        raise KeyStoreError(f"range: no issuer master key for {account[:6]!r}")

    def _section(self, name: str) -> dict[str, str] | None:
        if self._keys is None or name not in self._keys:
            self._keys = self._read()
            missing = [prefix for prefix in self._ranges if f"range {prefix}" not in self._keys]
            if missing:
                fresh = {
                    f"range {prefix}": {purpose.value: self._new_key() for purpose in KeyPurpose}
                    for prefix in missing
                }
                self._keys = self._add(fresh)
        return self._keys.get(name)

    def _new_key(self) -> str:
        left, right = b"", b""
        while left == right:  # two equal halves would be single DES
            left, right = (tdes.odd_parity(self._random_bytes(8)) for _ in range(2))
        return (left + right).hex()

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            if self.path.stat().st_mode & 0o077:
                raise KeyStoreError(f"{self.path}: readable by others, expected mode 0600")
            keys = _checked(json.loads(self.path.read_text("ascii"))["keys"])
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise KeyStoreError(f"{self.path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise KeyStoreError(f"{self.path}: not a key file of this program") from None
        return keys

    def _add(self, fresh: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        """Add sections unless another process has added them meanwhile; returns all sections."""
        with self._locked():
            keys = {**fresh, **self._read()}
            self._write(json.dumps({"version": 1, "keys": keys}, indent=1, sort_keys=True))
        self._keys = keys
        return keys

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        folder = self.path.parent
        lock = FileLock(folder / "issuer-keys.lock", mode=0o600)
        try:
            private_folder(folder).chmod(0o700)
            lock.acquire(poll_interval=_LOCK_POLL_S)
        except OSError as error:
            raise KeyStoreError(f"{folder}: {error.strerror}") from None
        try:
            yield
        finally:
            lock.release()

    def _write(self, text: str) -> None:
        try:
            replace_private(self.path, text.encode("ascii"))
        except OSError as error:
            raise KeyStoreError(f"{self.path}: {error.strerror}") from None


def _checked(keys: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The sections unchanged; ValueError, KeyError or TypeError where one has no valid keys."""
    for name, section in keys.items():
        purposes = (
            {purpose.value for purpose in KeyPurpose} if name.startswith("range ") else set(section)
        )
        lengths = {len(bytes.fromhex(section[purpose])) for purpose in purposes}
        if lengths != {16 if name.startswith("range ") else 32}:
            raise ValueError(name)
    return keys


def wrap_key(protection_key: bytes, key: bytes, usage: KeyUsage) -> str:
    """A Triple DES key as a TR-31 block (version D) under a 32-byte AES key."""
    header = tr31.Header(
        version_id="D",
        key_usage=usage.value,
        algorithm="T",
        mode_of_use=_MODE_OF_USE.get(usage, _DERIVES_KEYS),
        version_num="00",
        exportability="E",
    )
    return tr31.wrap(protection_key, header, key)


def unwrap_key(protection_key: bytes, block: str, usage: KeyUsage) -> bytes:
    """The key in a TR-31 block; KeyStoreError where the block is altered or for another usage."""
    try:
        header, key = tr31.unwrap(protection_key, block)
    except tr31.HeaderError as error:
        raise KeyStoreError(f"key block: header, {error}") from None
    except tr31.KeyBlockError as error:
        raise KeyStoreError(f"key block: {error}") from None
    if header.key_usage != usage.value:
        raise KeyStoreError(f"key block: expected usage {usage.value}, got {header.key_usage}")
    return key
