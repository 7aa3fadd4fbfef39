"""The public keys of certification authorities, and the issuer certificates they revoked.

EMV Book 2, "Certification authority public key management". The JSON form is a list of
`{"rid", "index", "modulus", "exponent"}` in hex, each with an optional `expires` (YYYY-MM-DD).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

#: Longest key of the specification: 248 bytes, 1984 bits (EMV Book 2, Annex D).
MAX_KEY_BYTES: Final = 248


class CaKeyError(Exception):
    """A CA key entry that can't be used; names the entry and the field."""

    def __init__(self, entry: str, field: str, message: str) -> None:
        super().__init__(f"CA key {entry}: {field}: {message}")
        self.entry = entry
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class CaKey:
    """One CA public key; `own` where the authority is this installation's test CA."""

    rid: bytes  # 5 bytes
    index: int  # tag 8F
    modulus: bytes
    exponent: int  # 3 or 65537
    expires: date | None = None
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """An issuer certificate that the authority revoked (EMV Book 2, 5.3)."""

    rid: bytes
    index: int
    serial: bytes  # 3 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CaKeyRing:
    """The CA keys of a terminal by RID and index, and the revoked certificates.

    `left_out` names the entries of a list that could not be used.
    """

    keys: Mapping[tuple[bytes, int], CaKey] = field(default_factory=dict)
    revoked: frozenset[Revocation] = frozenset()
    left_out: tuple[CaKeyError, ...] = ()

    @classmethod
    def of(cls, keys: Iterable[CaKey], revoked: Iterable[Revocation] = ()) -> CaKeyRing:
        """A ring of these keys; of two with the same RID and index the later counts."""
        return cls(keys={(key.rid, key.index): key for key in keys}, revoked=frozenset(revoked))

    def find(self, rid: bytes, index: int) -> CaKey | None:
        """The key of that RID and index, or None."""
        return self.keys.get((rid, index))

    def is_revoked(self, key: CaKey, serial: bytes) -> bool:
        """Whether the issuer certificate of that serial number under the key was revoked."""
        return bool(self.revoked) and (
            Revocation(rid=key.rid, index=key.index, serial=serial) in self.revoked
        )

    def merged(self, other: CaKeyRing) -> CaKeyRing:
        """Both rings together; the other ring's key counts where both have one."""
        return CaKeyRing(
            keys={**self.keys, **other.keys},
            revoked=self.revoked | other.revoked,
            left_out=self.left_out + other.left_out,
        )

    def as_own(self) -> CaKeyRing:
        """The same ring with every key marked as this installation's own."""
        return CaKeyRing(
            keys={name: replace(key, own=True) for name, key in self.keys.items()},
            revoked=self.revoked,
            left_out=self.left_out,
        )


def parse_ca_keys(text: str, *, own: bool = False) -> CaKeyRing:
    """The ring in a `--ca-keys` JSON text.

    An entry that can't be used is left out and named in `left_out`, because public lists have such
    entries. Raises CaKeyError for a text that is not a JSON list.
    """
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise CaKeyError("list", "JSON", str(error)) from None
    if not isinstance(entries, list):
        raise CaKeyError("list", "JSON", "expected a list of objects")
    keys: list[CaKey] = []
    left_out: list[CaKeyError] = []
    for number, entry in enumerate(entries, 1):
        try:
            keys.append(read_ca_key(entry, f"#{number}", own=own))
        except CaKeyError as error:
            left_out.append(error)
    return replace(CaKeyRing.of(keys), left_out=tuple(left_out))


def read_ca_key(entry: Any, place: str, *, own: bool = False) -> CaKey:
    """One key from a JSON or TOML table. Raises CaKeyError."""
    if not isinstance(entry, dict):
        raise CaKeyError(place, "entry", "expected an object with rid, index, modulus, exponent")
    rid = hex_field(entry, "rid", place)
    if len(rid) != 5:
        raise CaKeyError(place, "rid", f"expected 5 bytes, got {len(rid)}")
    index = hex_field(entry, "index", place)
    if len(index) != 1:
        raise CaKeyError(place, "index", f"expected 1 byte, got {len(index)}")
    modulus = hex_field(entry, "modulus", place).lstrip(b"\0")
    if not 64 <= len(modulus) <= MAX_KEY_BYTES:
        raise CaKeyError(
            place, "modulus", f"expected 64 to {MAX_KEY_BYTES} bytes, got {len(modulus)}"
        )
    if not modulus[-1] & 1:
        raise CaKeyError(place, "modulus", "expected an odd number")
    exponent = int.from_bytes(hex_field(entry, "exponent", place), "big")
    if exponent not in (3, 65537):
        raise CaKeyError(place, "exponent", "expected 03 or 010001")
    return CaKey(
        rid=rid,
        index=index[0],
        modulus=modulus,
        exponent=exponent,
        expires=_date_field(entry, place),
        own=own,
    )


def hex_field(entry: Mapping[str, Any], name: str, place: str) -> bytes:
    """A hex string of the table as bytes; "3" counts as "03". Raises CaKeyError."""
    value = entry.get(name)
    if not isinstance(value, str) or not value.strip():
        raise CaKeyError(place, name, "expected a hex string")
    digits = "".join(value.split())
    try:
        return bytes.fromhex(digits if len(digits) % 2 == 0 else f"0{digits}")
    except ValueError:
        raise CaKeyError(place, name, "expected a hex string") from None


def _date_field(entry: Mapping[str, Any], place: str) -> date | None:
    value = entry.get("expires")
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise CaKeyError(place, "expires", "expected a date as YYYY-MM-DD") from None
