"""A test certification authority of this installation: one RSA key pair per RID.

The keys are generated on first use and never leave the home folder. No real terminal has them; the
terminal of this project reads only the public keys, from `keys/ca-public.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.nfc.emulated import rsa
from devices.nfc.emulated.state_file import locked, private_folder, read_json, write_json

UNIONPAY = "A000000333"
VISA = "A000000003"
MASTERCARD = "A000000004"


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeySizes:
    """CA key index, and key lengths in bits; EMV allows a CA key up to 1984."""

    index: str
    ca_bits: int
    ca_exponent: int
    issuer_bits: int
    issuer_exponent: int


_KEY_SIZES = {
    UNIONPAY: _KeySizes(
        index="F0", ca_bits=1408, ca_exponent=3, issuer_bits=1152, issuer_exponent=3
    ),
    VISA: _KeySizes(
        index="F1", ca_bits=1408, ca_exponent=65537, issuer_bits=1152, issuer_exponent=3
    ),
    MASTERCARD: _KeySizes(
        index="F2", ca_bits=1984, ca_exponent=3, issuer_bits=1408, issuer_exponent=65537
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaPublicKey:
    """One CA public key in the form for terminals; all fields in hex."""

    rid: str
    index: str
    modulus: str
    exponent: str

    def as_json(self) -> dict[str, str]:
        return {
            "rid": self.rid,
            "index": self.index,
            "modulus": self.modulus,
            "exponent": self.exponent,
        }


class Authority:
    """The CA of one home folder; `ensure_authority` opens it."""

    def __init__(self, home: Path, authorities: dict[str, dict[str, Any]]) -> None:
        self._home = home
        self._authorities = authorities

    @property
    def public_file(self) -> Path:
        """The file of public keys for `--ca-keys`."""
        return _public_path(self._home)

    @property
    def public_keys(self) -> tuple[CaPublicKey, ...]:
        """The public keys, one per RID."""
        return tuple(_public(rid, entry) for rid, entry in sorted(self._authorities.items()))

    def index(self, rid: str) -> bytes:
        """The CA public key index of a RID, one byte (tag 8F)."""
        return bytes.fromhex(self._authorities[rid]["index"])

    def ca_key(self, rid: str) -> rsa.RsaKey:
        """The CA's private key of a RID (hex, 10 digits); KeyError for an unknown RID."""
        return rsa.from_json(self._authorities[rid]["key"])

    def issuer_key(self, rid: str, identifier: str) -> rsa.RsaKey:
        """The key pair of this issuer under this RID, generated on first use."""
        slot = f"{rid}:{identifier}"
        path = _private_path(self._home)
        issuers = read_json(path)["issuers"]
        if slot not in issuers:
            with locked(_lock_path(self._home)):
                content = read_json(path)
                issuers = content["issuers"]
                if slot not in issuers:
                    sizes = _KEY_SIZES[rid]
                    key = rsa.generate(sizes.issuer_bits, sizes.issuer_exponent)
                    issuers[slot] = key.as_json()
                    write_json(path, content)
        return rsa.from_json(issuers[slot])


def ensure_authority(home: Path) -> Authority:
    """The test CA of `home`, generated on first use; safe in several processes at once.

    Writes `keys/ca.json` (0600: the private keys) and `keys/ca-public.json` (a list of
    `{"rid", "index", "modulus", "exponent"}` in hex). Raises CardFileError for a file
    that is not valid, OSError where the home can't be written.
    """
    path, public = _private_path(home), _public_path(home)
    if not (path.exists() and public.exists()):
        private_folder(path.parent)
        with locked(_lock_path(home)):
            fresh = not path.exists()
            if fresh:
                write_json(path, {"authorities": _generate(), "issuers": {}})
            if fresh or not public.exists():  # public keys of other private keys would be useless
                authorities = read_json(path)["authorities"]
                keys = [_public(rid, entry).as_json() for rid, entry in sorted(authorities.items())]
                write_json(public, keys, mode=0o644)
    return Authority(home, read_json(path)["authorities"])


def _generate() -> dict[str, dict[str, Any]]:
    return {
        rid: {"index": sizes.index, "key": rsa.generate(sizes.ca_bits, sizes.ca_exponent).as_json()}
        for rid, sizes in _KEY_SIZES.items()
    }


def _public(rid: str, entry: dict[str, Any]) -> CaPublicKey:
    key = rsa.from_json(entry["key"])
    return CaPublicKey(
        rid=rid,
        index=entry["index"],
        modulus=key.modulus.hex().upper(),
        exponent=key.exponent.hex().upper(),
    )


def _private_path(home: Path) -> Path:
    return home / "keys" / "ca.json"


def _public_path(home: Path) -> Path:
    return home / "keys" / "ca-public.json"


def _lock_path(home: Path) -> Path:
    return home / "keys" / "ca.lock"
