"""The content that personalisation writes into a card: files, lists, keys (EMV Book 3, "Files")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devices.nfc.emulated import rsa

Records = dict[tuple[int, int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardImage:
    """One personalised application.

    `records` maps (SFI, record number) to the whole record with its template 70. The card sends
    `afl` when offline data authentication is due and `short_afl` when it is not; both have
    multiples of four bytes, none for no list. `card_key` has 16 bytes, or none on a phone with
    limited-use keys; `icc_key` signs, None where the card can't.
    """

    aip: bytes
    afl: bytes
    short_afl: bytes
    records: Records
    pdol: bytes = b""
    cdol1: bytes = b""
    cdol2: bytes = b""
    card_key: bytes = field(default=b"", repr=False)
    icc_key: rsa.RsaKey | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name).hex() for name in _BYTES},
            "records": {f"{sfi}.{n}": body.hex() for (sfi, n), body in self.records.items()},
            "icc_key": self.icc_key.as_json() if self.icc_key else None,
        }


_BYTES = ("aip", "afl", "short_afl", "pdol", "cdol1", "cdol2", "card_key")


def image_from(content: Mapping[str, Any]) -> CardImage:
    """The image from `CardImage.as_json`."""
    return CardImage(
        **{name: bytes.fromhex(content[name]) for name in _BYTES},
        records={
            (int(sfi), int(n)): bytes.fromhex(body)
            for (sfi, n), body in ((key.split("."), b) for key, b in content["records"].items())
        },
        icc_key=rsa.from_json(content["icc_key"]) if content["icc_key"] else None,
    )
