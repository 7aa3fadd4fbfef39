"""Message authentication between participants: DE64 or DE128 over all that precedes it.

ISO/IEC 9797-1, MAC algorithm 3 with padding method 1 (ANSI X9.19), under a 16-byte session key.
The MAC covers the bitmap with the MAC's own bit set.
"""

from __future__ import annotations

import hmac

from checkout.clearing.hsm import tdes
from checkout.clearing.iso8583.codec import Fields, pack

MAC_BYTES = 8
_EMPTY = "0" * (2 * MAC_BYTES)


def mac_field(fields: Fields) -> str:
    """The number of the MAC's field: 128 where there is any field above 64, else 64."""
    return "128" if any(key.isdigit() and int(key) > 64 for key in fields) else "64"


def pack_with_mac(fields: Fields, key: bytes) -> bytes:
    """The message with its MAC as the last eight bytes."""
    fields = {name: value for name, value in fields.items() if name not in ("64", "128")}
    fields[mac_field(fields)] = _EMPTY
    message = pack(fields)[:-MAC_BYTES]
    return message + compute(message, key)


def verify(message: bytes, fields: Fields, key: bytes) -> bool:
    """Whether the message ends in the MAC of all that precedes it."""
    if "128" not in fields and "64" not in fields:
        return False
    if "64" in fields and mac_field(fields) != "64":
        return False
    return hmac.compare_digest(message[-MAC_BYTES:], compute(message[:-MAC_BYTES], key))


def compute(message: bytes, key: bytes) -> bytes:
    """Eight-byte MAC of bytes under a 16-byte key."""
    return tdes.mac_algorithm_3(key, tdes.pad_method_1(message))
