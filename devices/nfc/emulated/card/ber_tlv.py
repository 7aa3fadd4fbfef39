"""The card's BER-TLV and DOL code (EMV Book 3, Annex B and "Rules for Using a DOL").

The card has code of its own for this: with code shared with the terminal, a mistake on one side
would cancel the same mistake on the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def length_bytes(count: int) -> bytes:
    """A BER length field for `count` bytes, 0 to 65535 (EMV Book 3, Annex B2)."""
    if count < 0x80:
        return bytes((count,))
    if count < 0x100:
        return bytes((0x81, count))
    return b"\x82" + count.to_bytes(2, "big")


def tlv(tag: str, value: bytes) -> bytes:
    """One data object: `tag` in hex, its length, its value."""
    return bytes.fromhex(tag) + length_bytes(len(value)) + value


def template(tag: str, *objects: bytes) -> bytes:
    """A constructed data object `tag` around encoded `objects`."""
    return tlv(tag, b"".join(objects))


def encode(objects: Mapping[str, bytes]) -> bytes:
    """Data objects one after another, in the order of the mapping."""
    return b"".join(tlv(tag, value) for tag, value in objects.items())


def dol(**entries: int) -> bytes:
    """A data object list; keywords are tags with a leading underscore, values lengths in bytes.

    >>> dol(_9F66=4, _95=5).hex().upper()
    '9F66049505'
    """
    return b"".join(bytes.fromhex(tag[1:]) + bytes((count,)) for tag, count in entries.items())


def dol_entries(encoded: bytes) -> Iterator[tuple[str, int]]:
    """The (tag in hex, length in bytes) pairs of a data object list from a card's own image."""
    position = 0
    while position < len(encoded):
        start = position
        if encoded[position] & 0x1F == 0x1F:
            position += 1
            while encoded[position] & 0x80:
                position += 1
        position += 1
        yield encoded[start:position].hex().upper(), encoded[position]
        position += 1


def dol_length(encoded: bytes) -> int:
    """The number of bytes that a terminal must send for this data object list."""
    return sum(count for _, count in dol_entries(encoded))


def dol_values(encoded: bytes, values: bytes) -> dict[str, bytes]:
    """The terminal's values by tag; `values` must have `dol_length(encoded)` bytes."""
    by_tag: dict[str, bytes] = {}
    position = 0
    for tag, count in dol_entries(encoded):
        by_tag[tag] = values[position : position + count]
        position += count
    return by_tag


def compressed_numeric(digits: str, pad: str = "F") -> bytes:
    """Digits two to a byte, padded on the right to a whole byte (EMV Book 3, format cn)."""
    return bytes.fromhex(digits + pad * (len(digits) % 2))


def numeric(value: int, count: int) -> bytes:
    """A decimal number right-justified in `count` BCD bytes (EMV Book 3, format n)."""
    return bytes.fromhex(f"{value:0{2 * count}d}")
