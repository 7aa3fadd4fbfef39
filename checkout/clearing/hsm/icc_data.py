"""Reading DE55: the card's and terminal's tags of one tap, as the issuer sees them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

_TEMPLATE_FORMS = 0x20
_ANOTHER_BYTE = 0x80


class IccError(ValueError):
    """DE55 is not BER-TLV or lacks a tag; `field` names the tag, `position` the byte."""

    def __init__(self, field: str, message: str, position: int = 0) -> None:
        super().__init__(f"DE55 {field}: {message}")
        self.field = field
        self.position = position


class CardholderVerification(StrEnum):
    """How the payer was verified as the cardholder, by tag 9F34."""

    NONE = "none"
    ONLINE_PIN = "online-pin"
    SIGNATURE = "signature"
    ON_DEVICE = "on-device"


_METHODS = {
    0x01: CardholderVerification.ON_DEVICE,
    0x02: CardholderVerification.ONLINE_PIN,
    0x1E: CardholderVerification.SIGNATURE,
}


def read_icc(icc: bytes) -> dict[int, bytes]:
    """Tags of DE55 by number (0x9F26), templates unopened; IccError for what is not BER-TLV.

    EMV Book 3, Annex B (rules for BER-TLV data objects). A tag that occurs twice is refused: two
    parties could each read a different one.
    """
    tags: dict[int, bytes] = {}
    at, end = 0, len(icc)
    while at < end:
        start, tag = at, icc[at]
        at += 1
        if tag == 0x00:  # filling between data objects
            continue
        if tag & 0x1F == 0x1F:
            following = _ANOTHER_BYTE
            while following & _ANOTHER_BYTE:
                if at >= end or at - start > 3:
                    raise IccError("tag", "cut short or longer than four bytes", start)
                following = icc[at]
                tag = tag << 8 | following
                at += 1
        if at < end and icc[at] < 0x80:  # nearly always: one byte of length
            length = icc[at]
            at += 1
        else:
            length, at = _length(icc, at, tag)
        if at + length > end:
            raise IccError(f"{tag:X}", f"{length} bytes announced, {end - at} left", start)
        if tag in tags:
            raise IccError(f"{tag:X}", "stands twice", start)
        tags[tag] = icc[at : at + length]
        at += length
    return tags


def write_icc(tags: Mapping[int, bytes]) -> bytes:
    """The tags as BER-TLV, in the given order, with the shortest length form."""
    return b"".join(_number(tag) + _written_length(len(held)) + held for tag, held in tags.items())


def required_tag(tags: Mapping[int, bytes], tag: int, length: int) -> bytes:
    """The value of a tag that must be present with `length` bytes; IccError otherwise."""
    found = tags.get(tag)
    if found is None:
        raise IccError(f"{tag:X}", "missing")
    if len(found) != length:
        raise IccError(f"{tag:X}", f"expected {length} bytes, got {len(found)}")
    return found


def cardholder_verification(tags: Mapping[int, bytes]) -> CardholderVerification:
    """How the payer was verified by tag 9F34; NONE where it is missing.

    EMV Book 3, Annex C3 (CVM codes). Over contactless, code 01 (PIN checked by the card)
    stands for the phone's own check, since no PIN can be entered for a card to check.
    """
    results = tags.get(0x9F34, b"")
    if len(results) != 3:
        return CardholderVerification.NONE
    return _METHODS.get(results[0] & 0x3F, CardholderVerification.NONE)


def _length(icc: bytes, at: int, tag: int) -> tuple[int, int]:
    if at >= len(icc):
        raise IccError(f"{tag:X}", "no length", at)
    first = icc[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    if count not in (1, 2) or at + 1 + count > len(icc):
        raise IccError(f"{tag:X}", f"length form {first:02X} is not taken", at)
    return int.from_bytes(icc[at + 1 : at + 1 + count]), at + 1 + count


def _number(tag: int) -> bytes:
    return tag.to_bytes((tag.bit_length() + 7) // 8 or 1)


def _written_length(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    return b"\x81" + bytes((length,)) if length < 0x100 else b"\x82" + length.to_bytes(2)
